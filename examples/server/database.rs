//! Where keys and issues are kept: in one SQLite file, or in PostgreSQL.

use std::{str::FromStr, time::Duration};

use sqlx::{
    PgPool, SqlitePool,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};
use tower_api_key::{
    ApiKeyAuth, Builder,
    store::{PostgresStore, SqliteStore},
};

use crate::Cause;

/// How long anybody waits for the database.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(1);
const CONNECTIONS: u32 = 5;

/// The key store, and connections of the application's own.
pub(crate) enum Database {
    Sqlite(SqliteStore, SqlitePool),
    Postgres(PostgresStore, PgPool),
}

/// Connections to either.
#[derive(Clone)]
pub(crate) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// Says the same to either database.
macro_rules! on_either {
    ($pool:expr, |$connections:ident| $said:expr) => {
        match $pool {
            $crate::database::Pool::Sqlite($connections) => $said,
            $crate::database::Pool::Postgres($connections) => $said,
        }
    };
}

pub(crate) use on_either;

/// Which of them, and where.
pub(crate) enum Location<'a> {
    Sqlite(&'a str),
    Postgres(&'a str),
}

impl Database {
    /// Opens it, makes it where that is how it is made, and brings the tables of the keys up to date.
    pub(crate) async fn open(location: Location<'_>) -> Result<Self, Cause> {
        Ok(match location {
            Location::Sqlite(url) => {
                let store = SqliteStore::open(url).await?;
                let options = SqliteConnectOptions::from_str(url)?.busy_timeout(TIMEOUT);
                // One connection that never ends: an in-memory database lives in it, and a demo needs no more.
                let pool = SqlitePoolOptions::new()
                    .max_connections(1)
                    .idle_timeout(None)
                    .max_lifetime(None)
                    .acquire_timeout(TIMEOUT);
                Self::Sqlite(store, pool.connect_with(options).await?)
            }
            Location::Postgres(url) => {
                let store = PostgresStore::connect(url).await?;
                let options = PgConnectOptions::from_str(url)?.options([("statement_timeout", "1s")]);
                let pool = PgPoolOptions::new()
                    .max_connections(CONNECTIONS)
                    .acquire_timeout(TIMEOUT);
                Self::Postgres(store, pool.connect_with(options).await?)
            }
        })
    }

    /// Begins an authentication over its keys.
    pub(crate) fn auth(&self) -> Builder {
        match self {
            Self::Sqlite(store, _) => ApiKeyAuth::builder(store.clone()),
            Self::Postgres(store, _) => ApiKeyAuth::builder(store.clone()),
        }
    }

    pub(crate) fn pool(&self) -> Pool {
        match self {
            Self::Sqlite(_, pool) => Pool::Sqlite(pool.clone()),
            Self::Postgres(_, pool) => Pool::Postgres(pool.clone()),
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(store, pool) => {
                pool.close().await;
                store.close().await;
            }
            Self::Postgres(store, pool) => {
                pool.close().await;
                store.close().await;
            }
        }
    }
}
