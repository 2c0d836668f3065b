//! A database of its own for a test, on the PostgreSQL server that `TEST_POSTGRES_URL` names.

#![expect(
    unreachable_pub,
    reason = "shared by test targets, each of which is a crate of its own"
)]

use std::{
    env, process,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::runtime::Builder;

const SERVER: &str = "postgres://postgres@127.0.0.1:5432/test";

/// A database that is gone after the test, also when the test fails.
#[derive(Debug)]
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// A new, empty database. `None` where there is no server, and then it says so: the test must not go on.
    ///
    /// # Panics
    ///
    /// When there is no server, and `CI` is `true`.
    pub fn create() -> Option<Self> {
        Self::create_with("")
    }

    /// As [`Database::create`], with more to say about what it shall be.
    pub fn create_with(options: &str) -> Option<Self> {
        static CREATED: AtomicUsize = AtomicUsize::new(0);
        let server = env::var("TEST_POSTGRES_URL").unwrap_or_else(|_| SERVER.to_owned());
        if let Err(error) = in_thread(async || PgConnection::connect(&server).await?.close().await) {
            skip(&format!("no PostgreSQL server ({error}); set TEST_POSTGRES_URL"));
            return None;
        }
        let number = CREATED.fetch_add(1, Ordering::Relaxed);
        let name = format!("api_key_test_{}_{number}", process::id());
        // One that a test of the same number left behind when it was killed.
        execute(&server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        execute(
            &server,
            &format!("CREATE DATABASE {name} TEMPLATE template0 {options}"),
        );
        let database = Self { server, name };
        assert_eq!(database.value("SELECT current_database()"), database.name);
        Some(database)
    }

    /// Where it is.
    pub fn url(&self) -> String {
        let (server, parameters) = match self.server.split_once('?') {
            Some((server, parameters)) => (server, format!("?{parameters}")),
            None => (self.server.as_str(), String::new()),
        };
        let (host, _) = server.rsplit_once('/').expect("a URL with a database");
        format!("{host}/{}{parameters}", self.name)
    }

    /// Any SQL, from another connection, as any other program could. Holds up the thread until it is done.
    pub fn sql(&self, statements: &str) {
        execute(&self.url(), statements);
    }

    /// The one value that a query gives, as text; empty for NULL. Holds up the thread until it is done.
    pub fn value(&self, query: &str) -> String {
        let statement = AssertSqlSafe(format!("SELECT v::text FROM ({query}) AS t (v)"));
        let value = in_thread(async || {
            let mut connection = PgConnection::connect(&self.url()).await?;
            let value = sqlx::query_scalar(statement).fetch_one(&mut connection).await?;
            connection.close().await?;
            Ok(value)
        });
        let value: Option<String> = value.unwrap_or_else(|error| panic!("{query}: {error}"));
        value.unwrap_or_default()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        execute(&self.server, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

fn execute(url: &str, statements: &str) {
    let done = in_thread(async || {
        let mut connection = PgConnection::connect(url).await?;
        let done = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()));
        done.execute(&mut connection).await?;
        connection.close().await
    });
    done.unwrap_or_else(|error| panic!("{statements}: {error}"));
}

/// In a thread with a runtime of its own, so that tests with and without one can call it, and `drop` can.
fn in_thread<T: Send>(work: impl AsyncFnOnce() -> Result<T, sqlx::Error> + Send) -> Result<T, sqlx::Error> {
    let run = || {
        let runtime = Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(work())
    };
    thread::scope(|scope| scope.spawn(run).join()).expect("no panic")
}

/// Says that a test does not run; where `CI` is `true` that is a failure.
#[expect(
    clippy::print_stderr,
    reason = "a test that did not run must not look as if it had"
)]
pub fn skip(why: &str) {
    assert!(env::var("CI").as_deref() != Ok("true"), "{why}");
    eprintln!("SKIPPED: {why}");
}
