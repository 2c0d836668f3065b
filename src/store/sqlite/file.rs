//! What a file must be, and what becomes of a connection to it.

use std::{fs, path::Path};

use sqlx::{Connection as _, SqliteConnection, SqlitePool};

use crate::store::{StoreError, StoreErrorKind, sql::unavailable};

/// What a URL says of how to open the file; a path says nothing.
pub(super) fn mode_of(location: &str) -> Option<&str> {
    let (_, query) = location.strip_prefix("sqlite:")?.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix("mode="))
}

/// Makes a file that is not there yet, for its owner alone: what is in it lets nobody in, but is nobody else's business either. SQLite
/// gives the files beside it the same mode. What cannot be made here SQLite will complain of.
pub(super) fn make_private(path: &Path) {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    drop(options.open(path));
}

/// Refuses a file on which the promise "answered means durable" would not hold; says whether it is no file at all.
pub(super) async fn assert_durable(pool: &SqlitePool) -> Result<bool, StoreError> {
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

/// Whether the connection may be used again. SQLite ends a transaction by itself when the disk is full, and sqlx then counts one that
/// is open for ever, so that nothing could be written before the next start.
pub(super) async fn in_step(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // Comes back after the roll-back that a dropped transaction has queued.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

pub(super) fn is_busy(error: &StoreError) -> bool {
    const BUSY: u32 = 5;
    let cause = error
        .source
        .as_ref()
        .and_then(|cause| cause.downcast_ref::<sqlx::Error>());
    let code = cause.and_then(|error| error.as_database_error()?.code()?.parse::<u32>().ok());
    // The low byte of an extended code is what it extends.
    code.is_some_and(|code| code & 0xFF == BUSY)
}
