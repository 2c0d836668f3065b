use std::{error::Error, fmt, str::FromStr, sync::Arc, time::Duration};

use super::rate::RateLimit;

/// What a limit is called that was given no name.
const DEFAULT: &str = "default";
const MAX_NAME: usize = 32;

/// All that limits how often a key may be used: one to four [`RateLimit`]s, each with a name, of which every one holds.
///
/// As text, with commas between them: `100/1m`, which is called `default`, or `per-minute=100/1m;burst=20,per-day=5000/1d`. Names have 1 to 32
/// lower-case letters, digits and hyphens, and are told to clients in the fields `RateLimit` and `RateLimit-Policy`. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct RateLimits(Arc<Listed>);

#[derive(PartialEq, Eq)]
struct Listed {
    /// Tells one list of limits from another, whatever they are called; the same in every process.
    mark: u64,
    limits: Box<[(Box<str>, RateLimit)]>,
}

impl RateLimits {
    pub(crate) const RULE: &str = "must be 1 to 4 limits of different names with commas between them, each a number of requests and a period of 1 second to 30 days (units s, \
             m, h, d), such as 100/1m or per-minute=100/1m;burst=20,per-day=5000/1d";
    /// How many there may be.
    pub const MOST: usize = 4;

    /// Limits and their names.
    ///
    /// # Errors
    ///
    /// When there are none or more than four, or two of the same name, or a name is none.
    pub fn new<I, N>(named: I) -> Result<Self, ParseRatesError>
    where
        I: IntoIterator<Item = (N, RateLimit)>,
        N: Into<String>,
    {
        let mut limits: Vec<(Box<str>, RateLimit)> = Vec::new();
        for (name, limit) in named {
            let name = name.into().into_boxed_str();
            if limits.len() == Self::MOST || !is_name(&name) || limits.iter().any(|(other, _)| *other == name)
            {
                return Err(ParseRatesError(()));
            }
            limits.push((name, limit));
        }
        match limits.is_empty() {
            true => Err(ParseRatesError(())),
            false => Ok(Self::of(limits.into())),
        }
    }

    fn of(limits: Box<[(Box<str>, RateLimit)]>) -> Self {
        let numbers = limits.iter().flat_map(|(_, limit)| {
            [
                limit.requests().into(),
                limit.period().as_secs(),
                limit.burst().into(),
            ]
        });
        // FNV-1a: nobody gains from two lists with the same mark, and what is counted goes on either way.
        let mark = numbers
            .flat_map(u64::to_le_bytes)
            .fold(0xcbf2_9ce4_8422_2325, |mark: u64, byte| {
                (mark ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        Self(Arc::new(Listed { mark, limits }))
    }

    /// The limits and their names, in the order they were given in.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, RateLimit)> {
        self.0.limits.iter().map(|(name, limit)| (&**name, *limit))
    }

    /// Whether a key with the others is never let through more often than one with these: none of these is exceeded by whoever keeps to
    /// the others.
    #[must_use]
    pub fn covers(&self, others: &Self) -> bool {
        self.iter()
            .all(|(_, ours)| others.iter().any(|(_, theirs)| ours.covers(&theirs)))
    }

    pub(crate) fn mark(&self) -> u64 {
        self.0.mark
    }
}

impl From<RateLimit> for RateLimits {
    fn from(limit: RateLimit) -> Self {
        Self::of([(DEFAULT.into(), limit)].into())
    }
}

impl FromStr for RateLimits {
    type Err = ParseRatesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let one = |text: &str| {
            // The one of a burst comes after a semicolon.
            let head = text.split(';').next().unwrap_or_default();
            let (name, limit) = match head.split_once('=') {
                Some((name, _)) => (name, text.get(name.len() + 1..)?),
                None => (DEFAULT, text),
            };
            Some((name.to_owned(), limit.parse().ok()?))
        };
        let limits: Option<Vec<_>> = text.splitn(Self::MOST + 1, ',').map(one).collect();
        Self::new(limits.ok_or(ParseRatesError(()))?)
    }
}

impl fmt::Display for RateLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (name, limit)) in self.iter().enumerate() {
            if place > 0 {
                f.write_str(",")?;
            }
            if name != DEFAULT {
                write!(f, "{name}=")?;
            }
            limit.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Debug for RateLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RateLimits({self})")
    }
}

/// What is left of a [`RateLimit`] at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Allowance {
    /// What the limit is called; `owner` or `owner-` and a name where it is one of all keys of an owner.
    pub name: Box<str>,
    /// The limit.
    pub limit: RateLimit,
    /// How much may be used at once now.
    pub remaining: u32,
    /// How long until all of it is there again, if nothing more is used.
    pub reset: Duration,
    /// How long until one more request may come; zero while one may.
    pub retry_after: Duration,
}

/// A text is not a list of rate limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseRatesError(());

impl fmt::Display for ParseRatesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(RateLimits::RULE)
    }
}

impl Error for ParseRatesError {}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(text: &str) -> RateLimits {
        text.parse().expect("limits")
    }

    #[test]
    fn what_is_and_is_not_a_list_of_limits() {
        for good in [
            "100/1m",
            "100/1m;burst=20",
            "per-minute=100/1m;burst=20,per-day=5000/1d",
            "100/1m,per-day=5000/1d",
            "a=1/1s,b=1/1m,c=1/1h,d=1/1d",
        ] {
            assert_eq!(rates(good).to_string(), good);
        }
        assert_eq!(rates("default=1/1m").to_string(), "1/1m");
        for bad in [
            "",
            ",",
            "1/1m,",
            "1/1m,2/1m",
            "a=1/1m,a=2/1m",
            "=1/1m",
            "A=1/1m",
            "a b=1/1m",
            "a\"=1/1m",
            "a=1/1m, b=2/1m",
            "a==1/1m",
            "burst=20;1/1m",
            "a=1/1s,b=1/1m,c=1/1h,d=1/1d,e=2/1d",
        ] {
            assert!(bad.parse::<RateLimits>().is_err(), "{bad}");
        }
        assert!(format!("{}=1/1m", "a".repeat(32)).parse::<RateLimits>().is_ok());
        assert!(format!("{}=1/1m", "a".repeat(33)).parse::<RateLimits>().is_err());
    }

    #[test]
    fn whoever_keeps_to_narrower_limits_exceeds_none_of_the_wider_whatever_they_are_called() {
        let wide = rates("per-minute=100/1m,per-day=5000/1d");
        for narrower in [
            "per-minute=100/1m,per-day=5000/1d",
            "x=5000/1d,y=100/1m",
            "a=100/1m,b=5000/1d,c=1000000/1s",
            "1/1h",
        ] {
            assert!(wide.covers(&rates(narrower)), "{narrower}");
        }
        for wider in ["100/1m", "per-day=5000/1d", "per-minute=101/1m,per-day=5000/1d"] {
            assert!(!wide.covers(&rates(wider)), "{wider}");
        }
    }

    #[test]
    fn a_mark_is_of_the_numbers_and_their_order() {
        assert_eq!(rates("a=1/1m,b=2/1m").mark(), rates("c=1/1m,d=2/1m").mark());
        for other in ["a=1/1m", "a=2/1m,b=1/1m", "a=1/1m,b=2/1m;burst=1"] {
            assert_ne!(rates("a=1/1m,b=2/1m").mark(), rates(other).mark(), "{other}");
        }
    }
}
