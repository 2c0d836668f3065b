//! A database of a test's own, and whether its rows and its log say the same.

use sqlx::{Connection, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::runtime::{Builder, Runtime};
use tower_api_key::{
    ApiKeyAuth,
    store::{PostgresStore, SqliteStore},
};

use crate::{postgres::Database as Postgres, support::server::Setup};

/// What must not be, and how many rows are so.
const FAULTS: &[(&str, &str)] = &[
    (
        "a key without its one event",
        "SELECT count(*) FROM api_keys k WHERE (SELECT count(*) FROM api_key_events e \
         WHERE e.key_id = k.id AND e.kind IN ('minted', 'imported')) <> 1",
    ),
    (
        "an event without its key",
        "SELECT count(*) FROM api_key_events e WHERE e.kind IN ('minted', 'imported') \
         AND NOT EXISTS (SELECT 1 FROM api_keys k WHERE k.id = e.key_id)",
    ),
    (
        "a revoked key without its one event",
        "SELECT count(*) FROM api_keys k WHERE k.revoked_at IS NOT NULL AND (SELECT count(*) \
         FROM api_key_events e WHERE e.key_id = k.id AND e.kind = 'revoked') <> 1",
    ),
    (
        "a revocation without its revoked key",
        "SELECT count(*) FROM api_key_events e WHERE e.kind = 'revoked' AND NOT EXISTS \
         (SELECT 1 FROM api_keys k WHERE k.id = e.key_id AND k.revoked_at IS NOT NULL)",
    ),
    (
        "a rotated key without its one event",
        "SELECT count(*) FROM api_keys k WHERE k.rotated_to IS NOT NULL AND (SELECT count(*) \
         FROM api_key_events e WHERE e.key_id = k.id AND e.kind = 'rotated') <> 1",
    ),
    (
        "a rotation without its rotated key",
        "SELECT count(*) FROM api_key_events e WHERE e.kind = 'rotated' AND NOT EXISTS \
         (SELECT 1 FROM api_keys k WHERE k.id = e.key_id AND k.rotated_to IS NOT NULL)",
    ),
    (
        "a rotated key without its successor",
        "SELECT count(*) FROM api_keys k WHERE k.rotated_to IS NOT NULL AND NOT EXISTS \
         (SELECT 1 FROM api_keys n WHERE n.id = k.rotated_to AND n.rotated_from = k.id)",
    ),
    (
        "a successor without its rotated key",
        "SELECT count(*) FROM api_keys n WHERE n.rotated_from IS NOT NULL AND NOT EXISTS \
         (SELECT 1 FROM api_keys k WHERE k.id = n.rotated_from AND k.rotated_to = n.id)",
    ),
];

/// What half a transaction would leave, and the faults that it is, one damage upon the other.
pub(crate) const DAMAGES: &[(&str, &[&str])] = &[
    (
        "DELETE FROM api_key_events WHERE seq = (SELECT max(seq) FROM api_key_events WHERE kind = 'revoked')",
        &["a revoked key without its one event", "the chain"],
    ),
    (
        "DELETE FROM api_keys WHERE id = (SELECT max(id) FROM api_keys WHERE rotated_from IS NOT NULL)",
        &["an event without its key", "a rotated key without its successor"],
    ),
    (
        // Not the one whose event is gone already.
        "UPDATE api_keys SET revoked_at = NULL WHERE id = (SELECT max(key_id) FROM api_key_events \
         WHERE kind = 'revoked' AND key_id IN (SELECT id FROM api_keys))",
        &["a revocation without its revoked key"],
    ),
    (
        "UPDATE api_keys SET rotated_to = NULL WHERE id = (SELECT min(id) FROM api_keys WHERE rotated_to IS NOT NULL)",
        &[
            "a rotation without its rotated key",
            "a successor without its rotated key",
        ],
    ),
    (
        "DELETE FROM api_key_events WHERE kind = 'rotated'",
        &["a rotated key without its one event"],
    ),
    (
        "DELETE FROM api_key_events WHERE kind = 'minted'",
        &["a key without its one event"],
    ),
];

pub(crate) struct Place {
    runtime: Runtime,
    postgres: Option<Postgres>,
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        Self::over(None)
    }

    /// `None` where there is no server.
    pub(crate) fn postgres() -> Option<Self> {
        Postgres::create().map(|postgres| Self::over(Some(postgres)))
    }

    fn over(postgres: Option<Postgres>) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        Self {
            runtime: runtime.expect("a runtime"),
            postgres,
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self.postgres {
            None => "SQLite",
            Some(_) => "PostgreSQL",
        }
    }

    /// Of servers one after another.
    pub(crate) fn setup(&self) -> Setup {
        let setup = Setup::with_external_key();
        match &self.postgres {
            None => setup,
            Some(postgres) => setup.arguments(&["--database-url", &postgres.url()]),
        }
    }

    pub(crate) fn assert_whole(&self, setup: &Setup, kill: usize) {
        assert_eq!(self.faults(setup), Vec::<String>::new(), "after kill {kill}");
    }

    /// What is not as it must be.
    pub(crate) fn faults(&self, setup: &Setup) -> Vec<String> {
        let counted = FAULTS
            .iter()
            .map(|(fault, statement)| (fault, self.count(setup, statement)));
        let mut faults: Vec<String> = counted
            .filter(|(_, count)| *count > 0)
            .map(|(fault, count)| format!("{fault}: {count}"))
            .collect();
        faults.extend(self.break_of_the_chain(setup));
        faults
    }

    fn break_of_the_chain(&self, setup: &Setup) -> Option<String> {
        let verified = self.runtime.block_on(async {
            match &self.postgres {
                None => {
                    let store = SqliteStore::open(&sqlite(setup)).await.expect("a store");
                    let auth = ApiKeyAuth::builder(store.clone()).build();
                    let auth = auth.expect("a configuration");
                    let verified = auth.keys().expect("there is a store").verify_log().await;
                    store.close().await;
                    verified
                }
                Some(postgres) => {
                    let store = PostgresStore::connect(&postgres.url()).await.expect("a store");
                    let auth = ApiKeyAuth::builder(store.clone()).build();
                    let auth = auth.expect("a configuration");
                    let verified = auth.keys().expect("there is a store").verify_log().await;
                    store.close().await;
                    verified
                }
            }
        });
        let broken = verified.expect("a log").err()?;
        Some(format!("the chain: {broken}"))
    }

    /// The number that SQL gives.
    pub(crate) fn count(&self, setup: &Setup, statement: &'static str) -> i64 {
        let counted = self.runtime.block_on(async {
            match &self.postgres {
                None => {
                    let mut connection = open(setup).await?;
                    let counted = sqlx::query_scalar(statement).fetch_one(&mut connection).await?;
                    connection.close().await.map(|()| counted)
                }
                Some(postgres) => {
                    let mut connection = PgConnection::connect(&postgres.url()).await?;
                    let counted = sqlx::query_scalar(statement).fetch_one(&mut connection).await?;
                    connection.close().await.map(|()| counted)
                }
            }
        });
        counted.expect("a number")
    }

    /// The texts that SQL gives: one statement for SQLite, one for PostgreSQL.
    pub(crate) fn texts(&self, setup: &Setup, [sqlite, postgres]: [&'static str; 2]) -> Vec<String> {
        let texts = self.runtime.block_on(async {
            match &self.postgres {
                None => {
                    let mut connection = open(setup).await?;
                    let texts = sqlx::query_scalar(sqlite).fetch_all(&mut connection).await?;
                    connection.close().await.map(|()| texts)
                }
                Some(database) => {
                    let mut connection = PgConnection::connect(&database.url()).await?;
                    let texts = sqlx::query_scalar(postgres).fetch_all(&mut connection).await?;
                    connection.close().await.map(|()| texts)
                }
            }
        });
        texts.expect("texts")
    }

    /// SQL that both databases understand.
    pub(crate) fn sql(&self, setup: &Setup, statement: &str) {
        match &self.postgres {
            None => setup.database().sql(statement.to_owned()),
            Some(postgres) => postgres.sql(statement),
        }
    }
}

fn sqlite(setup: &Setup) -> String {
    let path = setup.path("demo.db");
    path.to_str().expect("a path in UTF-8").to_owned()
}

async fn open(setup: &Setup) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(setup.path("demo.db"));
    SqliteConnection::connect_with(&options).await
}
