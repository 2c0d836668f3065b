//! SQLite files of a test, and SQL on them from another connection, as any other program could.

use std::{
    error::Error,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::{ApiKeyAuth, store::SqliteStore};

/// A folder that is gone after the test.
pub(crate) struct Folder {
    folder: TempDir,
    files: AtomicUsize,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            files: AtomicUsize::new(0),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn location(&self, name: &str) -> String {
        self.path(name).to_str().expect("a path in UTF-8").to_owned()
    }

    pub(crate) async fn open(&self, name: &str) -> SqliteStore {
        SqliteStore::open(self.location(name)).await.expect("a store")
    }

    /// A store in a file of its own.
    pub(crate) async fn another(&self) -> SqliteStore {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        self.open(&format!("{number}.db")).await
    }

    pub(crate) async fn connect(&self, name: &str) -> SqliteConnection {
        let options = SqliteConnectOptions::new()
            .filename(self.path(name))
            .create_if_missing(true);
        SqliteConnection::connect_with(&options).await.expect("opened")
    }

    pub(crate) async fn sql(&self, name: &str, statement: &str) {
        let mut connection = self.connect(name).await;
        let statement = AssertSqlSafe(statement.to_owned());
        sqlx::raw_sql(statement)
            .execute(&mut connection)
            .await
            .expect("executed");
        connection.close().await.expect("closed");
    }

    /// The one value that a statement gives, as text.
    pub(crate) async fn value(&self, name: &str, statement: &str) -> String {
        let mut connection = self.connect(name).await;
        let statement = AssertSqlSafe(format!("SELECT CAST(value AS TEXT) FROM ({statement})"));
        let value = sqlx::query_scalar(statement).fetch_one(&mut connection).await;
        connection.close().await.expect("closed");
        value.expect("a value")
    }
}

/// An error and all that caused it.
pub(crate) fn chain(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", chain(cause)),
        None => error.to_string(),
    }
}

/// How a request with this key is answered.
pub(crate) async fn status(auth: &ApiKeyAuth, key: &str) -> u16 {
    let inner = service_fn(async |_: Request<()>| {
        Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let request = Request::get("/")
        .header("X-Key", key)
        .body(())
        .expect("a request");
    let Ok(response) = auth.layer(inner).oneshot(request).await;
    response.status().as_u16()
}
