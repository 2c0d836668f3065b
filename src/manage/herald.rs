use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::{
    event::{Change, ChannelError, DynChannel},
    trace,
};

/// How long one attempt may take.
const TELL_TIMEOUT: Duration = Duration::from_secs(1);
/// From a failed one to the next.
const PAUSE: Duration = Duration::from_millis(200);

/// Tells other processes of changes, where the store does not.
#[derive(Debug, Clone)]
pub(crate) struct Herald {
    channel: Arc<dyn DynChannel>,
    /// After how long nobody uses anything from before, told or not.
    untold: Duration,
}

impl Herald {
    pub(crate) fn new(channel: Arc<dyn DynChannel>, untold: Duration) -> Self {
        Self { channel, untold }
    }

    /// After a change: comes back once it has been told, or nobody can use anything from before. The change has happened, so that there is
    /// nothing else that could be answered.
    pub(super) async fn tell(&self, change: &Change) {
        if is_nothing(change) {
            return;
        }
        let run_out = Instant::now().checked_add(self.untold);
        let Err(cause) = self.attempt(change).await else {
            return;
        };
        trace::untold(&cause);
        let trying = async {
            loop {
                sleep(PAUSE).await;
                if self.attempt(change).await.is_ok() {
                    return;
                }
            }
        };
        // Told or run out, nothing from before is used after this.
        match run_out {
            Some(run_out) => drop(timeout_at(run_out, trying).await),
            // What is cached for ever runs out never.
            None => trying.await,
        }
    }

    /// Tells of a change that may have happened, or may happen yet: nobody is promised anything.
    pub(super) async fn mention(&self, change: &Change) {
        if !is_nothing(change)
            && let Err(cause) = self.attempt(change).await
        {
            trace::untold(&cause);
        }
    }

    async fn attempt(&self, change: &Change) -> Result<(), ChannelError> {
        let telling = timeout(TELL_TIMEOUT, self.channel.tell(change)).await;
        telling.unwrap_or_else(|late| Err(ChannelError::new(late)))
    }
}

/// As what was refused is.
fn is_nothing(change: &Change) -> bool {
    matches!(change, Change::Keys(digests) if digests.is_empty())
}
