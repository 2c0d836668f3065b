//! What a database must be before a store is opened in it.

use std::{error::Error, net::TcpListener};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tower_api_key::store::{PostgresStore, StoreErrorKind};

use crate::{
    database::Database,
    opened::{chain, open, open_at, url_with},
};

#[tokio::test]
async fn an_address_where_nobody_listens_is_an_error_that_says_so() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("an address");
    drop(free);
    let error = PostgresStore::connect(&format!("postgres://postgres@{address}/test"))
        .await
        .expect_err("nobody listens");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(chain(&error).contains("Connection refused"), "{}", chain(&error));
}

#[tokio::test]
async fn somebody_who_does_not_answer_is_an_error() {
    let mute = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = mute.local_addr().expect("an address");
    let error = PostgresStore::connect(&format!("postgres://postgres@{address}/test"))
        .await
        .expect_err("nobody answers");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
}

#[tokio::test]
async fn what_cannot_be_a_store_is_an_error_that_does_not_repeat_the_password() {
    let Some(database) = Database::create() else {
        return;
    };
    let url = database.url();
    let missing = format!("{url}_missing");
    for bad in [
        "",
        "nonsense",
        "sqlite::memory:",
        "postgres://:hunter2-hunter2@[",
        &missing,
    ] {
        let error = PostgresStore::connect(bad).await.expect_err(bad);
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{bad}");
        assert!(error.source().is_some(), "{bad}: {error}");
        assert!(
            !format!("{} {error:?}", chain(&error)).contains("hunter2"),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn connections_that_do_not_wait_for_the_disk_are_refused() {
    let Some(database) = Database::create() else {
        return;
    };
    let options: PgConnectOptions = database.url().parse().expect("a URL");
    for (setting, is_durable) in [
        ("off", false),
        ("local", true),
        ("remote_write", true),
        ("on", true),
    ] {
        let options = options.clone().options([("synchronous_commit", setting)]);
        let pool = PgPoolOptions::new().max_connections(2).connect_lazy_with(options);
        let opened = PostgresStore::with_pools(pool.clone(), pool.clone()).await;
        match opened {
            Ok(_) => assert!(is_durable, "{setting}"),
            Err(error) => {
                assert!(!is_durable, "{setting}: {}", chain(&error));
                assert!(chain(&error).contains("synchronous_commit"), "{}", chain(&error));
            }
        }
        pool.close().await;
    }
    assert_eq!(
        database
            .value("SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename = 'api_keys'"),
        "1"
    );
}

/// A default of the database or of the URL does not get past the store's own setting.
#[tokio::test]
async fn the_store_asks_for_durability_whatever_the_default_is() {
    let Some(database) = Database::create() else {
        return;
    };
    let name = database.value("SELECT current_database()");
    database.sql(&format!("ALTER DATABASE {name} SET synchronous_commit = off"));
    assert_eq!(
        database.value("SELECT current_setting('synchronous_commit')"),
        "off"
    );
    open(&database).await.close().await;
    let url = url_with(&database, "options[synchronous_commit]=off");
    open_at(&url).await.close().await;
}

#[tokio::test]
async fn a_database_whose_transactions_only_read_is_an_error() {
    let Some(database) = Database::create() else {
        return;
    };
    open(&database).await.close().await;
    let name = database.value("SELECT current_database()");
    // Asked for in the open, so that a default does not decide it.
    database.sql(&format!(
        "ALTER DATABASE {name} SET default_transaction_read_only = on"
    ));
    open(&database).await.close().await;
}
