//! Changes of a table of the application's own: what was known before does not survive them.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, routing::get as route};
use tower_api_key::{
    ApiKeyAuth,
    key::KeyDigest,
    manage::ChangeError,
    principal::{Identity, Principal},
};

use crate::answer::{KEY, get, granting, is};

/// Owners by digest, and how often it was read.
#[derive(Clone, Default)]
struct Table(Arc<Mutex<Rows>>);

#[derive(Default)]
struct Rows {
    owners: HashMap<[u8; 32], &'static str>,
    reads: usize,
}

impl Table {
    fn set(&self, digest: &KeyDigest, owner: Option<&'static str>) {
        let owners = &mut self.0.lock().expect("the lock").owners;
        match owner {
            Some(owner) => owners.insert(*digest.as_bytes(), owner),
            None => owners.remove(digest.as_bytes()),
        };
    }

    fn find(&self, digest: &KeyDigest) -> Option<Identity> {
        let mut rows = self.0.lock().expect("the lock");
        rows.reads += 1;
        rows.owners.get(digest.as_bytes()).copied().map(Identity::new)
    }

    fn reads(&self) -> usize {
        self.0.lock().expect("the lock").reads
    }
}

/// The layer over a table, a router behind it, and the digest of [`KEY`].
fn served() -> (Table, ApiKeyAuth, Router, KeyDigest) {
    let table = Table::default();
    let reading = table.clone();
    let resolver = move |digest: KeyDigest| std::future::ready(Ok(reading.find(&digest)));
    let auth = ApiKeyAuth::resolver(resolver)
        .cache_ttl(Duration::from_secs(3600))
        .unknown_ttl(Duration::from_secs(3600))
        .doubt(Duration::from_secs(60))
        .build()
        .expect("a configuration");
    let app = Router::new()
        .route("/", route(async |caller: Principal| caller.owner().to_owned()))
        .layer(auth.clone());
    (table, auth, app, KeyDigest::of(KEY.as_bytes()))
}

#[tokio::test]
async fn without_a_change_the_old_verdict_is_kept() {
    let (table, _, app, digest) = served();
    table.set(&digest, Some("alice"));
    assert_eq!(get(&app, "/", KEY).await, is(200, "alice"));
    table.set(&digest, None);
    assert_eq!(get(&app, "/", KEY).await, is(200, "alice"));
    assert_eq!(table.reads(), 1);
}

#[tokio::test]
async fn a_change_takes_effect_before_it_returns() {
    let (table, auth, app, digest) = served();
    assert_eq!(get(&app, "/", KEY).await, is(401, "invalid-key"));
    for (owner, expected) in [
        (Some("alice"), is(200, "alice")),
        (Some("bob"), is(200, "bob")),
        (None, is(401, "invalid-key")),
        (Some("carol"), is(200, "carol")),
    ] {
        let writing = table.clone();
        let work = async move {
            writing.set(&digest, owner);
            Ok::<_, Infallible>(owner.map_or(0, str::len))
        };
        let result = auth.change(digest, work).await.expect("changed");
        assert_eq!(
            result,
            owner.map_or(0, str::len),
            "the result of the work comes back"
        );
        for _ in 0..3 {
            assert_eq!(get(&app, "/", KEY).await, expected);
        }
    }
    assert_eq!(table.reads(), 5, "each verdict was kept until the next change");
}

#[tokio::test]
async fn the_change_of_one_key_leaves_another_alone() {
    let (table, auth, app, digest) = served();
    table.set(&KeyDigest::of(b"another-key"), Some("alice"));
    assert_eq!(get(&app, "/", "another-key").await.0, 200);
    auth.change(digest, async { Ok::<_, Infallible>(()) })
        .await
        .expect("changed");
    assert_eq!(get(&app, "/", "another-key").await.0, 200);
    assert_eq!(table.reads(), 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_change_that_failed_nothing_is_kept_until_doubt_ends() {
    let (table, auth, app, digest) = served();
    table.set(&digest, Some("alice"));
    assert_eq!(get(&app, "/", KEY).await, is(200, "alice"));
    let failed = auth
        .change(digest, async { Err::<(), _>("the connection was lost") })
        .await;
    assert!(
        matches!(failed, Err(ChangeError::Failed("the connection was lost"))),
        "{failed:?}"
    );
    // It may have happened, or happen yet: whoever asks is answered from the table.
    for owner in ["alice", "bob"] {
        table.set(&digest, Some(owner));
        assert_eq!(get(&app, "/", KEY).await, is(200, owner));
    }
    let before = table.reads();
    tokio::time::sleep(Duration::from_secs(61)).await;
    for _ in 0..3 {
        assert_eq!(get(&app, "/", KEY).await, is(200, "bob"));
    }
    assert_eq!(table.reads(), before + 1, "it is kept again");
}

#[tokio::test(start_paused = true)]
async fn a_change_that_panics_is_lost_and_leaves_the_key_in_doubt() {
    let (table, auth, app, digest) = served();
    table.set(&digest, Some("alice"));
    assert_eq!(get(&app, "/", KEY).await, is(200, "alice"));
    let lost = auth
        .change::<(), Infallible>(digest, async { panic!("the work has a bug") })
        .await;
    assert!(matches!(lost, Err(ChangeError::Lost)), "{lost:?}");
    table.set(&digest, None);
    assert_eq!(get(&app, "/", KEY).await, is(401, "invalid-key"));
}

#[tokio::test]
async fn a_change_goes_on_when_its_caller_goes_away() {
    let (table, auth, app, digest) = served();
    table.set(&digest, Some("alice"));
    assert_eq!(get(&app, "/", KEY).await, is(200, "alice"));
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    let (done, is_done) = tokio::sync::oneshot::channel();
    let writing = table.clone();
    let work = async move {
        gone.await.expect("a word from the test");
        writing.set(&digest, None);
        drop(done);
        Ok::<_, Infallible>(())
    };
    let mut caller = Box::pin(auth.change(digest, work));
    assert!(is_pending(&mut caller).await, "the change waits");
    drop(caller);
    go.send(()).expect("the work is still there");
    let _closed: Result<(), _> = is_done.await;
    assert_eq!(get(&app, "/", KEY).await, is(401, "invalid-key"));
}

/// Polls once; says whether it is pending.
async fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|context| {
        let pending = std::pin::Pin::new(&mut *future).poll(context).is_pending();
        std::task::Poll::Ready(pending)
    })
    .await
}

#[tokio::test]
async fn without_a_resolver_a_change_is_just_its_work() {
    let auth = granting(tower_api_key::access::Grants::none());
    let digest = KeyDigest::of(b"");
    assert_eq!(
        auth.change(digest, async { Ok::<_, Infallible>(7) })
            .await
            .expect("done"),
        7
    );
    let failed = auth.change(digest, async { Err::<(), _>("failed") }).await;
    assert!(matches!(failed, Err(ChangeError::Failed("failed"))), "{failed:?}");
}
