//! A listener that does not hear notices it: nothing is proven, so nothing that is cached is used.

use tower_api_key::store::{KeyStore, PostgresStore};

use crate::{
    database::Database,
    hearing::{Hearing, Told, is_lost, is_proven},
    opened::{issue, open, open_at, uncached, url_with},
    proxy::Proxy,
};

/// A store that listens through a proxy, and does everything else past it.
async fn listening_through(proxy: &Proxy, database: &Database) -> PostgresStore {
    let store = open(database).await;
    store.listen_url(proxy.url()).expect("a URL")
}

/// Waits for so many failures, none of which may look like a success in between.
async fn fails_again_and_again(hearing: &Hearing, mark: usize) -> Vec<Told> {
    let mut at = mark;
    for _ in 0..3 {
        at += hearing.until(at, is_lost).await.len();
    }
    let told = hearing.since(mark);
    assert!(!told.iter().any(is_proven), "{told:?}");
    told
}

/// As behind a pooler that lends connections by the transaction, where the server tells whom it has just lent one to.
#[tokio::test]
async fn behind_something_that_swallows_notifications_nothing_is_ever_proven() {
    let Some(database) = Database::create() else {
        return;
    };
    let proxy = Proxy::before(&database.url());
    proxy.swallow_notifications(true);
    let store = listening_through(&proxy, &database).await;
    let hearing = Hearing::begin(store.feed());
    let told = fails_again_and_again(&hearing, 0).await;
    let Some(Told::Lost(cause)) = told.first() else {
        panic!("{told:?}");
    };
    assert!(cause.contains("pooler in transaction mode"), "{cause}");
    assert_eq!(
        database.value("SELECT count(*) FROM api_key_nodes"),
        "0",
        "nobody waits for it"
    );

    // With the pooler out of the way it hears.
    let mark = hearing.mark();
    proxy.swallow_notifications(false);
    hearing.until(mark, is_proven).await;
    let mark = hearing.mark();
    issue(&uncached(&store)).await;
    assert!(matches!(hearing.all_since(mark).await[..], [Told::Changed(_)]));
}

#[tokio::test]
async fn a_listener_that_has_become_deaf_notices() {
    let Some(database) = Database::create() else {
        return;
    };
    let proxy = Proxy::before(&database.url());
    let store = listening_through(&proxy, &database).await;
    let hearing = Hearing::begun(store.feed()).await;
    let mark = hearing.mark();
    proxy.swallow_notifications(true);
    hearing.until(mark, is_lost).await;
    let mark = hearing.mark();
    fails_again_and_again(&hearing, mark).await;
    let mark = hearing.mark();
    proxy.swallow_notifications(false);
    hearing.assert_back(mark).await;
}

/// Nothing ends, and nothing comes: only the heartbeat can tell.
#[tokio::test]
async fn a_listener_whose_network_is_gone_notices() {
    let Some(database) = Database::create() else {
        return;
    };
    let proxy = Proxy::before(&database.url());
    let store = listening_through(&proxy, &database).await;
    let hearing = Hearing::begun(store.feed()).await;
    let mark = hearing.mark();
    proxy.lose();
    let lost_at = hearing.lost(mark).await;
    proxy.clear_up();
    hearing.assert_back(lost_at).await;
}

#[tokio::test]
async fn a_listener_at_another_database_notices() {
    let (Some(database), Some(other)) = (Database::create(), Database::create()) else {
        return;
    };
    // One that has everything that this one has.
    open(&other).await.close().await;
    let store = open(&database).await.listen_url(&other.url()).expect("a URL");
    let hearing = Hearing::begin(store.feed());
    fails_again_and_again(&hearing, 0).await;
}

/// It would hear everything, and nobody who changes something would see that it is there.
#[tokio::test]
async fn a_listener_that_writes_itself_down_in_another_schema_notices() {
    let Some(database) = Database::create() else {
        return;
    };
    database.sql("CREATE SCHEMA other");
    let other = url_with(&database, "options[search_path]=other");
    open_at(&other).await.close().await;
    let store = open(&database).await.listen_url(&other).expect("a URL");
    let hearing = Hearing::begin(store.feed());
    let told = fails_again_and_again(&hearing, 0).await;
    let Some(Told::Lost(cause)) = told.first() else {
        panic!("{told:?}");
    };
    assert!(cause.contains("search_path"), "{cause}");
    assert_eq!(database.value("SELECT count(*) FROM other.api_key_nodes"), "0");
}

/// A database of no encoding takes whatever bytes it is given, and does not hand them on.
#[tokio::test]
async fn a_listener_who_is_told_what_is_no_text_comes_back() {
    let ascii = "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'";
    let Some(database) = Database::create_with(ascii) else {
        return;
    };
    let hearing = Hearing::begun(open(&database).await.feed()).await;
    for _ in 0..2 {
        let mark = hearing.mark();
        database.value(r"SELECT pg_notify('api_key_changes', E'\xff')");
        let lost_at = hearing.lost(mark).await;
        hearing.assert_back(lost_at).await;
    }
}

#[tokio::test]
async fn where_one_listens_has_to_be_a_database() {
    let Some(database) = Database::create() else {
        return;
    };
    let store = open(&database).await;
    assert!(store.listen_url("nowhere").is_err());
}
