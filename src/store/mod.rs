//! Where keys are kept.
//!
//! A [`KeyStore`] keeps records and, in the same transaction as every change of one, a line of the audit log. It knows nothing of
//! requests, caches or rights: a change is a function from what the store holds to what it shall hold, run inside of one transaction.
//! [`MemoryStore`] is for tests and demonstrations; `SqliteStore` (feature `sqlite`) is the embedded default; `PostgresStore` (feature
//! `postgres`) is for when one machine is not enough. A store of one's own implements the trait with plain `async fn`s and runs the
//! conformance suite (feature `testing`).
//!
//! An application that already has a table of keys and only wants them checked does not need a store: a
//! [`Resolver`](crate::authn::Resolver) is one async closure.

use std::{
    error::Error,
    fmt,
    future::Future,
    time::{Duration, SystemTime},
};

use crate::{
    event::{ChainHead, Feed, LoggedEvent, Receipt},
    key::{CheckKey, KeyDigest, KeyId, KeyRecord},
};

mod credits;

mod transaction;

mod token;

mod query;

mod erased;

mod memory;

mod imported;

#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sql;

#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(feature = "postgres")]
mod postgres;

#[cfg(feature = "testing")]
pub mod conformance;

pub use credits::{Balance, Filling, Spent};
pub use memory::MemoryStore;
#[cfg(feature = "postgres")]
pub use postgres::PostgresStore;
pub use query::{EventQuery, ExpiryQuery, KeyPage, KeyQuery};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
pub use token::{SpentToken, TokenId};
pub use transaction::{Decide, Reads, View, Writes};

pub(crate) use erased::DynStore;
pub(crate) use imported::ImportedKeys;

/// A place where keys are kept.
///
/// What a method has answered with `Ok` is durable as far as the store promises durability at all, and is seen by every read that
/// begins later: no replicas that lag.
pub trait KeyStore: fmt::Debug + Send + Sync + 'static {
    /// The key with this digest, and the store's time at which it was read.
    ///
    /// # Errors
    ///
    /// When the store cannot say. `Ok(None)` means that there is no such key, and nothing else.
    fn find(&self, digest: &KeyDigest) -> impl Future<Output = Result<Option<StoredKey>, StoreError>> + Send;

    /// The key with this id, and the store's time at which it was read.
    ///
    /// # Errors
    ///
    /// When the store cannot say.
    fn get(&self, id: KeyId) -> impl Future<Output = Result<Option<StoredKey>, StoreError>> + Send;

    /// Runs one change as one transaction: reads what `reads` names, so that nobody else can change it meanwhile; asks `decide` what
    /// to write; writes all of it, the events as the next of the log's chain, or nothing.
    ///
    /// Transactions of one store, in whatever process, happen one after the other.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Conflict`] when the id or the digest of an inserted key is taken, and then nothing has changed; nor has it when a
    /// key that is to be updated is not there, which is [`StoreErrorKind::Corrupt`].
    /// [`StoreErrorKind::Unavailable`] when the store cannot say whether the change happened.
    fn transact(&self, reads: Reads, decide: Decide) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// A page of keys, the newest first.
    ///
    /// # Errors
    ///
    /// When the store cannot say.
    fn list(&self, query: &KeyQuery) -> impl Future<Output = Result<KeyPage, StoreError>> + Send;

    /// A page of the log, the newest first.
    ///
    /// # Errors
    ///
    /// When the store cannot say.
    fn events(&self, query: &EventQuery)
    -> impl Future<Output = Result<Vec<LoggedEvent>, StoreError>> + Send;

    /// The log from after an event on, in its order: for verifying it.
    ///
    /// # Errors
    ///
    /// When the store cannot say.
    fn log_after(
        &self,
        seq: i64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<LoggedEvent>, StoreError>> + Send;

    /// The end of the log, as it was written down beside it.
    ///
    /// # Errors
    ///
    /// When the store cannot say.
    fn log_head(&self) -> impl Future<Output = Result<ChainHead, StoreError>> + Send;

    /// Keys that expired before a moment, the longest expired first. A key without expiry is never among them, nor is one of another
    /// system: its row is all that keeps it from being imported again, revoked or not.
    ///
    /// # Errors
    ///
    /// When the store cannot say.
    fn expired_before(
        &self,
        moment: SystemTime,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<KeyId>, StoreError>> + Send;

    /// Keys that end soon, the soonest first, and those that end at the same moment by their ids: for telling their owners. `None` where the store
    /// cannot say, and then nobody is told. Asked once a minute by each process that tells, and must not search all keys.
    ///
    /// # Errors
    ///
    /// When the store cannot say this time.
    fn expiring(
        &self,
        query: &ExpiryQuery,
    ) -> impl Future<Output = Result<Option<KeyPage>, StoreError>> + Send {
        let _cannot_say = query;
        async { Ok(None) }
    }

    /// Whether no key is kept here, not even a revoked one.
    ///
    /// # Errors
    ///
    /// When the store cannot say.
    fn is_empty(&self) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Whether a key of another system is kept here, not even a good one: asked up to once a second, and after each
    /// change, while texts arrive that were not minted here. Must not search all keys.
    ///
    /// # Errors
    ///
    /// When the store cannot say.
    fn has_imported(&self) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Whether the store can answer a look-up now.
    ///
    /// # Errors
    ///
    /// When it cannot.
    fn ping(&self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The keys with these digests, as many of them as there are, in any order: up to 500 at once, when everything kept must be confirmed.
    ///
    /// # Errors
    ///
    /// When the store cannot say.
    fn find_many(
        &self,
        digests: &[KeyDigest],
    ) -> impl Future<Output = Result<Vec<StoredKey>, StoreError>> + Send {
        async move {
            let mut found = Vec::new();
            for digest in digests {
                found.extend(self.find(digest).await?);
            }
            Ok(found)
        }
    }

    /// Writes down when keys were last used: up to 500 at once, each key once. Never moves a key's time back, and is no change of the key:
    /// no event, and nothing for the [feed](KeyStore::feed) to tell. A key that is gone is skipped. A store that keeps no such time does nothing.
    ///
    /// # Errors
    ///
    /// When the store cannot; some of them may be written then.
    fn touch(&self, uses: &[(KeyId, SystemTime)]) -> impl Future<Output = Result<(), StoreError>> + Send {
        let _kept_nowhere = uses;
        async { Ok(()) }
    }

    /// Takes uses from an account: all of `cost`, or none where there are fewer. One step for everybody, in whatever process: what is left
    /// is never read first and written then. An account whose period has ended is filled up by it, by the store's time.
    ///
    /// Is no change of a key: no event, and nothing for the [feed](KeyStore::feed) to tell. A store that does not say what it does here keeps no
    /// credits: no key can be given any, and one that has them all the same is not let in.
    ///
    /// # Errors
    ///
    /// When the store cannot; whether they were taken is not known then. [`StoreErrorKind::Corrupt`] when there is no such account.
    fn spend(&self, account: KeyId, cost: u32) -> impl Future<Output = Result<Spent, StoreError>> + Send {
        let _kept_nowhere = (account, cost);
        async { Err(credits::not_kept()) }
    }

    /// Puts uses back that were taken for nothing, up to the limit of the account. One that is gone is left alone.
    ///
    /// # Errors
    ///
    /// When the store cannot; whether they were put back is not known then.
    fn give_back(&self, account: KeyId, cost: u32) -> impl Future<Output = Result<(), StoreError>> + Send {
        let _kept_nowhere = (account, cost);
        async { Err(credits::not_kept()) }
    }

    /// What these accounts hold, as many of them as there are, in any order. Asked for none, a store that keeps credits answers without any.
    ///
    /// # Errors
    ///
    /// When the store cannot say, or keeps no credits.
    fn credits(&self, accounts: &[KeyId]) -> impl Future<Output = Result<Vec<Balance>, StoreError>> + Send {
        let _kept_nowhere = accounts;
        async { Err(credits::not_kept()) }
    }

    /// What tells of changes made through other handles of the same store. `None` where there is nothing that could: then a cached
    /// verdict is used for [`cache_ttl`](crate::Builder::cache_ttl), whatever happens elsewhere.
    fn feed(&self) -> Option<Feed> {
        None
    }

    /// For how long it may be taken that changes are told, after it was last [proven](crate::event::FeedSink::proven) that they are; 2 s if
    /// the store does not say.
    fn lease(&self) -> Duration {
        Duration::from_secs(2)
    }

    /// Waits until every process that listens to this store has applied all that was committed before the call, or can have no lease any
    /// more: `lease` is how long one lasts. `None` where the store has no feed.
    ///
    /// # Errors
    ///
    /// When the store cannot say.
    fn everywhere(
        &self,
        lease: Duration,
    ) -> impl Future<Output = Result<Option<Receipt>, StoreError>> + Send {
        let _no_feed = lease;
        async { Ok(None) }
    }

    /// Whether the store remembers [`KeyRecord::exchanged`], answers [`Reads::token`] and [`Reads::forgettable_tokens`], and writes
    /// [`Writes::spend_token`] and [`Writes::forget_tokens`]: in the transaction of the key that the token is spent for, so that there is one key for it at most. Where it does
    /// not, tokens of other issuers cannot be exchanged for keys.
    fn keeps_tokens(&self) -> bool {
        false
    }

    /// The secret behind the check in every key. Made with the store, kept in it, read when it is opened.
    fn check_key(&self) -> CheckKey;
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
