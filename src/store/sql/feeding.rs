//! How a store that is closed waits for its feeds.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};

/// How long a feed may take to say that it ends. Whoever waits for it elsewhere waits for its lease then.
pub(in super::super) const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// The feeds of a store that run.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Running(Arc<watch::Sender<usize>>);

impl Running {
    /// One more, until what is returned is dropped.
    pub(in super::super) fn enter(&self) -> Entered {
        self.0.send_modify(|feeds| *feeds += 1);
        Entered(self.clone())
    }

    /// Waits until all of them have ended, for a while.
    pub(in super::super) async fn end(&self) {
        let mut feeds = self.0.subscribe();
        let ended = feeds.wait_for(|feeds| *feeds == 0);
        // One that hangs is not worth hanging for.
        drop(timeout(2 * LEAVE_TIMEOUT, ended).await);
    }
}

/// A feed that runs.
#[derive(Debug)]
pub(in super::super) struct Entered(Running);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.send_modify(|feeds| *feeds -= 1);
    }
}
