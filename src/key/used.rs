use std::{
    fmt,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst},
    time::{Duration, SystemTime},
};

use super::{Counter, KeyId};
use crate::clock::{from_unix_ms, to_unix_ms};

/// Uses that come closer than this to the one before are not told apart: so a key in heavy use is not written to by every request.
const APART_MS: u64 = 100;

/// When a key was last used, as far as this process knows: by the store's clock, as it was at the look-up, and the time since. So processes whose
/// clocks differ agree, and an expiry and a last use can be compared.
pub(crate) struct LastUsed {
    id: KeyId,
    /// How far the store's date is ahead of the time that has elapsed here.
    ahead_ms: u64,
    /// The last use, in milliseconds since 1970; 0 for none.
    at_ms: AtomicU64,
    /// Whether it stands in the list of what is to be written.
    listed: AtomicBool,
    counter: Counter,
}

impl LastUsed {
    /// Of a key that the store read at `date`; the answer was here by `elapsed`. So it is late by the time that the answer took, and never early.
    pub(crate) fn new(id: KeyId, date: SystemTime, elapsed: Duration) -> Self {
        let date = u64::try_from(to_unix_ms(date)).unwrap_or_default();
        Self {
            id,
            ahead_ms: date.wrapping_sub(to_ms(elapsed)),
            at_ms: AtomicU64::new(0),
            listed: AtomicBool::new(false),
            counter: Counter::default(),
        }
    }

    /// Whose requests are counted here.
    pub(crate) fn counted(mut self, counter: Counter) -> Self {
        self.counter = counter;
        self
    }

    /// A request with the key was let in, on the day of its last use.
    pub(crate) fn admitted(&self) {
        self.counter.admitted(&self.at_ms);
    }

    /// A request with the key was not let in, though it is good.
    pub(crate) fn refused(&self) {
        self.counter.refused(&self.at_ms);
    }

    /// One that was let in was refused all the same, for what was asked of it.
    pub(crate) fn refused_inside(&self) {
        self.counter.refused_inside(&self.at_ms);
    }

    /// The same key at another time, to be written.
    pub(crate) fn id(&self) -> KeyId {
        self.id
    }

    /// The key is used now. Says whether somebody must put it on the list; with a key in use that is seldom so, and all that happens is a
    /// look at one number.
    pub(crate) fn mark(&self, elapsed: Duration) -> bool {
        let now = self.ahead_ms.wrapping_add(to_ms(elapsed));
        let last = self.at_ms.load(Relaxed);
        now >= last.saturating_add(APART_MS) && self.move_on(now)
    }

    fn move_on(&self, now: u64) -> bool {
        // Either this sees that it was taken off the list, or whoever took it off sees this use: hence the order of all four.
        self.at_ms.fetch_max(now, SeqCst);
        !self.listed.load(SeqCst) && !self.listed.swap(true, SeqCst)
    }

    /// Off the list: the last use, to be written now.
    pub(crate) fn take(&self) -> u64 {
        self.listed.store(false, SeqCst);
        self.at_ms.load(SeqCst)
    }

    /// Back on the list, because it could not be written.
    pub(crate) fn put_back(&self) {
        self.listed.store(true, SeqCst);
    }

    /// A use that another of the same key was told of.
    pub(crate) fn also(&self, at_ms: u64) {
        self.at_ms.fetch_max(at_ms, SeqCst);
    }
}

/// The date of a use.
pub(crate) fn date_of(at_ms: u64) -> Option<SystemTime> {
    from_unix_ms(i64::try_from(at_ms).ok()?)
}

impl fmt::Debug for LastUsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LastUsed").field(&self.id).finish()
    }
}

/// In 64 bits, which is quicker than `as_millis`, and enough for half a billion years.
fn to_ms(elapsed: Duration) -> u64 {
    elapsed
        .as_secs()
        .wrapping_mul(1000)
        .wrapping_add(u64::from(elapsed.subsec_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Read at this date of the store's, when 5 s had elapsed here.
    fn read_at(date: u64) -> LastUsed {
        let date = date_of(date).expect("a date");
        LastUsed::new(KeyId::generate(), date, ms(5_000))
    }

    #[test]
    fn a_use_is_dated_by_the_store_s_clock() {
        let used = read_at(1_700_000_000_000);
        assert!(used.mark(ms(5_007)));
        assert_eq!(used.take(), 1_700_000_000_007);
        // A date before the machine was started, as well.
        let used = read_at(1_000);
        assert!(used.mark(ms(5_250)));
        assert_eq!(used.take(), 1_250);
    }

    #[test]
    fn it_is_listed_once_until_it_is_taken_off() {
        let used = read_at(1_000);
        assert!(used.mark(ms(6_000)));
        assert!(!used.mark(ms(7_000)));
        assert_eq!(used.take(), 3_000, "the last use counts");
        assert!(!used.mark(ms(7_050)), "close to one that was written");
        assert!(used.mark(ms(7_100)));
        assert_eq!(used.take(), 3_100);
    }

    #[test]
    fn it_never_goes_back() {
        let used = read_at(1_000);
        assert!(used.mark(ms(9_000)));
        assert!(!used.mark(ms(6_000)), "a request that was slow to say so");
        used.also(2_000);
        assert_eq!(used.take(), 5_000);
        used.also(8_000);
        assert_eq!(used.take(), 8_000);
    }

    #[test]
    fn no_use_is_lost_between_those_who_use_and_the_one_who_writes() {
        let used = read_at(1_000);
        let listed = AtomicU64::new(0);
        let (mut written, uses) = (0, 2_000);
        std::thread::scope(|scope| {
            let using = scope.spawn(|| {
                for use_ in 1..=uses {
                    if used.mark(ms(5_000 + use_ * APART_MS)) {
                        listed.fetch_add(1, SeqCst);
                    }
                }
            });
            let mut taken = 0;
            while !using.is_finished() || taken < listed.load(SeqCst) {
                if taken < listed.load(SeqCst) {
                    written = used.take();
                    taken += 1;
                }
            }
        });
        assert_eq!(written, 1_000 + uses * APART_MS);
    }
}
