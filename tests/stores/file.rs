//! One file, opened and shared.

use tokio::task::JoinSet;
use tower_api_key::{
    ApiKeyAuth,
    event::{Actor, KeyEvent, KeyEventKind},
    key::{KeyFormat, KeyRecord},
    manage::{IssuedKey, ManageErrorKind, NewKey},
    store::{Decide, EventQuery, KeyStore, Reads, SqliteStore, StoreErrorKind, Writes},
};

use crate::opened::{Folder, chain, status};

fn auth(store: &SqliteStore) -> ApiKeyAuth {
    ApiKeyAuth::builder(store.clone())
        .build()
        .expect("a configuration")
}

fn about(issued: &IssuedKey) -> EventQuery {
    EventQuery::newest(10).key(issued.record.id)
}

async fn got(store: &SqliteStore, issued: &IssuedKey) -> Option<KeyRecord> {
    let got = store.get(issued.record.id).await.expect("an answer");
    got.map(|stored| stored.record)
}

#[tokio::test]
async fn what_was_written_and_the_check_key_are_there_after_opening_again() {
    let folder = Folder::new();
    let store = folder.open("keys.db").await;
    let keys = auth(&store).keys().expect("a store").clone();
    let good = keys.issue(NewKey::new("alice")).await.expect("a key");
    let revoked = keys.issue(NewKey::new("bob")).await.expect("a key");
    keys.revoke(revoked.record.id).await.expect("revoked");
    store.close().await;

    let store = folder.open("keys.db").await;
    let format = KeyFormat::new("ak", &store.check_key()).expect("a prefix");
    assert_eq!(format.check(good.key.expose().as_bytes()), Ok(()));
    assert_eq!(got(&store, &good).await, Some(good.record.clone()));
    assert_eq!(store.events(&about(&revoked)).await.expect("an answer").len(), 2);
    let auth = auth(&store);
    assert_eq!(status(&auth, good.key.expose()).await, 200);
    assert_eq!(status(&auth, revoked.key.expose()).await, 401);
}

#[tokio::test]
async fn two_stores_on_one_file_see_what_the_other_writes() {
    let folder = Folder::new();
    let (one, two) = (folder.open("keys.db").await, folder.open("keys.db").await);
    // What is cached is not the matter here.
    let fresh = |store: &SqliteStore| {
        let builder = ApiKeyAuth::builder(store.clone()).cache_ttl(std::time::Duration::ZERO);
        builder.build().expect("a configuration")
    };
    let (of_one, of_two) = (fresh(&one), fresh(&two));
    for (writes, reads) in [(&of_one, &of_two), (&of_two, &of_one)] {
        let keys = writes.keys().expect("a store");
        let issued = keys.issue(NewKey::new("alice")).await.expect("a key");
        assert_eq!(status(reads, issued.key.expose()).await, 200);
        let elsewhere = reads.keys().expect("a store");
        assert_eq!(
            elsewhere
                .get(issued.record.id)
                .await
                .expect("an answer")
                .map(|stored| stored.record),
            Some(issued.record.clone())
        );
        keys.revoke(issued.record.id).await.expect("revoked");
        assert_eq!(status(reads, issued.key.expose()).await, 401);
        assert_eq!(
            elsewhere.events(&about(&issued)).await.expect("an answer").len(),
            2
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_two_stores_wait_for_each_other() {
    let folder = Folder::new();
    let stores = [folder.open("keys.db").await, folder.open("keys.db").await];
    let mut writing = JoinSet::new();
    for store in stores.iter().flat_map(|store| [store.clone(), store.clone()]) {
        writing.spawn(async move {
            let auth = auth(&store);
            let keys = auth.keys().expect("a store");
            for _ in 0..25 {
                let issued = keys.issue(NewKey::new("alice")).await.expect("a key");
                keys.revoke(issued.record.id).await.expect("revoked");
            }
        });
    }
    writing.join_all().await;
    let count = "SELECT count(*) AS value FROM api_keys WHERE revoked_at IS NOT NULL";
    assert_eq!(folder.value("keys.db", count).await, "100");
    let events = "SELECT count(*) AS value FROM api_key_events";
    assert_eq!(folder.value("keys.db", events).await, "200");
}

#[tokio::test]
async fn stores_in_memory_share_nothing_and_answer_many_at_once() {
    let one = SqliteStore::open("sqlite::memory:").await.expect("a store");
    let two = SqliteStore::open("sqlite::memory:").await.expect("a store");
    let issued = auth(&one)
        .keys()
        .expect("a store")
        .issue(NewKey::new("alice"))
        .await
        .expect("a key");
    assert!(two.is_empty().await.expect("an answer"));
    let format = KeyFormat::new("ak", &two.check_key()).expect("a prefix");
    assert!(
        format.check(issued.key.expose().as_bytes()).is_err(),
        "each has a check key of its own"
    );
    let mut finding = JoinSet::new();
    for _ in 0..64 {
        let store = one.clone();
        finding.spawn(async move { store.find(&issued.record.digest).await });
    }
    for found in finding.join_all().await {
        assert!(found.expect("an answer").is_some());
    }
}

#[tokio::test]
async fn a_file_may_be_named_in_every_way_and_be_made_when_missing() {
    let folder = Folder::new();
    let path = folder.location("keys.db");
    let store = SqliteStore::open(format!("sqlite://{path}"))
        .await
        .expect("a store");
    let issued = auth(&store)
        .keys()
        .expect("a store")
        .issue(NewKey::new("alice"))
        .await
        .expect("a key");
    for location in [
        path.clone(),
        format!("sqlite:{path}"),
        format!("sqlite://{path}?mode=rw"),
    ] {
        let store = SqliteStore::open(&location).await.expect("a store");
        assert!(
            store
                .find(&issued.record.digest)
                .await
                .expect("an answer")
                .is_some(),
            "{location}"
        );
    }
    for name in [
        "with spaces.db",
        "with%20percent.db",
        "with#hash.db",
        "\u{fc}ml\u{e4}ut.db",
        "no-extension",
    ] {
        drop(folder.open(name).await);
        assert!(folder.path(name).is_file(), "{name}");
    }
    // An empty file is a database without tables.
    std::fs::write(folder.path("empty.db"), "").expect("written");
    assert!(folder.open("empty.db").await.is_empty().await.expect("an answer"));
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_file_is_for_its_owner_alone_and_an_old_one_stays_as_it_is() {
    use std::{fs, os::unix::fs::PermissionsExt};

    let folder = Folder::new();
    let _open = folder.open("keys.db").await;
    for name in ["keys.db", "keys.db-wal", "keys.db-shm"] {
        let mode = fs::metadata(folder.path(name)).expect(name).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let mode = |name: &str| fs::metadata(folder.path(name)).expect(name).permissions().mode() & 0o777;
    for (name, query) in [("said.db", "mode=rwc"), ("cached.db", "cache=private&mode=rwc")] {
        let location = format!("sqlite://{}?{query}", folder.location(name));
        let _open = SqliteStore::open(&location).await.expect("a store");
        assert_eq!(mode(name), 0o600, "{location}");
    }
    let missing = format!("sqlite://{}?mode=rw", folder.location("missing.db"));
    SqliteStore::open(&missing)
        .await
        .expect_err("no file is to be made");
    assert!(!folder.path("missing.db").exists());
    fs::write(folder.path("old.db"), "").expect("written");
    fs::set_permissions(folder.path("old.db"), fs::Permissions::from_mode(0o640)).expect("set");
    drop(folder.open("old.db").await);
    let mode = fs::metadata(folder.path("old.db"))
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[tokio::test]
async fn what_cannot_be_a_store_is_an_error_and_stays_as_it_is() {
    let folder = Folder::new();
    let text = "this is no database, but somebody's only copy of a letter\n".repeat(100);
    std::fs::write(folder.path("letter"), &text).expect("written");
    std::fs::create_dir(folder.path("a-folder")).expect("a folder");
    for location in [
        folder.location("letter"),
        folder.location("a-folder"),
        folder.location("no-folder/keys.db"),
        format!("sqlite://{}?mode=nonsense", folder.location("keys.db")),
        format!("sqlite://{}?nonsense=1", folder.location("keys.db")),
        String::new(),
    ] {
        let error = SqliteStore::open(&location).await.expect_err(&location);
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{location}");
        assert!(std::error::Error::source(&error).is_some(), "{location}: {error}");
    }
    assert_eq!(
        std::fs::read_to_string(folder.path("letter")).expect("read"),
        text
    );
}

#[tokio::test]
async fn a_file_without_a_write_ahead_log_is_refused() {
    let folder = Folder::new();
    assert!(folder.open("keys.db").await.is_empty().await.is_ok());
    assert_eq!(
        folder
            .value("keys.db", "SELECT journal_mode AS value FROM pragma_journal_mode")
            .await,
        "wal"
    );
    // Without shared memory SQLite has no such log to offer.
    let location = format!("sqlite://{}?vfs=unix-dotfile", folder.location("other.db"));
    let error = SqliteStore::open(&location).await.expect_err("no log");
    assert!(chain(&error).contains("journal mode delete"), "{}", chain(&error));
}

#[tokio::test]
async fn a_file_that_may_only_be_read_is_an_error_and_stays_as_it_is() {
    let folder = Folder::new();
    let store = folder.open("keys.db").await;
    auth(&store)
        .keys()
        .expect("a store")
        .issue(NewKey::new("alice"))
        .await
        .expect("a key");
    store.close().await;
    let before = std::fs::read(folder.path("keys.db")).expect("read");
    let location = format!("sqlite://{}?mode=ro", folder.location("keys.db"));
    let error = SqliteStore::open(&location).await.expect_err("read only");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(chain(&error).contains("readonly"), "{}", chain(&error));
    assert_eq!(std::fs::read(folder.path("keys.db")).expect("read"), before);
}

#[tokio::test]
async fn a_change_without_its_event_is_no_change() {
    let folder = Folder::new();
    let store = folder.open("keys.db").await;
    let auth = auth(&store);
    let keys = auth.keys().expect("a store");
    let issued = keys.issue(NewKey::new("alice")).await.expect("a key");
    let fails =
        "CREATE TRIGGER fails BEFORE INSERT ON api_key_events BEGIN SELECT RAISE(ABORT, 'no room'); END";
    folder.sql("keys.db", fails).await;

    let unkept = keys
        .issue(NewKey::new("bob"))
        .await
        .expect_err("no event, no key");
    assert_eq!(unkept.kind(), ManageErrorKind::Unavailable);
    let unrevoked = keys
        .revoke(issued.record.id)
        .await
        .expect_err("no event, no revocation");
    assert_eq!(unrevoked.kind(), ManageErrorKind::Unavailable);
    let mut writes = Writes::nothing();
    let mut record = issued.record.clone();
    record.revoked_at = Some(record.created_at);
    let actor = Actor::application();
    writes.events.push(KeyEvent::new(
        KeyEventKind::Revoked,
        &record,
        record.created_at,
        &actor,
    ));
    writes.update.push(record);
    let error = store
        .transact(Reads::nothing(), Decide::new(move |_| writes))
        .await
        .expect_err("fails");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert_eq!(got(&store, &issued).await, Some(issued.record.clone()));
    assert_eq!(
        folder
            .value("keys.db", "SELECT count(*) AS value FROM api_keys")
            .await,
        "1"
    );
    assert_eq!(status(&auth, issued.key.expose()).await, 200);

    // And nothing is left that would be in the way of the next change.
    folder.sql("keys.db", "DROP TRIGGER fails").await;
    keys.issue(NewKey::new("bob")).await.expect("a key");
    keys.revoke(issued.record.id).await.expect("revoked");
    assert_eq!(status(&auth, issued.key.expose()).await, 401);
    assert_eq!(store.events(&about(&issued)).await.expect("an answer").len(), 2);
}

#[tokio::test]
async fn a_store_that_is_closed_cannot_say() {
    let folder = Folder::new();
    let store = folder.open("keys.db").await;
    let auth = auth(&store);
    let issued = auth
        .keys()
        .expect("a store")
        .issue(NewKey::new("alice"))
        .await
        .expect("a key");
    store.close().await;
    assert_eq!(status(&auth, issued.key.expose()).await, 503);
    assert!(store.ping().await.is_err() && store.is_empty().await.is_err());
}
