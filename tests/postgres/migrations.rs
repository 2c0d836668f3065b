//! Tables are made once, brought up to date or left alone.

use std::sync::Arc;

use tokio::{sync::Barrier, task::JoinSet};
use tower_api_key::{
    key::{KeyDigest, KeyFormat},
    store::{KeyStore, PostgresStore, StoreErrorKind},
};

use crate::{
    database::Database,
    opened::{chain, issue, open, status, uncached},
};

const VERSIONS: &str = "SELECT string_agg(version::text, ',' ORDER BY version) FROM api_key_schema";
const TABLES: &str =
    "SELECT string_agg(tablename, ',' ORDER BY tablename) FROM pg_tables WHERE schemaname = 'public'";

#[tokio::test(flavor = "multi_thread")]
async fn they_run_once_when_many_open_a_new_database_at_the_same_time() {
    for round in 0..3 {
        let Some(database) = Database::create() else {
            return;
        };
        let barrier = Arc::new(Barrier::new(8));
        let mut opening = JoinSet::new();
        for _ in 0..8 {
            let (url, barrier) = (database.url(), barrier.clone());
            opening.spawn(async move {
                barrier.wait().await;
                PostgresStore::connect(&url).await
            });
        }
        let stores: Vec<PostgresStore> = opening
            .join_all()
            .await
            .into_iter()
            .map(|opened| opened.unwrap_or_else(|error| panic!("round {round}: {}", chain(&error))))
            .collect();
        assert_eq!(database.value(VERSIONS), "4");
        // All of them have the one check key.
        let format = |store: &PostgresStore| KeyFormat::new("ak", &store.check_key()).expect("a prefix");
        let key = format(&stores[0]).generate().expect("random numbers");
        for store in &stores {
            assert_eq!(format(store).check(key.expose().as_bytes()), Ok(()));
            store.close().await;
        }
    }
}

#[tokio::test]
async fn what_was_written_and_the_check_key_are_there_after_opening_again() {
    let Some(database) = Database::create() else {
        return;
    };
    let store = open(&database).await;
    let issued = issue(&uncached(&store)).await;
    store.close().await;
    let store = open(&database).await;
    let format = KeyFormat::new("ak", &store.check_key()).expect("a prefix");
    assert_eq!(format.check(issued.key.expose().as_bytes()), Ok(()));
    assert_eq!(status(&uncached(&store), &issued).await, 200);
    assert_eq!(database.value(VERSIONS), "4");
}

/// As the last version of this crate left it, with a key in it.
#[tokio::test]
async fn a_database_of_an_older_version_is_brought_up_to_date() {
    const OLD: [&str; 4] = [
        "CREATE TABLE api_key_schema (version BIGINT NOT NULL); INSERT INTO api_key_schema VALUES (2)",
        include_str!("../../src/store/postgres/0001_keys.sql"),
        include_str!("../../src/store/postgres/0002_changes.sql"),
        "INSERT INTO api_keys (id, digest, prefix, name, owner, scopes, created_at) VALUES \
         ('01900000-0000-7000-8000-000000000000', decode(repeat('00', 32), 'hex'), 'ak_abcd', 'old', 'alice', '', 5)",
    ];
    let Some(database) = Database::create() else {
        return;
    };
    OLD.iter().for_each(|script| database.sql(script));
    let store = open(&database).await;
    assert_eq!(database.value(VERSIONS), "2,4");
    let kept = store.find(&KeyDigest::from_bytes([0; 32])).await;
    let kept = kept.expect("an answer").expect("the key").record;
    assert_eq!((kept.name.as_str(), kept.credits), ("old", None));
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_and_stays_as_it_is() {
    let Some(database) = Database::create() else {
        return;
    };
    open(&database).await.close().await;
    database.sql("INSERT INTO api_key_schema (version) VALUES (99)");
    let error = PostgresStore::connect(&database.url())
        .await
        .expect_err("too new");
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    let told = chain(&error);
    assert!(
        told.contains("version 99, newer than this program, which knows 4"),
        "{told}"
    );
    assert_eq!(database.value(VERSIONS), "4,99");
}

#[tokio::test]
async fn a_version_that_is_none_is_refused() {
    let Some(database) = Database::create() else {
        return;
    };
    open(&database).await.close().await;
    database.sql("UPDATE api_key_schema SET version = -1");
    let error = PostgresStore::connect(&database.url())
        .await
        .expect_err("no version");
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_half_done() {
    let Some(database) = Database::create() else {
        return;
    };
    // The second table that is made has a name that somebody else had first.
    database.sql("CREATE TABLE api_key_events (theirs TEXT)");
    for _ in 0..2 {
        let error = PostgresStore::connect(&database.url()).await.expect_err("taken");
        let told = chain(&error);
        assert!(told.contains("\"api_key_events\" already exists"), "{told}");
        assert_eq!(database.value(TABLES), "api_key_events");
    }
    database.sql("DROP TABLE api_key_events");
    assert!(open(&database).await.is_empty().await.expect("an answer"));
}

#[tokio::test]
async fn tables_of_others_in_the_same_database_are_left_alone() {
    let Some(database) = Database::create() else {
        return;
    };
    database.sql("CREATE TABLE agents (name TEXT); INSERT INTO agents VALUES ('alpha')");
    open(&database).await.close().await;
    let tables = "agents,api_key_credits,api_key_events,api_key_log,api_key_nodes,api_key_schema,api_key_settings,api_key_tokens,api_keys";
    assert_eq!(database.value(TABLES), tables);
    assert_eq!(database.value("SELECT name FROM agents"), "alpha");
}

/// As the next version of this crate does while this one is still running elsewhere.
#[tokio::test]
async fn a_column_that_is_added_while_the_store_is_open_is_in_nobodys_way() {
    let Some(database) = Database::create() else {
        return;
    };
    let store = open(&database).await;
    let auth = uncached(&store);
    let issued = issue(&auth).await;
    for _ in 0..12 {
        assert_eq!(status(&auth, &issued).await, 200);
    }
    database
        .sql("ALTER TABLE api_keys ADD COLUMN note TEXT; ALTER TABLE api_key_events ADD COLUMN note TEXT");
    for _ in 0..12 {
        assert_eq!(status(&auth, &issued).await, 200);
    }
    store
        .events(&tower_api_key::store::EventQuery::newest(1))
        .await
        .expect("an answer");
    issue(&auth).await;
}
