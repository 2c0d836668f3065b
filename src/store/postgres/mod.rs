use std::{fmt, str::FromStr, sync::Arc, time::Duration, time::SystemTime};

use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions, PgRow},
};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    Balance, Decide, EventQuery, ExpiryQuery, KeyPage, KeyQuery, KeyStore, Reads, Spent, StoreError,
    StoreErrorKind, StoredKey,
    sql::{self, Columns, Running, corrupt, unavailable},
};
use crate::{
    event::{ChainHead, Feed, LoggedEvent, Receipt},
    key::{CheckKey, KeyDigest, KeyId},
};

mod connection;

mod lent;

mod nodes;

mod feed;

const MIGRATIONS: &[&str] = &[
    include_str!("0001_keys.sql"),
    include_str!("0002_changes.sql"),
    include_str!("0003_credits.sql"),
    include_str!("0004_exchanged.sql"),
];

/// Keys in a PostgreSQL database, for several machines.
///
/// Expiry is judged by the database's clock, so machines whose clocks differ agree. Changes have connections of their own, so that
/// a flood of look-ups does not hold up a revoke. The database has to be the primary: a replica that lags can say "good" of a key that
/// was revoked a moment ago.
///
/// Triggers tell of every change of a key, whatever program makes it, and each process listens on a connection of its own. That one has
/// to be to the database itself or to a pooler in session mode: see [`PostgresStore::listen_url`]. What an owner may do is in tables of the
/// application's; with an [`OwnerDirectory`](crate::authn::OwnerDirectory) it says of these that they changed, with one line of SQL:
///
/// ```sql
/// CREATE TRIGGER api_key_owner_changed AFTER UPDATE OF suspended_at OR DELETE ON users
///     FOR EACH STATEMENT EXECUTE FUNCTION api_key_owner_changed();
/// ```
///
/// Every key is looked up anew then, so a column that each request writes must not be among those it names.
///
/// Clones share the connections.
#[derive(Clone)]
pub struct PostgresStore {
    reader: PgPool,
    writer: PgPool,
    /// For telling who listens, and asking whether they have heard: whoever waits to change something is not before it.
    teller: PgPool,
    /// For paying for uses: neither look-ups nor changes are behind them.
    payer: PgPool,
    /// Who waits to pay does not stand before a revoke, where both are done by the same connections.
    paying: Arc<Semaphore>,
    listening: Arc<PgConnectOptions>,
    feeds: Running,
    check_key: CheckKey,
}

const READERS: u32 = 8;
const WRITERS: u32 = 2;
const TELLERS: u32 = 2;
const PAYERS: u32 = 4;

/// How many of the connections for changes may be paying, where there are no others for that.
fn payers_of(writer: &PgPool) -> usize {
    (writer.options().get_max_connections() as usize / 2).max(1)
}
/// How long to wait for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Whatever the database's default is: a change has to see what the one before it wrote.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
/// Any number, so long as it is nobody else's.
const MIGRATION_LOCK: &str = "SELECT pg_advisory_xact_lock(6077208461573216101)";
/// As exact as the server has it. A cast rounds: whole milliseconds would be of a time to come, and end keys before their time.
macro_rules! now {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now"
    };
}
const NOW: &str = concat!("SELECT ", now!());
/// Whether the server follows another: it may have begun to since the store was opened.
macro_rules! replica {
    () => {
        "pg_is_in_recovery()::int::bigint AS replica"
    };
}
const REPLICA: &str = concat!("SELECT ", replica!());
/// Always a row, with what the server is: that a replica has no such key yet says nothing.
macro_rules! find {
    ($digest:literal) => {
        concat!(
            "SELECT replica, now, ",
            sql::key_columns!(),
            " FROM (SELECT ",
            replica!(),
            ", ",
            now!(),
            ") AS server LEFT JOIN api_keys ON digest = ",
            $digest
        )
    };
}
const FIND: &str = find!("$1");
const FIND_MANY: &str = find!("ANY($1)");

impl PostgresStore {
    /// Connects to `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, and brings the tables up to date.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached or brought up to date, is a replica, or does not make durable what it commits.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url).map_err(unavailable)?;
        let options = options
            .application_name("tower-api-key")
            // What hangs must not hold a connection for ever, nor, where the client is lost in the middle of a change, the log. All of
            // them together are shorter than `doubt`.
            .options([
                ("statement_timeout", "10s"),
                ("lock_timeout", "5s"),
                ("idle_in_transaction_session_timeout", "10s"),
                ("synchronous_commit", "on"),
            ]);
        // Not through a pool, which tries until its time is up and then does not say what was wrong.
        let mut first = lent::in_time(options.connect()).await?.map_err(unavailable)?;
        let check_key = lent::in_time(prepare(&mut first)).await??;
        first.close().await.map_err(unavailable)?;
        let pool = PgPoolOptions::new()
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_release(|connection, _| Box::pin(lent::in_order(connection)));
        Ok(Self {
            reader: pool
                .clone()
                .max_connections(READERS)
                .connect_lazy_with(options.clone()),
            writer: pool
                .clone()
                .max_connections(WRITERS)
                .connect_lazy_with(options.clone()),
            teller: pool
                .clone()
                .max_connections(TELLERS)
                .connect_lazy_with(options.clone()),
            payer: pool.max_connections(PAYERS).connect_lazy_with(options.clone()),
            paying: Arc::new(Semaphore::new(PAYERS as usize)),
            listening: Arc::new(options),
            feeds: Running::default(),
            check_key,
        })
    }

    /// With connections of the application's own: for look-ups, and for changes. Both may be the same, and both are to the primary.
    ///
    /// They should have a `statement_timeout`, a `lock_timeout` and an `idle_in_transaction_session_timeout` of some seconds, as those of
    /// [`PostgresStore::connect`] have: a client that is lost in the middle of a change otherwise keeps all others from changing anything.
    ///
    /// # Errors
    ///
    /// As [`PostgresStore::connect`].
    pub async fn with_pools(reader: PgPool, writer: PgPool) -> Result<Self, StoreError> {
        let check_key = lent::on(&writer, async |connection| prepare(connection).await).await?;
        lent::on(&reader, async |connection| {
            let row = sqlx::query(REPLICA).fetch_one(connection).await;
            assert_primary(&row.map_err(unavailable)?)
        })
        .await?;
        let listening = writer.connect_options();
        Ok(Self {
            reader,
            teller: writer.clone(),
            payer: writer.clone(),
            paying: Arc::new(Semaphore::new(payers_of(&writer))),
            writer,
            listening,
            feeds: Running::default(),
            check_key,
        })
    }

    /// Where to listen for changes, when not where everything else is done: past a pooler that lends its connections by the transaction,
    /// which would swallow them. It has to be the same database. A listener that does not hear what is told there is noticed, logged, and
    /// nothing is cached.
    ///
    /// # Errors
    ///
    /// When this is not a `postgres://` URL.
    pub fn listen_url(mut self, url: &str) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url).map_err(unavailable)?;
        self.listening = Arc::new(options);
        Ok(self)
    }

    async fn turn_to_pay(&self) -> Result<SemaphorePermit<'_>, StoreError> {
        let turn = self.paying.acquire().await;
        turn.map_err(|closed| StoreError::new(StoreErrorKind::Unavailable, closed))
    }

    /// Waits until every statement under way is done, and closes the connections. What is cached is not used any more, and nobody
    /// elsewhere waits for this process.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
        self.teller.close().await;
        self.payer.close().await;
        self.feeds.end().await;
    }
}

impl KeyStore for PostgresStore {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<StoredKey>, StoreError> {
        lent::on(&self.reader, async |sql| {
            let query = sqlx::query(FIND).bind(digest.as_bytes().as_slice());
            stored(&query.fetch_one(sql).await.map_err(unavailable)?)
        })
        .await
    }

    async fn get(&self, id: KeyId) -> Result<Option<StoredKey>, StoreError> {
        lent::on(&self.reader, async |sql| sql::get(sql, id).await).await
    }

    async fn transact(&self, reads: Reads, decide: Decide) -> Result<(), StoreError> {
        lent::on(&self.writer, async |sql| {
            let mut transaction = sql.begin_with(BEGIN).await.map_err(unavailable)?;
            sql::transact(&mut *transaction, reads, decide).await?;
            transaction.commit().await.map_err(unavailable)
        })
        .await
    }

    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        lent::on(&self.reader, async |sql| sql::list(sql, query).await).await
    }

    async fn events(&self, query: &EventQuery) -> Result<Vec<LoggedEvent>, StoreError> {
        lent::on(&self.reader, async |sql| sql::events(sql, query).await).await
    }

    async fn log_after(&self, seq: i64, limit: u32) -> Result<Vec<LoggedEvent>, StoreError> {
        lent::on(&self.reader, async |sql| sql::log_after(sql, seq, limit).await).await
    }

    async fn log_head(&self) -> Result<ChainHead, StoreError> {
        lent::on(&self.reader, async |sql| sql::head(sql, false).await).await
    }

    async fn expired_before(&self, moment: SystemTime, limit: u32) -> Result<Vec<KeyId>, StoreError> {
        lent::on(&self.reader, async |sql| {
            sql::expired_before(sql, moment, limit).await
        })
        .await
    }

    async fn expiring(&self, query: &ExpiryQuery) -> Result<Option<KeyPage>, StoreError> {
        let page = lent::on(&self.reader, async |sql| sql::expiring(sql, query).await);
        page.await.map(Some)
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        lent::on(&self.reader, async |sql| sql::is_empty(sql).await).await
    }

    async fn has_imported(&self) -> Result<bool, StoreError> {
        lent::on(&self.reader, async |sql| sql::has_imported(sql).await).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // Not `SELECT 1`: the table must be there too.
        self.is_empty().await.map(drop)
    }

    async fn touch(&self, uses: &[(KeyId, SystemTime)]) -> Result<(), StoreError> {
        lent::on(&self.writer, async |sql| sql::touch(sql, uses).await).await
    }

    async fn spend(&self, account: KeyId, cost: u32) -> Result<Spent, StoreError> {
        let _turn = self.turn_to_pay().await?;
        lent::on(&self.payer, async |sql| sql::spend(sql, account, cost).await).await
    }

    async fn give_back(&self, account: KeyId, cost: u32) -> Result<(), StoreError> {
        let _turn = self.turn_to_pay().await?;
        lent::on(&self.payer, async |sql| sql::give_back(sql, account, cost).await).await
    }

    async fn credits(&self, accounts: &[KeyId]) -> Result<Vec<Balance>, StoreError> {
        lent::on(&self.reader, async |sql| sql::balances(sql, accounts).await).await
    }

    async fn find_many(&self, digests: &[KeyDigest]) -> Result<Vec<StoredKey>, StoreError> {
        lent::on(&self.reader, async |sql| {
            let digests: Vec<&[u8]> = digests
                .iter()
                .map(|digest| digest.as_bytes().as_slice())
                .collect();
            let rows = sqlx::query(FIND_MANY).bind(digests).fetch_all(sql).await;
            let rows = rows.map_err(unavailable)?;
            rows.iter().filter_map(|row| stored(row).transpose()).collect()
        })
        .await
    }

    fn feed(&self) -> Option<Feed> {
        let (listening, teller) = (self.listening.clone(), self.teller.clone());
        Some(feed::feed(listening, teller, self.feeds.clone()))
    }

    async fn everywhere(&self, lease: Duration) -> Result<Option<Receipt>, StoreError> {
        nodes::everywhere(&self.teller, lease).await.map(Some)
    }

    fn keeps_tokens(&self) -> bool {
        true
    }

    fn check_key(&self) -> CheckKey {
        self.check_key.clone()
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}

fn stored(row: &PgRow) -> Result<Option<StoredKey>, StoreError> {
    assert_primary(row)?;
    if row.text("id")?.is_none() {
        return Ok(None);
    }
    Ok(Some(StoredKey::new(sql::found(row)?, now_of(row)?)))
}

fn now_of(row: &PgRow) -> Result<SystemTime, StoreError> {
    let micros = row.int("now")?.and_then(|micros| u64::try_from(micros).ok());
    let now = micros.and_then(|micros| SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(micros)));
    now.ok_or_else(no_date)
}

fn no_date() -> StoreError {
    corrupt("the database's time is no date")
}

/// Makes sure that the database will do, brings its tables up to date, and reads the check key.
async fn prepare(connection: &mut PgConnection) -> Result<CheckKey, StoreError> {
    assert_durable(connection).await?;
    let mut transaction = connection.begin_with(BEGIN).await.map_err(unavailable)?;
    let locked = sqlx::query(MIGRATION_LOCK).execute(&mut *transaction).await;
    locked.map_err(unavailable)?;
    sql::migrate(&mut *transaction, MIGRATIONS).await?;
    let check_key = sql::check_key(&mut *transaction).await?;
    transaction.commit().await.map_err(unavailable)?;
    Ok(check_key)
}

/// Refuses a database on which the promises "answered means durable" and "no replica that lags" would not hold.
async fn assert_durable(connection: &mut PgConnection) -> Result<(), StoreError> {
    const SETTINGS: &str = concat!(
        "SELECT current_setting('synchronous_commit') AS synchronous, ",
        replica!()
    );
    let row = sqlx::query(SETTINGS)
        .fetch_one(connection)
        .await
        .map_err(unavailable)?;
    assert_primary(&row)?;
    match row.text("synchronous")?.as_deref() {
        Some("on" | "remote_apply" | "remote_write" | "local") => Ok(()),
        _ => Err(StoreError::new(
            StoreErrorKind::Unavailable,
            "PostgreSQL has synchronous_commit off; it must be on",
        )),
    }
}

fn assert_primary(row: &PgRow) -> Result<(), StoreError> {
    match row.int("replica")? {
        Some(0) => Ok(()),
        _ => Err(StoreError::new(
            StoreErrorKind::Unavailable,
            "PostgreSQL is a replica; the primary is needed",
        )),
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests;
