//! A disk that is full: the limit on the size of files stands in for it. It is one for the whole process, hence a target of its own.

#![cfg(unix)]

use std::fs;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sqlx::{Connection, SqliteConnection};
use tokio::signal::unix::{SignalKind, signal};
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::{
    ApiKeyAuth,
    manage::{IssuedKey, ManageErrorKind, NewKey},
    store::{EventQuery, KeyStore, SqliteStore},
};

/// `SIGXFSZ`: without a handler, a write beyond the limit ends the process.
const TOO_LARGE: i32 = 25;

/// Files cannot grow beyond this; `None` is as before.
fn limit(bytes: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    let current = bytes.or(maximum);
    setrlimit(Resource::Fsize, Rlimit { current, maximum }).expect("a limit");
}

async fn status(auth: &ApiKeyAuth, issued: &IssuedKey) -> u16 {
    let inner = service_fn(async |_: Request<()>| {
        Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let request = Request::get("/")
        .header("X-Key", issued.key.expose())
        .body(())
        .expect("a request");
    let Ok(response) = auth.layer(inner).oneshot(request).await;
    response.status().as_u16()
}

async fn number(path: &str, query: &'static str) -> i64 {
    let mut connection = SqliteConnection::connect(path).await.expect("opened");
    let number = sqlx::query_scalar(query)
        .fetch_one(&mut connection)
        .await
        .expect("a number");
    connection.close().await.expect("closed");
    number
}

#[tokio::test]
async fn a_change_that_finds_no_room_changes_nothing_and_reads_go_on() {
    let _survived = signal(SignalKind::from_raw(TOO_LARGE)).expect("a handler");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.db");
    let path = path.to_str().expect("a path in UTF-8");
    let store = SqliteStore::open(path).await.expect("a store");
    let auth = ApiKeyAuth::builder(store.clone())
        .build()
        .expect("a configuration");
    let keys = auth.keys().expect("there is a store");
    let old = keys.issue(NewKey::new("alice")).await.expect("a key");

    let log = fs::metadata(format!("{path}-wal")).expect("the log").len();
    limit(Some(log));
    for _ in 0..3 {
        let unkept = keys
            .issue(NewKey::new("bob"))
            .await
            .expect_err("there is no room");
        assert_eq!(unkept.kind(), ManageErrorKind::Unavailable);
        let unrevoked = keys.revoke(old.record.id).await.expect_err("there is no room");
        assert_eq!(unrevoked.kind(), ManageErrorKind::Unavailable);
        // What is there can be read, and is as it was.
        assert!(keys.ping().await.is_ok());
        assert_eq!(
            keys.get(old.record.id)
                .await
                .expect("an answer")
                .map(|stored| stored.record),
            Some(old.record.clone())
        );
        let events = EventQuery::newest(10).key(old.record.id);
        assert_eq!(store.events(&events).await.expect("an answer").len(), 1);
        assert_eq!(status(&auth, &old).await, 200);
    }
    limit(None);

    let new = keys.issue(NewKey::new("bob")).await.expect("there is room again");
    assert_eq!(status(&auth, &new).await, 200);
    keys.revoke(old.record.id).await.expect("there is room again");
    assert_eq!(status(&auth, &old).await, 401);
    assert_eq!(number(path, "SELECT count(*) FROM api_keys").await, 2);
    assert_eq!(number(path, "SELECT count(*) FROM api_key_events").await, 3);
    store.close().await;
    assert_eq!(
        number(
            path,
            "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"
        )
        .await,
        0
    );
}
