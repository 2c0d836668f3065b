//! What was measured, beside what is promised: one line a promise.

use std::{
    env,
    fmt::{Display, Write as _},
    io::{self, Write},
    time::{Duration, Instant},
};

use crate::crew::Probe;

/// What a busy machine may add to a time that is promised. `FAULTS_SLACK=1` holds it to the letter.
const SLACK: u32 = 4;

fn slack() -> u32 {
    env::var("FAULTS_SLACK").map_or(SLACK, |slack| slack.parse().expect("FAULTS_SLACK is a number"))
}

/// Whether a long run was asked for, with `FAULTS=long`.
pub(crate) fn long() -> bool {
    env::var("FAULTS").is_ok_and(|asked| asked == "long")
}

/// How much of something: a little, or enough to speak of percentiles.
pub(crate) fn scale<T>(short: T, long: T) -> T {
    if self::long() { long } else { short }
}

/// Times in order.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The time that so many of a thousand do not exceed.
    pub(crate) fn at(&self, of_a_thousand: usize) -> Duration {
        let index = (self.0.len() * of_a_thousand).div_ceil(1000);
        let time = self.0.get(index.saturating_sub(1));
        time.copied().unwrap_or_default()
    }

    pub(crate) fn max(&self) -> Duration {
        self.0.last().copied().unwrap_or_default()
    }
}

/// One line of the report.
#[derive(Debug)]
pub(crate) struct Figures {
    line: String,
    bounds: String,
    slow: bool,
    broken: bool,
}

impl Figures {
    /// Of a promise, kept in a place.
    pub(crate) fn of(promise: &str, place: &str) -> Self {
        Self {
            line: format!("{promise} {place:<12}"),
            bounds: String::new(),
            slow: false,
            broken: false,
        }
    }

    /// Something worth knowing.
    pub(crate) fn say(mut self, name: &str, value: impl Display) -> Self {
        let _ = write!(self.line, "  {name}={value}");
        self
    }

    pub(crate) fn time(self, name: &str, time: Duration) -> Self {
        self.say(name, milliseconds(time))
    }

    /// Something that must not happen more often than this, on however slow a machine.
    pub(crate) fn at_most(mut self, name: &str, count: usize, most: usize) -> Self {
        let _ = write!(self.bounds, "  {name}<={most}");
        self.broken |= count > most;
        self.say(name, count)
    }

    /// Something that must happen at least so often, lest the rest show nothing.
    pub(crate) fn at_least(mut self, name: &str, count: usize, least: usize) -> Self {
        let _ = write!(self.bounds, "  {name}>={least}");
        self.broken |= count < least;
        self.say(name, count)
    }

    /// A time that is promised, for a machine that has nothing else to do.
    pub(crate) fn within(self, name: &str, time: Duration, promised: Duration) -> Self {
        self.within_or(name, time, promised, promised * slack())
    }

    /// A time that is promised, and what a busy machine may make of it.
    pub(crate) fn within_or(
        mut self,
        name: &str,
        time: Duration,
        promised: Duration,
        allowed: Duration,
    ) -> Self {
        let _ = write!(self.bounds, "  {name}<={}", milliseconds(promised));
        self.slow |= time > promised;
        let allowed = if slack() == 1 { promised } else { allowed };
        self.broken |= time > allowed.max(promised);
        self.time(name, time)
    }

    /// Prints it, past what captures the output of tests.
    ///
    /// # Panics
    ///
    /// When the promise is broken.
    pub(crate) fn print(self) {
        let verdict = match (self.broken, self.slow) {
            (true, _) => "BROKEN",
            (false, true) => "ok, with slack",
            (false, false) => "ok",
        };
        let line = format!("{}  |  promised:{}  |  {verdict}", self.line, self.bounds);
        print_line(&line);
        assert!(!self.broken, "{line}");
    }
}

/// Past what captures the output of tests.
pub(crate) fn print_line(line: &str) {
    let mut stdout = io::stdout().lock();
    // Nobody is there to read it, then.
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1}ms", time.as_secs_f64() * 1000.0)
}

/// Requests that began after a moment and were let in. This is the whole of the judgement: a key is good, and then it is dead for ever, so a
/// history is right if no request that began after the answer to the revoke was let in.
pub(crate) fn accepted_after(probes: &[Probe], moment: Instant) -> usize {
    let late = |probe: &&Probe| probe.accepted() && probe.start > moment;
    if let Some(last) = probes.iter().rfind(late) {
        let after = milliseconds(last.start - moment);
        print_line(&format!(
            "server {} let one in {after} after the answer",
            last.node
        ));
    }
    probes.iter().filter(late).count()
}

/// How long after a moment requests still began that were let in; zero when none did.
pub(crate) fn last_accept_after(probes: &[Probe], moment: Instant) -> Duration {
    let accepted = probes.iter().filter(|probe| probe.accepted());
    let after = accepted.map(|probe| probe.start.saturating_duration_since(moment));
    after.max().unwrap_or_default()
}
