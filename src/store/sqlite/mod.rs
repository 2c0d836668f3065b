use std::{
    fmt,
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use sqlx::{
    Row, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};

use super::{KeyStore, StoreError, StoreErrorKind, StoredKey};
use crate::{
    access::{Grants, Resources, Scopes},
    clock::{Clock, SystemClock, from_unix_ms, to_unix_ms},
    event::{KeyEvent, KeyEventKind},
    key::{CheckKey, KeyDigest, KeyId, KeyRecord},
};

mod migrate;

/// Keys in one SQLite file, with everything needed to read and write it built in.
///
/// The file is in WAL mode with `synchronous=FULL`, so what was answered has reached the disk. Several processes of one machine
/// may use one file; a network file system is not for it. One connection writes, and four read, so that a flood
/// of look-ups does not hold up a revoke.
///
/// Clones share the connections.
#[derive(Clone)]
pub struct SqliteStore {
    reader: SqlitePool,
    writer: SqlitePool,
    check_key: CheckKey,
    clock: Arc<dyn Clock>,
}

/// How long a statement waits for another process to finish writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const READERS: u32 = 4;

impl SqliteStore {
    /// Opens a store, makes the file if there is none, and brings its tables up to date.
    ///
    /// `location` is a path, `sqlite://PATH`, or `sqlite::memory:` for a store that is gone when it is dropped.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened, made or brought up to date, or cannot be made durable.
    pub async fn open(location: impl AsRef<str>) -> Result<Self, StoreError> {
        Self::open_with_clock(location, SystemClock).await
    }

    /// As [`SqliteStore::open`], going by another clock.
    ///
    /// # Errors
    ///
    /// As [`SqliteStore::open`].
    pub async fn open_with_clock(location: impl AsRef<str>, clock: impl Clock) -> Result<Self, StoreError> {
        let location = location.as_ref();
        let options = if location.starts_with("sqlite:") {
            SqliteConnectOptions::from_str(location).map_err(unavailable)?
        } else {
            SqliteConnectOptions::new().filename(location)
        };
        let options = options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .optimize_on_close(false, None);
        // One connection that never ends: it is what serializes writers, and what an in-memory database lives in.
        let pool = SqlitePoolOptions::new()
            .acquire_timeout(BUSY_TIMEOUT)
            .idle_timeout(None)
            .max_lifetime(None);
        let writer = pool
            .clone()
            .min_connections(1)
            .max_connections(1)
            .connect_with(options.clone())
            .await
            .map_err(unavailable)?;
        let in_memory = assert_durable(&writer).await?;
        migrate::run(&writer).await?;
        let reader = if in_memory {
            writer.clone()
        } else {
            pool.max_connections(READERS)
                .connect_with(options)
                .await
                .map_err(unavailable)?
        };
        let check_key = migrate::check_key(&writer).await?;
        Ok(Self {
            reader,
            writer,
            check_key,
            clock: Arc::new(clock),
        })
    }

    /// Waits until every statement under way is done, and closes the file.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    async fn find_row(&self, digest: &KeyDigest) -> Result<Option<KeyRecord>, StoreError> {
        let row = sqlx::query("SELECT * FROM api_keys WHERE digest = ?1")
            .bind(digest.as_bytes().as_slice())
            .fetch_optional(&self.reader)
            .await
            .map_err(unavailable)?;
        row.as_ref().map(decode).transpose()
    }
}

impl KeyStore for SqliteStore {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<StoredKey>, StoreError> {
        // The time of asking: a slow answer must not make a key look younger than it is... nor older than it was.
        let now = self.clock.now();
        Ok(self
            .find_row(digest)
            .await?
            .map(|record| StoredKey::new(record, now)))
    }

    async fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        let row = sqlx::query("SELECT * FROM api_keys WHERE id = ?1")
            .bind(id.to_string())
            .fetch_optional(&self.reader)
            .await
            .map_err(unavailable)?;
        row.as_ref().map(decode).transpose()
    }

    async fn insert(&self, record: &KeyRecord, event: &KeyEvent) -> Result<(), StoreError> {
        let mut transaction = self
            .writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(unavailable)?;
        sqlx::query(
            "INSERT INTO api_keys (id, digest, prefix, name, owner, scopes, resources, created_at, expires_at, revoked_at, \
             disabled_at, version) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )
        .bind(record.id.to_string())
        .bind(record.digest.as_bytes().as_slice())
        .bind(&record.prefix)
        .bind(&record.name)
        .bind(&record.owner)
        .bind(record.grants.granted_scopes().to_stored())
        .bind(record.grants.resources().to_stored())
        .bind(to_unix_ms(record.created_at))
        .bind(record.expires_at.map(to_unix_ms))
        .bind(record.revoked_at.map(to_unix_ms))
        .bind(record.disabled_at.map(to_unix_ms))
        .bind(record.version)
        .execute(&mut *transaction)
        .await
        .map_err(|error| match error.as_database_error() {
            Some(database) if database.is_unique_violation() => StoreError::new(StoreErrorKind::Conflict, error),
            _ => unavailable(error),
        })?;
        write_event(&mut transaction, event).await?;
        transaction.commit().await.map_err(unavailable)
    }

    async fn revoke(&self, event: &KeyEvent) -> Result<Option<KeyRecord>, StoreError> {
        let mut transaction = self
            .writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(unavailable)?;
        let revoked = sqlx::query(
            "UPDATE api_keys SET revoked_at = ?2, version = version + 1 WHERE id = ?1 AND revoked_at IS NULL RETURNING *",
        )
        .bind(event.key_id.to_string())
        .bind(to_unix_ms(event.at))
        .fetch_optional(&mut *transaction)
        .await
        .map_err(unavailable)?;
        let row = match revoked {
            Some(row) => {
                write_event(&mut transaction, event).await?;
                Some(row)
            }
            None => sqlx::query("SELECT * FROM api_keys WHERE id = ?1")
                .bind(event.key_id.to_string())
                .fetch_optional(&mut *transaction)
                .await
                .map_err(unavailable)?,
        };
        transaction.commit().await.map_err(unavailable)?;
        row.as_ref().map(decode).transpose()
    }

    async fn events(&self, id: KeyId) -> Result<Vec<KeyEvent>, StoreError> {
        let rows = sqlx::query("SELECT kind, at FROM api_key_events WHERE key_id = ?1 ORDER BY seq")
            .bind(id.to_string())
            .fetch_all(&self.reader)
            .await
            .map_err(unavailable)?;
        rows.iter()
            .map(|row| {
                let kind = column::<String>(row, "kind")?;
                let kind = KeyEventKind::from_word(&kind).ok_or_else(|| corrupt("unknown event kind"))?;
                Ok(KeyEvent::new(
                    id,
                    kind,
                    date(row, "at")?.ok_or_else(|| corrupt("event without date"))?,
                ))
            })
            .collect()
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        sqlx::query_scalar("SELECT NOT EXISTS (SELECT 1 FROM api_keys)")
            .fetch_one(&self.reader)
            .await
            .map_err(unavailable)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // Not `SELECT 1`: the table must be there too.
        self.is_empty().await.map(drop)
    }

    fn check_key(&self) -> CheckKey {
        self.check_key.clone()
    }

    fn now(&self) -> SystemTime {
        self.clock.now()
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

/// Refuses a file on which the promise "answered means durable" would not hold; says whether it is no file at all.
async fn assert_durable(pool: &SqlitePool) -> Result<bool, StoreError> {
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(pool)
        .await
        .map_err(unavailable)?;
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous")
        .fetch_one(pool)
        .await
        .map_err(unavailable)?;
    match (journal.as_str(), synchronous) {
        ("memory", _) => Ok(true),
        ("wal", 2..) => Ok(false),
        _ => Err(StoreError::new(
            StoreErrorKind::Unavailable,
            format!("SQLite is in journal mode {journal}, synchronous {synchronous}; wal and 2 are needed"),
        )),
    }
}

async fn write_event(
    transaction: &mut sqlx::Transaction<'_, sqlx::Sqlite>,
    event: &KeyEvent,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO api_key_events (key_id, kind, at) VALUES (?1, ?2, ?3)")
        .bind(event.key_id.to_string())
        .bind(event.kind.as_str())
        .bind(to_unix_ms(event.at))
        .execute(&mut **transaction)
        .await
        .map_err(unavailable)?;
    Ok(())
}

fn decode(row: &SqliteRow) -> Result<KeyRecord, StoreError> {
    let id: KeyId = column::<String>(row, "id")?.parse().map_err(corrupt)?;
    let digest: [u8; 32] = column::<Vec<u8>>(row, "digest")?
        .try_into()
        .map_err(|_| corrupt("digest"))?;
    let created_at = date(row, "created_at")?.ok_or_else(|| corrupt("key without date"))?;
    let scopes = Scopes::from_stored(&column::<String>(row, "scopes")?).map_err(corrupt)?;
    let resources = column::<Option<String>>(row, "resources")?;
    let resources = Resources::from_stored(resources.as_deref()).map_err(corrupt)?;
    let mut record = KeyRecord::new(
        id,
        KeyDigest::from_bytes(digest),
        column::<String>(row, "owner")?,
        created_at,
    );
    record.prefix = column(row, "prefix")?;
    record.name = column(row, "name")?;
    record.grants = Grants::new(scopes, resources);
    record.expires_at = date(row, "expires_at")?;
    record.revoked_at = date(row, "revoked_at")?;
    record.disabled_at = date(row, "disabled_at")?;
    record.version = column(row, "version")?;
    Ok(record)
}

fn column<'r, T>(row: &'r SqliteRow, name: &str) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    row.try_get(name).map_err(corrupt)
}

fn date(row: &SqliteRow, name: &str) -> Result<Option<SystemTime>, StoreError> {
    match column::<Option<i64>>(row, name)? {
        None => Ok(None),
        Some(ms) => from_unix_ms(ms)
            .map(Some)
            .ok_or_else(|| corrupt("date out of range")),
    }
}

fn unavailable(error: sqlx::Error) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, error)
}

fn corrupt(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, error)
}
