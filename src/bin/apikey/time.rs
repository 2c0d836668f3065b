//! Dates and periods as people write them.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;

/// A date, or so long from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    At(SystemTime),
    In(Duration),
}

impl Moment {
    /// The date, which must be in the future.
    pub(crate) fn future(self) -> Option<SystemTime> {
        let now = SystemTime::now();
        let moment = match self {
            Self::At(moment) => moment,
            Self::In(period) => now.checked_add(period)?,
        };
        // Beyond this it could not be shown.
        (moment > now && Timestamp::try_from(moment).is_ok()).then_some(moment)
    }
}

/// For clap.
pub(crate) fn moment(text: &str) -> Result<Moment, String> {
    let period = period(text).map(Moment::In);
    period.or_else(|_| {
        date(text)
            .map(Moment::At)
            .ok_or("neither a date such as 2027-01-31T00:00:00Z nor a period such as 90d".into())
    })
}

/// For clap: `30s`, `15m`, `24h`, `90d`, `2w`, or `0`.
pub(crate) fn period(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let parse = || {
        let (count, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let unit = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 60 * 60,
            "d" => 24 * 60 * 60,
            "w" => 7 * 24 * 60 * 60,
            _ => return None,
        };
        // `parse` alone would take a sign.
        let digits = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
        let count: u64 = digits.then(|| count.parse().ok())??;
        Some(Duration::from_secs(count.checked_mul(unit)?))
    };
    parse().ok_or_else(|| "not a period such as 90d: a number and one of s, m, h, d, w".into())
}

/// A date of RFC 3339, from 1970 on.
pub(crate) fn date(text: &str) -> Option<SystemTime> {
    let date: Timestamp = text.parse().ok()?;
    (date >= Timestamp::UNIX_EPOCH).then(|| SystemTime::from(date))
}

/// In UTC and with milliseconds, as the router writes dates.
pub(crate) fn shown(moment: SystemTime) -> String {
    // What is no date there is far away.
    Timestamp::try_from(moment).map_or_else(|_| "never".to_owned(), |date| format!("{date:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_periods() {
        let seconds = |text| period(text).map(|period| period.as_secs());
        assert_eq!(seconds("0"), Ok(0));
        assert_eq!(seconds("90d"), Ok(90 * 86400));
        assert_eq!(seconds("2w"), Ok(14 * 86400));
        for bad in [
            "",
            "d",
            "90",
            "-1d",
            "+1d",
            "1.5h",
            "1y",
            "99999999999999999999d",
            "\u{e9}",
        ] {
            assert!(period(bad).is_err(), "{bad}");
        }
        assert_eq!(
            moment("1970-01-01T01:00:00+01:00"),
            Ok(Moment::At(SystemTime::UNIX_EPOCH))
        );
        for bad in [
            "tomorrow",
            "2027-01-31",
            "2027-01-31T00:00:00",
            "1969-01-01T00:00:00Z",
        ] {
            assert!(moment(bad).is_err(), "{bad}");
        }
        assert_eq!(shown(SystemTime::UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn only_the_future_is_the_future() {
        assert_eq!(Moment::In(Duration::ZERO).future(), None);
        assert_eq!(Moment::At(SystemTime::UNIX_EPOCH).future(), None);
        assert_eq!(Moment::In(Duration::MAX).future(), None);
        assert!(Moment::In(Duration::from_secs(60)).future().is_some());
    }
}
