use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use dashmap::DashMap;

use crate::key::KeyId;

/// How long it is not looked again for keys that make room, after it was: that takes looking at all of them.
const PAUSE_MS: u64 = 60 * 1000;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// So many days are kept.
const KEPT: usize = 16;
/// Of so many keys: a mebibyte and a half.
const KEYS: usize = 4096;
/// A number that counts, and above it the day it is of.
const COUNT_BITS: u32 = 40;

/// The tallies of all keys. Cheap to clone. Counts nothing until somebody begins it, so that those who have nothing to show it on do not pay for it.
#[derive(Clone, Default)]
pub(crate) struct Tallies(Arc<Inner>);

#[derive(Default)]
struct Inner {
    begun: AtomicBool,
    /// When it was last looked for keys that make room.
    swept_ms: AtomicU64,
    kept: DashMap<KeyId, Arc<Tally>>,
}

/// Where the requests of one key are counted, if they are.
#[derive(Default)]
pub(crate) struct Counter(Option<Arc<Tally>>);

#[derive(Default)]
struct Tally {
    admitted: [AtomicU64; KEPT],
    /// Before they were admitted: for an address, or a limit.
    refused: [AtomicU64; KEPT],
    /// After they were admitted, for what a route asks.
    inside: [AtomicU64; KEPT],
}

impl Tallies {
    pub(crate) fn begin(&self) {
        self.0.begun.store(true, Relaxed);
    }

    /// For a key that was looked up. Where there are too many keys, those make room that nobody has used since yesterday.
    pub(crate) fn counter(&self, id: KeyId, at_ms: u64) -> Counter {
        let Inner {
            begun,
            swept_ms,
            kept,
        } = &*self.0;
        if !begun.load(Relaxed) {
            return Counter(None);
        }
        if let Some(tally) = kept.get(&id) {
            return Counter(Some(tally.clone()));
        }
        if kept.len() >= KEYS && is_due(swept_ms, at_ms) {
            let yesterday = (at_ms / DAY_MS).saturating_sub(1);
            kept.retain(|_, tally| Arc::strong_count(tally) > 1 || tally.last_day() >= yesterday);
        }
        if kept.len() >= KEYS {
            return Counter(None);
        }
        Counter(Some(kept.entry(id).or_default().clone()))
    }

    /// How many were allowed and refused on so many days, of which the last is the one with this moment. `None` where there may have been no room
    /// to count them.
    pub(crate) fn days(&self, id: KeyId, at_ms: u64, days: usize) -> Option<Vec<(u64, u64)>> {
        let today = at_ms / DAY_MS;
        let tally = match self.0.kept.get(&id) {
            Some(tally) => tally.clone(),
            None if self.0.kept.len() >= KEYS => return None,
            None => Arc::default(),
        };
        let ago = (0..days.min(KEPT)).rev();
        let days = ago.map(|ago| tally.on(today.saturating_sub(ago as u64)));
        Some(days.collect())
    }
}

impl Counter {
    /// Of a request at this moment, in milliseconds since 1970. It is not looked at where nothing is counted.
    pub(crate) fn admitted(&self, at_ms: &AtomicU64) {
        if let Some(tally) = &self.0 {
            count(&tally.admitted, at_ms.load(Relaxed) / DAY_MS);
        }
    }

    pub(crate) fn refused(&self, at_ms: &AtomicU64) {
        if let Some(tally) = &self.0 {
            count(&tally.refused, at_ms.load(Relaxed) / DAY_MS);
        }
    }

    pub(crate) fn refused_inside(&self, at_ms: &AtomicU64) {
        if let Some(tally) = &self.0 {
            count(&tally.inside, at_ms.load(Relaxed) / DAY_MS);
        }
    }
}

impl Tally {
    fn on(&self, day: u64) -> (u64, u64) {
        let read = |slots: &[AtomicU64; KEPT]| {
            let slot = slots[slot_of(day)].load(Relaxed);
            if slot >> COUNT_BITS == day {
                slot & ((1 << COUNT_BITS) - 1)
            } else {
                0
            }
        };
        let (admitted, inside) = (read(&self.admitted), read(&self.inside));
        (admitted.saturating_sub(inside), read(&self.refused) + inside)
    }

    fn last_day(&self) -> u64 {
        let slots = self.admitted.iter().chain(&self.refused);
        slots
            .map(|slot| slot.load(Relaxed) >> COUNT_BITS)
            .max()
            .unwrap_or_default()
    }
}

/// Whether it is time again, for one of those who ask.
fn is_due(last_ms: &AtomicU64, at_ms: u64) -> bool {
    let last = last_ms.load(Relaxed);
    let is_past = at_ms.abs_diff(last) >= PAUSE_MS;
    is_past && last_ms.compare_exchange(last, at_ms, Relaxed, Relaxed).is_ok()
}

fn slot_of(day: u64) -> usize {
    (day % KEPT as u64) as usize
}

fn count(slots: &[AtomicU64; KEPT], day: u64) {
    let slot = &slots[slot_of(day)];
    let now = slot.load(Relaxed);
    if now >> COUNT_BITS == day {
        slot.fetch_add(1, Relaxed);
        return;
    }
    // The first of a day: what the slot held is too old. Whoever else was first counts as well, only later.
    let first = (day << COUNT_BITS) | 1;
    if slot.compare_exchange(now, first, Relaxed, Relaxed).is_err() {
        slot.fetch_add(1, Relaxed);
    }
}

impl fmt::Debug for Tallies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tallies")
            .field("keys", &self.0.kept.len())
            .finish()
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Counter").field(&self.0.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 20_000 * DAY_MS + DAY_MS / 2;

    #[test]
    fn requests_are_counted_by_day_and_outcome_and_forgotten() {
        let tallies = Tallies::default();
        let id = KeyId::generate();
        tallies.counter(id, NOON).admitted(&NOON.into());
        assert_eq!(
            tallies.days(id, NOON, 1).expect("room"),
            [(0, 0)],
            "nobody has begun"
        );
        tallies.begin();
        let counter = tallies.counter(id, NOON);
        for _ in 0..5 {
            counter.admitted(&NOON.into());
        }
        counter.refused_inside(&NOON.into());
        counter.refused(&NOON.into());
        let tomorrow = NOON + DAY_MS;
        // A key that is looked up anew goes on with the same.
        tallies.counter(id, tomorrow).admitted(&tomorrow.into());
        assert_eq!(
            tallies.days(id, tomorrow, 3).expect("room"),
            [(0, 0), (4, 2), (1, 0)]
        );
        let later = NOON + KEPT as u64 * DAY_MS;
        assert_eq!(
            tallies.days(id, later, 1).expect("room"),
            [(0, 0)],
            "the slot is of another day"
        );
        counter.admitted(&later.into());
        assert_eq!(tallies.days(id, later, 1).expect("room"), [(1, 0)]);
        assert_eq!(
            tallies.days(KeyId::generate(), NOON, 2).expect("room"),
            [(0, 0), (0, 0)]
        );
    }

    #[test]
    fn many_threads_lose_nothing() {
        let tallies = Tallies::default();
        tallies.begin();
        let id = KeyId::generate();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let counter = tallies.counter(id, NOON);
                    (0..10_000).for_each(|_| counter.admitted(&NOON.into()));
                });
            }
        });
        assert_eq!(tallies.days(id, NOON, 1).expect("room"), [(40_000, 0)]);
    }

    #[test]
    fn no_more_keys_are_kept_than_there_is_room_for() {
        let tallies = Tallies::default();
        tallies.begin();
        let used: Vec<Counter> = (0..KEYS)
            .map(|_| tallies.counter(KeyId::generate(), NOON))
            .collect();
        used.iter().for_each(|counter| counter.admitted(&NOON.into()));
        let one_more = |at_ms| tallies.counter(KeyId::generate(), at_ms).0.is_some();
        assert!(!one_more(NOON + 9 * DAY_MS), "all are in use");
        assert_eq!(
            tallies.days(KeyId::generate(), NOON, 1),
            None,
            "not counted, perhaps"
        );
        drop(used);
        assert!(!one_more(NOON + DAY_MS), "all were used yesterday");
        assert!(one_more(NOON + 2 * DAY_MS));
        assert_eq!(tallies.0.kept.len(), 1);
    }

    #[test]
    fn it_is_looked_for_room_once_a_minute() {
        let last = AtomicU64::new(0);
        let due = |seconds: u64| is_due(&last, NOON + seconds * 1000);
        assert!(due(0) && !due(0) && !due(59));
        assert!(due(60) && !due(61));
        // Also where the date has been put back.
        assert!(due(0));
    }
}
