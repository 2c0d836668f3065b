//! The database of the command line.

use std::{fs, path::Path, str::FromStr};

use sqlx::sqlite::SqliteConnectOptions;
use tower_api_key::{
    ApiKeyAuth,
    event::Actor,
    key::Pepper,
    manage::Keys,
    store::{PostgresStore, SqliteStore},
};
use zeroize::Zeroizing;

use crate::{
    exit::{Failure, Reason},
    global::Global,
};

/// What keys of the library begin with, if nobody says otherwise.
const DEFAULT_PREFIX: &str = "ak";

/// What to do where there is no SQLite file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// A mistyped path must not pass for a store without keys.
    Fail,
    Create,
}

pub(crate) struct Database {
    store: Store,
    pepper: Option<Pepper>,
}

enum Store {
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
}

impl Database {
    pub(crate) async fn open(global: &Global, missing: Missing) -> Result<Self, Failure> {
        let url = global.database_url.as_deref();
        let url = url.ok_or_else(|| {
            Failure::usage("where are the keys? Give --database-url, or set APIKEY_DATABASE_URL")
        })?;
        let pepper = global.pepper_file.as_deref().map(read_pepper).transpose()?;
        let store = if url.starts_with("sqlite:") {
            check_file(url, missing)?;
            Store::Sqlite(SqliteStore::open(url).await?)
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            Store::Postgres(PostgresStore::connect(url).await?)
        } else {
            // Not repeated: there may be a password in it.
            return Err(Failure::usage(
                "the database URL must begin with sqlite:, postgres: or postgresql:",
            ));
        };
        Ok(Self { store, pepper })
    }

    pub(crate) fn keys(&self) -> Result<Keys, Failure> {
        self.keys_with_prefix(None)
    }

    /// Keys that will begin with this, where they are minted.
    pub(crate) fn keys_with_prefix(&self, prefix: Option<&str>) -> Result<Keys, Failure> {
        let mut builder = match &self.store {
            Store::Sqlite(store) => ApiKeyAuth::builder(store.clone()),
            Store::Postgres(store) => ApiKeyAuth::builder(store.clone()),
        };
        builder = builder.prefix(prefix.unwrap_or(DEFAULT_PREFIX));
        if let Some(pepper) = &self.pepper {
            builder = builder.pepper(pepper.clone());
        }
        let auth = builder
            .build()
            .map_err(|error| Failure::usage(error.to_string()))?;
        let keys = auth.keys().map(|keys| keys.acting_as(actor()));
        keys.ok_or_else(|| Failure::new(Reason::Failed, "there is no store"))
    }

    pub(crate) async fn close(self) {
        match self.store {
            Store::Sqlite(store) => store.close().await,
            Store::Postgres(store) => store.close().await,
        }
    }
}

/// Whom the log will name.
fn actor() -> Actor {
    Actor::new("cli", whoami::username().unwrap_or_else(|_| "unknown".to_owned()))
}

fn check_file(url: &str, missing: Missing) -> Result<(), Failure> {
    let options = SqliteConnectOptions::from_str(url)
        .map_err(|_| Failure::usage("the database URL is not of the form sqlite://PATH"))?;
    if url.contains(":memory:") || url.contains("mode=memory") {
        return Err(Failure::usage(
            "a database in memory would be gone with this command",
        ));
    }
    if missing == Missing::Fail && !options.get_filename().exists() {
        return Err(Failure::new(Reason::NotFound, "there is no such database file"));
    }
    Ok(())
}

fn read_pepper(path: &Path) -> Result<Pepper, Failure> {
    let bytes = fs::read(path).map(Zeroizing::new);
    let bytes = bytes.map_err(|error| Failure::usage(format!("the pepper file cannot be read: {error}")))?;
    Pepper::new(&bytes).ok_or_else(|| Failure::usage("the pepper file has fewer than 32 bytes"))
}
