//! What the store's own connections are set to, and how they run what they are asked: nobody else can see it.

use std::env;

use sqlx::{AssertSqlSafe, SqlitePool, pool::PoolConnection};

use super::{Connection, READERS, SqliteStore};
use crate::{
    ApiKeyAuth,
    clock::{Clock, ManualClock, SystemClock, to_unix_ms},
    key::KeyStatus,
    manage::{DEFAULT_OVERLAP, KeyChange, NewKey},
    store::sql::{
        self,
        tests::{Dialect, Explaining, Plan, complaints, every_statement, filling, show},
    },
    store::{KeyQuery, KeyStore},
};

/// All connections of a pool, at the same time.
async fn connections(pool: &SqlitePool, count: u32) -> Vec<PoolConnection<sqlx::Sqlite>> {
    let mut connections = Vec::new();
    for _ in 0..count {
        connections.push(pool.acquire().await.expect("a connection"));
    }
    assert!(pool.try_acquire().is_none(), "there are more");
    connections
}

#[tokio::test]
async fn every_connection_to_a_file_syncs_what_it_commits() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.db");
    let store = SqliteStore::open(path.to_str().expect("text"))
        .await
        .expect("a store");
    let mut all = connections(&store.writer, 1).await;
    all.extend(connections(&store.reader, READERS).await);
    for mut connection in all {
        let settings = "SELECT journal_mode, synchronous, timeout, foreign_keys FROM pragma_journal_mode, \
                        pragma_synchronous, pragma_busy_timeout, pragma_foreign_keys";
        let settings: (String, i64, i64, i64) = sqlx::query_as(settings)
            .fetch_one(&mut *connection)
            .await
            .expect("settings");
        // 2 is FULL: every commit is on the disk before it is answered.
        assert_eq!(settings, ("wal".to_owned(), 2, 5000, 1));
    }
}

#[tokio::test]
async fn the_connection_to_a_store_in_memory_is_one_and_never_ends() {
    let store = SqliteStore::open("sqlite::memory:").await.expect("a store");
    let options = store.writer.options();
    assert_eq!(
        (options.get_min_connections(), options.get_max_connections()),
        (1, 1)
    );
    assert_eq!(
        (options.get_idle_timeout(), options.get_max_lifetime()),
        (None, None)
    );
    let held = connections(&store.writer, 1).await;
    assert!(store.reader.try_acquire().is_none(), "readers have the same one");
    drop(held);
}

#[tokio::test]
async fn a_change_goes_through_while_every_connection_for_look_ups_is_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.db");
    let store = SqliteStore::open(path.to_str().expect("text"))
        .await
        .expect("a store");
    let auth = ApiKeyAuth::builder(store.clone())
        .build()
        .expect("a configuration");
    let keys = auth.keys().expect("there is a store");
    let taken = connections(&store.reader, READERS).await;
    let id = keys.issue(NewKey::new("alice")).await.expect("minted").record.id;
    keys.change(id, KeyChange::new().disabled(true))
        .await
        .expect("changed");
    keys.change(id, KeyChange::new().disabled(false))
        .await
        .expect("changed");
    keys.rotate(id, DEFAULT_OVERLAP).await.expect("rotated");
    keys.revoke(id).await.expect("revoked");
    drop(taken);
}

/// However many uses wait to be paid for, one of them is on its way to the connection that writes.
#[tokio::test]
async fn a_revoke_is_not_behind_all_that_wait_to_pay() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.db");
    let store = SqliteStore::open(path.to_str().expect("text"))
        .await
        .expect("a store");
    let auth = ApiKeyAuth::builder(store.clone())
        .build()
        .expect("a configuration");
    let keys = auth.keys().expect("there is a store").clone();
    let new = NewKey::new("alice").credits("200".parse().expect("credits"));
    let id = keys.issue(new).await.expect("minted").record.id;

    let held = connections(&store.writer, 1).await;
    let mut paying = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let store = store.clone();
        paying.spawn(async move { store.spend(id, 1).await.expect("paid") });
    }
    let revoking = tokio::spawn(async move { keys.revoke(id).await.map(drop) });
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    drop(held);
    revoking.await.expect("no panic").expect("revoked");
    let left = store.credits(&[id]).await.expect("an answer")[0].left;
    assert!(left > 150, "{left} are left");
    assert!(paying.join_all().await.iter().all(|spent| spent.enough));
}

async fn run(store: &SqliteStore, statements: String) {
    let done = sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(&store.writer)
        .await;
    done.expect("executed");
}

/// The plans of all statements.
async fn plans(store: &SqliteStore) -> Vec<Plan> {
    let mut transaction = store.writer.begin().await.expect("begun");
    let mut connection = Connection::new(&mut transaction, &SystemClock);
    let mut explaining = Explaining::new(&mut connection, Dialect::Sqlite);
    every_statement(&mut explaining)
        .await
        .expect("every statement runs");
    let plans = explaining.plans;
    transaction.rollback().await.expect("rolled back");
    plans
}

#[tokio::test]
async fn a_page_is_the_same_whichever_way_it_is_found() {
    let store = SqliteStore::open("sqlite::memory:").await.expect("a store");
    run(
        &store,
        filling(Dialect::Sqlite, 2_000, to_unix_ms(SystemClock.now())),
    )
    .await;
    let mut connection = store.writer.acquire().await.expect("a connection");
    let clock = ManualClock::new(SystemClock.now());
    let mut sql = Connection::new(&mut connection, &clock);
    for owner in [None, Some("big"), Some("short"), Some("owner 8")] {
        for status in [KeyStatus::Active, KeyStatus::Expired] {
            let mut query = KeyQuery::newest(7).status(status);
            query.owner = owner.map(str::to_owned);
            let mut pages = 0;
            loop {
                let mut found = Vec::new();
                for few in [0, 1_000_000] {
                    let page = sql::paged(&mut sql, &query, few).await.expect("a page");
                    found.push(page.keys);
                }
                assert_eq!(found[0], found[1], "{query:?}");
                match found[0].last() {
                    Some(last) if pages < 20 => query = query.before(last.id),
                    _ => break,
                }
                pages += 1;
            }
            assert!(
                pages > 0 || owner == Some("owner 8") || owner == Some("short"),
                "{query:?}"
            );
        }
    }
}

/// With what SQLite knows of a file that nobody has analyzed, and of one that somebody has.
#[tokio::test]
async fn every_statement_is_served_by_an_index() {
    let store = SqliteStore::open("sqlite::memory:").await.expect("a store");
    let now = to_unix_ms(SystemClock.now());
    run(&store, filling(Dialect::Sqlite, 20_000, now)).await;
    for knowledge in ["", "ANALYZE"] {
        run(&store, knowledge.to_owned()).await;
        let complaints = complaints(&plans(&store).await, Dialect::Sqlite);
        assert!(complaints.is_empty(), "{knowledge}:\n{}", complaints.join("\n"));
        let find = format!("EXPLAIN QUERY PLAN {}", sql::FIND);
        let plan: (i64, i64, i64, String) = sqlx::query_as(AssertSqlSafe(find))
            .bind([0; 32].as_slice())
            .fetch_one(&store.writer)
            .await
            .expect("a plan");
        assert!(
            plan.3
                .starts_with("SEARCH api_keys USING INDEX sqlite_autoindex_api_keys_2"),
            "{}",
            plan.3
        );
    }
    // It would be seen if one were gone.
    run(
        &store,
        "DROP INDEX api_keys_by_owner; DROP INDEX api_keys_endless".to_owned(),
    )
    .await;
    let without = complaints(&plans(&store).await, Dialect::Sqlite);
    assert!(
        without
            .iter()
            .any(|complaint| complaint.contains("is not served by api_keys_by_owner")),
        "{without:?}"
    );
}

/// `PLANS_SQLITE=FILE PLANS_KEYS=1000000 cargo test --all-features --lib plans_of_a_large_file -- --ignored --nocapture`
#[tokio::test]
#[ignore = "it fills a large file, and shows its plans and times"]
async fn plans_of_a_large_file() {
    let path = env::var("PLANS_SQLITE").expect("PLANS_SQLITE");
    let keys = env::var("PLANS_KEYS").ok().and_then(|keys| keys.parse().ok());
    let store = SqliteStore::open(path).await.expect("a store");
    if let Some(keys) = keys {
        let now = to_unix_ms(SystemClock.now());
        run(&store, filling(Dialect::Sqlite, keys, now)).await;
    }
    for _ in 0..2 {
        show(&plans(&store).await);
    }
}
