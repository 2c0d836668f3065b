//! Who is calling.
//!
//! An [`Identity`] is what a static key or a resolver says of a key. The middleware turns it into a [`Principal`], the one
//! value that lies in the request extensions; nothing else can make one.

use std::{
    any::Any,
    fmt,
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use http::HeaderValue;

use crate::{
    access::{AddressList, Grants, RateLimits},
    key::{KeyId, KeyRecord, KeyStatus, LastUsed},
    metric::Decisions,
};

mod ended;

mod kind;

mod needs;

mod watched;

pub use ended::Ended;
pub use kind::PrincipalKind;

pub(crate) use needs::Asked;
pub(crate) use watched::{Keeper, Origin, Watch, Watched};

/// A value of the application's own type, carried for its handlers.
pub(crate) type UserValue = Arc<dyn Any + Send + Sync>;

/// What is known of the holder of a key: the answer of a resolver, and what a static key stands for.
///
/// Starts with no rights; [`Identity::grants`] gives some.
#[derive(Clone)]
pub struct Identity {
    owner: Box<str>,
    name: Box<str>,
    key_id: Option<Box<str>>,
    /// The same, where it is the id of a key in the store.
    stored_key: Option<KeyId>,
    /// Where its uses are counted down. How many are left is never kept here.
    credit_account: Option<KeyId>,
    grants: Grants,
    limits: Option<Box<Limits>>,
    expires_at: Option<SystemTime>,
    status: KeyStatus,
    user: Option<UserValue>,
}

/// What most keys do not have.
#[derive(Debug, Clone, Default)]
struct Limits {
    allowed_ips: Option<AddressList>,
    rate: Option<RateLimits>,
}

impl Identity {
    /// The holder of a good key without rights. `owner` is whom the key acts for, in the application's terms.
    pub fn new(owner: impl Into<String>) -> Self {
        Self {
            owner: owner.into().into(),
            name: Box::default(),
            key_id: None,
            stored_key: None,
            credit_account: None,
            grants: Grants::none(),
            limits: None,
            expires_at: None,
            status: KeyStatus::Active,
            user: None,
        }
    }

    /// What a record of a [`KeyStore`](crate::store::KeyStore) says, judged at the store's time.
    #[must_use]
    pub fn from_record(record: &KeyRecord, now: SystemTime) -> Self {
        Self {
            owner: record.owner.as_str().into(),
            name: record.name.as_str().into(),
            key_id: Some(record.id.to_string().into()),
            stored_key: Some(record.id),
            credit_account: record.credits.map(|account| account.id),
            grants: record.grants.clone(),
            limits: (record.allowed_ips.is_some() || record.rate_limit.is_some()).then(|| {
                Box::new(Limits {
                    allowed_ips: record.allowed_ips.clone(),
                    rate: record.rate_limit.clone(),
                })
            }),
            expires_at: record.expires_at,
            status: record.status(now),
            user: None,
        }
    }

    pub(crate) fn owned_by(mut self, owner: impl Into<String>) -> Self {
        self.owner = owner.into().into();
        self
    }

    /// A name for people.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into().into();
        self
    }

    /// The public id of the key, never a part of the key itself: it appears in logs.
    #[must_use]
    pub fn key_id(mut self, id: impl fmt::Display) -> Self {
        self.key_id = Some(id.to_string().into());
        self
    }

    /// What the key may do.
    #[must_use]
    pub fn grants(mut self, grants: Grants) -> Self {
        self.grants = grants;
        self
    }

    /// From where the key may be used.
    #[must_use]
    pub fn allowed_ips(mut self, addresses: AddressList) -> Self {
        self.limits.get_or_insert_default().allowed_ips = Some(addresses);
        self
    }

    /// How often the key may be used, in place of what [`Builder::rate_limit`](crate::Builder::rate_limit) says.
    #[must_use]
    pub fn rate_limit(mut self, rate: RateLimits) -> Self {
        self.limits.get_or_insert_default().rate = Some(rate);
        self
    }

    /// The first moment at which the key is no longer good. A moment in the past makes it expired.
    #[must_use]
    pub fn expires_at(mut self, moment: SystemTime) -> Self {
        self.expires_at = Some(moment);
        self
    }

    /// The key is known, and has been revoked for good.
    #[must_use]
    pub fn revoked(mut self) -> Self {
        self.status = KeyStatus::Revoked;
        self
    }

    /// With no more rights than these.
    pub(crate) fn within(mut self, ceiling: &Grants) -> Self {
        self.grants = self.grants.intersection(ceiling);
        self
    }

    /// The key is known, and is switched off, if it has not been revoked.
    #[must_use]
    pub fn disabled(mut self) -> Self {
        if self.status == KeyStatus::Active {
            self.status = KeyStatus::Disabled;
        }
        self
    }

    /// A value of the application's own type, for handlers: [`Principal::get`] and the extractor `Owner`.
    #[must_use]
    pub fn user<T: Send + Sync + 'static>(self, user: T) -> Self {
        self.shared_user(Arc::new(user))
    }

    pub(crate) fn shared_user(mut self, user: UserValue) -> Self {
        self.user = Some(user);
        self
    }

    pub(crate) fn owner(&self) -> &str {
        &self.owner
    }

    pub(crate) fn expiry(&self) -> Option<SystemTime> {
        self.expires_at
    }

    /// The key, where it is one of the store's.
    pub(crate) fn stored_key(&self) -> Option<KeyId> {
        self.stored_key
    }

    /// Whether the key is good at this moment.
    pub(crate) fn status(&self, now: SystemTime) -> KeyStatus {
        match (self.status, self.expires_at) {
            (KeyStatus::Active, Some(expiry)) if expiry <= now => KeyStatus::Expired,
            (status, _) => status,
        }
    }
}

impl fmt::Debug for Identity {
    // By hand: nothing may be known of the application's value, which can hold anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("owner", &self.owner)
            .field("name", &self.name)
            .field("key_id", &self.key_id)
            .field("grants", &self.grants)
            .field("expires_at", &self.expires_at)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// Who is calling: authenticated by a key or by the application's fallback, for this request.
///
/// Cheap to clone. Made only by the middleware, and lies in the request extensions; with the feature `axum` it is an
/// extractor, as is `Option<Principal>` where the layer is [optional](crate::ApiKeyAuth::optional).
#[derive(Clone)]
pub struct Principal(Arc<Inner>);

struct Inner {
    kind: PrincipalKind,
    identity: Identity,
    realm: Arc<Realm>,
    used: Option<Arc<LastUsed>>,
    /// `None` for what never ends by itself: a static key, and a session.
    origin: Option<Origin>,
}

impl Principal {
    pub(crate) fn new(kind: PrincipalKind, identity: Identity, realm: Arc<Realm>) -> Self {
        Self(Arc::new(Inner {
            kind,
            identity,
            realm,
            used: None,
            origin: None,
        }))
    }

    /// The holder of a key that was looked up, whose uses are counted where there is something to count them in.
    pub(crate) fn of_key(
        identity: Identity,
        realm: Arc<Realm>,
        used: Option<LastUsed>,
        origin: Origin,
    ) -> Self {
        Self(Arc::new(Inner {
            kind: PrincipalKind::Key,
            identity,
            realm,
            used: used.map(Arc::new),
            origin: Some(origin),
        }))
    }

    /// The same caller with no more rights than these, since the store cannot say.
    pub(crate) fn within(&self, ceiling: &Grants) -> Self {
        Self(Arc::new(Inner {
            kind: self.0.kind,
            identity: self.0.identity.clone().within(ceiling),
            realm: self.0.realm.clone(),
            used: self.0.used.clone(),
            origin: self.0.origin.clone().map(|origin| Origin {
                is_confirmed: false,
                ..origin
            }),
        }))
    }

    /// What the caller was recognised by.
    #[must_use]
    pub fn kind(&self) -> PrincipalKind {
        self.0.kind
    }

    /// Whom the key acts for.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.0.identity.owner
    }

    /// The name of the key, for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.identity.name
    }

    /// The public id of the key; a static key has none.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.0.identity.key_id.as_deref()
    }

    /// What the caller may do.
    #[must_use]
    pub fn grants(&self) -> &Grants {
        &self.0.identity.grants
    }

    /// The first moment at which the key is no longer good.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.0.identity.expires_at
    }

    /// From where the key may be used; `None` for anywhere.
    #[must_use]
    pub fn allowed_ips(&self) -> Option<&AddressList> {
        self.0.identity.limits.as_ref()?.allowed_ips.as_ref()
    }

    /// How often the key may be used; `None` for as often as the application's own limits allow.
    #[must_use]
    pub fn rate_limit(&self) -> Option<&RateLimits> {
        self.0.identity.limits.as_ref()?.rate.as_ref()
    }

    /// The key, where it is one of the store's.
    pub(crate) fn stored_key(&self) -> Option<KeyId> {
        self.0.identity.stored_key()
    }

    /// The account that each use of the key is taken from, where there is one.
    pub(crate) fn credit_account(&self) -> Option<KeyId> {
        self.0.identity.credit_account
    }

    /// Where the uses of the key are counted.
    pub(crate) fn used(&self) -> Option<&Arc<LastUsed>> {
        self.0.used.as_ref()
    }

    /// A request was not let in, though the key is good.
    pub(crate) fn refused(&self) {
        if let Some(used) = &self.0.used {
            used.refused();
        }
    }

    /// The application's own value, when it is of this type.
    #[must_use]
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.0.identity.user.as_deref()?.downcast_ref()
    }

    /// The application's own value to keep, when it is of this type.
    #[must_use]
    pub fn get_arc<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.0.identity.user.clone()?.downcast().ok()
    }

    pub(crate) fn realm(&self) -> &Arc<Realm> {
        &self.0.realm
    }
}

impl fmt::Display for Principal {
    /// The owner, or the name where there is no owner.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.owner() {
            "" => self.name(),
            owner => owner,
        })
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal")
            .field("kind", &self.0.kind)
            .field("identity", &self.0.identity)
            .finish_non_exhaustive()
    }
}

/// In the request extensions in place of a [`Principal`] when the layer let a request pass without a credential, so that
/// an extractor can tell that from a layer that is missing.
#[derive(Clone)]
pub(crate) struct Anonymous(pub(crate) Arc<Realm>);

/// The protection space that a refusal names (RFC 9110, section 11.5), and the ways to present a key in it.
#[derive(Debug, Default)]
pub(crate) struct Realm {
    pub(crate) name: Box<str>,
    pub(crate) bearer: bool,
    pub(crate) header_labels: Box<[String]>,
    /// The challenges of each kind of refusal, by its number: made once, by whoever refuses first.
    pub(crate) challenges: OnceLock<Box<[Box<[HeaderValue]>]>>,
    /// How many are let in, and how many are not.
    pub(crate) decisions: Decisions,
}

#[cfg(test)]
impl Realm {
    pub(crate) fn for_tests() -> Self {
        Self {
            name: "api".into(),
            bearer: true,
            ..Self::default()
        }
    }
}
