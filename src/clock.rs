//! Time as a parameter.
//!
//! Two questions, two scales: *what day is it* ([`Clock::now`], for expiry dates) and *how long has it been*
//! ([`Clock::elapsed`], for deadlines). Deadlines must keep running while a machine is suspended, so on Linux
//! the second is `CLOCK_BOOTTIME` rather than [`std::time::Instant`].

#[cfg(feature = "testing")]
use std::sync::Arc;
use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A source of time.
///
/// [`SystemClock`] is the default everywhere; `ManualClock` (feature `testing`) lets a test decide.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The date. Must not go backwards within the life of the process.
    fn now(&self) -> SystemTime;

    /// Time since an arbitrary fixed moment. Never goes backwards.
    fn elapsed(&self) -> Duration;
}

/// The clock of the operating system.
///
/// The wall clock is not allowed to run backwards: a step back, by hand or by a time server, is not followed, and time goes on from
/// where it was. So a key that has expired stays expired until the process is restarted.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        /// The furthest that the wall clock has ever been ahead of the time since boot, in nanoseconds.
        static AHEAD: AtomicU64 = AtomicU64::new(0);
        let since_boot = boottime();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UNIX_EPOCH + since_boot + furthest(&AHEAD, wall.saturating_sub(since_boot))
    }

    fn elapsed(&self) -> Duration {
        boottime()
    }
}

fn furthest(ahead: &AtomicU64, now: Duration) -> Duration {
    let now = to_nanos(now);
    Duration::from_nanos(ahead.fetch_max(now, Ordering::Relaxed).max(now))
}

#[cfg(target_os = "linux")]
fn boottime() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    // Both parts count from boot and are never negative.
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

#[cfg(not(target_os = "linux"))]
fn boottime() -> Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}

/// A time of [`Clock::elapsed`] for an atomic number: enough for 584 years since it began. Without the division of `as_nanos`.
pub(crate) fn to_nanos(time: Duration) -> u64 {
    time.as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(time.subsec_nanos()))
}

/// Milliseconds since 1970, the form in which stores keep a date. Dates before 1970 are 0.
#[must_use]
pub fn to_unix_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The date that [`to_unix_ms`] wrote, or `None` where the number is not a date a store may hold.
#[must_use]
pub fn from_unix_ms(ms: i64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(u64::try_from(ms).ok()?))
}

/// A clock that moves only when it is told to; clones share one time.
#[cfg(feature = "testing")]
#[derive(Debug, Clone)]
pub struct ManualClock {
    start: SystemTime,
    advanced: Arc<parking_lot::Mutex<Duration>>,
}

#[cfg(feature = "testing")]
impl ManualClock {
    /// A clock that stands at `start`.
    #[must_use]
    pub fn new(start: SystemTime) -> Self {
        Self {
            start,
            advanced: Arc::default(),
        }
    }

    /// Moves both scales on.
    pub fn advance(&self, by: Duration) {
        *self.advanced.lock() += by;
    }
}

#[cfg(feature = "testing")]
impl Default for ManualClock {
    /// Stands at 2001-09-09T01:46:40Z.
    fn default() -> Self {
        Self::new(UNIX_EPOCH + Duration::from_secs(1_000_000_000))
    }
}

#[cfg(feature = "testing")]
impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        self.start + *self.advanced.lock()
    }

    fn elapsed(&self) -> Duration {
        *self.advanced.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_survive_the_round_trip_and_nonsense_is_refused() {
        let time = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        assert_eq!(from_unix_ms(to_unix_ms(time)), Some(time));
        assert_eq!(from_unix_ms(-1), None);
        assert_eq!(to_unix_ms(UNIX_EPOCH - Duration::from_secs(1)), 0);
    }

    #[test]
    fn a_wall_clock_that_went_ahead_and_came_back_is_not_followed_back() {
        let ahead = AtomicU64::new(0);
        let hour = Duration::from_secs(3600);
        assert_eq!(furthest(&ahead, hour), hour);
        assert_eq!(furthest(&ahead, 2 * hour), 2 * hour);
        assert_eq!(furthest(&ahead, hour), 2 * hour);
    }

    #[test]
    fn the_system_clock_never_runs_backwards() {
        let first = SystemClock.now();
        assert!(SystemClock.now() >= first);
        assert!(SystemClock.elapsed() <= SystemClock.elapsed());
    }
}
