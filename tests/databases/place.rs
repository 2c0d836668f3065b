//! Where a test's keys are, for the library and for SQL.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use tower_api_key::{
    ApiKeyAuth, Builder,
    access::Grants,
    authn::StaticKey,
    manage::Policy,
    store::{PostgresStore, SqliteStore},
};

use crate::postgres::Database;

pub(crate) enum Place {
    Sqlite(TempDir),
    Postgres(Database),
}

/// A static key of `alice`, who may manage her keys.
pub(crate) const ALICE: &str = "the-static-key-of-alice";

impl Place {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) fn postgres() -> Option<Self> {
        Database::create().map(Self::Postgres)
    }

    fn path(folder: &TempDir) -> String {
        let path = folder.path().join("keys.db");
        path.to_str().expect("a path in UTF-8").to_owned()
    }

    /// As another process would open it. Every request is looked up, because what is cached is not the matter here.
    pub(crate) async fn process(&self, policy: Policy) -> ApiKeyAuth {
        let builder: Builder = match self {
            Self::Sqlite(folder) => {
                let store = SqliteStore::open(Self::path(folder)).await;
                ApiKeyAuth::builder(store.expect("a store"))
            }
            Self::Postgres(database) => {
                let store = PostgresStore::connect(&database.url()).await;
                ApiKeyAuth::builder(store.expect("a store"))
            }
        };
        let grants = Grants::scopes(["keys:*"]).expect("scopes");
        let builder = builder
            .cache_ttl(Duration::ZERO)
            .lookup_timeout(Duration::from_secs(30))
            .policy(policy)
            .static_key(StaticKey::new(ALICE).owner("alice").grant(grants));
        builder.build().expect("a configuration")
    }

    async fn connect(folder: &TempDir) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(Self::path(folder));
        SqliteConnection::connect_with(&options).await.expect("opened")
    }

    /// Any SQL, as any other program could run it.
    pub(crate) async fn sql(&self, statements: &str) {
        match self {
            Self::Postgres(database) => database.sql(statements),
            Self::Sqlite(folder) => {
                let mut connection = Self::connect(folder).await;
                let done = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
                    .execute(&mut connection)
                    .await;
                done.unwrap_or_else(|error| panic!("{statements}: {error}"));
                connection.close().await.expect("closed");
            }
        }
    }

    /// The number that a query gives.
    pub(crate) async fn count(&self, query: &str) -> i64 {
        match self {
            Self::Postgres(database) => database.value(query).parse().expect("a number"),
            Self::Sqlite(folder) => {
                let mut connection = Self::connect(folder).await;
                let query = sqlx::query_scalar(AssertSqlSafe(query.to_owned()));
                let number = query.fetch_one(&mut connection).await.expect("a number");
                connection.close().await.expect("closed");
                number
            }
        }
    }

    /// From now on a row of `updates` is written whenever a row of keys is.
    pub(crate) async fn count_updates(&self) {
        let trigger = match self {
            Self::Sqlite(_) => {
                "CREATE TRIGGER counting AFTER UPDATE ON api_keys \
                 BEGIN INSERT INTO updates VALUES (new.id); END;"
            }
            Self::Postgres(_) => {
                "CREATE FUNCTION counting() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN INSERT INTO updates VALUES (new.id); RETURN NULL; END $$; \
                 CREATE TRIGGER counting AFTER UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION counting();"
            }
        };
        self.sql(&format!("CREATE TABLE updates (id TEXT); {trigger}"))
            .await;
    }
}
