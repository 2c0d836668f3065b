//! What all feeds have in common: when to try again.

use std::time::Duration;

use super::FeedSink;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What to do while nothing is heard.
#[derive(Debug)]
pub(crate) struct Outage {
    pause: Duration,
}

impl Outage {
    pub(crate) fn none() -> Self {
        Self { pause: FIRST_PAUSE }
    }

    /// Says that nothing is heard, and answers with how long to wait before the next attempt.
    pub(crate) fn go_on(&mut self, sink: &FeedSink, cause: &str) -> Duration {
        sink.lost(cause);
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        // Half of it by chance, so that the nodes of a server that comes back do not all come at once.
        let chance = getrandom::u32().unwrap_or_default();
        pause / 2 + (pause / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX))
    }

    /// All is heard.
    pub(crate) fn end(&mut self) {
        *self = Self::none();
    }
}
