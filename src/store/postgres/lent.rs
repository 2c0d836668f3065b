use std::time::Duration;

use sqlx::{PgConnection, PgPool, Postgres, pool::PoolConnection};
use tokio::time::timeout;

use crate::store::{StoreError, StoreErrorKind, sql::unavailable};

/// Longer than the database lets a statement take: whoever has not answered by then is lost on the way.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
/// How long a connection that is given back may take to say that it is in order.
const RETURN_TIMEOUT: Duration = Duration::from_secs(5);

/// Does some work on a connection of a pool, in time.
pub(super) async fn on<T>(
    pool: &PgPool,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut lent = Lent {
        connection: pool.acquire().await.map_err(unavailable)?,
        answered: false,
    };
    let done = in_time(work(&mut lent.connection)).await;
    lent.answered = !matches!(&done, Err(Late));
    done?
}

/// Waits for it, but not for ever.
pub(super) async fn in_time<T>(work: impl Future<Output = T>) -> Result<T, Late> {
    timeout(PATIENCE, work).await.map_err(|_| Late)
}

/// The database has not answered in time.
pub(super) struct Late;

impl From<Late> for StoreError {
    fn from(_: Late) -> Self {
        Self::new(StoreErrorKind::Unavailable, "the database did not answer in time")
    }
}

/// A connection out of a pool. Given up while an answer was due, by a time-out or a caller that went away, it does not go back: it may
/// have fallen silent for good, and the pool would wait for it for ever.
struct Lent {
    connection: PoolConnection<Postgres>,
    answered: bool,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.answered {
            self.connection.close_on_drop();
        }
    }
}

/// What a pool asks of a connection that comes back. sqlx asks the same, and would wait for ever.
pub(super) async fn in_order(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let answer = timeout(RETURN_TIMEOUT, sqlx::Connection::ping(connection)).await;
    answer
        .map_err(|late| sqlx::Error::Io(late.into()))?
        .map(|()| true)
}
