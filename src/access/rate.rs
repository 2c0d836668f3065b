use std::{error::Error, fmt, num::NonZeroU32, str::FromStr, time::Duration};

/// How often something may be done: so many requests in a period, as text `100/1m`, or `100/1m;burst=20`.
///
/// The units are `s`, `m`, `h` and `d`; the period is one second to 30 days.
///
/// `100/1m` lets 100 requests through at once, and from then on one each 600 ms: what was used comes back bit by bit, and not all at the
/// end of a minute. So in a minute after a pause there may be 199, and in any longer time 100 a minute and those 100 more.
///
/// The burst is how many may come at once; as many as the requests if it is not said. `100/1m;burst=20` lets 20 through at once and then
/// one each 600 ms: 119 in a minute after a pause. With `burst=1` requests have to keep 600 ms apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RateLimit {
    requests: NonZeroU32,
    seconds: NonZeroU32,
    burst: NonZeroU32,
}

const MAX_SECONDS: u32 = 30 * 24 * 60 * 60;
const LONGEST_REFILL: Duration = Duration::from_secs(366 * 24 * 60 * 60);

impl RateLimit {
    /// So many requests in so many seconds; `None` when the period is longer than 30 days.
    #[must_use]
    pub fn new(requests: NonZeroU32, seconds: NonZeroU32) -> Option<Self> {
        (seconds.get() <= MAX_SECONDS).then_some(Self {
            requests,
            seconds,
            burst: requests,
        })
    }

    /// The same, with another number that may come at once; `None` when so many would take more than 366 days to come back.
    #[must_use]
    pub fn with_burst(mut self, burst: NonZeroU32) -> Option<Self> {
        self.burst = burst;
        (self.refill() <= LONGEST_REFILL).then_some(self)
    }

    /// How long it takes until all is there again that may come at once.
    fn refill(&self) -> Duration {
        let [seconds, burst, requests] =
            [self.seconds, self.burst, self.requests].map(|number| u64::from(number.get()));
        Duration::from_secs((seconds * burst).div_ceil(requests))
    }

    /// How many requests.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests.get()
    }

    /// In how much time.
    #[must_use]
    pub fn period(&self) -> Duration {
        Duration::from_secs(self.seconds.get().into())
    }

    /// How many may come at once.
    #[must_use]
    pub fn burst(&self) -> u32 {
        self.burst.get()
    }

    /// Whether a key with the other limit is never let through more often than one with this: neither more at once nor more in
    /// the long run.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let per_second = |one: &Self, seconds: u32| u64::from(one.requests.get()) * u64::from(seconds);
        other.burst <= self.burst
            && per_second(other, self.seconds.get()) <= per_second(self, other.seconds.get())
    }
}

impl FromStr for RateLimit {
    type Err = ParseRateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (limit, burst) = match text.split_once(';') {
                Some((limit, burst)) => (limit, Some(whole(burst.strip_prefix("burst=")?)?)),
                None => (text, None),
            };
            let (requests, period) = limit.split_once('/')?;
            let limit = Self::new(whole(requests)?, seconds(period)?)?;
            limit.with_burst(burst.unwrap_or(limit.requests))
        };
        parse().ok_or(ParseRateError(()))
    }
}

/// A period in seconds, of a text such as `30d`.
pub(super) fn seconds(period: &str) -> Option<NonZeroU32> {
    let (count, unit) = period.split_at_checked(period.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    whole(count)?.checked_mul(NonZeroU32::new(unit)?)
}

/// The same period in the largest unit that it is whole in.
pub(super) fn period(seconds: NonZeroU32) -> String {
    let seconds = seconds.get();
    let units = [(24 * 60 * 60, 'd'), (60 * 60, 'h'), (60, 'm')];
    let unit = units
        .into_iter()
        .find(|(length, _)| seconds.is_multiple_of(*length));
    let (length, unit) = unit.unwrap_or((1, 's'));
    format!("{}{unit}", seconds / length)
}

/// Digits only: `parse` alone would take a sign.
pub(super) fn whole(text: &str) -> Option<NonZeroU32> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.requests, period(self.seconds))?;
        match self.burst == self.requests {
            true => Ok(()),
            false => write!(f, ";burst={}", self.burst),
        }
    }
}

/// A text is not a rate limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseRateError(());

impl fmt::Display for ParseRateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "must be a number of requests and a period of 1 second to 30 days, such as 100/1m or 100/1m;burst=20",
        )
    }
}

impl Error for ParseRateError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> RateLimit {
        text.parse().expect("a rate")
    }

    #[test]
    fn what_is_and_is_not_a_rate() {
        for good in [
            "100/1m",
            "1/30d",
            "5/90s",
            "4294967295/1s",
            "100/1m;burst=20",
            "1/1d;burst=5",
        ] {
            assert_eq!(rate(good).to_string(), good);
        }
        assert_eq!(rate("7/120s").to_string(), "7/2m");
        assert_eq!(rate("7/1m;burst=7").to_string(), "7/1m");
        for bad in [
            "",
            "/",
            "100",
            "100/",
            "100/m",
            "0/1m",
            "1/0s",
            "1/31d",
            "+1/1m",
            "1/+1m",
            "1/1",
            "1/1w",
            "1 / 1m",
            "1/1m ",
            "1.5/1m",
            "4294967296/1s",
            "1/4294967295d",
            "1/1\u{e9}",
            "1/1m;",
            "1/1m;burst",
            "1/1m;burst=",
            "1/1m;burst=0",
            "1/1m;burst=+1",
            "1/1m; burst=1",
            "1/1m;burst=1;burst=2",
            "1/1d;burst=367",
            "1/30d;burst=4294967295",
        ] {
            assert!(bad.parse::<RateLimit>().is_err(), "{bad}");
        }
    }

    #[test]
    fn looser_means_more_at_once_or_more_in_the_long_run() {
        let hundred = rate("100/1m");
        for tighter in [
            "100/1m",
            "50/1m",
            "100/2m",
            "1/1s",
            "100/1m;burst=20",
            "50/1m;burst=100",
        ] {
            assert!(hundred.covers(&rate(tighter)), "{tighter}");
        }
        for looser in ["101/1m", "200/2m", "2/1s", "100/59s", "50/1m;burst=101"] {
            assert!(!hundred.covers(&rate(looser)), "{looser}");
        }
    }
}
