//! Keys and SQL in the database of a server that is running: the library beside it, as another process would use it.

use std::{path::Path, time::SystemTime};

use sqlx::{AssertSqlSafe, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::runtime::{Builder, Runtime};
use tower_api_key::{
    ApiKeyAuth,
    access::Grants,
    key::KeyId,
    manage::{Keys, NewKey},
    store::SqliteStore,
};

/// The database of a server.
#[derive(Debug)]
pub struct Database {
    runtime: Runtime,
    keys: Keys,
    options: SqliteConnectOptions,
}

/// A key, in the clear.
#[derive(Debug)]
pub struct Minted {
    pub id: KeyId,
    pub key: String,
}

impl Minted {
    /// The field that presents it.
    pub fn bearer(&self) -> String {
        format!("Authorization: Bearer {}", self.key)
    }

    /// Another field that presents it.
    pub fn x_key(&self) -> String {
        format!("X-Key: {}", self.key)
    }
}

impl Database {
    pub fn open(path: &Path) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let location = path.to_str().expect("a path in UTF-8");
        let store = runtime.block_on(SqliteStore::open(location)).expect("a store");
        let auth = ApiKeyAuth::builder(store).build().expect("a configuration");
        Self {
            runtime,
            keys: auth.keys().expect("there is a store").clone(),
            options: SqliteConnectOptions::new().filename(path),
        }
    }

    /// A key of `alice` that may do this.
    pub fn mint(&self, grants: Grants) -> Minted {
        self.issue(NewKey::new("alice").name("for tests").grants(grants))
    }

    pub fn mint_scopes(&self, scopes: &[&str]) -> Minted {
        self.mint(Grants::scopes(scopes).expect("scopes"))
    }

    pub fn mint_expiring(&self, scopes: &[&str], moment: SystemTime) -> Minted {
        let grants = Grants::scopes(scopes).expect("scopes");
        self.issue(
            NewKey::new("alice")
                .name("for tests")
                .grants(grants)
                .expires_at(moment),
        )
    }

    fn issue(&self, new: NewKey) -> Minted {
        let issued = self.runtime.block_on(self.keys.issue(new)).expect("a key");
        Minted {
            id: issued.record.id,
            key: issued.key.expose().to_owned(),
        }
    }

    pub fn revoke(&self, minted: &Minted) {
        self.runtime
            .block_on(self.keys.revoke(minted.id))
            .expect("revoked");
    }

    /// A key with everything right about it, but for its row.
    pub fn mint_and_forget(&self) -> Minted {
        let minted = self.mint(Grants::all());
        self.sql(format!("DELETE FROM api_keys WHERE id = '{}'", minted.id));
        minted
    }

    /// Keeps everybody else from writing, until the answer is dropped.
    pub fn lock(&self) -> Lock<'_> {
        let connection = self.runtime.block_on(async {
            let mut connection = self.connect().await;
            let begun = sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut connection).await;
            begun.expect("locked");
            connection
        });
        Lock {
            database: self,
            connection: Some(connection),
        }
    }

    /// What every column of every table holds, byte for byte, but for those of this name.
    pub fn contents(&self, but_for: &str) -> Vec<Vec<u8>> {
        const COLUMNS: &str = "SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c \
                               WHERE t.type = 'table' AND c.name <> ?1";
        self.runtime.block_on(async {
            let mut connection = self.connect().await;
            let columns: Vec<(String, String)> = sqlx::query_as(COLUMNS)
                .bind(but_for)
                .fetch_all(&mut connection)
                .await
                .expect("the columns");
            let mut contents = Vec::new();
            for (table, column) in columns {
                let values = AssertSqlSafe(format!(
                    "SELECT CAST({column} AS BLOB) FROM {table} WHERE {column} NOT NULL"
                ));
                let values: Vec<Vec<u8>> = sqlx::query_scalar(values)
                    .fetch_all(&mut connection)
                    .await
                    .expect("the values");
                contents.extend(values);
            }
            contents
        })
    }

    /// Sets a column of a key.
    pub fn set(&self, minted: &Minted, assignment: &str) {
        self.sql(format!(
            "UPDATE api_keys SET {assignment} WHERE id = '{}'",
            minted.id
        ));
    }

    /// Any SQL; it must not do nothing.
    pub fn sql(&self, statement: String) {
        self.runtime.block_on(async {
            let mut connection = self.connect().await;
            let changes = statement.starts_with("UPDATE") || statement.starts_with("DELETE");
            let done = sqlx::raw_sql(AssertSqlSafe(statement))
                .execute(&mut connection)
                .await;
            let rows = done.expect("executed").rows_affected();
            assert!(!changes || rows > 0, "nothing was changed");
            connection.close().await.expect("closed");
        });
    }

    async fn connect(&self) -> SqliteConnection {
        SqliteConnection::connect_with(&self.options)
            .await
            .expect("opened")
    }
}

/// Lasts as long as everybody else is kept from writing.
#[derive(Debug)]
pub struct Lock<'d> {
    database: &'d Database,
    connection: Option<SqliteConnection>,
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            let closed = self.database.runtime.block_on(connection.close());
            assert!(closed.is_ok() || std::thread::panicking(), "{closed:?}");
        }
    }
}
