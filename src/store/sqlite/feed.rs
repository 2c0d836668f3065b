//! What other processes change in the file, read from it.

use std::{convert::Infallible, sync::Arc, time::Duration};

use sqlx::{
    ConnectOptions as _, Connection as _, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteRow},
};
use tokio::time::{Instant, error::Elapsed, sleep, sleep_until, timeout};

use crate::{
    event::{Feed, FeedSink, Outage, Receipt},
    key::KeyDigest,
    store::{
        StoreError, StoreErrorKind,
        sql::{Columns, Running, corrupt, unavailable},
    },
    trace::Causes,
};

/// A dozen looks at the file.
pub(super) const LEASE: Duration = Duration::from_millis(250);
/// From one look at the file to the next. One takes microseconds.
const POLL: Duration = Duration::from_millis(20);
/// How long one may take before the file is opened anew; it holds for the lease long before.
const POLL_TIMEOUT: Duration = Duration::from_secs(2);
/// So many changes are told one by one.
const PAGE: usize = 1000;
/// From the last change that was told on, which has to be there still.
const CHANGES: &str = "SELECT seq, digest FROM api_key_changes WHERE seq >= $1 ORDER BY seq LIMIT 1002";
const NEWEST: &str = "SELECT coalesce(max(seq), 0) AS seq FROM api_key_changes";
/// Changes whenever any other connection, of whatever process, has changed the file.
const VERSION: &str = "PRAGMA data_version";

/// A feed with a connection of its own to the file.
pub(super) fn feed(file: Arc<SqliteConnectOptions>, open: SqlitePool, running: Running) -> Feed {
    Feed::new(move |sink| async move {
        let mut closed = open.close_event();
        let entered = running.enter();
        let file = (*file)
            .clone()
            .create_if_missing(false)
            .busy_timeout(POLL_TIMEOUT);
        let mut connection = None;
        drop(closed.do_until(run(&sink, &file, &mut connection)).await);
        sink.lost("the store is closed");
        if let Some(connection) = connection.take() {
            drop(timeout(POLL_TIMEOUT, SqliteConnection::close(connection)).await);
        }
        // Whoever closes the store waits for this.
        drop(entered);
        std::future::pending().await
    })
}

/// Waits until every process has looked at the file, or can have no lease any more: who has it open is not known.
pub(super) async fn everywhere(lease: Duration) -> Receipt {
    let begun = Instant::now();
    sleep(lease).await;
    Receipt::new(1, 1, begun.elapsed())
}

async fn run(sink: &FeedSink, file: &SqliteConnectOptions, connection: &mut Option<SqliteConnection>) {
    let mut outage = Outage::none();
    loop {
        let Err(error) = watch(sink, file, connection, &mut outage).await;
        let pause = outage.go_on(sink, &Causes(&error).to_string());
        sleep(pause).await;
    }
}

/// Opens the file and looks at it until it cannot.
async fn watch(
    sink: &FeedSink,
    file: &SqliteConnectOptions,
    kept: &mut Option<SqliteConnection>,
    outage: &mut Outage,
) -> Result<Infallible, StoreError> {
    let connection = in_time(file.connect()).await?.map_err(unavailable)?;
    let connection = kept.insert(connection);
    let sent = sink.now();
    // What is changed in between is in what is read next, too.
    let mut version = in_time(number(connection, VERSION)).await??;
    let mut told = in_time(number(connection, NEWEST)).await??;
    sink.changed_all();
    sink.proven(sent);
    outage.end();
    loop {
        let next = Instant::now() + POLL;
        sleep_until(next).await;
        let sent = sink.now();
        let now = in_time(number(connection, VERSION)).await??;
        if now != version {
            told = in_time(tell(sink, connection, told)).await??;
            version = now;
        }
        sink.proven(sent);
    }
}

/// Tells what was changed after a change, and answers with the last. Where that one is gone, or one after it, anything may have changed:
/// it is too long ago, or somebody has put another database in this one's place.
async fn tell(sink: &FeedSink, connection: &mut SqliteConnection, told: i64) -> Result<i64, StoreError> {
    let rows = sqlx::query(CHANGES).bind(told).fetch_all(&mut *connection).await;
    let mut expected = told.max(1);
    let mut digests = Vec::new();
    let mut whole = true;
    for row in rows.map_err(unavailable)? {
        whole &= row.int("seq")? == Some(expected);
        if expected > told {
            digests.push(digest(&row)?);
        }
        expected += 1;
    }
    if whole && expected > told && digests.len() <= PAGE {
        digests.iter().for_each(|digest| sink.changed(digest));
        return Ok(expected - 1);
    }
    // The end first: what comes after it is told next time.
    let newest = number(connection, NEWEST).await?;
    sink.changed_all();
    Ok(newest)
}

fn digest(row: &SqliteRow) -> Result<KeyDigest, StoreError> {
    let digest: [u8; 32] = row.bytes("digest")?;
    Ok(KeyDigest::from_bytes(digest))
}

async fn number(connection: &mut SqliteConnection, query: &'static str) -> Result<i64, StoreError> {
    let number: Option<i64> = sqlx::query_scalar(query)
        .fetch_one(connection)
        .await
        .map_err(unavailable)?;
    number.ok_or_else(|| corrupt("no number"))
}

async fn in_time<T>(work: impl Future<Output = T>) -> Result<T, StoreError> {
    let late = |late: Elapsed| StoreError::new(StoreErrorKind::Unavailable, late);
    timeout(POLL_TIMEOUT, work).await.map_err(late)
}
