//! What happens to a key, and who must hear of it before it counts as done.

use std::{fmt, time::SystemTime};

use crate::key::{KeyDigest, KeyId};

/// One line of the audit log, written in the transaction that makes the change.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyEvent {
    /// The key it happened to.
    pub key_id: KeyId,
    /// What happened.
    pub kind: KeyEventKind,
    /// When.
    pub at: SystemTime,
}

impl KeyEvent {
    /// A line.
    #[must_use]
    pub fn new(key_id: KeyId, kind: KeyEventKind, at: SystemTime) -> Self {
        Self { key_id, kind, at }
    }
}

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyEventKind {
    /// It was made.
    Minted,
    /// It was ended for good.
    Revoked,
}

impl KeyEventKind {
    /// The kind as one word, the form in which stores keep it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minted => "minted",
            Self::Revoked => "revoked",
        }
    }

    /// The kind that the word stands for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Minted, Self::Revoked]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}

/// Whoever keeps verdicts about keys, and must drop one around a change of the key.
pub(crate) trait Invalidate: fmt::Debug + Send + Sync {
    /// Before the change may be committed: from now on nothing is kept of this key.
    fn fence(&self, digest: &KeyDigest);

    /// After: forget what is kept, and what is being looked up; then lift the fence, unless the outcome is unknown.
    fn settle(&self, digest: &KeyDigest, outcome: Settled);
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
