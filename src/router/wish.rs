//! What a body asks for. Everything that is wrong with it is told at once, and before there is a key.

use std::{
    collections::BTreeMap,
    str::FromStr,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use serde_json::Value;

use super::{
    body::Object,
    problem::{FieldError, Problem},
};
use crate::{
    access::{AddressList, Credits, Grants, RateLimits, Resources, Scopes},
    manage::{DEFAULT_OVERLAP, KeyChange, NewKey, check_name},
};

/// What may be true of a key, but is not the caller's to say. Any other name is not repeated.
const NOT_YOURS: [&str; 18] = [
    "created_at",
    "digest",
    "disabled_at",
    "hash",
    "id",
    "imported",
    "key",
    "last_used_at",
    "owner",
    "prefix",
    "revoked",
    "revoked_at",
    "rotated_from",
    "rotated_to",
    "secret",
    "status",
    "user_id",
    "version",
];

/// The body of `POST /`.
pub(super) fn new_key(body: Object, owner: &str) -> Result<NewKey, Problem> {
    let mut form = Form::new(body);
    let mut new = NewKey::new(owner);
    match form.name() {
        Said::Value(name) => new = new.name(name),
        Said::Nothing | Said::Null => form.complain("name", "must be given"),
        Said::Nonsense => {}
    }
    let scopes = form.scopes().value().unwrap_or_default();
    let resources = form.resources().value().unwrap_or_default();
    new = new.grants(Grants::new(scopes, resources));
    if let Said::Value(moment) = form.date("expires_at") {
        new = new.expires_at(moment);
    }
    if let Said::Value(addresses) = form.addresses() {
        new = new.allowed_ips(addresses);
    }
    if let Said::Value(rate) = form.rate() {
        new = new.rate_limit(rate);
    }
    if let Said::Value(credits) = form.credits() {
        new = new.credits(credits);
    }
    form.end(new)
}

/// The body of `PATCH /{id}`. Where a limit can be lacking, `null` asks for none.
pub(super) fn change(body: Object) -> Result<KeyChange, Problem> {
    let mut form = Form::new(body);
    let mut change = KeyChange::new();
    if let Some(name) = form.name().required(&mut form, "name") {
        change = change.name(name);
    }
    if let Some(disabled) = form.boolean("disabled").required(&mut form, "disabled") {
        change = change.disabled(disabled);
    }
    if let Some(scopes) = form.scopes().value() {
        change = change.scopes(scopes);
    }
    if let Some(resources) = form.resources().nullable() {
        change = change.resources(resources.unwrap_or_default());
    }
    if let Some(moment) = form.date("expires_at").nullable() {
        change = change.expires_at(moment);
    }
    if let Some(addresses) = form.addresses().nullable() {
        change = change.allowed_ips(addresses);
    }
    if let Some(rate) = form.rate().nullable() {
        change = change.rate_limit(rate);
    }
    // What is sold by use is not given away by leaving it out.
    if let Some(credits) = form.credits().required(&mut form, "credits") {
        change = change.credits(credits);
    }
    form.end(change)
}

/// The body of `POST /{id}/rotate`.
pub(super) fn overlap(body: Object) -> Result<Duration, Problem> {
    let mut form = Form::new(body);
    let seconds = form.read(
        "overlap_seconds",
        "must be a whole number of seconds, 0 or more",
        Value::as_u64,
    );
    let overlap = seconds.required(&mut form, "overlap_seconds");
    form.end(overlap.map_or(DEFAULT_OVERLAP, Duration::from_secs))
}

/// What a body says of a field.
enum Said<T> {
    Nothing,
    Null,
    Value(T),
    /// Complained about already.
    Nonsense,
}

impl<T> Said<T> {
    fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            _ => None,
        }
    }

    fn nullable(self) -> Option<Option<T>> {
        match self {
            Self::Value(value) => Some(Some(value)),
            Self::Null => Some(None),
            Self::Nothing | Self::Nonsense => None,
        }
    }

    /// For a field that can be left out, and cannot be nothing.
    fn required(self, form: &mut Form, field: &'static str) -> Option<T> {
        if matches!(self, Self::Null) {
            form.complain(field, "must not be null");
        }
        self.value()
    }
}

struct Form {
    members: BTreeMap<String, Value>,
    errors: Vec<FieldError>,
}

impl Form {
    fn new(Object(members): Object) -> Self {
        Self {
            members,
            errors: Vec::new(),
        }
    }

    fn complain(&mut self, field: &'static str, message: &'static str) {
        self.errors.push(FieldError { field, message });
    }

    fn read<T>(
        &mut self,
        field: &'static str,
        message: &'static str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Said<T> {
        match self.members.remove(field) {
            None => Said::Nothing,
            Some(Value::Null) => Said::Null,
            Some(value) => match read(&value) {
                Some(value) => Said::Value(value),
                None => {
                    self.complain(field, message);
                    Said::Nonsense
                }
            },
        }
    }

    fn name(&mut self) -> Said<String> {
        let said = self.read("name", "must be a text", |value| {
            value.as_str().map(str::to_owned)
        });
        if let Said::Value(name) = &said
            && let Err(invalid) = check_name(name)
        {
            self.errors.push(invalid.into());
            return Said::Nonsense;
        }
        said
    }

    fn boolean(&mut self, field: &'static str) -> Said<bool> {
        self.read(field, "must be true or false", Value::as_bool)
    }

    fn scopes(&mut self) -> Said<Scopes> {
        const MESSAGE: &str = "must be a list of scopes, each of 1 to 128 visible ASCII characters without quotes and backslashes, \
                               with `*` only in a final `:*`";
        match self.read("scopes", MESSAGE, |value| Scopes::new(texts(value)?).ok()) {
            // It could be meant as everything or as nothing, and is neither.
            Said::Null => {
                self.complain("scopes", MESSAGE);
                Said::Nonsense
            }
            said => said,
        }
    }

    fn resources(&mut self) -> Said<Resources> {
        const MESSAGE: &str = "must be a list of at least one resource, `kind:name` in visible ASCII characters, with `*` only at \
                               the end; without the field a key is bound to none";
        self.read("resources", MESSAGE, |value| {
            let listed = texts(value)?;
            (!listed.is_empty())
                .then(|| Resources::only(listed).ok())
                .flatten()
        })
    }

    fn date(&mut self, field: &'static str) -> Said<SystemTime> {
        const MESSAGE: &str =
            "must be a date and time with its offset from UTC, such as 2030-01-31T12:00:00Z";
        self.read(field, MESSAGE, |value| date(value.as_str()?))
    }

    fn addresses(&mut self) -> Said<AddressList> {
        const MESSAGE: &str =
            "must be a list of 1 to 100 addresses or CIDR blocks without bits behind the prefix";
        self.read("allowed_ips", MESSAGE, |value| {
            AddressList::new(texts(value)?).ok()
        })
    }

    fn rate(&mut self) -> Said<RateLimits> {
        self.parsed("rate_limit", RateLimits::RULE)
    }

    fn credits(&mut self) -> Said<Credits> {
        self.parsed("credits", Credits::RULE)
    }

    /// What is written in a string, by a rule of its own.
    fn parsed<T: FromStr>(&mut self, field: &'static str, rule: &'static str) -> Said<T> {
        let message = match self.members.get(field) {
            None | Some(Value::Null | Value::String(_)) => rule,
            Some(_) => "must be a string",
        };
        self.read(field, message, |value| value.as_str()?.parse().ok())
    }

    /// The value, unless there is anything to complain about: also that something is left.
    fn end<T>(mut self, value: T) -> Result<T, Problem> {
        let mut others = false;
        for name in std::mem::take(&mut self.members).keys() {
            match NOT_YOURS.into_iter().find(|known| known == name) {
                Some(field) => self.complain(field, "cannot be chosen"),
                None => others = true,
            }
        }
        if others {
            self.complain("body", "must have no fields but those that this call takes");
        }
        match self.errors.is_empty() {
            true => Ok(value),
            false => Err(Problem::Invalid(self.errors)),
        }
    }
}

fn texts(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

/// RFC 3339, section 5.6, and nothing of what else is called a date.
fn date(text: &str) -> Option<SystemTime> {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00";
    let fits = |(shape, byte): (&u8, u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        other => *other == byte,
    };
    let (plain, rest) = text.split_at_checked(SHAPE.len())?;
    if !SHAPE.iter().zip(plain.bytes()).all(fits) {
        return None;
    }
    let offset = match rest.strip_prefix('.') {
        None => rest,
        Some(fraction) => {
            let offset = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            let digits = fraction.len() - offset.len();
            (1..=9).contains(&digits).then_some(offset)?
        }
    };
    let is_offset = match offset.as_bytes() {
        b"Z" => true,
        // Further away than a day there is no place on Earth, but jiff takes it.
        [b'+' | b'-', rest @ ..] => {
            rest.len() == 5
                && b"00:00".iter().zip(rest.iter().copied()).all(fits)
                && rest < b"24:00".as_slice()
        }
        _ => false,
    };
    let moment: Timestamp = is_offset.then(|| text.parse().ok())??;
    Some(moment.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_says_where_it_is_that_time() {
        for good in [
            "2030-01-31T12:00:00Z",
            "2030-01-31T12:00:00.123Z",
            "2030-01-31T12:00:00.123456789+02:00",
            "2030-01-31T12:00:00-08:30",
            "1969-12-31T23:59:59Z",
        ] {
            assert!(date(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "2030-01-31",
            "2030-01-31T12:00:00",
            "2030-01-31 12:00:00Z",
            "2030-01-31t12:00:00z",
            "2030-01-31T12:00Z",
            "2030-01-31T12:00:00+02",
            "2030-01-31T12:00:00+0200",
            "2030-01-31T12:00:00+24:00",
            "2030-01-31T12:00:00-25:00",
            "2030-01-31T12:00:00+01:60",
            "2030-01-31T24:00:00Z",
            "2030-01-31T12:00:00+02:00[Europe/Berlin]",
            "2030-01-31T12:00:00.Z",
            "2030-01-31T12:00:00.1234567890Z",
            "2030-02-30T12:00:00Z",
            "2030-13-01T12:00:00Z",
            "2030-01-31T25:00:00Z",
            "+002030-01-31T12:00:00Z",
            "10000-01-01T00:00:00Z",
            "\u{662}\u{660}\u{663}\u{660}-01-31T12:00:00Z",
            "2030-01-31T12:00:00Z ",
            "1e30",
            "1893456000",
        ] {
            assert!(date(bad).is_none(), "{bad}");
        }
    }
}
