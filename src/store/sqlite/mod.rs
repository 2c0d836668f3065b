use std::{
    fmt,
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use sqlx::{
    Sqlite, SqlitePool,
    pool::PoolConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

use super::{
    Balance, Decide, EventQuery, ExpiryQuery, KeyPage, KeyQuery, KeyStore, Reads, Spent, StoreError,
    StoreErrorKind, StoredKey,
    sql::{self, Running, unavailable},
};
use crate::{
    clock::{Clock, SystemClock},
    event::{ChainHead, Feed, LoggedEvent, Receipt},
    key::{CheckKey, KeyDigest, KeyId},
};

mod connection;

mod feed;

mod file;

use connection::Connection;

const MIGRATIONS: &[&str] = &[
    include_str!("0001_keys.sql"),
    include_str!("0002_changes.sql"),
    include_str!("0003_credits.sql"),
    include_str!("0004_exchanged.sql"),
];

/// Keys in one SQLite file, with everything needed to read and write it built in.
///
/// A new file can be read by its owner only. It is in WAL mode with `synchronous=FULL`, so what was answered has reached the disk.
/// Several processes of one machine may use one file; a network file system is not for it. One connection writes, and four read, so that
/// a flood of look-ups does not hold up a revoke.
///
/// Clones share the connections.
#[derive(Clone)]
pub struct SqliteStore {
    reader: SqlitePool,
    writer: SqlitePool,
    /// Held by the one use that waits for the connection that writes, or has it: a revoke is not behind all that are to be paid for.
    spending: Arc<Semaphore>,
    /// `None` in memory, where nobody else can change anything.
    file: Option<Arc<SqliteConnectOptions>>,
    feeds: Running,
    check_key: CheckKey,
    clock: Arc<dyn Clock>,
}

/// How long a statement waits for another process to finish writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const BUSY_PAUSE: Duration = Duration::from_millis(10);
const READERS: u32 = 4;
const BEGIN: &str = "BEGIN IMMEDIATE";
/// The digests are one value, a list in JSON, so that it is one statement for however many.
const FIND_MANY: &str = concat!(
    "SELECT ",
    sql::key_columns!(),
    " FROM api_keys WHERE digest IN (SELECT unhex(value) FROM json_each($1))"
);

impl SqliteStore {
    /// Opens a store, makes the file if there is none, and brings its tables up to date.
    ///
    /// `location` is a path, `sqlite://PATH`, or `sqlite::memory:` for a store that is gone when it is dropped. With `?mode=rw` at its end a
    /// file that is missing is an error.
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
        let in_memory = location.contains(":memory:") || location.contains("mode=memory");
        // Who says `ro` or `rw` says that there is a file.
        let create = matches!(file::mode_of(location), None | Some("rwc"));
        if !in_memory && create {
            file::make_private(options.get_filename());
        }
        let options = options
            .create_if_missing(create || in_memory)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .optimize_on_close(false, None);
        let clock: Arc<dyn Clock> = Arc::new(clock);
        let begun = Instant::now();
        loop {
            match Self::connect(options.clone(), clock.clone(), in_memory).await {
                // Of several that turn a new file to WAL at the same time SQLite fails some at once, time-out or not.
                Err(error) if file::is_busy(&error) && begun.elapsed() < BUSY_TIMEOUT => {
                    sleep(BUSY_PAUSE).await
                }
                opened => return opened,
            }
        }
    }

    async fn connect(
        options: SqliteConnectOptions,
        clock: Arc<dyn Clock>,
        in_memory: bool,
    ) -> Result<Self, StoreError> {
        // One connection that never ends: it is what serializes writers, and what an in-memory database lives in.
        let pool = SqlitePoolOptions::new()
            .acquire_timeout(BUSY_TIMEOUT)
            .idle_timeout(None)
            .max_lifetime(None)
            // Whoever gives up while it is tested takes it along, and a database in memory is gone with it.
            .test_before_acquire(!in_memory);
        let writer = pool
            .clone()
            .min_connections(1)
            .max_connections(1)
            // The database in memory is in its connection, and gone with it; nor can its disk be full.
            .after_release(move |connection, _| {
                Box::pin(async move { Ok(in_memory || file::in_step(connection).await?) })
            })
            .connect_with(options.clone())
            .await
            .map_err(unavailable)?;
        let in_memory = file::assert_durable(&writer).await?;
        let mut transaction = writer.begin_with(BEGIN).await.map_err(unavailable)?;
        let mut sql = Connection::new(&mut transaction, &*clock);
        sql::migrate(&mut sql, MIGRATIONS).await?;
        let check_key = sql::check_key(&mut sql).await?;
        transaction.commit().await.map_err(unavailable)?;
        let file = (!in_memory).then(|| Arc::new(options.clone()));
        let reader = if in_memory {
            writer.clone()
        } else {
            pool.max_connections(READERS)
                .connect_with(options)
                .await
                .map_err(unavailable)?
        };
        Ok(Self {
            reader,
            writer,
            spending: Arc::new(Semaphore::new(1)),
            file,
            feeds: Running::default(),
            check_key,
            clock,
        })
    }

    /// Waits until every statement under way is done, and closes the file.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
        self.feeds.end().await;
    }

    /// Runs a read on a connection for reading.
    async fn read<T>(
        &self,
        read: impl AsyncFnOnce(&mut Connection<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut connection = self.reader.acquire().await.map_err(unavailable)?;
        read(&mut Connection::new(&mut connection, &*self.clock)).await
    }

    /// Writes to an account, in a task of its own, as a change. Whoever goes away before their turn has not paid.
    async fn pay<T, F>(
        &self,
        work: impl FnOnce(PoolConnection<Sqlite>, Arc<dyn Clock>) -> F + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send,
    {
        let (writer, clock) = (self.writer.clone(), self.clock.clone());
        let turn = self.spending.clone().acquire_owned().await;
        let turn = turn.map_err(|closed| StoreError::new(StoreErrorKind::Unavailable, closed))?;
        let paid = tokio::spawn(async move {
            let connection = writer.acquire().await.map_err(unavailable)?;
            let done = work(connection, clock).await;
            drop(turn);
            done
        });
        paid.await
            .map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error))?
    }
}

impl KeyStore for SqliteStore {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<StoredKey>, StoreError> {
        // The time of asking: a slow answer must not make a key look younger than it is... nor older than it was.
        let now = self.clock.now();
        let row = sqlx::query(sql::FIND)
            .bind(digest.as_bytes().as_slice())
            .fetch_optional(&self.reader)
            .await
            .map_err(unavailable)?;
        let record = row.as_ref().map(sql::found).transpose()?;
        Ok(record.map(|record| StoredKey::new(record, now)))
    }

    async fn get(&self, id: KeyId) -> Result<Option<StoredKey>, StoreError> {
        self.read(async |sql| sql::get(sql, id).await).await
    }

    async fn transact(&self, reads: Reads, decide: Decide) -> Result<(), StoreError> {
        let Self { writer, clock, .. } = self.clone();
        // In a task of its own: where a caller goes away in the middle of a step, sqlx gives the connection up, and a database in memory
        // with it.
        let change = tokio::spawn(async move {
            let mut transaction = writer.begin_with(BEGIN).await.map_err(unavailable)?;
            let mut sql = Connection::new(&mut transaction, &*clock);
            sql::transact(&mut sql, reads, decide).await?;
            transaction.commit().await.map_err(unavailable)
        });
        change
            .await
            .map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error))?
    }

    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        self.read(async |sql| sql::list(sql, query).await).await
    }

    async fn events(&self, query: &EventQuery) -> Result<Vec<LoggedEvent>, StoreError> {
        self.read(async |sql| sql::events(sql, query).await).await
    }

    async fn log_after(&self, seq: i64, limit: u32) -> Result<Vec<LoggedEvent>, StoreError> {
        self.read(async |sql| sql::log_after(sql, seq, limit).await).await
    }

    async fn log_head(&self) -> Result<ChainHead, StoreError> {
        self.read(async |sql| sql::head(sql, false).await).await
    }

    async fn expired_before(&self, moment: SystemTime, limit: u32) -> Result<Vec<KeyId>, StoreError> {
        self.read(async |sql| sql::expired_before(sql, moment, limit).await)
            .await
    }

    async fn expiring(&self, query: &ExpiryQuery) -> Result<Option<KeyPage>, StoreError> {
        let page = self.read(async |sql| sql::expiring(sql, query).await);
        page.await.map(Some)
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        self.read(async |sql| sql::is_empty(sql).await).await
    }

    async fn has_imported(&self) -> Result<bool, StoreError> {
        self.read(async |sql| sql::has_imported(sql).await).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // Not `SELECT 1`: the table must be there too.
        self.is_empty().await.map(drop)
    }

    async fn touch(&self, uses: &[(KeyId, SystemTime)]) -> Result<(), StoreError> {
        let (Self { writer, clock, .. }, uses) = (self.clone(), uses.to_vec());
        // In a task of its own, as a change.
        let touch = tokio::spawn(async move {
            let mut connection = writer.acquire().await.map_err(unavailable)?;
            sql::touch(&mut Connection::new(&mut connection, &*clock), &uses).await
        });
        touch
            .await
            .map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error))?
    }

    async fn spend(&self, account: KeyId, cost: u32) -> Result<Spent, StoreError> {
        self.pay(move |mut sql, clock| async move {
            sql::spend(&mut Connection::new(&mut sql, &*clock), account, cost).await
        })
        .await
    }

    async fn give_back(&self, account: KeyId, cost: u32) -> Result<(), StoreError> {
        self.pay(move |mut sql, clock| async move {
            sql::give_back(&mut Connection::new(&mut sql, &*clock), account, cost).await
        })
        .await
    }

    async fn credits(&self, accounts: &[KeyId]) -> Result<Vec<Balance>, StoreError> {
        self.read(async |sql| sql::balances(sql, accounts).await).await
    }

    async fn find_many(&self, digests: &[KeyDigest]) -> Result<Vec<StoredKey>, StoreError> {
        let now = self.clock.now();
        let listed: Vec<String> = digests
            .iter()
            .map(|digest| format!("\"{}\"", digest.to_hex()))
            .collect();
        let rows = sqlx::query(FIND_MANY)
            .bind(format!("[{}]", listed.join(",")))
            .fetch_all(&self.reader)
            .await;
        let stored = |row: &SqliteRow| Ok(StoredKey::new(sql::found(row)?, now));
        rows.map_err(unavailable)?.iter().map(stored).collect()
    }

    fn feed(&self) -> Option<Feed> {
        let file = self.file.clone()?;
        Some(feed::feed(file, self.writer.clone(), self.feeds.clone()))
    }

    fn lease(&self) -> Duration {
        feed::LEASE
    }

    async fn everywhere(&self, lease: Duration) -> Result<Option<Receipt>, StoreError> {
        if self.file.is_none() {
            // It is in this process, and in no other.
            return Ok(Some(Receipt::new(1, 1, Duration::ZERO)));
        }
        Ok(Some(feed::everywhere(lease).await))
    }

    fn keeps_tokens(&self) -> bool {
        true
    }

    fn check_key(&self) -> CheckKey {
        self.check_key.clone()
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests;
