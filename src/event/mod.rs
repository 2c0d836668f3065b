//! What happens to a key: the audit log, and who must hear of it before it counts as done.
//!
//! A [`KeyEvent`] is written in the transaction that makes the change. The events of a store form a chain: each has a number, one
//! more than the one before, and a hash of itself and of the one before. Whoever deletes, edits or swaps a row leaves a break, which
//! [`ChainCheck`] finds. The chain proves nothing against somebody who can rewrite all of it: keep its [`ChainHead`] elsewhere for that.
//!
//! ```
//! use tower_api_key::event::ChainCheck;
//! use tower_api_key::{ApiKeyAuth, manage::NewKey, store::MemoryStore};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let auth = ApiKeyAuth::builder(MemoryStore::new()?).build()?;
//! let keys = auth.keys().expect("there is a store");
//! keys.issue(NewKey::new("alice")).await?;
//! let verified = keys.verify_log().await?;
//! assert_eq!(verified.expect("an unbroken chain").seq, 1);
//! # Ok(())
//! # }
//! ```

use std::{fmt, net::IpAddr, time::SystemTime};

use crate::key::{KeyDigest, KeyId, KeyRecord};

mod chain;

mod fan_out;

mod feed;

mod channel;

mod notice;

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "redis"))]
mod outage;

#[cfg(any(feature = "postgres", feature = "redis"))]
mod beat;

#[cfg(feature = "redis")]
mod redis;

mod state;

pub use chain::{Break, ChainCheck, ChainHead, LoggedEvent};
pub use channel::{Change, Channel, ChannelError};
pub use feed::{Feed, FeedSink, Hear, Receipt};
pub use notice::Notice;
#[cfg(feature = "redis")]
pub use redis::RedisFeed;

#[cfg(feature = "postgres")]
pub(crate) use beat::{BEAT, BEAT_TIMEOUT, CONNECT_TIMEOUT, Lost, nonce};
pub(crate) use channel::DynChannel;
pub(crate) use fan_out::FanOut;
pub(crate) use notice::Notices;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "redis"))]
pub(crate) use outage::Outage;

/// One line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyEvent {
    /// What happened, or was refused.
    pub kind: KeyEventKind,
    /// The key it happened to, or that somebody tried something on; `None` for a refused request about no key, or about one that is not there.
    pub key_id: Option<KeyId>,
    /// The owner of that key. Of a refused request it is whoever asked, also where the key is somebody else's. Outlives the key.
    pub owner: String,
    /// When.
    pub at: SystemTime,
    /// Who did it, and from where.
    pub actor: Actor,
    /// The key as it was before, as a JSON object; `None` where there was none, or nothing changed.
    pub before: Option<String>,
    /// The key as it was after.
    pub after: Option<String>,
    /// What was refused, and why, such as `mint: exceeds-maker`; of a key that was given for a token, which token that was; of one that was found where
    /// others can read it, where that was: `leaked: https://...`.
    pub reason: Option<String>,
}

impl KeyEvent {
    /// A line about a key, without its state.
    #[must_use]
    pub fn new(kind: KeyEventKind, key: &KeyRecord, at: SystemTime, actor: &Actor) -> Self {
        Self {
            kind,
            key_id: Some(key.id),
            owner: key.owner.clone(),
            at,
            actor: actor.clone(),
            before: None,
            after: None,
            reason: None,
        }
    }

    /// A line about a request that was refused.
    pub fn refused(
        key_id: Option<KeyId>,
        owner: impl Into<String>,
        at: SystemTime,
        actor: &Actor,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            kind: KeyEventKind::Refused,
            key_id,
            owner: owner.into(),
            at,
            actor: actor.clone(),
            before: None,
            after: None,
            reason: Some(reason.into()),
        }
    }

    /// With the key as it was before.
    #[must_use]
    pub fn before(mut self, key: &KeyRecord) -> Self {
        self.before = Some(state::describe(key));
        self
    }

    /// With the key as it is after.
    #[must_use]
    pub fn after(mut self, key: &KeyRecord) -> Self {
        self.after = Some(state::describe(key));
        self
    }
}

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyEventKind {
    /// It was made.
    Minted,
    /// It was taken over from another system.
    Imported,
    /// It was renamed or narrowed.
    Changed,
    /// It was switched off.
    Disabled,
    /// It was switched on again.
    Enabled,
    /// Another key took over from it.
    Rotated,
    /// It was ended for good.
    Revoked,
    /// It was removed, some time after it had expired.
    Pruned,
    /// Somebody asked for something they may not have; nothing changed.
    Refused,
}

impl KeyEventKind {
    const ALL: [Self; 9] = [
        Self::Minted,
        Self::Imported,
        Self::Changed,
        Self::Disabled,
        Self::Enabled,
        Self::Rotated,
        Self::Revoked,
        Self::Pruned,
        Self::Refused,
    ];

    /// The kind as one word, the form in which stores keep it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minted => "minted",
            Self::Imported => "imported",
            Self::Changed => "changed",
            Self::Disabled => "disabled",
            Self::Enabled => "enabled",
            Self::Rotated => "rotated",
            Self::Revoked => "revoked",
            Self::Pruned => "pruned",
            Self::Refused => "refused",
        }
    }

    /// The kind that the word stands for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Who did something, and from where, as far as that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Actor {
    /// In one word: `key`, `external`, `session`, `application`, `cli`, `token`.
    pub kind: String,
    /// Whom it acted for.
    pub owner: String,
    /// The key it used.
    pub key_id: Option<String>,
    /// The address it called from.
    pub address: Option<IpAddr>,
    /// The request, by the id that came with it: what its client claims, unless something in between sets it.
    pub request_id: Option<String>,
}

impl Actor {
    /// Somebody of this kind, acting for this owner.
    pub fn new(kind: impl Into<String>, owner: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            owner: owner.into(),
            key_id: None,
            address: None,
            request_id: None,
        }
    }

    /// The program itself.
    #[must_use]
    pub fn application() -> Self {
        Self::new("application", "")
    }
}

/// Whoever keeps verdicts about keys, and must drop one around a change of the key.
pub(crate) trait Invalidate: fmt::Debug + Send + Sync {
    /// Before the change may be committed: from now on nothing is kept of this key.
    fn fence(&self, digest: &KeyDigest);

    /// After: forget what is kept, and what is being looked up; then lift the fence, unless the outcome is unknown.
    fn settle(&self, digest: &KeyDigest, outcome: Settled);

    /// As [`Invalidate::fence`], for every key at once.
    fn fence_all(&self);

    /// As [`Invalidate::settle`], for every key at once; `false` leaves the fence up.
    fn settle_all(&self, known: bool);

    /// Somebody else changed the key: forget what is kept, and what is being looked up. Lifts no fence of our own.
    fn forget(&self, digest: &KeyDigest);

    /// As [`Invalidate::forget`], for every key at once.
    fn forget_all(&self);
}

/// How a change of a key ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It is in the store.
    Changed,
    /// The key is revoked in the store, for ever.
    Revoked,
    /// It may or may not be in the store, now or a little later.
    Unknown,
}
