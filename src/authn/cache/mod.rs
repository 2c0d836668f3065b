//! The cache of verdicts, and the rules that keep a revoked key out of it.
//!
//! Two facts make the obvious cache wrong. A look-up that read "good" can finish after a revoke has; and a request that begins after
//! the revoke has answered can join such a look-up. So a shard of digests has a *generation*:
//!
//! 1. every look-up ("flight") remembers the generation in which it began, and a change of a key begins a new one;
//! 2. a flight's answer is **kept** only if its generation is still the present one and the key is not fenced;
//! 3. a request **joins** a flight only if its generation is the present one, else it starts another. The old flight still
//!    answers those that wait for it: they began before the change was answered;
//! 4. a kept verdict is **used** only before its deadline, which is never later than the key's expiry;
//! 5. a change **fences** its key before it can be committed, and afterwards forgets the verdict, detaches the flight and
//!    begins a new generation, all under the shard's lock. It is answered after that;
//! 6. a revocation leaves a tombstone, so that not even a store that lags can bring the key back.
//!
//! What is kept of good keys and of unknown ones is bounded apart, so that a flood of unknown keys never pushes out a good one.
//! Verdicts that may turn good again without anybody telling (disabled, expired, unavailable) are not kept at all.
//!
//! One lock is taken for a miss and for a change, for a few map operations, and never across an await. A hit does not take it.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use quick_cache::{OptionsBuilder, UnitWeighter, sync::DefaultLifecycle};
use tokio::sync::oneshot;

use self::{
    flight::Flight,
    mix::Mix,
    shard::Shard,
    sync::{AtomicU64, AtomicUsize, Mutex},
};
use super::refusal::{Refusal, RefusalKind, Unavailable};
use crate::{
    clock::Clock,
    event::{Invalidate, Settled},
    key::KeyDigest,
};

mod flight;

mod mix;

mod shard;

mod sync;

#[cfg(test)]
mod tests;

const SHARDS: usize = 64;

/// What is answered to everyone who asked for the same key.
pub(super) type Outcome<V> = Result<V, Refusal>;

/// How much is kept, and for how long.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) good: usize,
    pub(crate) unknown: usize,
    pub(crate) good_for: Duration,
    pub(crate) unknown_for: Duration,
    pub(crate) flights: usize,
}

/// What a look-up found.
pub(super) enum Found<V> {
    /// A good key, and how long it stays good of itself.
    Good(V, Option<Duration>),
    /// No such key.
    Unknown,
    /// A key that is not good now, but may be later: nothing is kept.
    NotNow(Refusal),
    /// A key that is revoked: kept for good.
    Revoked,
}

/// What a request must do about a key that is no hit.
pub(super) enum Begin<V: Clone> {
    /// Nothing: it is decided.
    Decided(Outcome<V>),
    /// Wait for the flight of another.
    Join(oneshot::Receiver<Outcome<V>>),
    /// Look the key up, in a task of its own, and wait for it like the others.
    Lead(Lead<V>, oneshot::Receiver<Outcome<V>>),
}

pub(crate) struct Cache<V> {
    shards: Box<[Mutex<Shard<V>>]>,
    good: Bounded<Kept<V>>,
    unknown: Bounded<Kept<()>>,
    /// The generation of everything, for the rare change that is not of one key.
    epoch: AtomicU64,
    flights: AtomicUsize,
    mix: Mix,
    clock: Arc<dyn Clock>,
    limits: Limits,
}

type Bounded<T> = quick_cache::sync::Cache<KeyDigest, T, UnitWeighter, Mix, DefaultLifecycle<KeyDigest, T>>;

#[derive(Clone)]
struct Kept<T> {
    value: T,
    until: Duration,
    epoch: u64,
}

impl<V: Clone> Cache<V> {
    pub(crate) fn new(limits: Limits, clock: Arc<dyn Clock>) -> Self {
        let mix = Mix::random();
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::new())).collect(),
            good: bounded(limits.good, &mix),
            unknown: bounded(limits.unknown, &mix),
            epoch: AtomicU64::new(0),
            flights: AtomicUsize::new(0),
            mix,
            clock,
            limits,
        }
    }

    /// The verdict on a good key, if it is kept and may still be used.
    pub(super) fn hit(&self, digest: &KeyDigest) -> Option<V> {
        self.usable(&self.good, digest)
    }

    /// Whether the key is known to be unknown.
    pub(super) fn is_unknown(&self, digest: &KeyDigest) -> bool {
        self.usable(&self.unknown, digest).is_some()
    }

    /// Decides, joins a flight, or begins one.
    pub(super) fn begin(self: &Arc<Self>, digest: &KeyDigest) -> Begin<V> {
        let mut shard = self.shard(digest).lock();
        if shard.is_revoked(digest) {
            return Begin::Decided(Err(Refusal::new(RefusalKind::KeyRevoked)));
        }
        // Again, under the lock: the flight that this request missed may just have landed.
        if let Some(value) = self.hit(digest) {
            return Begin::Decided(Ok(value));
        }
        let epoch = self.epoch.load(Ordering::Acquire);
        let (wake, answer) = oneshot::channel();
        if let Some(flight) = shard.joinable(digest, epoch) {
            flight.join(wake);
            return Begin::Join(answer);
        }
        if self.flights.fetch_add(1, Ordering::Relaxed) >= self.limits.flights {
            self.flights.fetch_sub(1, Ordering::Relaxed);
            let overload = Unavailable::new("too many look-ups are under way");
            return Begin::Decided(Err(Refusal::unavailable(overload)));
        }
        let flight = Arc::new(Flight::new(shard.generation(), epoch, wake));
        shard.took_off(*digest, flight.clone());
        let lead = Lead {
            cache: self.clone(),
            digest: *digest,
            flight,
            landed: false,
        };
        Begin::Lead(lead, answer)
    }

    /// How many look-ups are under way, detached ones included.
    #[cfg(test)]
    pub(super) fn flights(&self) -> usize {
        self.flights.load(Ordering::Relaxed)
    }

    fn usable<T: Clone>(&self, kept: &Bounded<Kept<T>>, digest: &KeyDigest) -> Option<T> {
        let kept = kept.get(digest)?;
        let present = kept.epoch == self.epoch.load(Ordering::Acquire);
        (present && self.clock.elapsed() < kept.until).then_some(kept.value)
    }

    fn shard(&self, digest: &KeyDigest) -> &Mutex<Shard<V>> {
        &self.shards[self.mix.place(digest, SHARDS)]
    }

    fn land(&self, digest: &KeyDigest, flight: &Arc<Flight<V>>, sent: Duration, found: Option<Found<V>>) {
        let mut shard = self.shard(digest).lock();
        let current = shard.landed(digest, flight) && flight.epoch == self.epoch.load(Ordering::Acquire);
        let keep = |lifetime: Duration| sent.saturating_add(self.mix.shorten(digest, sent, lifetime));
        let outcome = match found {
            Some(Found::Good(value, good_for)) => {
                if current {
                    let until = keep(self.limits.good_for);
                    let until = good_for.map_or(until, |good_for| until.min(sent.saturating_add(good_for)));
                    let kept = Kept {
                        value: value.clone(),
                        until,
                        epoch: flight.epoch,
                    };
                    self.good.insert(*digest, kept);
                }
                Ok(value)
            }
            Some(Found::Unknown) => {
                if current {
                    let kept = Kept {
                        value: (),
                        until: keep(self.limits.unknown_for),
                        epoch: flight.epoch,
                    };
                    self.unknown.insert(*digest, kept);
                }
                Err(Refusal::because(RefusalKind::InvalidKey, "unknown"))
            }
            Some(Found::Revoked) => {
                self.bury(&mut shard, digest);
                Err(Refusal::new(RefusalKind::KeyRevoked))
            }
            Some(Found::NotNow(refusal)) => Err(refusal),
            None => Err(Refusal::unavailable(Unavailable::new(
                "the look-up ended without an answer",
            ))),
        };
        drop(shard);
        self.flights.fetch_sub(1, Ordering::Relaxed);
        flight.answer(&outcome);
    }

    /// Leaves a tombstone. The ring of tombstones is bounded: when it is full it begins anew, and so does everything kept.
    fn bury(&self, shard: &mut Shard<V>, digest: &KeyDigest) {
        self.good.remove(digest);
        if shard.bury(*digest) {
            self.epoch.fetch_add(1, Ordering::AcqRel);
        }
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
        self.unknown.remove(digest);
        match outcome {
            Settled::Changed => shard.lift_fence(digest),
            Settled::Revoked => {
                self.bury(&mut shard, digest);
                shard.lift_fence(digest);
            }
            Settled::Unknown => {}
        }
    }
}

impl<V> fmt::Debug for Cache<V> {
    // Not what is in it: digests and principals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The duty to land a flight. Dropped on the way, by a panic or the end of the runtime, it lands it as unavailable, so that nobody
/// waits for ever and the next request starts afresh.
pub(super) struct Lead<V: Clone> {
    cache: Arc<Cache<V>>,
    digest: KeyDigest,
    flight: Arc<Flight<V>>,
    landed: bool,
}

impl<V: Clone> Lead<V> {
    /// The end of the look-up, which was `sent` at this time of the clock: lifetimes count from there, not from when the answer came.
    pub(super) fn land(mut self, sent: Duration, found: Found<V>) {
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

fn bounded<T: Clone>(capacity: usize, mix: &Mix) -> Bounded<T> {
    let capacity = capacity.max(1);
    let options = OptionsBuilder::new()
        .estimated_items_capacity(capacity)
        .weight_capacity(capacity as u64)
        .build()
        .expect("both capacities are set");
    Bounded::with_options(options, UnitWeighter, mix.clone(), DefaultLifecycle::default())
}
