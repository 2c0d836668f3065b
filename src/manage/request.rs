use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use super::{error::ManageError, to_the_millisecond};
use crate::{
    access::{AddressList, Credits, Grants, RateLimits, Resources, Scopes},
    clock::to_unix_ms,
    event::{Actor, Receipt},
    key::{KeyDigest, KeyId, KeyRecord, Secret},
    principal::Principal,
};

/// What a new key shall be.
#[derive(Debug, Clone)]
#[must_use]
pub struct NewKey {
    /// One that was reserved, and can be taken once.
    pub(super) id: Option<KeyId>,
    pub(super) owner: String,
    pub(super) name: String,
    pub(super) grants: Grants,
    pub(super) expires_at: Option<SystemTime>,
    /// In place of a moment, from when the store makes the key.
    pub(super) expires_in: Option<Duration>,
    pub(super) allowed_ips: Option<AddressList>,
    pub(super) rate_limit: Option<RateLimits>,
    pub(super) credits: Option<Credits>,
}

impl NewKey {
    /// A key for this owner, without rights and without expiry. Where a caller makes it, the owner is the caller's, whatever is said here.
    pub fn new(owner: impl Into<String>) -> Self {
        Self {
            id: None,
            owner: owner.into(),
            name: String::new(),
            grants: Grants::none(),
            expires_at: None,
            expires_in: None,
            allowed_ips: None,
            rate_limit: None,
            credits: None,
        }
    }

    /// A name for people: at most 100 characters, none of them invisible.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// What the key may do.
    pub fn grants(mut self, grants: Grants) -> Self {
        self.grants = grants;
        self
    }

    /// The first moment at which the key is no longer good. In place of [`NewKey::expires_in`], if that was said.
    pub fn expires_at(mut self, moment: SystemTime) -> Self {
        self.expires_at = Some(moment);
        self.expires_in = None;
        self
    }

    /// How long the key is good for, counted by the store's clock from when it keeps it, so that the clock of this process does not matter; to
    /// the millisecond. An imported key's counts from its import. In place of [`NewKey::expires_at`], if that was said.
    ///
    /// A key that would end at a moment too far away to be written down is refused, as [`Invalid`](crate::manage::Invalid) for `expires_at`.
    pub fn expires_in(mut self, lifetime: Duration) -> Self {
        self.expires_in = Some(lifetime);
        self.expires_at = None;
        self
    }

    /// When the key ends that the store makes now.
    ///
    /// # Errors
    ///
    /// When that is no moment.
    pub(super) fn expiry(&self, now: SystemTime) -> Result<Option<SystemTime>, ManageError> {
        let expiry = match self.expires_in {
            None => self.expires_at,
            Some(lifetime) => {
                let moment = now.checked_add(lifetime);
                let moment = moment.filter(|moment| to_unix_ms(*moment) < i64::MAX);
                Some(moment.ok_or_else(|| ManageError::invalid("expires_at", "is too far away"))?)
            }
        };
        Ok(expiry.map(to_the_millisecond))
    }

    /// From where the key may be used.
    pub fn allowed_ips(mut self, addresses: AddressList) -> Self {
        self.allowed_ips = Some(addresses);
        self
    }

    /// How often the key may be used.
    pub fn rate_limit(mut self, rate: RateLimits) -> Self {
        self.rate_limit = Some(rate);
        self
    }

    /// How many uses there are of the key, and of all keys that take over from it or are made with it, together: they are counted down in
    /// one account, in the store, and by all processes as one. The store has to keep [credits](crate::store::KeyStore::spend).
    ///
    /// A caller whose own key draws on an account makes keys that draw on the same, and cannot ask for another.
    pub fn credits(mut self, credits: Credits) -> Self {
        self.credits = Some(credits);
        self
    }
}

/// A key of another system, of which only the SHA-256 is known.
#[derive(Debug, Clone)]
#[must_use]
pub struct ImportedKey {
    pub(super) digest: KeyDigest,
    pub(super) prefix: String,
    pub(super) created_at: Option<SystemTime>,
    pub(super) new: NewKey,
}

impl ImportedKey {
    /// The key with this digest, as what `new` says.
    pub fn new(digest: KeyDigest, new: NewKey) -> Self {
        Self {
            digest,
            prefix: String::new(),
            created_at: None,
            new,
        }
    }

    /// The first characters of the key, for people to tell keys apart; at most 16.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// When the other system made it.
    pub fn created_at(mut self, moment: SystemTime) -> Self {
        self.created_at = Some(moment);
        self
    }
}

/// What shall be different about a key. What is not said stays; nothing can become more than it was.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct KeyChange {
    pub(super) name: Option<String>,
    pub(super) disabled: Option<bool>,
    pub(super) scopes: Option<Scopes>,
    pub(super) resources: Option<Resources>,
    pub(super) expires_at: Option<Option<SystemTime>>,
    pub(super) allowed_ips: Option<Option<AddressList>>,
    pub(super) rate_limit: Option<Option<RateLimits>>,
    pub(super) credits: Option<Credits>,
}

impl KeyChange {
    /// Nothing, to begin with.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Switched off, or on again.
    pub fn disabled(mut self, disabled: bool) -> Self {
        self.disabled = Some(disabled);
        self
    }

    /// Fewer scopes.
    pub fn scopes(mut self, scopes: Scopes) -> Self {
        self.scopes = Some(scopes);
        self
    }

    /// Fewer resources.
    pub fn resources(mut self, resources: Resources) -> Self {
        self.resources = Some(resources);
        self
    }

    /// An earlier expiry.
    pub fn expires_at(mut self, moment: Option<SystemTime>) -> Self {
        self.expires_at = Some(moment);
        self
    }

    /// Fewer addresses.
    pub fn allowed_ips(mut self, addresses: Option<AddressList>) -> Self {
        self.allowed_ips = Some(addresses);
        self
    }

    /// A tighter limit.
    pub fn rate_limit(mut self, rate: Option<RateLimits>) -> Self {
        self.rate_limit = Some(rate);
        self
    }

    /// As many uses as this again, whatever is left, and from now on. The one thing that can become more than it was: it takes the application, or a
    /// caller with the scope `keys:admin` whose own key draws on no account. It holds for all keys on the same account; a key without
    /// one has one from then on.
    pub fn credits(mut self, credits: Credits) -> Self {
        self.credits = Some(credits);
        self
    }

    /// The key as it would be, but for its account.
    pub(super) fn apply(&self, key: &KeyRecord, now: SystemTime) -> KeyRecord {
        let mut changed = key.clone();
        if let Some(name) = &self.name {
            changed.name.clone_from(name);
        }
        match self.disabled {
            Some(true) => changed.disabled_at = key.disabled_at.or(Some(now)),
            Some(false) => changed.disabled_at = None,
            None => {}
        }
        let scopes = self.scopes.as_ref().unwrap_or(key.grants.granted_scopes());
        let resources = self.resources.as_ref().unwrap_or(key.grants.resources());
        changed.grants = Grants::new(scopes.clone(), resources.clone());
        if let Some(expiry) = self.expires_at {
            changed.expires_at = expiry;
        }
        if let Some(addresses) = &self.allowed_ips {
            changed.allowed_ips.clone_from(addresses);
        }
        if let Some(rate) = &self.rate_limit {
            changed.rate_limit = rate.clone();
        }
        changed
    }
}

/// A key just minted: the one value that holds it in the clear.
#[derive(Debug)]
#[non_exhaustive]
pub struct IssuedKey {
    /// The key. It cannot be had again.
    pub key: Secret,
    /// What the store keeps of it.
    pub record: KeyRecord,
}

/// A key that is revoked.
#[derive(Debug)]
#[non_exhaustive]
pub struct RevokedKey {
    /// What the store keeps of it.
    pub record: KeyRecord,
    /// Who has heard of it, where that is waited for: with [`Preset::Strict`](crate::Preset::Strict).
    pub receipt: Option<Receipt>,
}

/// Who asks for a change, with what rights, and from where.
#[derive(Debug, Clone)]
#[must_use]
pub struct Caller {
    pub(super) principal: Principal,
    pub(super) address: Option<IpAddr>,
    pub(super) request_id: Option<String>,
}

impl Caller {
    /// Somebody who has been let in, by a key or by a session.
    pub fn new(principal: Principal) -> Self {
        Self {
            principal,
            address: None,
            request_id: None,
        }
    }

    /// The address the request came from, for the log.
    pub fn address(mut self, address: Option<IpAddr>) -> Self {
        self.address = address.map(|address| address.to_canonical());
        self
    }

    /// The id of the request, for the log. One that is not 1 to 64 visible ASCII characters is left out.
    ///
    /// The router takes it from the header `x-request-id`. Unless a proxy of yours sets that, it is what the client claims, and proves
    /// nothing.
    pub fn request_id(mut self, id: Option<impl Into<String>>) -> Self {
        self.request_id = shown_request_id(id);
        self
    }

    pub(super) fn actor(&self) -> Actor {
        let mut actor = Actor::new(self.principal.kind().as_str(), self.principal.owner());
        actor.key_id = self.principal.key_id().map(str::to_owned);
        actor.address = self.address;
        actor.request_id.clone_from(&self.request_id);
        actor
    }
}

const MAX_REQUEST_ID: usize = 64;

pub(super) fn is_request_id(text: &str) -> bool {
    (1..=MAX_REQUEST_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The id of a request, if the log can show it.
pub(crate) fn shown_request_id(id: Option<impl Into<String>>) -> Option<String> {
    id.map(Into::into).filter(|id| is_request_id(id))
}

/// How long the old key of a rotation stays good if nothing else is asked.
pub const DEFAULT_OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);
