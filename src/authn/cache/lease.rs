use std::{sync::atomic::Ordering, time::Duration};

use super::sync::AtomicU64;
use crate::clock::to_nanos;

/// A lease is measured by this process's clock and waited out by another's, and no two run at the same rate: a twentieth is given away.
const MARGIN: u32 = 20;

/// Until when what is kept may be used: for as long as it is proven that every change is heard of.
pub(super) struct Lease {
    /// Nanoseconds of the cache's clock.
    until: AtomicU64,
    lasts: Duration,
}

impl Lease {
    /// One that has to be renewed all the time; `None` for one that never ends, where nobody tells of changes.
    pub(super) fn new(lasts: Option<Duration>) -> Self {
        let until = if lasts.is_some() { 0 } else { u64::MAX };
        let lasts = lasts.unwrap_or_default();
        Self {
            until: AtomicU64::new(until),
            lasts: lasts - lasts / MARGIN,
        }
    }

    pub(super) fn holds(&self, now: Duration) -> bool {
        to_nanos(now) < self.until.load(Ordering::Acquire)
    }

    /// Everything from before `sent` has been heard.
    pub(super) fn renew(&self, sent: Duration) {
        let until = to_nanos(sent.saturating_add(self.lasts));
        self.until.fetch_max(until, Ordering::AcqRel);
    }

    pub(super) fn end(&self) {
        self.until.store(0, Ordering::Release);
    }
}
