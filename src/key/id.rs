use std::{
    error::Error,
    fmt,
    str::FromStr,
    time::{Duration, SystemTime},
};

use uuid::Uuid;
#[cfg(feature = "page")]
use uuid::{NoContext, Timestamp};

/// The public name of a key: a UUID, version 7 for keys minted here, so that they sort by age.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Uuid);

impl KeyId {
    /// A new id.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// A new id, dated by another clock than that of this process. A moment before 1970 counts as 1970.
    #[cfg(feature = "page")]
    pub(crate) fn generate_at(moment: SystemTime) -> Self {
        let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let moment = Timestamp::from_unix(NoContext, since.as_secs(), since.subsec_nanos());
        Self(Uuid::new_v7(moment))
    }

    /// The id with these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// When it was made, to the millisecond, by the clock of the process that made it, or by that of the store where a form asked for the key;
    /// `None` where it is not of version 7.
    #[must_use]
    pub fn made_at(&self) -> Option<SystemTime> {
        let (seconds, nanos) = self.0.get_timestamp()?.to_unix();
        SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanos))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl FromStr for KeyId {
    type Err = ParseKeyIdError;

    /// Takes the one form that [`Display`](fmt::Display) writes, so that an id has one spelling.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = Uuid::try_parse(text).map_err(|_| ParseKeyIdError(()))?;
        let mut buffer = Uuid::encode_buffer();
        if id.hyphenated().encode_lower(&mut buffer) == text {
            Ok(Self(id))
        } else {
            Err(ParseKeyIdError(()))
        }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.hyphenated(), f)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is not a key id: 36 characters, lower case, with hyphens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseKeyIdError(());

impl fmt::Display for ParseKeyIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a key id")
    }
}

impl Error for ParseKeyIdError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_knows_when_it_was_made() {
        let id: KeyId = "018bcfe5-6800-7000-8000-000000000000".parse().expect("an id");
        let made = Duration::from_millis(0x018b_cfe5_6800);
        assert_eq!(id.made_at(), SystemTime::UNIX_EPOCH.checked_add(made));
        let other: KeyId = "f81d4fae-7dec-41d0-a765-00a0c91e6bf6".parse().expect("an id");
        assert_eq!(other.made_at(), None);
    }

    #[cfg(feature = "page")]
    #[test]
    fn an_id_is_dated_by_whatever_clock_it_is_told() {
        let moment = SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_000_000_123);
        let (one, other) = (KeyId::generate_at(moment), KeyId::generate_at(moment));
        assert_eq!(one.made_at(), Some(moment));
        assert_ne!(one, other);
        let early = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(KeyId::generate_at(early).made_at(), Some(SystemTime::UNIX_EPOCH));
    }

    #[test]
    fn an_id_has_one_spelling() {
        let id = KeyId::generate();
        let text = id.to_string();
        assert_eq!(text.parse(), Ok(id));
        for other in [
            text.to_uppercase(),
            text.replace('-', ""),
            format!("{{{text}}}"),
            format!("{text} "),
        ] {
            assert!(other.parse::<KeyId>().is_err(), "{other}");
        }
    }
}
