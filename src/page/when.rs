//! Time, as people say it, and exactly.

use std::time::{Duration, SystemTime};

use askama::Template;
use jiff::Timestamp;

use super::texts::{Texts, fill};
use crate::clock::to_unix_ms;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const MONTH: u64 = 30 * DAY;
const YEAR: u64 = 365 * DAY;
/// From here on months say enough.
const DAYS: u64 = 100 * DAY;

/// A moment, to be shown: `|safe` in other templates, since it is one itself.
#[derive(Debug, Clone, Template)]
#[template(
    source = r#"<time datetime="{{ iso }}" title="{{ exact }}">{{ said }}</time>"#,
    ext = "html"
)]
pub(super) struct Moment {
    /// Such as `3 days ago` or `in 2 hours`.
    pub(super) said: String,
    /// Such as `2030-01-31 12:00:00 UTC`.
    pub(super) exact: String,
    /// For programs.
    pub(super) iso: String,
}

impl Moment {
    pub(super) fn new(moment: SystemTime, now: SystemTime, t: &Texts) -> Self {
        // Later than can be written is as good as never.
        let stamp = Timestamp::from_millisecond(to_unix_ms(moment)).unwrap_or(Timestamp::MAX);
        let iso = format!("{stamp:.0}");
        Self {
            said: said(moment, now, t),
            exact: format!("{} UTC", iso.replacen('T', " ", 1).trim_end_matches('Z')),
            iso,
        }
    }
}

/// The date of a moment in UTC, such as `2030-01-31`.
pub(super) fn date_of(moment: SystemTime) -> String {
    let stamp = Timestamp::from_millisecond(to_unix_ms(moment)).unwrap_or(Timestamp::MAX);
    stamp.to_string().chars().take(10).collect()
}

/// The end of a day that a form names, in UTC: the key is good on that day, and no longer.
pub(super) fn end_of(day: &str) -> Option<SystemTime> {
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = day.split('-').collect();
    let [year, month, date] = parts[..] else {
        return None;
    };
    let is_date =
        (year.len(), month.len(), date.len()) == (4, 2, 2) && [year, month, date].map(digits) == [true; 3];
    let begin: Timestamp = is_date.then(|| format!("{day}T00:00:00Z").parse().ok())??;
    SystemTime::from(begin).checked_add(Duration::from_secs(DAY))
}

fn said(moment: SystemTime, now: SystemTime, t: &Texts) -> String {
    match now.duration_since(moment) {
        Ok(since) => match span(since, t) {
            Some(span) => fill(&t.ago, span),
            None => t.just_now.to_string(),
        },
        Err(ahead) => match span(to_the_nearest(ahead.duration()), t) {
            Some(span) => fill(&t.ahead, span),
            None => fill(&t.ahead, &t.minute),
        },
    }
}

/// What is ahead is rounded: a key that was made for 90 days a moment ago ends in 90 days, not 89.
fn to_the_nearest(ahead: Duration) -> Duration {
    let half = match ahead.as_secs() {
        seconds if seconds >= DAYS => MONTH / 2,
        seconds if seconds >= DAY - HOUR / 2 => DAY / 2,
        seconds if seconds >= HOUR - MINUTE / 2 => HOUR / 2,
        _ => MINUTE / 2,
    };
    ahead.saturating_add(Duration::from_secs(half))
}

/// A duration in its largest unit, and in days up to a hundred; `None` for less than a minute.
pub(super) fn span(duration: Duration, t: &Texts) -> Option<String> {
    let seconds = duration.as_secs();
    let units = [
        (YEAR, &t.year, &t.years),
        (MONTH, &t.month, &t.months),
        (DAY, &t.day, &t.days),
        (HOUR, &t.hour, &t.hours),
        (MINUTE, &t.minute, &t.minutes),
    ];
    let is_less = |unit: u64| seconds < unit || (unit == MONTH && seconds < DAYS);
    let (unit, one, many) = units.into_iter().find(|(unit, ..)| !is_less(*unit))?;
    Some(match seconds / unit {
        1 => one.to_string(),
        count => fill(many, count),
    })
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn a_moment_is_said_in_its_largest_unit() {
        let t = Texts::default();
        let now = UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        let ago = |seconds| Moment::new(now - Duration::from_secs(seconds), now, &t).said;
        let ahead = |seconds| Moment::new(now + Duration::from_secs(seconds), now, &t).said;
        assert_eq!(ago(0), "just now");
        assert_eq!(ago(59), "just now");
        assert_eq!(ago(60), "1 minute ago");
        assert_eq!(ago(2 * HOUR - 1), "1 hour ago");
        assert_eq!(ago(3 * DAY), "3 days ago");
        assert_eq!(ago(59 * DAY), "59 days ago");
        assert_eq!(ago(110 * DAY), "3 months ago");
        assert_eq!(ago(800 * DAY), "2 years ago");
        assert_eq!(ahead(1), "in 1 minute");
        for (just, said) in [
            (2 * MINUTE, "in 2 minutes"),
            (HOUR, "in 1 hour"),
            (DAY, "in 1 day"),
            (7 * DAY, "in 7 days"),
            (90 * DAY, "in 90 days"),
            (180 * DAY, "in 6 months"),
            (365 * DAY, "in 1 year"),
        ] {
            assert_eq!((ahead(just), ahead(just - 1)), (said.to_owned(), said.to_owned()));
        }
        let exact = Moment::new(UNIX_EPOCH + Duration::from_millis(1500), now, &t);
        assert_eq!(exact.exact, "1970-01-01 00:00:01 UTC");
        assert_eq!(exact.iso, "1970-01-01T00:00:01Z");
        assert_eq!(date_of(now), "2033-05-18");
    }

    #[test]
    fn a_key_is_good_on_the_whole_of_its_last_day() {
        let end = end_of("1970-01-02").expect("a day");
        assert_eq!(end, UNIX_EPOCH + Duration::from_secs(2 * DAY));
        for bad in [
            "",
            "1970-1-02",
            "1970-02-30",
            "+970-01-02",
            "1970-01-02T",
            "1970-01-02-",
            "70-01-02",
        ] {
            assert!(end_of(bad).is_none(), "{bad}");
        }
    }
}
