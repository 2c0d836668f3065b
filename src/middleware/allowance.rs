//! What a caller is told of its limits (draft-ietf-httpapi-ratelimit-headers-10).

use std::{fmt::Write, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    access::{Allowance, RateLimit},
    limit::Line,
    store::Balance,
};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// For four limits with names of the usual length.
const ROOM: usize = 256;

/// One limit, and what is left of it.
pub(super) struct Told<'a> {
    prefix: &'static str,
    name: &'a str,
    quota: u32,
    /// `None` for what is used up once and for all.
    window: Option<Duration>,
    remaining: u32,
    reset: Option<Duration>,
}

impl<'a> Told<'a> {
    pub(super) fn of(one: &'a Allowance) -> Self {
        Self {
            prefix: "",
            name: &one.name,
            remaining: one.remaining,
            reset: Some(one.reset),
            ..Self::limited(one.limit)
        }
    }

    pub(super) fn of_line(line: Line<'a>) -> Self {
        let (prefix, name) = line.name_parts();
        Self {
            prefix,
            name,
            remaining: line.left.remaining,
            reset: Some(line.left.reset),
            ..Self::limited(line.limit)
        }
    }

    pub(super) fn of_credits(left: &Balance) -> Self {
        let limit = left.account.limit;
        Self {
            prefix: "",
            name: "credits",
            quota: limit.uses(),
            window: limit.period(),
            remaining: left.left,
            reset: left.refill_in,
        }
    }

    fn limited(limit: RateLimit) -> Self {
        Self {
            prefix: "",
            name: "",
            quota: limit.requests(),
            window: Some(limit.period()),
            remaining: 0,
            reset: None,
        }
    }
}

/// Adds the fields. Both are lists of structured strings, so that those of an application's own limits stay beside them. Names have nothing
/// in them that would need escaping.
pub(super) fn tell<'a>(headers: &mut HeaderMap, told: impl Iterator<Item = Told<'a>>) {
    let (mut policy, mut limit) = (String::with_capacity(ROOM), String::with_capacity(ROOM));
    for (place, one) in told.enumerate() {
        let (comma, Told { prefix, name, .. }) = (if place == 0 { "" } else { ", " }, &one);
        // Writing to a string cannot fail.
        let _ = write!(policy, r#"{comma}"{prefix}{name}";q={}"#, one.quota);
        let _ = write!(limit, r#"{comma}"{prefix}{name}";r={}"#, one.remaining);
        if let Some(window) = one.window {
            let _ = write!(policy, ";w={}", window.as_secs());
        }
        if let Some(reset) = one.reset {
            let _ = write!(limit, ";t={}", seconds(reset));
        }
    }
    for (name, text) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, limit)] {
        // Digits and letters: it always is one.
        if let (false, Ok(value)) = (text.is_empty(), HeaderValue::try_from(text)) {
            headers.append(name, value);
        }
    }
}

/// Whole seconds, after which it is surely so.
pub(super) fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
