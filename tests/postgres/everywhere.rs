//! A change waits until every process has applied it, or can have no lease any more.

use std::time::Duration;

use tower_api_key::{
    event::Receipt,
    store::{KeyStore, PostgresStore},
};

use crate::{
    database::Database,
    hearing::{Hearing, Told, is_lost, is_proven},
    opened::{open, open_at, url_with},
    proxy::Proxy,
};

/// Longer than any machine is slow: where all answer, none of it is waited for. (But on a server younger than this it is.)
const PATIENCE: Duration = Duration::from_secs(30);
/// For those that do not answer.
const LEASE: Duration = Duration::from_millis(500);

async fn everywhere(store: &PostgresStore, lease: Duration) -> Receipt {
    let receipt = store.everywhere(lease).await.expect("an answer");
    receipt.expect("there is a feed")
}

async fn counts(store: &PostgresStore, lease: Duration) -> (u32, u32) {
    let receipt = everywhere(store, lease).await;
    (receipt.acked, receipt.of)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_process_that_listens_answers() {
    let Some(database) = Database::create() else {
        return;
    };
    let stores = [
        open(&database).await,
        open(&database).await,
        open(&database).await,
    ];
    assert_eq!(counts(&stores[0], LEASE).await, (0, 0), "nobody listens yet");
    let mut hearings = Vec::new();
    for store in &stores {
        hearings.push(Hearing::begun(store.feed()).await);
    }
    for asking in stores.iter().cycle().take(20) {
        assert_eq!(counts(asking, PATIENCE).await, (3, 3));
    }
}

#[tokio::test]
async fn what_is_answered_for_has_been_told_before() {
    let Some(database) = Database::create() else {
        return;
    };
    let (one, two) = (open(&database).await, open(&database).await);
    let hearing = Hearing::begun(one.feed()).await;
    for number in 0..20 {
        let mark = hearing.mark();
        database.sql(&format!(
            "INSERT INTO api_keys (id, digest, prefix, name, owner, scopes, created_at) \
             VALUES ('k{number}', decode(lpad(to_hex({number}), 64, '0'), 'hex'), 'ak', '', 'bob', '', 1)"
        ));
        let receipt = everywhere(&two, PATIENCE).await;
        assert_eq!((receipt.acked, receipt.of), (1, 1));
        let told = hearing.since(mark);
        assert!(
            told.iter().any(|told| matches!(told, Told::Changed(_))),
            "{told:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hears_nothing_is_waited_for_no_longer_than_its_lease() {
    let Some(database) = Database::create() else {
        return;
    };
    let proxy = Proxy::before(&database.url());
    let (one, two) = (open(&database).await, open(&database).await);
    let three = open(&database).await.listen_url(proxy.url()).expect("a URL");
    let _hearings = [Hearing::begun(one.feed()).await, Hearing::begun(two.feed()).await];
    let frozen = Hearing::begun(three.feed()).await;
    proxy.lose();
    // Whoever asks, also the one that hears nothing.
    for store in [&one, &three] {
        let receipt = everywhere(store, LEASE).await;
        assert_eq!(receipt.acked, 2);
        assert!(receipt.took >= LEASE || receipt.of == 2, "{receipt:?}");
    }
    frozen.until(0, is_lost).await;
    // It has been given up, and comes back.
    assert_eq!(database.value("SELECT count(*) FROM api_key_nodes"), "2");
    let mark = frozen.mark();
    proxy.clear_up();
    frozen.until(mark, is_proven).await;
    assert_eq!(counts(&one, PATIENCE).await, (3, 3));
}

/// It has flushed everything, after the change was committed.
#[tokio::test]
async fn one_that_was_away_when_it_was_asked_answers_when_it_comes_back() {
    let Some(database) = Database::create() else {
        return;
    };
    let proxy = Proxy::before(&database.url());
    let one = open(&database).await;
    let two = open(&database).await.listen_url(proxy.url()).expect("a URL");
    let hearing = Hearing::begun(two.feed()).await;
    let mark = hearing.mark();
    proxy.cut();
    hearing.until(mark, is_lost).await;
    let asking = tokio::spawn(async move { everywhere(&one, PATIENCE).await });
    while database.value("SELECT is_called FROM api_key_asks") != "true" {
        tokio::task::yield_now().await;
    }
    proxy.clear_up();
    let receipt = asking.await.expect("no panic");
    assert_eq!((receipt.acked, receipt.of), (1, 1));
}

#[tokio::test]
async fn one_that_leaves_while_it_is_waited_for_is_not_waited_for() {
    let Some(database) = Database::create() else {
        return;
    };
    let store = open(&database).await;
    database.sql("INSERT INTO api_key_nodes VALUES ('frozen', now())");
    let asking = tokio::spawn(async move { counts(&store, PATIENCE).await });
    while database.value("SELECT is_called FROM api_key_asks") != "true" {
        tokio::task::yield_now().await;
    }
    database.sql("DELETE FROM api_key_nodes");
    // It may have been gone by the first look.
    assert!(matches!(asking.await.expect("no panic"), (0, 0 | 1)));
}

/// Whatever the clock of the database says.
#[tokio::test]
async fn one_that_ended_without_a_word_is_waited_for_once() {
    let Some(database) = Database::create() else {
        return;
    };
    let store = open(&database).await;
    let _hearing = Hearing::begun(store.feed()).await;
    database.sql(
        "INSERT INTO api_key_nodes VALUES ('before', now() - interval '1 hour'), ('to come', now() + interval '1 hour')",
    );
    let receipt = everywhere(&store, LEASE).await;
    assert_eq!((receipt.acked, receipt.of), (1, 3));
    assert!(receipt.took >= LEASE);
    assert_eq!(counts(&store, LEASE).await, (1, 1));
}

#[tokio::test]
async fn nobody_can_answer_in_advance() {
    let Some(database) = Database::create() else {
        return;
    };
    let store = open(&database).await;
    let hearing = Hearing::begun(store.feed()).await;
    let table = database.value("SELECT 'api_key_nodes'::regclass::oid");
    let mark = hearing.mark();
    for number in [1, 1000, i64::MAX] {
        database.sql(&format!("NOTIFY api_key_changes, 'ask:{table}:{number}'"));
    }
    hearing.all_since(mark).await;
    // Not even 1, which a sequence says was its last number before it has given any.
    assert_eq!(database.value("SELECT max(applied) FROM api_key_nodes"), "0");
    assert_eq!(counts(&store, PATIENCE).await, (1, 1));
}

/// Channels are of the database, numbers are of the schema.
#[tokio::test]
async fn what_is_asked_in_another_schema_is_no_answer() {
    let Some(database) = Database::create() else {
        return;
    };
    database.sql("CREATE SCHEMA other");
    let store = open(&database).await;
    let other = open_at(&url_with(&database, "options[search_path]=other")).await;
    let hearing = Hearing::begun(store.feed()).await;
    let mark = hearing.mark();
    for _ in 0..5 {
        assert_eq!(counts(&other, LEASE).await, (0, 0));
    }
    hearing.all_since(mark).await;
    assert_eq!(
        database.value("SELECT max(applied) FROM public.api_key_nodes"),
        "0"
    );
}

#[tokio::test]
async fn without_the_database_nobody_can_say() {
    let Some(database) = Database::create() else {
        return;
    };
    let store = open(&database).await;
    store.close().await;
    assert!(store.everywhere(LEASE).await.is_err());
}
