//! What a change does to the cache: rules 5 and 6, and what is heard from elsewhere.

use std::{sync::atomic::Ordering, time::Duration};

use super::{Cache, shard::Shard};
use crate::{
    event::{Invalidate, Settled},
    key::KeyDigest,
};

impl<V: Clone> Cache<V> {
    /// Leaves a tombstone. The ring of tombstones is bounded: when it is full it begins anew, and so does everything kept.
    pub(super) fn bury(&self, shard: &mut Shard<V>, digest: &KeyDigest) {
        self.good.remove(digest);
        if shard.bury(*digest) {
            self.epoch.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Every change from before `sent` has been heard of. Says whether that was not so a moment ago: then nothing from before is used any
    /// more, since nobody waited for this process to hear of changes meanwhile.
    pub(in crate::authn) fn proven(&self, sent: Duration) -> bool {
        let lapsed = !self.lease.holds(self.clock.elapsed());
        if lapsed {
            // Before the renewal: whoever sees the new lease sees the new epoch.
            self.epoch.fetch_add(1, Ordering::SeqCst);
        }
        self.lease.renew(sent);
        lapsed
    }

    /// Changes are not heard of any more.
    pub(in crate::authn) fn lost(&self) {
        self.lease.end();
    }

    /// Whether changes are heard of, so that what is kept may be used.
    pub(in crate::authn) fn is_leased(&self) -> bool {
        self.lease.holds(self.clock.elapsed())
    }
}

impl<V: Clone + Send + Sync> Invalidate for Cache<V> {
    fn fence(&self, digest: &KeyDigest) {
        let mut shard = self.shard(digest).lock();
        shard.fence(*digest);
        self.good.remove(digest);
    }

    fn settle(&self, digest: &KeyDigest, outcome: Settled) {
        let mut shard = self.shard(digest).lock();
        shard.next_generation(digest);
        self.good.remove(digest);
        self.refused.remove(digest);
        match outcome {
            Settled::Changed => shard.lift_fence(digest),
            Settled::Revoked => {
                self.bury(&mut shard, digest);
                shard.lift_fence(digest);
            }
            Settled::Unknown => {}
        }
    }

    fn fence_all(&self) {
        self.fences.fetch_add(1, Ordering::SeqCst);
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    fn settle_all(&self, known: bool) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        if known {
            self.fences.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn forget(&self, digest: &KeyDigest) {
        let mut shard = self.shard(digest).lock();
        shard.next_generation(digest);
        self.good.remove(digest);
        self.refused.remove(digest);
    }

    fn forget_all(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }
}
