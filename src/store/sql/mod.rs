//! What the SQL stores have in common: the statements, the rows, and the order of a transaction. What differs between databases is
//! behind [`Sql`].

use std::{borrow::Cow, future::Future, time::SystemTime};

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use super::{Decide, EventQuery, Reads, StoreError, StoreErrorKind, StoredKey, View, Writes};
use crate::{
    clock::to_unix_ms,
    event::{ChainHead, LoggedEvent},
    key::{KeyId, KeyRecord},
};

/// The columns of a key, by name: with `*`, a column that a newer version adds would be an error in every statement that PostgreSQL has
/// prepared, for as long as the connection lives. The limit of its account is the account's, which other keys may have, too.
macro_rules! key_columns {
    () => {
        "id, digest, prefix, name, owner, scopes, resources, allowed_ips, rate_limit, created_at, expires_at, revoked_at, \
         disabled_at, last_used_at, rotated_from, rotated_to, imported, version, credits, exchanged, \
         (SELECT amount || coalesce('/' || period || 's', '') FROM api_key_credits AS account \
         WHERE account.id = api_keys.credits) AS credit_limit"
    };
}

/// Those of an event.
macro_rules! event_columns {
    () => {
        "seq, hash, kind, key_id, owner, at, actor_kind, actor_owner, actor_key_id, address, request_id, before, after, reason"
    };
}

mod row;

mod credits;

mod expiring;

mod feeding;

mod filter;

mod list;

mod migrate;

mod touch;

mod tokens;

pub(super) use credits::{balances, give_back, spend};
pub(super) use expiring::expiring;
pub(super) use feeding::Running;
pub(super) use list::list;
#[cfg(all(test, feature = "testing", feature = "sqlite"))]
pub(super) use list::paged;
pub(super) use migrate::{check_key, migrate};
pub(super) use row::Columns;
pub(super) use touch::touch;

use filter::Filter;
use row::{decode_event, decode_record, insert_event, insert_record, update_record};

#[cfg(feature = "postgres")]
pub(super) use feeding::{Entered, LEAVE_TIMEOUT};
pub(super) use key_columns;

/// A connection, in a transaction or not.
pub(super) trait Sql: Send {
    type Row: Columns + Send;

    /// Appended to a read of what will be written. Where there is nothing to append, one writer at a time is let in anyway.
    const FOR_UPDATE: &'static str;

    /// Moves `last_used_at` on, never back, for the keys and times in its one value: `[["ID",MS],...]`.
    const TOUCH: &'static str;

    /// The database's time in milliseconds, as a word of a statement; `None` where it has none of its own, and [`Sql::clock`] has.
    const CLOCK: Option<&'static str>;

    /// The time to bind, where the database has none of its own.
    fn clock(&self) -> Option<i64>;

    fn rows(
        &mut self,
        statement: Statement,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Vec<Self::Row>, StoreError>> + Send;

    /// Answers with the number of rows that were written.
    fn execute(
        &mut self,
        statement: Statement,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Several statements without values.
    fn script(&mut self, script: &'static str) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The time that expiry is judged by.
    fn now(&mut self) -> impl Future<Output = Result<SystemTime, StoreError>> + Send;
}

/// SQL: written in this module, or put together from words of it.
pub(super) type Statement = Cow<'static, str>;

/// Every value is bound; nothing that came from outside is ever part of a statement.
pub(super) fn safe(statement: Statement) -> SqlStr {
    match statement {
        Cow::Borrowed(statement) => statement.into_sql_str(),
        Cow::Owned(statement) => AssertSqlSafe(statement).into_sql_str(),
    }
}

/// What is bound to a placeholder.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Text(Option<&'a str>),
    Int(Option<i64>),
    Bytes(&'a [u8]),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Some(text))
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Int(Some(number))
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

pub(super) async fn get(sql: &mut impl Sql, id: KeyId) -> Result<Option<StoredKey>, StoreError> {
    let now = sql.now().await?;
    let statement = concat!("SELECT ", key_columns!(), " FROM api_keys WHERE id = $1");
    let rows = sql
        .rows(statement.into(), &[id.to_string().as_str().into()])
        .await?;
    let record = rows.first().map(decode_record).transpose()?;
    Ok(record.map(|record| StoredKey::new(record, now)))
}

/// Decodes the answer to a look-up by digest, which each store words for itself.
pub(super) fn found(row: &impl Columns) -> Result<KeyRecord, StoreError> {
    decode_record(row)
}

/// The inside of a transaction that has begun and that the caller commits. It takes the end of the log first, which only one
/// transaction can hold: so changes of whatever process happen one after the other, and each sees what the one before wrote.
pub(super) async fn transact(sql: &mut impl Sql, reads: Reads, decide: Decide) -> Result<(), StoreError> {
    let mut head = head(sql, true).await?;
    let view = view(sql, reads).await?;
    let writes = decide.decide(&view);
    write(sql, writes, &mut head).await
}

async fn view<S: Sql>(sql: &mut S, reads: Reads) -> Result<View, StoreError> {
    let now = sql.now().await?;
    let (spent, forgettable_tokens) = tokens::view(sql, &reads, now).await?;
    let mut keys = Vec::with_capacity(reads.keys.len());
    // In one order for everybody, those who write down uses included: two that lock the same rows in another order wait for each other.
    let mut ids = reads.keys;
    ids.sort_unstable();
    for id in &ids {
        const COLUMNS: &str = key_columns!();
        let statement = format!("SELECT {COLUMNS} FROM api_keys WHERE id = $1{}", S::FOR_UPDATE);
        let rows = sql
            .rows(statement.into(), &[id.to_string().as_str().into()])
            .await?;
        keys.extend(rows.first().map(decode_record).transpose()?);
    }
    let mut taken = Vec::new();
    for digest in reads.digests {
        let values = [digest.as_bytes().as_slice().into()];
        let rows = sql
            .rows("SELECT id FROM api_keys WHERE digest = $1".into(), &values)
            .await?;
        taken.extend((!rows.is_empty()).then_some(digest));
    }
    let live = match &reads.live_of {
        None => 0,
        Some(owner) => {
            // Two counts, because an index serves each of them, and no index serves "no expiry, or a later one".
            const LIVE: &str = "SELECT (SELECT count(*) FROM api_keys \
                                WHERE owner = $1 AND revoked_at IS NULL AND expires_at IS NULL) \
                                + (SELECT count(*) FROM api_keys \
                                WHERE owner = $1 AND revoked_at IS NULL AND expires_at > $2) AS live";
            let rows = sql
                .rows(LIVE.into(), &[owner.as_str().into(), to_unix_ms(now).into()])
                .await?;
            let count = rows.first().map_or(Ok(None), |row| row.int("live"))?;
            count
                .and_then(|count| u64::try_from(count).ok())
                .unwrap_or_default()
        }
    };
    Ok(View {
        now,
        keys,
        taken,
        live,
        spent,
        forgettable_tokens,
    })
}

async fn write(sql: &mut impl Sql, writes: Writes, head: &mut ChainHead) -> Result<(), StoreError> {
    for filling in &writes.fill {
        credits::fill(sql, filling).await?;
    }
    for key in &writes.insert {
        insert_record(sql, key).await?;
    }
    for key in &writes.update {
        update_record(sql, key).await?;
    }
    for id in &writes.delete {
        credits::remove_key(sql, *id).await?;
    }
    tokens::write(sql, writes.spend_token.as_ref(), &writes.forget_tokens).await?;
    if writes.events.is_empty() {
        return Ok(());
    }
    for event in writes.events {
        insert_event(sql, &head.append(event)).await?;
    }
    let values = [head.seq.into(), head.hash.as_slice().into()];
    let written = sql
        .execute(
            "UPDATE api_key_log SET seq = $1, hash = $2 WHERE id = 1".into(),
            &values,
        )
        .await?;
    match written {
        1 => Ok(()),
        _ => Err(corrupt("the end of the log is not written down")),
    }
}

pub(super) async fn head<S: Sql>(sql: &mut S, for_update: bool) -> Result<ChainHead, StoreError> {
    let lock = if for_update { S::FOR_UPDATE } else { "" };
    let statement = format!("SELECT seq, hash FROM api_key_log WHERE id = 1{lock}");
    let rows = sql.rows(statement.into(), &[]).await?;
    let row = rows
        .first()
        .ok_or_else(|| corrupt("the end of the log is not written down"))?;
    let seq = row.int("seq")?.ok_or_else(|| corrupt("log without end"))?;
    Ok(ChainHead::new(seq, row.bytes("hash")?))
}

pub(super) async fn events(sql: &mut impl Sql, query: &EventQuery) -> Result<Vec<LoggedEvent>, StoreError> {
    let id;
    let mut filter = Filter::default();
    if let Some(key_id) = query.key_id {
        id = key_id.to_string();
        filter.and("key_id = ", id.as_str());
    }
    if let Some(owner) = &query.owner {
        // In the order of the events of the key, if there is one: that of the owner's may be far longer.
        filter.and(
            if query.key_id.is_some() {
                "owner || '' = "
            } else {
                "owner = "
            },
            owner.as_str(),
        );
    }
    if let Some(seq) = query.before {
        filter.and("seq < ", seq);
    }
    let rows = filter
        .rows(
            sql,
            concat!("SELECT ", event_columns!(), " FROM api_key_events"),
            "seq DESC",
            query.limit,
        )
        .await?;
    rows.iter().map(decode_event).collect()
}

pub(super) async fn log_after(
    sql: &mut impl Sql,
    seq: i64,
    limit: u32,
) -> Result<Vec<LoggedEvent>, StoreError> {
    let mut filter = Filter::default();
    filter.and("seq > ", seq);
    let rows = filter
        .rows(
            sql,
            concat!("SELECT ", event_columns!(), " FROM api_key_events"),
            "seq",
            limit,
        )
        .await?;
    rows.iter().map(decode_event).collect()
}

pub(super) async fn expired_before(
    sql: &mut impl Sql,
    moment: SystemTime,
    limit: u32,
) -> Result<Vec<KeyId>, StoreError> {
    let mut filter = Filter::default();
    filter.and("expires_at < ", to_unix_ms(moment));
    filter.only("imported = 0");
    let rows = filter
        .rows(sql, "SELECT id FROM api_keys", "expires_at", limit)
        .await?;
    rows.iter().map(row::id).collect()
}

/// The newest, for the oldest may have been removed in great number a moment ago.
pub(super) async fn is_empty(sql: &mut impl Sql) -> Result<bool, StoreError> {
    let rows = sql
        .rows("SELECT id FROM api_keys ORDER BY id DESC LIMIT 1".into(), &[])
        .await?;
    Ok(rows.is_empty())
}

/// Reads one row of the index `api_keys_imported`, which is empty where nothing was imported.
pub(super) async fn has_imported(sql: &mut impl Sql) -> Result<bool, StoreError> {
    const FIRST: &str = "SELECT id FROM api_keys WHERE imported = 1 ORDER BY id LIMIT 1";
    Ok(!sql.rows(FIRST.into(), &[]).await?.is_empty())
}

#[cfg(feature = "sqlite")]
pub(super) const FIND: &str = concat!("SELECT ", key_columns!(), " FROM api_keys WHERE digest = $1");

pub(super) fn unavailable(error: sqlx::Error) -> StoreError {
    match error.as_database_error() {
        Some(database) if database.is_unique_violation() => StoreError::new(StoreErrorKind::Conflict, error),
        _ => StoreError::new(StoreErrorKind::Unavailable, error),
    }
}

pub(super) fn corrupt(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, error)
}

#[cfg(all(test, feature = "testing"))]
pub(super) mod tests;
