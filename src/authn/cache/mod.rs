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
//! Where changes are made by other processes, and a feed tells of them, there is a *lease*: the time for which it is proven that they are
//! heard of. While it holds the rules are the same. Once it has lapsed somebody may have been answered that a key is revoked without
//! this process knowing, so that
//!
//! 7. nothing is used or kept, and a request joins only a flight whose question has not been sent to the store yet;
//! 8. when it is renewed nothing from before counts any more: a new generation of everything, the *epoch*.
//!
//! What is kept of good keys and of refused ones is bounded apart, so that a flood of unknown keys never pushes out a good one. Refused are
//! the unknown and the expired, each for a while. That a key is disabled, or that the store could not say, is not kept at all: nobody may
//! tell when that is over.
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
    lease::Lease,
    mix::Mix,
    shard::Shard,
    sync::{AtomicU64, AtomicUsize, Mutex},
};
use super::refusal::{Refusal, RefusalKind, Unavailable};
use crate::{
    clock::Clock,
    key::KeyDigest,
    metric::{self, CacheMeter},
};

mod flight;

mod forget;

mod lead;

mod lease;

mod mix;

mod shard;

mod sync;

#[cfg(all(test, feature = "testing"))]
mod tests;

pub(super) use lead::Lead;

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
    /// How long a look-up can take: one that has taken longer hangs, and is not waited for by anybody new.
    pub(crate) flight_for: Duration,
    /// For how long it holds that changes are heard of; `None` where nobody tells of any.
    pub(crate) lease: Option<Duration>,
    /// How long after it was last confirmed a good key may be used where the store cannot say; zero for not at all.
    pub(crate) stale_for: Duration,
}

/// What a look-up found.
pub(super) enum Found<V> {
    /// A good key, and how long it stays good of itself.
    Good(V, Option<Duration>),
    /// A key that was good lately, while the store cannot say: nothing is kept.
    Stale(V),
    /// No such key.
    Unknown,
    /// A key that is not good, and hardly will be again: expired.
    NotGood(RefusalKind),
    /// A key that is not good now, but may be at any moment, or the store could not say: nothing is kept.
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
    refused: Bounded<Kept<RefusalKind>>,
    /// The generation of everything, for the rare change that is not of one key.
    epoch: AtomicU64,
    /// How many such changes are under way: nothing is kept meanwhile.
    fences: AtomicUsize,
    flights: AtomicUsize,
    lease: Lease,
    meter: CacheMeter,
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
    /// When the store was asked.
    confirmed: Duration,
    /// When the key ends of itself.
    ends: Duration,
}

impl<V: Clone> Cache<V> {
    pub(crate) fn new(limits: Limits, clock: Arc<dyn Clock>) -> Self {
        let mix = Mix::random();
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::new())).collect(),
            good: bounded(limits.good, &mix),
            refused: bounded(limits.unknown, &mix),
            epoch: AtomicU64::new(0),
            fences: AtomicUsize::new(0),
            flights: AtomicUsize::new(0),
            lease: Lease::new(limits.lease),
            meter: CacheMeter::register(),
            mix,
            clock,
            limits,
        }
    }

    /// The verdict on a good key, if it is kept and may still be used, and the time at which that was so.
    pub(super) fn hit(&self, digest: &KeyDigest) -> Option<(V, Duration)> {
        let hit = self.usable(&self.good, digest);
        hit.inspect(|_| self.meter.hit())
    }

    /// The verdict on a key that is refused, if it is kept and may still be used.
    pub(super) fn refusal(&self, digest: &KeyDigest) -> Option<Refusal> {
        let (kind, _) = self.usable(&self.refused, digest)?;
        self.meter.refused();
        Some(not_good(kind))
    }

    /// Decides, joins a flight, or begins one.
    pub(super) fn begin(self: &Arc<Self>, digest: &KeyDigest) -> Begin<V> {
        let mut shard = self.shard(digest).lock();
        if shard.is_revoked(digest) {
            return Begin::Decided(Err(Refusal::new(RefusalKind::KeyRevoked)));
        }
        // Again, under the lock: the flight that this request missed may just have landed.
        if let Some((value, _)) = self.hit(digest) {
            return Begin::Decided(Ok(value));
        }
        self.meter.miss();
        let now = self.clock.elapsed();
        // Before the epoch, as in `usable`.
        let leased = self.lease.holds(now);
        let epoch = self.epoch.load(Ordering::Acquire);
        let (wake, answer) = oneshot::channel();
        let fresh = |flight: &&Arc<Flight<V>>| {
            let lasted = now.saturating_sub(flight.began);
            lasted <= self.limits.flight_for && (leased || !flight.has_departed())
        };
        if let Some(flight) = shard.joinable(digest, epoch).filter(fresh) {
            flight.join(wake);
            return Begin::Join(answer);
        }
        // A part of the room is for keys that were good lately: those who make keys up cannot take all of it.
        let known = self.good.get(digest).is_some();
        let room = self.limits.flights - if known { 0 } else { self.limits.flights / 4 };
        if self.flights.fetch_add(1, Ordering::Relaxed) >= room {
            self.flights.fetch_sub(1, Ordering::Relaxed);
            metric::lookup_not_made("full");
            let overload = Unavailable::new("too many look-ups are under way");
            return Begin::Decided(Err(Refusal::unavailable(overload)));
        }
        self.meter.flights(self.flights.load(Ordering::Relaxed));
        let flight = Arc::new(Flight::new(shard.generation(), epoch, now, Some(wake)));
        shard.took_off(*digest, flight.clone());
        Begin::Lead(Lead::new(self.clone(), *digest, flight), answer)
    }

    /// Begins a flight for each good key that is kept and must be confirmed before it is used again, so that whoever comes for one waits for
    /// that. These have room of their own.
    pub(super) fn begin_again(self: &Arc<Self>, at_most: usize) -> Vec<Lead<V>> {
        let now = self.clock.elapsed();
        let epoch = self.epoch.load(Ordering::Acquire);
        let kept = self.good.iter();
        let doubted = kept.filter(|(_, kept)| kept.epoch != epoch && now < kept.until);
        let digests: Vec<KeyDigest> = doubted.map(|(digest, _)| digest).take(at_most).collect();
        let begin = |digest: KeyDigest| {
            let mut shard = self.shard(&digest).lock();
            if shard.is_revoked(&digest) || shard.joinable(&digest, epoch).is_some() {
                return None;
            }
            let flight = Arc::new(Flight::new(shard.generation(), epoch, now, None));
            shard.took_off(digest, flight.clone());
            Some(Lead::new(self.clone(), digest, flight))
        };
        digests.into_iter().filter_map(begin).collect()
    }

    /// The verdict on a good key that the store cannot confirm now, if it was confirmed lately enough for that.
    pub(super) fn stale(&self, digest: &KeyDigest) -> Option<V> {
        let shard = self.shard(digest).lock();
        let kept = self.good.get(digest)?;
        let now = self.clock.elapsed();
        let recent = now.saturating_sub(kept.confirmed) < self.limits.stale_for;
        let unchanged = kept.epoch == self.epoch.load(Ordering::SeqCst) && !shard.is_doubtful(digest);
        (recent && unchanged && now < kept.ends).then_some(kept.value)
    }

    /// How many look-ups are under way, detached ones included.
    #[cfg(all(test, feature = "testing"))]
    pub(super) fn flights(&self) -> usize {
        self.flights.load(Ordering::Relaxed)
    }

    fn usable<T: Clone>(&self, kept: &Bounded<Kept<T>>, digest: &KeyDigest) -> Option<(T, Duration)> {
        let kept = kept.get(digest)?;
        let now = self.clock.elapsed();
        // The lease before the epoch: one that was renewed after a lapse came with a new epoch.
        let usable =
            now < kept.until && self.lease.holds(now) && kept.epoch == self.epoch.load(Ordering::Acquire);
        usable.then_some((kept.value, now))
    }

    fn shard(&self, digest: &KeyDigest) -> &Mutex<Shard<V>> {
        &self.shards[self.mix.place(digest, SHARDS)]
    }

    fn land(&self, digest: &KeyDigest, flight: &Arc<Flight<V>>, sent: Duration, found: Option<Found<V>>) {
        let mut shard = self.shard(digest).lock();
        let unchanged = shard.landed(digest, flight) && self.fences.load(Ordering::SeqCst) == 0;
        let current = unchanged
            && self.lease.holds(self.clock.elapsed())
            && flight.epoch == self.epoch.load(Ordering::SeqCst);
        // The store's last word was no: what it said before must not be used when it cannot say.
        let no = match &found {
            Some(Found::Unknown | Found::NotGood(_)) => true,
            Some(Found::NotNow(refusal)) => refusal.kind() != RefusalKind::AuthUnavailable,
            _ => false,
        };
        if no && self.good.get(digest).is_some_and(|kept| kept.confirmed <= sent) {
            self.good.remove(digest);
        }
        let keep = |lifetime: Duration| sent.saturating_add(self.mix.shorten(digest, sent, lifetime));
        let outcome = match found {
            Some(Found::Good(value, good_for)) => {
                // What must not be used is kept all the same, if there is no more: that the key was good lately tells it from a guess.
                if current || unchanged && self.good.get(digest).is_none() {
                    let ends = good_for.map_or(Duration::MAX, |good_for| sent.saturating_add(good_for));
                    let kept = Kept {
                        value: value.clone(),
                        until: if current {
                            keep(self.limits.good_for).min(ends)
                        } else {
                            Duration::ZERO
                        },
                        epoch: flight.epoch,
                        confirmed: sent,
                        ends,
                    };
                    self.good.insert(*digest, kept);
                }
                Ok(value)
            }
            Some(Found::Stale(value)) => Ok(value),
            Some(Found::Unknown) => self.refuse(digest, RefusalKind::InvalidKey, current, flight.epoch, keep),
            Some(Found::NotGood(kind)) => self.refuse(digest, kind, current, flight.epoch, keep),
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
        if flight.counted {
            let flights = self.flights.fetch_sub(1, Ordering::Relaxed);
            self.meter.flights(flights.saturating_sub(1));
        }
        self.meter.entries(|| [self.good.len(), self.refused.len()]);
        flight.answer(&outcome);
    }

    fn refuse(
        &self,
        digest: &KeyDigest,
        kind: RefusalKind,
        current: bool,
        epoch: u64,
        keep: impl FnOnce(Duration) -> Duration,
    ) -> Outcome<V> {
        if current {
            let until = keep(self.limits.unknown_for);
            let kept = Kept {
                value: kind,
                until,
                epoch,
                confirmed: Duration::ZERO,
                ends: until,
            };
            self.refused.insert(*digest, kept);
        }
        Err(not_good(kind))
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

fn not_good(kind: RefusalKind) -> Refusal {
    match kind {
        RefusalKind::InvalidKey => Refusal::because(kind, "unknown"),
        kind => Refusal::new(kind),
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
