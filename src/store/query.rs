use std::time::{Duration, SystemTime};

use crate::key::{KeyId, KeyRecord, KeyStatus};

/// Which keys to list.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct KeyQuery {
    /// Of this owner only.
    pub owner: Option<String>,
    /// Of this status only, at the store's time.
    pub status: Option<KeyStatus>,
    /// With an id that begins like this.
    pub id_prefix: Option<String>,
    /// Older than this one, which may be gone.
    pub before: Option<KeyId>,
    /// So many at most.
    pub limit: u32,
}

impl KeyQuery {
    /// The newest keys of all owners.
    #[must_use]
    pub fn newest(limit: u32) -> Self {
        Self {
            owner: None,
            status: None,
            id_prefix: None,
            before: None,
            limit,
        }
    }

    /// Only those of an owner.
    #[must_use]
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// Only those of a status.
    #[must_use]
    pub fn status(mut self, status: KeyStatus) -> Self {
        self.status = Some(status);
        self
    }

    /// Only those with an id that begins like this.
    #[must_use]
    pub fn id_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.id_prefix = Some(prefix.into());
        self
    }

    /// Only those older than this one.
    #[must_use]
    pub fn before(mut self, id: KeyId) -> Self {
        self.before = Some(id);
        self
    }

    /// Whether a key is among them, the limit aside.
    #[must_use]
    pub fn matches(&self, key: &KeyRecord, now: SystemTime) -> bool {
        self.owner.as_ref().is_none_or(|owner| *owner == key.owner)
            && self.status.is_none_or(|status| status == key.status(now))
            && self.before.is_none_or(|before| key.id < before)
            && self
                .id_prefix
                .as_ref()
                .is_none_or(|prefix| key.id.to_string().starts_with(prefix))
    }
}

/// A page of keys.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct KeyPage {
    /// The keys, the newest first.
    pub keys: Vec<KeyRecord>,
    /// The store's time when they were read.
    pub now: SystemTime,
}

impl KeyPage {
    /// Keys, read at a time.
    #[must_use]
    pub fn new(keys: Vec<KeyRecord>, now: SystemTime) -> Self {
        Self { keys, now }
    }
}

/// Which keys that end soon to list.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ExpiryQuery {
    /// Those that end after this moment, and those that end at it with a greater id than this one.
    pub after: (SystemTime, Option<KeyId>),
    /// Those that end at this moment at the latest.
    pub until: SystemTime,
    /// Those that were made to last longer than this.
    pub made_for: Duration,
    /// So many at most.
    pub limit: u32,
}

impl ExpiryQuery {
    /// Those that end between two moments, the second included.
    #[must_use]
    pub fn between(after: SystemTime, until: SystemTime, limit: u32) -> Self {
        Self {
            after: (after, None),
            until,
            made_for: Duration::ZERO,
            limit,
        }
    }

    /// Only those that were made to last longer than this.
    #[must_use]
    pub fn made_for(mut self, duration: Duration) -> Self {
        self.made_for = duration;
        self
    }

    /// Whether a key is among them, the limit aside: never one that is revoked or disabled, or that another has taken over from.
    #[must_use]
    pub fn matches(&self, key: &KeyRecord) -> bool {
        let (after, id) = self.after;
        let is_after = |expiry| expiry > after || expiry == after && id.is_some_and(|id| key.id > id);
        key.revoked_at.is_none()
            && key.disabled_at.is_none()
            && key.rotated_to.is_none()
            && key.expires_at.is_some_and(|expiry| {
                let lasts = expiry.duration_since(key.created_at).unwrap_or_default();
                is_after(expiry) && expiry <= self.until && lasts > self.made_for
            })
    }
}

/// Which events to list.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EventQuery {
    /// About this key only.
    pub key_id: Option<KeyId>,
    /// About keys of this owner only.
    pub owner: Option<String>,
    /// Before this event.
    pub before: Option<i64>,
    /// So many at most.
    pub limit: u32,
}

impl EventQuery {
    /// The newest events of all keys.
    #[must_use]
    pub fn newest(limit: u32) -> Self {
        Self {
            key_id: None,
            owner: None,
            before: None,
            limit,
        }
    }

    /// Only those about a key.
    #[must_use]
    pub fn key(mut self, id: KeyId) -> Self {
        self.key_id = Some(id);
        self
    }

    /// Only those about keys of an owner.
    #[must_use]
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// Only those before an event.
    #[must_use]
    pub fn before(mut self, seq: i64) -> Self {
        self.before = Some(seq);
        self
    }
}
