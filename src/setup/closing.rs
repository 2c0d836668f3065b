use std::time::Duration;

use tokio::time::timeout;

use super::{ApiKeyAuth, Builder};

/// How long a program that ends waits for what is left to be done.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Often enough for anybody who looks, and seldom enough for any store.
const LEAST_PERIOD: Duration = Duration::from_secs(1);

impl Builder {
    /// How often it is written down when keys were last used; every 60 s if not set, at least 1 s. Zero writes nothing down.
    ///
    /// In such a period a key is written once, however often it was used, and 500 of them with one statement. A failure to write is logged and
    /// tried again, and touches no request. A process that is killed forgets the uses of one period; one that ends should call
    /// [`ApiKeyAuth::close`].
    pub fn last_used_every(mut self, period: Duration) -> Self {
        self.last_used_every = match period.is_zero() {
            true => period,
            false => period.max(LEAST_PERIOD),
        };
        self
    }
}

impl ApiKeyAuth {
    /// Does what is left to be done before a program ends: writes down when keys were last used, and ends what runs in the background. For all
    /// clones. Takes 5 s at most; doing it twice does no harm. From then on every key is looked up.
    ///
    /// To be called when no request is under way any more, and before the store is closed. Keys go on working, but when they are used is
    /// written down only by another call of this.
    pub async fn close(&self) {
        if let Some(expiring) = &self.managed.told.expiring {
            expiring.end();
        }
        let Some(lookup) = &self.gate.authenticator.lookup else {
            return;
        };
        if let Some(listening) = &lookup.listening {
            listening.end();
        }
        if let Some(usage) = &lookup.usage {
            // What was not written in time has been logged, or the store hangs and somebody else says so.
            let _in_time = timeout(CLOSE_TIMEOUT, usage.close()).await;
        }
    }
}
