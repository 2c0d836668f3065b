//! Tables are made once, brought up to date or left alone.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Barrier, task::JoinSet};
use tower_api_key::{
    key::{KeyDigest, KeyFormat},
    store::{KeyStore, SqliteStore, StoreErrorKind},
};

use crate::opened::{Folder, chain};

const VERSIONS: &str = "SELECT group_concat(version) AS value FROM api_key_schema";
const TABLES: &str = "SELECT group_concat(name) AS value FROM (SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name)";

#[tokio::test(flavor = "multi_thread")]
async fn they_run_once_when_many_open_a_new_file_at_the_same_time() {
    for round in 0..10 {
        let folder = Arc::new(Folder::new());
        let barrier = Arc::new(Barrier::new(8));
        let mut opening = JoinSet::new();
        for _ in 0..8 {
            let (folder, barrier) = (folder.clone(), barrier.clone());
            opening.spawn(async move {
                barrier.wait().await;
                SqliteStore::open(folder.location("keys.db")).await
            });
        }
        let stores: Vec<SqliteStore> = opening
            .join_all()
            .await
            .into_iter()
            .map(|opened| opened.unwrap_or_else(|error| panic!("round {round}: {}", chain(&error))))
            .collect();
        assert_eq!(folder.value("keys.db", VERSIONS).await, "4");
        // All of them have the one check key.
        let format = |store: &SqliteStore| KeyFormat::new("ak", &store.check_key()).expect("a prefix");
        let key = format(&stores[0]).generate().expect("random numbers");
        for store in &stores {
            assert_eq!(format(store).check(key.expose().as_bytes()), Ok(()));
        }
    }
}

#[tokio::test]
async fn a_file_that_somebody_else_is_writing_is_waited_for() {
    let folder = Folder::new();
    folder.sql("app.db", "CREATE TABLE agents (name TEXT)").await;
    let mut other = folder.connect("app.db").await;
    let begin = "BEGIN IMMEDIATE; INSERT INTO agents VALUES ('alpha')";
    sqlx::raw_sql(begin).execute(&mut other).await.expect("begun");
    // Before it is a WAL, SQLite fails this at once, whatever the busy time-out says.
    let location = folder.location("app.db");
    let opening = tokio::spawn(async move { SqliteStore::open(location).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!opening.is_finished(), "it has not waited");
    sqlx::raw_sql("COMMIT")
        .execute(&mut other)
        .await
        .expect("committed");
    let store = opening.await.expect("no panic").expect("a store");
    assert!(store.is_empty().await.expect("an answer"));
    assert_eq!(
        folder.value("app.db", "SELECT name AS value FROM agents").await,
        "alpha"
    );
}

/// As the last version of this crate left it, with a key in it.
#[tokio::test]
async fn a_file_of_an_older_version_is_brought_up_to_date() {
    const OLD: [&str; 4] = [
        "CREATE TABLE api_key_schema (version BIGINT NOT NULL); INSERT INTO api_key_schema VALUES (2)",
        include_str!("../../src/store/sqlite/0001_keys.sql"),
        include_str!("../../src/store/sqlite/0002_changes.sql"),
        "INSERT INTO api_keys (id, digest, prefix, name, owner, scopes, created_at) VALUES \
         ('01900000-0000-7000-8000-000000000000', zeroblob(32), 'ak_abcd', 'old', 'alice', '', 5)",
    ];
    let folder = Folder::new();
    for script in OLD {
        folder.sql("keys.db", script).await;
    }
    let store = folder.open("keys.db").await;
    assert_eq!(folder.value("keys.db", VERSIONS).await, "2,4");
    let kept = store.find(&KeyDigest::from_bytes([0; 32])).await;
    let kept = kept.expect("an answer").expect("the key").record;
    assert_eq!((kept.name.as_str(), kept.credits), ("old", None));
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused_and_stays_as_it_is() {
    let folder = Folder::new();
    folder.open("keys.db").await.close().await;
    folder
        .sql("keys.db", "INSERT INTO api_key_schema (version) VALUES (99)")
        .await;
    let error = SqliteStore::open(folder.location("keys.db"))
        .await
        .expect_err("too new");
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    let told = chain(&error);
    assert!(
        told.contains("version 99, newer than this program, which knows 4"),
        "{told}"
    );
    assert_eq!(folder.value("keys.db", VERSIONS).await, "4,99");
}

#[tokio::test]
async fn a_version_that_is_none_is_refused() {
    let folder = Folder::new();
    folder.open("keys.db").await.close().await;
    folder
        .sql("keys.db", "UPDATE api_key_schema SET version = -1")
        .await;
    let error = SqliteStore::open(folder.location("keys.db"))
        .await
        .expect_err("no version");
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_half_done() {
    let folder = Folder::new();
    // The second table that is made has a name that somebody else had first.
    folder
        .sql("keys.db", "CREATE TABLE api_key_events (theirs TEXT)")
        .await;
    for _ in 0..2 {
        let error = SqliteStore::open(folder.location("keys.db"))
            .await
            .expect_err("taken");
        assert!(
            chain(&error).contains("api_key_events already exists"),
            "{}",
            chain(&error)
        );
        assert_eq!(folder.value("keys.db", TABLES).await, "api_key_events");
    }
    folder.sql("keys.db", "DROP TABLE api_key_events").await;
    assert!(folder.open("keys.db").await.is_empty().await.expect("an answer"));
}

#[tokio::test]
async fn tables_of_others_in_the_same_file_are_left_alone() {
    let folder = Folder::new();
    folder
        .sql(
            "app.db",
            "CREATE TABLE agents (name TEXT); INSERT INTO agents VALUES ('alpha')",
        )
        .await;
    drop(folder.open("app.db").await);
    let tables = "agents,api_key_changes,api_key_credits,api_key_events,api_key_log,api_key_schema,api_key_settings,api_key_tokens,api_keys,sqlite_sequence";
    assert_eq!(folder.value("app.db", TABLES).await, tables);
    assert_eq!(
        folder.value("app.db", "SELECT name AS value FROM agents").await,
        "alpha"
    );
}
