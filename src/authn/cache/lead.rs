use std::{sync::Arc, time::Duration};

use super::{Cache, Found, flight::Flight};
use crate::key::KeyDigest;

/// The duty to land a flight. Dropped on the way, by a panic or the end of the runtime, it lands it as unavailable, so that nobody
/// waits for ever and the next request starts afresh.
pub(in crate::authn) struct Lead<V: Clone> {
    cache: Arc<Cache<V>>,
    digest: KeyDigest,
    flight: Arc<Flight<V>>,
    landed: bool,
}

impl<V: Clone> Lead<V> {
    pub(super) fn new(cache: Arc<Cache<V>>, digest: KeyDigest, flight: Arc<Flight<V>>) -> Self {
        Self {
            cache,
            digest,
            flight,
            landed: false,
        }
    }

    /// Whether there is, or was until lately, a good verdict on the key.
    pub(in crate::authn) fn was_good(&self) -> bool {
        self.cache.good.get(&self.digest).is_some()
    }

    pub(in crate::authn) fn digest(&self) -> KeyDigest {
        self.digest
    }

    /// The store is about to be asked; this is the time. From here on the answer can be older than a request that comes.
    pub(in crate::authn) fn depart(&self) -> Duration {
        let _shard = self.cache.shard(&self.digest).lock();
        self.flight.depart();
        self.cache.clock.elapsed()
    }

    /// Ends the flight without an answer, unless somebody waits for one.
    pub(in crate::authn) fn unless_awaited(mut self) -> Option<Self> {
        let mut shard = self.cache.shard(&self.digest).lock();
        if self.flight.is_awaited() {
            drop(shard);
            return Some(self);
        }
        shard.landed(&self.digest, &self.flight);
        drop(shard);
        self.landed = true;
        None
    }

    /// The end of the look-up, which was `sent` at this time of the clock: lifetimes count from there, not from when the answer came.
    pub(in crate::authn) fn land(mut self, sent: Duration, found: Found<V>) {
        self.landed = true;
        self.cache.land(&self.digest, &self.flight, sent, Some(found));
    }
}

impl<V: Clone> Drop for Lead<V> {
    fn drop(&mut self) {
        if !self.landed {
            self.cache.land(&self.digest, &self.flight, Duration::ZERO, None);
        }
    }
}
