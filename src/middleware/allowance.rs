//! What a caller is told of its limits (draft-ietf-httpapi-ratelimit-headers-10).

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    access::{Allowance, RateLimit},
    limit::Line,
    store::Balance,
};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// For nine limits (four of a key, four of its owner, and credits) with the longest of names and numbers.
const ROOM: usize = 9 * 80;

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
    let (mut policy, mut limit) = (Text::new(), Text::new());
    for (place, one) in told.enumerate() {
        let start = if place == 0 { "\"" } else { ", \"" };
        for text in [&mut policy, &mut limit] {
            text.say(start);
            text.say(one.prefix);
            text.say(one.name);
        }
        policy.number("\";q=", one.quota.into());
        limit.number("\";r=", one.remaining.into());
        if let Some(window) = one.window {
            policy.number(";w=", window.as_secs());
        }
        if let Some(reset) = one.reset {
            limit.number(";t=", seconds(reset));
        }
    }
    for (name, text) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, limit)] {
        if let Some(value) = text.value() {
            headers.append(name, value);
        }
    }
}

/// A field while it is written: where it is told of limits, each answer has one, so it takes no allocation before its end.
struct Text {
    bytes: [u8; ROOM],
    len: usize,
}

impl Text {
    fn new() -> Self {
        Self {
            bytes: [0; ROOM],
            len: 0,
        }
    }

    fn say(&mut self, text: &str) {
        let end = self.len + text.len();
        if let Some(room) = self.bytes.get_mut(self.len..end) {
            room.copy_from_slice(text.as_bytes());
        }
        // Where there is no room there is no field, rather than half of one.
        self.len = end;
    }

    fn number(&mut self, before: &str, number: u64) {
        self.say(before);
        // 64 bits have 20 digits at most.
        let mut digits = [b'0'; 20];
        let (mut rest, mut first) = (number, digits.len());
        while rest > 0 || first == digits.len() {
            first -= 1;
            digits[first] = b"0123456789"[(rest % 10) as usize];
            rest /= 10;
        }
        self.say(std::str::from_utf8(&digits[first..]).unwrap_or_default());
    }

    fn value(&self) -> Option<HeaderValue> {
        let written = self.bytes.get(..self.len)?;
        // Digits and letters: it always is one.
        let value = HeaderValue::from_bytes(written).ok();
        value.filter(|value| !value.is_empty())
    }
}

/// Whole seconds, after which it is surely so.
pub(super) fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_anybody_writes_them() {
        for number in [0, 1, 9, 10, 99, 100, 4_294_967_295, u64::MAX] {
            let mut text = Text::new();
            text.number("r=", number);
            assert_eq!(text.value().expect("a field"), format!("r={number}"));
        }
    }

    #[test]
    fn what_has_no_room_is_no_field() {
        let mut text = Text::new();
        assert_eq!(text.value(), None);
        let most = "x".repeat(ROOM);
        text.say(&most);
        assert_eq!(text.value().expect("a field"), most);
        text.number("x", 1);
        assert_eq!(text.value(), None);
    }
}
