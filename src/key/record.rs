use std::time::SystemTime;

use super::{account::CreditAccount, digest::KeyDigest, id::KeyId};
use crate::access::{AddressList, Grants, RateLimits};

/// What a store keeps of a key. The key itself is not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyRecord {
    /// The public name.
    pub id: KeyId,
    /// The digest of the key.
    pub digest: KeyDigest,
    /// The first characters of the key, for people to tell keys apart.
    pub prefix: String,
    /// A name given by whoever minted it.
    pub name: String,
    /// Who the key acts for, in the application's own terms.
    pub owner: String,
    /// What it may do.
    pub grants: Grants,
    /// From where it may be used; `None` for anywhere.
    pub allowed_ips: Option<AddressList>,
    /// How often it may be used; `None` for as often as the application's own limits allow.
    pub rate_limit: Option<RateLimits>,
    /// Where its uses are counted down; `None` for as many as there are.
    pub credits: Option<CreditAccount>,
    /// When it was minted.
    pub created_at: SystemTime,
    /// The first moment at which it is no longer good; `None` for a key without expiry.
    pub expires_at: Option<SystemTime>,
    /// When it was revoked. Final.
    pub revoked_at: Option<SystemTime>,
    /// When it was disabled, if it is.
    pub disabled_at: Option<SystemTime>,
    /// When it was last used, as far as that has been written down.
    pub last_used_at: Option<SystemTime>,
    /// The key that this one took over from.
    pub rotated_from: Option<KeyId>,
    /// The key that took over from this one.
    pub rotated_to: Option<KeyId>,
    /// Whether it was taken over from another system, and so has no check in its text.
    pub imported: bool,
    /// Whether it was given for a token of another issuer by a trust policy: then it makes no other keys, and none takes over from it.
    pub exchanged: bool,
    /// Grows by one with every change.
    pub version: i64,
}

impl KeyRecord {
    /// A record of a key that grants nothing and does not expire; the other fields are public.
    #[must_use]
    pub fn new(id: KeyId, digest: KeyDigest, owner: impl Into<String>, created_at: SystemTime) -> Self {
        Self {
            id,
            digest,
            prefix: String::new(),
            name: String::new(),
            owner: owner.into(),
            grants: Grants::none(),
            allowed_ips: None,
            rate_limit: None,
            credits: None,
            created_at,
            expires_at: None,
            revoked_at: None,
            disabled_at: None,
            last_used_at: None,
            rotated_from: None,
            rotated_to: None,
            imported: false,
            exchanged: false,
            version: 1,
        }
    }

    /// Whether the key is good at this moment.
    ///
    /// Revoked comes before disabled, disabled before expired: the first that is hardest to undo. A key whose expiry is
    /// exactly now has expired.
    #[must_use]
    pub fn status(&self, now: SystemTime) -> KeyStatus {
        if self.revoked_at.is_some() {
            KeyStatus::Revoked
        } else if self.disabled_at.is_some() {
            KeyStatus::Disabled
        } else if self.expires_at.is_some_and(|expiry| expiry <= now) {
            KeyStatus::Expired
        } else {
            KeyStatus::Active
        }
    }
}

/// Whether a key is good, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyStatus {
    /// Good.
    Active,
    /// Past its expiry.
    Expired,
    /// Switched off until it is switched on again.
    Disabled,
    /// Ended for good.
    Revoked,
}

impl KeyStatus {
    /// The status as one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Disabled => "disabled",
            Self::Revoked => "revoked",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_hardest_to_undo_comes_first_and_equal_is_expired() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let mut record = KeyRecord::new(KeyId::generate(), KeyDigest::of(b"k"), "o", at(0));
        assert_eq!(record.status(at(u32::MAX.into())), KeyStatus::Active);
        record.expires_at = Some(at(10));
        assert_eq!(record.status(at(9)), KeyStatus::Active);
        assert_eq!(record.status(at(10)), KeyStatus::Expired);
        record.disabled_at = Some(at(1));
        assert_eq!(record.status(at(10)), KeyStatus::Disabled);
        record.revoked_at = Some(at(1));
        assert_eq!(record.status(at(0)), KeyStatus::Revoked);
    }
}
