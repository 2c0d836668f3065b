//! A connection as the statements see it.

use std::time::SystemTime;

use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    clock::{Clock, to_unix_ms},
    store::{
        StoreError,
        sql::{Columns, Sql, Statement, Value, corrupt, safe, unavailable},
    },
};

/// SQLite has no time of its own: the clock is the process's.
pub(super) struct Connection<'a> {
    connection: &'a mut SqliteConnection,
    clock: &'a dyn Clock,
}

impl<'a> Connection<'a> {
    pub(super) fn new(connection: &'a mut SqliteConnection, clock: &'a dyn Clock) -> Self {
        Self { connection, clock }
    }
}

impl Sql for Connection<'_> {
    type Row = SqliteRow;

    /// A transaction that begins with `BEGIN IMMEDIATE` is the only writer.
    const FOR_UPDATE: &'static str = "";

    const TOUCH: &'static str = "UPDATE api_keys SET last_used_at = used.at \
        FROM (SELECT value ->> 0 AS id, value ->> 1 AS at FROM json_each($1)) AS used \
        WHERE api_keys.id = used.id AND (last_used_at IS NULL OR last_used_at < used.at)";

    const CLOCK: Option<&'static str> = None;

    fn clock(&self) -> Option<i64> {
        Some(to_unix_ms(self.clock.now()))
    }

    async fn rows(
        &mut self,
        statement: Statement,
        values: &[Value<'_>],
    ) -> Result<Vec<SqliteRow>, StoreError> {
        let query = bound(statement, values);
        query.fetch_all(&mut *self.connection).await.map_err(unavailable)
    }

    async fn execute(&mut self, statement: Statement, values: &[Value<'_>]) -> Result<u64, StoreError> {
        let done = bound(statement, values).execute(&mut *self.connection).await;
        Ok(done.map_err(unavailable)?.rows_affected())
    }

    async fn script(&mut self, script: &'static str) -> Result<(), StoreError> {
        let done = sqlx::raw_sql(script).execute(&mut *self.connection).await;
        done.map(drop).map_err(unavailable)
    }

    async fn now(&mut self) -> Result<SystemTime, StoreError> {
        Ok(self.clock.now())
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

fn bound<'q>(statement: Statement, values: &[Value<'_>]) -> Query<'q> {
    let bind = |query: Query<'q>, value: &Value<'_>| match *value {
        Value::Text(text) => query.bind(text),
        Value::Int(number) => query.bind(number),
        Value::Bytes(bytes) => query.bind(bytes),
    };
    values.iter().fold(sqlx::query(safe(statement)), bind)
}

impl Columns for SqliteRow {
    fn text(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        self.try_get(column).map_err(corrupt)
    }

    fn int(&self, column: &'static str) -> Result<Option<i64>, StoreError> {
        self.try_get(column).map_err(corrupt)
    }

    fn blob(&self, column: &'static str) -> Result<Vec<u8>, StoreError> {
        self.try_get(column).map_err(corrupt)
    }
}
