//! The life of a key: minting and revoking.
//!
//! Every change goes the same way: in a task of its own, so that a caller who hangs up leaves nothing half done, it fences the key in
//! the cache, makes the change and its line of the audit log in one transaction, makes the cache forget the key, and only then answers.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use http::{Request, Response, StatusCode};
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_api_key::{ApiKeyAuth, access::Grants, manage::NewKey, store::MemoryStore};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let auth = ApiKeyAuth::builder(MemoryStore::new()?).build()?;
//! let keys = auth.keys().expect("there is a store");
//! let service = auth.layer(service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(Vec::new()))));
//! let call = async |key: &str| {
//!     let request = Request::get("/").header("Authorization", format!("Bearer {key}")).body(String::new())?;
//!     Ok::<_, Box<dyn std::error::Error>>(service.clone().oneshot(request).await?.status())
//! };
//!
//! let issued = keys.issue(NewKey::new("alice").grants(Grants::scopes(["issues:read"])?)).await?;
//! assert_eq!(call(issued.key.expose()).await?, StatusCode::OK);
//! keys.revoke(issued.record.id).await?;
//! assert_eq!(call(issued.key.expose()).await?, StatusCode::UNAUTHORIZED);
//! # Ok(())
//! # }
//! ```

use std::{
    error::Error,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    access::Grants,
    event::{KeyEvent, KeyEventKind, Settled},
    key::{KeyDigest, KeyFormat, KeyId, KeyRecord, Pepper, Secret},
    store::{DynStore, StoreError, StoreErrorKind},
};

mod change;

pub use change::ChangeError;

pub(crate) use change::Changes;

/// Mints and revokes the keys of a store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Keys {
    store: Arc<dyn DynStore>,
    format: KeyFormat,
    pepper: Option<Pepper>,
    changes: Changes,
}

/// What a new key shall be.
#[derive(Debug, Clone)]
#[must_use]
pub struct NewKey {
    owner: String,
    name: String,
    grants: Grants,
    expires_at: Option<SystemTime>,
}

impl NewKey {
    /// A key for this owner, without rights and without expiry.
    pub fn new(owner: impl Into<String>) -> Self {
        Self {
            owner: owner.into(),
            name: String::new(),
            grants: Grants::none(),
            expires_at: None,
        }
    }

    /// A name for people.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// What the key may do.
    pub fn grants(mut self, grants: Grants) -> Self {
        self.grants = grants;
        self
    }

    /// The first moment at which the key is no longer good.
    pub fn expires_at(mut self, moment: SystemTime) -> Self {
        self.expires_at = Some(moment);
        self
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

impl Keys {
    pub(crate) fn new(
        store: Arc<dyn DynStore>,
        format: KeyFormat,
        pepper: Option<Pepper>,
        changes: Changes,
    ) -> Self {
        Self {
            store,
            format,
            pepper,
            changes,
        }
    }

    /// Mints a key. It works from the moment this returns.
    ///
    /// # Errors
    ///
    /// When the store cannot keep it, or there are no random numbers to make it of. No key is lost by trying again.
    pub async fn issue(&self, new: NewKey) -> Result<IssuedKey, ManageError> {
        let key = self
            .format
            .generate()
            .map_err(|error| ManageError::unavailable(Box::new(error)))?;
        let plain = KeyDigest::of(key.expose().as_bytes());
        let digest = self.pepper.as_ref().map_or(plain, |pepper| pepper.apply(&plain));
        let mut record = KeyRecord::new(
            KeyId::generate(),
            digest,
            new.owner,
            to_the_millisecond(self.store.now()),
        );
        record.prefix = self.format.shown_prefix(&key);
        record.name = new.name;
        record.grants = new.grants;
        record.expires_at = new.expires_at.map(to_the_millisecond);
        let store = self.store.clone();
        let work = async move {
            let event = KeyEvent::new(record.id, KeyEventKind::Minted, record.created_at);
            store.insert(&record, &event).await?;
            Ok::<_, StoreError>(record)
        };
        let record = self
            .changes
            .run(digest, work, |_| Settled::Changed, settled_by_error)
            .await?;
        Ok(IssuedKey { key, record })
    }

    /// Revokes a key for good. No request that begins after this returns is let in with it by this process; other processes on
    /// the same store learn of it within [`cache_ttl`](crate::Builder::cache_ttl). Revoking twice is the same as once.
    ///
    /// # Errors
    ///
    /// [`ManageErrorKind::NotFound`] when there is no such key; [`ManageErrorKind::Unavailable`] when the store could not say that it is
    /// revoked, and then it must be tried again.
    pub async fn revoke(&self, id: KeyId) -> Result<KeyRecord, ManageError> {
        let record = self.store.get(id).await?.ok_or_else(ManageError::not_found)?;
        let event = KeyEvent::new(id, KeyEventKind::Revoked, to_the_millisecond(self.store.now()));
        let store = self.store.clone();
        let work = async move { store.revoke(&event).await };
        let settled = |record: &Option<KeyRecord>| match record {
            Some(_) => Settled::Revoked,
            None => Settled::Changed,
        };
        let revoked = self
            .changes
            .run(record.digest, work, settled, settled_by_error)
            .await?;
        revoked.ok_or_else(ManageError::not_found)
    }

    /// The record of a key; `None` when there is no such key.
    ///
    /// # Errors
    ///
    /// When the store cannot say.
    pub async fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, ManageError> {
        Ok(self.store.get(id).await?)
    }

    /// What happened to a key, oldest first.
    ///
    /// # Errors
    ///
    /// When the store cannot say.
    pub async fn events(&self, id: KeyId) -> Result<Vec<KeyEvent>, ManageError> {
        Ok(self.store.events(id).await?)
    }

    /// Whether the store holds no key at all, as on a first start.
    ///
    /// # Errors
    ///
    /// When the store cannot say.
    pub async fn is_empty(&self) -> Result<bool, ManageError> {
        Ok(self.store.is_empty().await?)
    }

    /// Whether the store can answer a look-up now: for a health check.
    ///
    /// # Errors
    ///
    /// When it cannot.
    pub async fn ping(&self) -> Result<(), ManageError> {
        Ok(self.store.ping().await?)
    }
}

/// A key could not be minted, revoked or read.
#[derive(Debug)]
pub struct ManageError {
    kind: ManageErrorKind,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// Why a key could not be minted, revoked or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ManageErrorKind {
    /// There is no such key.
    NotFound,
    /// The store could not do it, or could not say whether it did.
    Unavailable,
}

impl ManageError {
    /// Why.
    #[must_use]
    pub fn kind(&self) -> ManageErrorKind {
        self.kind
    }

    fn not_found() -> Self {
        Self {
            kind: ManageErrorKind::NotFound,
            source: None,
        }
    }

    fn unavailable(source: Box<dyn Error + Send + Sync>) -> Self {
        Self {
            kind: ManageErrorKind::Unavailable,
            source: Some(source),
        }
    }
}

impl From<StoreError> for ManageError {
    fn from(error: StoreError) -> Self {
        Self::unavailable(Box::new(error))
    }
}

impl From<ChangeError<StoreError>> for ManageError {
    fn from(error: ChangeError<StoreError>) -> Self {
        Self::unavailable(Box::new(error))
    }
}

impl fmt::Display for ManageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            ManageErrorKind::NotFound => "there is no such key",
            ManageErrorKind::Unavailable => "the key store could not do it",
        })
    }
}

impl Error for ManageError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

fn settled_by_error(error: &StoreError) -> Settled {
    match error.kind() {
        StoreErrorKind::Conflict => Settled::Changed,
        StoreErrorKind::Unavailable | StoreErrorKind::Corrupt => Settled::Unknown,
    }
}

/// Stores keep milliseconds; what was issued must equal what is read back.
fn to_the_millisecond(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + since - Duration::from_nanos(u64::from(since.subsec_nanos() % 1_000_000))
}
