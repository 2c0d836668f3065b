//! A connection as the statements see it.

use std::time::SystemTime;

use sqlx::{PgConnection, Row, postgres::PgRow};

use super::{NOW, no_date, now_of};
use crate::{
    clock::{from_unix_ms, to_unix_ms},
    store::{
        StoreError,
        sql::{Columns, Sql, Statement, Value, corrupt, safe, unavailable},
    },
};

impl Sql for PgConnection {
    type Row = PgRow;

    const FOR_UPDATE: &'static str = " FOR UPDATE";

    /// Rows are locked in the order of their ids, as changes lock theirs.
    const TOUCH: &'static str = "WITH used AS (SELECT use ->> 0 AS id, (use ->> 1)::bigint AS at \
        FROM json_array_elements($1::json) AS use), \
        due AS (SELECT key.id, used.at FROM used JOIN api_keys AS key ON key.id = used.id \
        WHERE key.last_used_at IS NULL OR key.last_used_at < used.at ORDER BY key.id FOR NO KEY UPDATE OF key) \
        UPDATE api_keys AS key SET last_used_at = greatest(key.last_used_at, due.at) FROM due WHERE key.id = due.id";

    /// That of the statement, so that all of it goes by one time.
    const CLOCK: Option<&'static str> =
        Some("floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint");

    fn clock(&self) -> Option<i64> {
        None
    }

    async fn rows(&mut self, statement: Statement, values: &[Value<'_>]) -> Result<Vec<PgRow>, StoreError> {
        let query = bound(statement, values);
        query.fetch_all(self).await.map_err(unavailable)
    }

    async fn execute(&mut self, statement: Statement, values: &[Value<'_>]) -> Result<u64, StoreError> {
        let done = bound(statement, values).execute(self).await;
        Ok(done.map_err(unavailable)?.rows_affected())
    }

    async fn script(&mut self, script: &'static str) -> Result<(), StoreError> {
        let done = sqlx::raw_sql(script).execute(self).await;
        done.map(drop).map_err(unavailable)
    }

    async fn now(&mut self) -> Result<SystemTime, StoreError> {
        let row = sqlx::query(NOW).fetch_one(self).await.map_err(unavailable)?;
        // What is dated by it is written down in milliseconds.
        from_unix_ms(to_unix_ms(now_of(&row)?)).ok_or_else(no_date)
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn bound<'q>(statement: Statement, values: &[Value<'_>]) -> Query<'q> {
    let bind = |query: Query<'q>, value: &Value<'_>| match *value {
        Value::Text(text) => query.bind(text),
        Value::Int(number) => query.bind(number),
        Value::Bytes(bytes) => query.bind(bytes),
    };
    values.iter().fold(sqlx::query(safe(statement)), bind)
}

impl Columns for PgRow {
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
