//! Who is calling.
//!
//! An [`Identity`] is what a static key or a resolver says of a key. The middleware turns it into a [`Principal`], the one
//! value that lies in the request extensions; nothing else can make one.

use std::{any::Any, fmt, sync::Arc, time::SystemTime};

use crate::{
    access::Grants,
    key::{KeyRecord, KeyStatus},
};

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
    grants: Grants,
    expires_at: Option<SystemTime>,
    status: KeyStatus,
    user: Option<UserValue>,
}

impl Identity {
    /// The holder of a good key without rights. `owner` is whom the key acts for, in the application's terms.
    pub fn new(owner: impl Into<String>) -> Self {
        Self {
            owner: owner.into().into(),
            name: Box::default(),
            key_id: None,
            grants: Grants::none(),
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
            grants: record.grants.clone(),
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

    /// The owner is gone: the key is as good as disabled, unless it is worse.
    pub(crate) fn without_owner(mut self) -> Self {
        if self.status == KeyStatus::Active {
            self.status = KeyStatus::Disabled;
        }
        self
    }

    /// The key is known, and is switched off.
    #[must_use]
    pub fn disabled(mut self) -> Self {
        self.status = KeyStatus::Disabled;
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

    pub(crate) fn expiry(&self) -> Option<SystemTime> {
        self.expires_at
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

/// Who is calling: authenticated by a key, for this request.
///
/// Cheap to clone. Made only by the middleware, and lies in the request extensions; with the feature `axum` it is an
/// extractor, as is `Option<Principal>` where the layer is [optional](crate::ApiKeyAuth::optional).
#[derive(Clone)]
pub struct Principal(Arc<Inner>);

struct Inner {
    kind: PrincipalKind,
    identity: Identity,
    realm: Arc<Realm>,
}

impl Principal {
    pub(crate) fn new(kind: PrincipalKind, identity: Identity, realm: Arc<Realm>) -> Self {
        Self(Arc::new(Inner {
            kind,
            identity,
            realm,
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

/// What a caller was recognised by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PrincipalKind {
    /// A static key, from the configuration.
    External,
    /// A key that the resolver or the store knows.
    Key,
}

impl PrincipalKind {
    /// The kind as one word: `external` or `key`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::External => "external",
            Self::Key => "key",
        }
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
}

#[cfg(test)]
impl Realm {
    pub(crate) fn for_tests() -> Self {
        Self {
            name: "api".into(),
            bearer: true,
            header_labels: Box::default(),
        }
    }
}
