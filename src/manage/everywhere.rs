use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until, timeout};

use crate::{event::Receipt, store::DynStore, trace};

/// How much longer than a lease a store may take to count who has heard: it has to ask before it waits.
const GRACE: Duration = Duration::from_secs(1);

/// Waits for every process on the same store to apply a change.
#[derive(Debug, Clone)]
pub(crate) struct Everywhere {
    store: Arc<dyn DynStore>,
    /// After how long nothing from before is used by processes that nobody tells.
    untold: Duration,
    /// Whether every change is waited for.
    strict: bool,
}

impl Everywhere {
    pub(crate) fn new(store: Arc<dyn DynStore>, untold: Duration, strict: bool) -> Self {
        Self {
            store,
            untold,
            strict,
        }
    }

    /// Who has heard of a change, if that is to be waited for.
    pub(super) async fn after_change(&self) -> Option<Receipt> {
        match self.strict {
            true => Some(self.wait().await),
            false => None,
        }
    }

    /// How long after a change nothing from before is used by anybody, whether they have heard of it or not.
    pub(super) fn lasts(&self) -> Duration {
        match self.store.tells() {
            true => self.store.lease(),
            false => self.untold,
        }
    }

    /// Does not fail: the change is made, and where the store cannot say who has heard of it, time will do as well. Whoever has a lease when
    /// that is over got it for a beat from after the change, and has heard of the change before that.
    async fn wait(&self) -> Receipt {
        let begun = Instant::now();
        let lasts = self.lasts();
        let asking = self.store.everywhere(self.store.lease());
        match timeout(lasts.saturating_add(GRACE), asking).await {
            Ok(Ok(Some(receipt))) => return receipt,
            Ok(Ok(None)) => {}
            Ok(Err(error)) => trace::unheard(&error),
            Err(late) => trace::unheard(&late),
        }
        match begun.checked_add(lasts) {
            Some(end) => sleep_until(end).await,
            // Nothing is ever cached for so long that it could not be waited for, unless somebody asks for that.
            None => std::future::pending().await,
        }
        Receipt::new(1, 1, begun.elapsed())
    }
}
