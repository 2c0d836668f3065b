//! Several processes pay from one account, by the database's clock.

use tokio::task::JoinSet;
use tower_api_key::{
    ApiKeyAuth,
    key::KeyId,
    manage::NewKey,
    store::{KeyStore, PostgresStore, StoreErrorKind},
};

use crate::{database::Database, opened::open};

async fn sold(store: &PostgresStore, limit: &str) -> KeyId {
    let auth = ApiKeyAuth::builder(store.clone())
        .build()
        .expect("a configuration");
    let new = NewKey::new("alice").credits(limit.parse().expect("credits"));
    let issued = auth.keys().expect("there is a store").issue(new).await;
    issued.expect("a key").record.id
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_are_let_through_as_there_are_uses_whichever_process_they_come_to() {
    let Some(database) = Database::create() else {
        return;
    };
    let stores = [open(&database).await, open(&database).await];
    let account = sold(&stores[0], "50/30d").await;
    // A period has ended that nobody has paid in: it is filled once, by whoever comes first.
    database.sql("UPDATE api_key_credits SET remaining = 0, filled_at = filled_at - period * 1000");
    let mut paying = JoinSet::new();
    for number in 0..64 {
        let store = stores[number % 2].clone();
        paying.spawn(async move { store.spend(account, 1).await.expect("an answer") });
    }
    let spent = paying.join_all().await;
    let mut left: Vec<u32> = spent
        .iter()
        .filter(|spent| spent.enough)
        .map(|spent| spent.balance.left)
        .collect();
    left.sort_unstable();
    assert_eq!(left, (0..50).collect::<Vec<u32>>());
    assert_eq!(database.value("SELECT remaining FROM api_key_credits"), "0");
}

/// Somebody holds the row of an account: changes of keys and look-ups go on.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_to_pay_are_in_nobodys_way() {
    let Some(database) = Database::create() else {
        return;
    };
    let store = open(&database).await;
    let account = sold(&store, "1000").await;
    let mut holder = database_connection(&database).await;
    let hold = "BEGIN; UPDATE api_key_credits SET remaining = remaining";
    sqlx::raw_sql(hold).execute(&mut holder).await.expect("held");
    let mut paying = JoinSet::new();
    for _ in 0..32 {
        let store = store.clone();
        paying.spawn(async move { store.spend(account, 1).await.expect("paid") });
    }
    while database.value(WAITING) == "0" {
        tokio::task::yield_now().await;
    }
    let other = sold(&store, "5").await;
    assert!(store.get(other).await.expect("an answer").is_some());
    assert!(paying.try_join_next().is_none(), "nobody could pay");
    sqlx::raw_sql("COMMIT")
        .execute(&mut holder)
        .await
        .expect("let go");
    let spent = paying.join_all().await;
    assert!(spent.iter().all(|spent| spent.enough));
    assert_eq!(store.credits(&[account]).await.expect("an answer")[0].left, 968);
}

const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                       AND wait_event_type = 'Lock' AND query LIKE 'UPDATE api_key_credits%'";

async fn database_connection(database: &Database) -> sqlx::PgConnection {
    use sqlx::Connection;
    sqlx::PgConnection::connect(&database.url())
        .await
        .expect("connected")
}

#[tokio::test]
async fn a_limit_that_no_store_has_written_is_an_error_and_no_gift() {
    let Some(database) = Database::create() else {
        return;
    };
    let store = open(&database).await;
    let account = sold(&store, "5").await;
    database.sql("ALTER TABLE api_key_credits DROP CONSTRAINT api_key_credits_amount_check");
    database.sql("UPDATE api_key_credits SET amount = 4294967296, remaining = 4294967296");
    for error in [
        store.spend(account, 1).await.map(drop),
        store.credits(&[account]).await.map(drop),
        store.get(account).await.map(drop),
    ] {
        let error = error.expect_err("too many");
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    }
}
