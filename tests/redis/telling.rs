//! What is changed through one process is no longer what it was for any other.

use std::{convert::Infallible, future::ready};

use tower_api_key::{
    ApiKeyAuth, Preset,
    access::Grants,
    event::RedisFeed,
    key::KeyDigest,
    manage::{ChangeError, ImportOutcome, ImportedKey, NewKey},
    store::MemoryStore,
};

use crate::{
    node::{FOR_EVER, Node, Table},
    server::Server,
};

const KEY: &str = "of-the-applications-own-table";

#[tokio::test]
async fn a_key_of_a_table_that_is_removed_through_one_is_unknown_to_the_other() {
    let Some(server) = Server::find().await else {
        return;
    };
    let table = Table::with(KEY);
    let [one, two] = [(); 2].map(|()| Node::over(&table, server.feed(), FOR_EVER));
    two.until_cached(KEY).await;
    one.remove(&table, KEY).await;
    assert_eq!(one.status(KEY).await, 401);
    two.until_status(KEY, 401).await;
    // And the other way round, for what is unknown is cached as well.
    two.insert(&table, KEY).await;
    assert_eq!(two.status(KEY).await, 200);
    one.until_status(KEY, 200).await;
}

#[tokio::test]
async fn keys_of_a_store_are_changed_for_all() {
    let Some(server) = Server::find().await else {
        return;
    };
    let store = MemoryStore::new().expect("a store");
    let [one, two] = [(); 2].map(|()| Node::of_store(&store, server.feed()));
    let keys = one.auth.keys().expect("there is a store");
    let issued = keys.issue(NewKey::new("alice")).await.expect("a key");
    two.until_cached(issued.key.expose()).await;
    keys.revoke(issued.record.id).await.expect("revoked");
    two.until_status(issued.key.expose(), 401).await;
    // One that was refused before it was taken over.
    const FOREIGN: &str = "of-another-system";
    keys.import(vec![ImportedKey::new(
        KeyDigest::of(b"some other"),
        NewKey::new("bob"),
    )])
    .await
    .expect("imported");
    two.until_status(FOREIGN, 401).await;
    let imported = ImportedKey::new(
        KeyDigest::of(FOREIGN.as_bytes()),
        NewKey::new("bob").grants(Grants::all()),
    );
    let outcomes = keys.import(vec![imported]).await.expect("imported");
    assert!(matches!(outcomes[..], [ImportOutcome::Imported(_)]));
    two.until_status(FOREIGN, 200).await;
}

#[tokio::test]
async fn an_owner_who_changes_is_asked_for_anew_by_all() {
    let Some(server) = Server::find().await else {
        return;
    };
    let store = MemoryStore::new().expect("a store");
    let [one, two] = [(); 2].map(|()| Node::of_store(&store, server.feed()));
    let keys = one.auth.keys().expect("there is a store");
    let issued = keys.issue(NewKey::new("alice")).await.expect("a key");
    two.until_cached(issued.key.expose()).await;
    let changed = one
        .auth
        .change_owner("alice", ready(Ok::<_, Infallible>(())))
        .await;
    changed.expect("changed");
    two.until_looked_up(issued.key.expose()).await;
    two.until_cached(issued.key.expose()).await;
}

#[tokio::test]
async fn a_change_that_may_have_happened_is_told() {
    let Some(server) = Server::find().await else {
        return;
    };
    let table = Table::with(KEY);
    let [one, two] = [(); 2].map(|()| Node::over(&table, server.feed(), FOR_EVER));
    two.until_cached(KEY).await;
    let lost = table.clone();
    let work = async move {
        lost.remove(KEY);
        Err::<(), _>("the answer was lost")
    };
    let failed = one.auth.change(KeyDigest::of(KEY.as_bytes()), work).await;
    assert!(matches!(failed, Err(ChangeError::Failed(_))));
    two.until_status(KEY, 401).await;
}

#[tokio::test]
async fn a_change_whose_caller_goes_away_is_told() {
    let Some(server) = Server::find().await else {
        return;
    };
    let table = Table::with(KEY);
    let [one, two] = [(); 2].map(|()| Node::over(&table, server.feed(), FOR_EVER));
    two.until_cached(KEY).await;
    let (go_on, wait) = tokio::sync::oneshot::channel::<()>();
    let (begun, begins) = tokio::sync::oneshot::channel();
    let removed = table.clone();
    let work = async move {
        begun.send(()).expect("somebody waits");
        wait.await.expect("a word");
        removed.remove(KEY);
        Ok::<_, Infallible>(())
    };
    let caller = tokio::spawn(async move { one.auth.change(KeyDigest::of(KEY.as_bytes()), work).await });
    begins.await.expect("it begins");
    caller.abort();
    assert!(caller.await.expect_err("it went away").is_cancelled());
    go_on.send(()).expect("it goes on");
    two.until_status(KEY, 401).await;
}

#[test]
fn a_feed_that_nobody_needs_or_that_promises_less_than_was_asked_for_is_refused() {
    let feed = || RedisFeed::new("redis://127.0.0.1:1").expect("a URL");
    let store = || MemoryStore::new().expect("a store");
    let resolver = |_: KeyDigest| ready(Ok::<_, tower_api_key::authn::Unavailable>(None));
    let cases = [
        (
            ApiKeyAuth::static_keys_only(),
            "a feed takes a store or a resolver",
        ),
        (
            ApiKeyAuth::builder(store()).preset(Preset::Strict),
            "through a feed nobody answers",
        ),
        (
            ApiKeyAuth::resolver(resolver).preset(Preset::Strict),
            "through a feed nobody answers",
        ),
    ];
    for (builder, complaint) in cases {
        let error = builder.feed(feed()).build().expect_err(complaint);
        assert!(error.to_string().contains(complaint), "{error}");
    }
    for builder in [ApiKeyAuth::builder(store()), ApiKeyAuth::resolver(resolver)] {
        assert!(builder.feed(feed()).build().is_ok());
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_store_that_tells_itself_takes_no_feed() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys.db");
    let store = tower_api_key::store::SqliteStore::open(&format!("sqlite://{}", file.display())).await;
    let feed = RedisFeed::new("redis://127.0.0.1:1").expect("a URL");
    let error = ApiKeyAuth::builder(store.expect("a store")).feed(feed).build();
    let error = error.expect_err("one is enough").to_string();
    assert!(error.contains("the store tells of changes itself"), "{error}");
}
