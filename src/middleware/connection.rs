use std::sync::Arc;

use tokio::sync::Notify;

/// A connection, put into the extensions of its requests by the server's accept loop, so that a client that does not read can be cut off.
///
/// A response body that is [ended](super::GuardedBody) says so to whoever reads it. Where the client does not, the server waits to write what
/// came before, and never gets to the end. So a quarter of a second after the end of a stream its connection is told: what cannot be
/// written then, is not to be waited for.
///
/// ```no_run
/// # use std::{future::Future, io, pin::pin};
/// # use tower_api_key::middleware::ConnectionHandle;
/// # async fn serve(connection: impl Future<Output = io::Result<()>>, write_is_blocked: impl Fn() -> bool) {
/// let handle = ConnectionHandle::new(); // a clone of it goes into the extensions of each request
/// let mut connection = pin!(connection);
/// loop {
///     tokio::select! {
///         _ = connection.as_mut() => break,
///         () = handle.overdue() => if write_is_blocked() { break },
///     }
/// }
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct ConnectionHandle(Arc<Notify>);

impl ConnectionHandle {
    /// For a connection that was just accepted.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until a stream of this connection should have ended a quarter of a second ago. A connection whose write is blocked at this
    /// moment is to be closed. One that is not is in order, and this can be waited for again.
    pub async fn overdue(&self) {
        self.0.notified().await;
    }

    pub(super) fn hurry(&self) {
        self.0.notify_one();
    }
}
