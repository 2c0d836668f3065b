//! Where keys are kept.
//!
//! A [`KeyStore`] keeps records and, in the same transaction as every change of one, a line of the audit log. It
//! knows nothing of requests, caches or rights. [`MemoryStore`] is for tests and demonstrations; `SqliteStore` (feature `sqlite`) is the
//! embedded default. A store of one's own implements the trait with plain `async fn`s and runs the conformance suite (feature `testing`).
//!
//! An application that already has a table of keys and only wants them checked does not need a store: a
//! [`Resolver`](crate::authn::Resolver) is one async closure.

use std::{error::Error, fmt, future::Future, time::SystemTime};

use crate::{
    event::KeyEvent,
    key::{CheckKey, KeyDigest, KeyId, KeyRecord},
};

mod erased;

mod memory;

#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(feature = "testing")]
pub mod conformance;

pub use memory::MemoryStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;

pub(crate) use erased::DynStore;

/// A place where keys are kept.
///
/// Every change and its [`KeyEvent`] are one transaction: both are there afterwards, or neither. What a method has answered with
/// `Ok` is durable as far as the store promises durability at all, and is seen by every read that begins later: no replicas that lag.
pub trait KeyStore: fmt::Debug + Send + Sync + 'static {
    /// The key with this digest, and the store's time at which it was read.
    ///
    /// # Errors
    ///
    /// When the store cannot say. `Ok(None)` means that there is no such key, and nothing else.
    fn find(&self, digest: &KeyDigest) -> impl Future<Output = Result<Option<StoredKey>, StoreError>> + Send;

    /// The key with this id.
    ///
    /// # Errors
    ///
    /// When the store cannot say.
    fn get(&self, id: KeyId) -> impl Future<Output = Result<Option<KeyRecord>, StoreError>> + Send;

    /// Keeps a new key.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Conflict`] when the id or the digest is taken, and then nothing has changed.
    fn insert(
        &self,
        record: &KeyRecord,
        event: &KeyEvent,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Revokes a key at the time of the event, and answers with it as it is afterwards; `None` when there is no such key.
    ///
    /// A key that is revoked already stays as it is, and gets no second event.
    ///
    /// # Errors
    ///
    /// When the store cannot say whether the key is revoked.
    fn revoke(&self, event: &KeyEvent) -> impl Future<Output = Result<Option<KeyRecord>, StoreError>> + Send;

    /// What happened to a key, oldest first.
    ///
    /// # Errors
    ///
    /// When the store cannot say.
    fn events(&self, id: KeyId) -> impl Future<Output = Result<Vec<KeyEvent>, StoreError>> + Send;

    /// Whether no key is kept here, not even a revoked one.
    ///
    /// # Errors
    ///
    /// When the store cannot say.
    fn is_empty(&self) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Whether the store can answer a look-up now.
    ///
    /// # Errors
    ///
    /// When it cannot.
    fn ping(&self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The secret behind the check in every key. Made with the store, kept in it, read when it is opened.
    fn check_key(&self) -> CheckKey;

    /// The store's time, where it has one of its own; else the system's.
    fn now(&self) -> SystemTime;
}

/// A key as a store found it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoredKey {
    /// What is kept of it.
    pub record: KeyRecord,
    /// The store's time when it was read: expiry is judged by it.
    pub now: SystemTime,
}

impl StoredKey {
    /// A key, read at a time.
    #[must_use]
    pub fn new(record: KeyRecord, now: SystemTime) -> Self {
        Self { record, now }
    }
}

/// A store could not do what it was asked.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// Why a store could not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// It cannot be reached, is too slow, or is full. Whether a change happened is not known.
    Unavailable,
    /// The id or the digest is taken. Nothing changed.
    Conflict,
    /// What is kept cannot be read: it was written by something else. Never taken for "no such key".
    Corrupt,
}

impl StoreError {
    /// An error of this kind, with its cause.
    pub fn new(kind: StoreErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            kind,
            source: Some(source.into()),
        }
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    fn conflict() -> Self {
        Self {
            kind: StoreErrorKind::Conflict,
            source: None,
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            StoreErrorKind::Unavailable => "the key store is unavailable",
            StoreErrorKind::Conflict => "the key store has this id or digest already",
            StoreErrorKind::Corrupt => "the key store holds something that is not a key",
        })
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
