use std::{error::Error, fmt, num::NonZeroU32, str::FromStr, time::Duration};

use super::rate::{period, seconds, whole};

/// How many uses of a key there are, and whether there are ever more: as text `1000`, once and for all, or `1000/30d`, filled up to 1000
/// again every 30 days.
///
/// The uses are 1 to 4,294,967,295. The units of a period are `s`, `m`, `h` and `d`; it is one second to 366 days. Periods count from when the
/// account was made, whenever it is used. What is left over at the end of one is not added to the next.
///
/// Each request of such a key is paid for before it is let in, with as many uses as it [counts for](crate::Builder::cost), all of them or none, by one
/// statement in the store: so of 64 requests at once by any number of processes as many come through as there are uses. Whoever has too few left is
/// answered 429, with `Retry-After` if there will be more; while the store cannot say, 503. What a limit, a list of addresses, or a scope or resource
/// that is missing refuses costs nothing: what was paid for it is put back after the answer. A request whose client hangs up while it is paid for,
/// or whose payment takes longer than a look-up may, may have been paid for all the same.
///
/// That there are too few left is known for a quarter of a second, so that much later a process may notice that another has filled the account. No more
/// than 64 requests of one account are paid for at a time in a process, and 1024 in all: more are answered 503.
///
/// What comes of a counted key is counted with it; but an owner who may also mint otherwise, with another key or logged in, can mint keys that are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credits {
    uses: NonZeroU32,
    seconds: Option<NonZeroU32>,
}

const MAX_SECONDS: u32 = 366 * 24 * 60 * 60;

impl Credits {
    pub(crate) const RULE: &str = "must be a number of uses, such as 1000, or also a period of 1 second to 366 days (units s, m, h, d), such as 1000/30d";

    /// So many uses, and never more.
    #[must_use]
    pub fn once(uses: NonZeroU32) -> Self {
        Self { uses, seconds: None }
    }

    /// So many uses in each period of so many seconds; `None` when the period is longer than 366 days.
    #[must_use]
    pub fn every(uses: NonZeroU32, seconds: NonZeroU32) -> Option<Self> {
        let seconds = Some(seconds).filter(|seconds| seconds.get() <= MAX_SECONDS)?;
        Some(Self {
            uses,
            seconds: Some(seconds),
        })
    }

    /// How many uses there are when all of them are there.
    #[must_use]
    pub fn uses(&self) -> u32 {
        self.uses.get()
    }

    /// After how long they are filled up again, and again; `None` for never.
    #[must_use]
    pub fn period(&self) -> Option<Duration> {
        self.seconds
            .map(|seconds| Duration::from_secs(seconds.get().into()))
    }

    /// Whether the others are never more than these: neither more at once nor more in the long run.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let per_second =
            |one: &Self, seconds: NonZeroU32| u64::from(one.uses.get()) * u64::from(seconds.get());
        let in_the_long_run = match (self.seconds, other.seconds) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(ours), Some(theirs)) => per_second(other, ours) <= per_second(self, theirs),
        };
        other.uses <= self.uses && in_the_long_run
    }
}

impl FromStr for Credits {
    type Err = ParseCreditsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || match text.split_once('/') {
            None => Some(Self::once(whole(text)?)),
            Some((uses, period)) => Self::every(whole(uses)?, seconds(period)?),
        };
        parse().ok_or(ParseCreditsError(()))
    }
}

impl fmt::Display for Credits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seconds {
            None => write!(f, "{}", self.uses),
            Some(seconds) => write!(f, "{}/{}", self.uses, period(seconds)),
        }
    }
}

/// A text is no number of uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseCreditsError(());

impl fmt::Display for ParseCreditsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Credits::RULE)
    }
}

impl Error for ParseCreditsError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn credits(text: &str) -> Credits {
        text.parse().expect("credits")
    }

    #[test]
    fn what_are_and_are_not_credits() {
        for good in [
            "1",
            "1000",
            "4294967295",
            "1000/30d",
            "1/1s",
            "5/90s",
            "7/366d",
            "7/2m",
        ] {
            assert_eq!(credits(good).to_string(), good);
        }
        assert_eq!(credits("7/120s").to_string(), "7/2m");
        assert_eq!(credits("10").period(), None);
        assert_eq!(credits("10/1h").period(), Some(Duration::from_secs(3600)));
        for bad in [
            "",
            "/",
            "0",
            "-1",
            "+1",
            "1/",
            "1/d",
            "0/1d",
            "1/0s",
            "1/367d",
            "/1d",
            "1/1",
            "1/1w",
            "1 / 1d",
            "1/1d ",
            "1/1d/1d",
            "1.5",
            "4294967296",
            "1/4294967295d",
            "1/1\u{e9}",
            "many",
        ] {
            assert!(bad.parse::<Credits>().is_err(), "{bad}");
        }
    }

    #[test]
    fn more_means_more_at_once_or_more_in_the_long_run() {
        let monthly = credits("100/30d");
        for less in ["100/30d", "100", "50/30d", "100/31d", "50/15d", "1/1d"] {
            assert!(monthly.covers(&credits(less)), "{less}");
        }
        for more in ["101/30d", "101", "100/29d", "4/1d", "200/60d"] {
            assert!(!monthly.covers(&credits(more)), "{more}");
        }
        let once = credits("100");
        assert!(once.covers(&credits("100")) && once.covers(&credits("99")));
        assert!(!once.covers(&credits("1/366d")) && !once.covers(&credits("101")));
    }
}
