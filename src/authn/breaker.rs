use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use crate::{clock::to_nanos, metric};

/// So many times in a row it has not answered in time, and the store is taken to be down.
const FAILURES: u32 = 5;
/// How often it is then asked whether it is back.
const PROBE: Duration = Duration::from_millis(250);

/// Spares a store that is down most of the look-ups, and those who ask most of the waiting.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    failures: AtomicU32,
    /// Nanoseconds of the clock.
    next_probe: AtomicU64,
}

impl Breaker {
    /// Whether a look-up may be begun now. While the store is down one is let through from time to time, to see.
    pub(super) fn admits(&self, now: Duration) -> bool {
        if self.failures.load(Ordering::Relaxed) < FAILURES {
            return true;
        }
        let (now, probe) = (to_nanos(now), to_nanos(PROBE));
        let next = self.next_probe.load(Ordering::Relaxed);
        let probes = now >= next
            && self
                .next_probe
                .compare_exchange(
                    next,
                    now.saturating_add(probe),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok();
        if !probes {
            metric::lookup_not_made("store-down");
        }
        probes
    }

    /// The store has answered, whatever it said.
    pub(super) fn answered(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }

    /// It has not. Says whether it is taken to be down from this moment on.
    pub(super) fn failed(&self, now: Duration) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures == FAILURES {
            let first = to_nanos(now.saturating_add(PROBE));
            self.next_probe.store(first, Ordering::Relaxed);
            metric::breaker_open();
        }
        failures == FAILURES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1);

    #[test]
    fn after_five_failures_in_a_row_one_look_up_in_a_quarter_of_a_second() {
        let breaker = Breaker::default();
        for _ in 0..4 {
            assert!(!breaker.failed(START));
        }
        breaker.answered();
        for failure in 1..=5 {
            assert!(breaker.admits(START));
            assert_eq!(breaker.failed(START), failure == 5);
        }
        assert!(!breaker.admits(START + PROBE / 2));
        assert!(breaker.admits(START + PROBE));
        assert!(!breaker.admits(START + PROBE), "another is that probe");
        assert!(!breaker.failed(START + PROBE));
        assert!(!breaker.admits(START + PROBE));
        assert!(breaker.admits(START + PROBE * 2));
        breaker.answered();
        assert!(breaker.admits(START + PROBE * 2));
    }
}
