use std::{fmt, time::SystemTime};

use super::{
    credits::Filling,
    token::{SpentToken, TokenId},
};
use crate::{
    event::KeyEvent,
    key::{KeyDigest, KeyId, KeyRecord},
};

/// What a change has to know before it decides. Nobody else can change it until the transaction has ended.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Reads {
    /// The keys with these ids.
    pub keys: Vec<KeyId>,
    /// Whether these digests are taken.
    pub digests: Vec<KeyDigest>,
    /// How many keys this owner has that are neither revoked nor expired.
    pub live_of: Option<String>,
    /// Whether this token is spent.
    pub token: Option<TokenId>,
    /// Up to so many of the spent tokens that need not be remembered any longer.
    pub forgettable_tokens: u32,
}

impl Reads {
    /// Nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Also the key with this id.
    #[must_use]
    pub fn key(mut self, id: KeyId) -> Self {
        self.keys.push(id);
        self
    }

    /// Also how many live keys the owner has.
    #[must_use]
    pub fn live_of(mut self, owner: impl Into<String>) -> Self {
        self.live_of = Some(owner.into());
        self
    }
}

/// What a store read for a change.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct View {
    /// The store's time.
    pub now: SystemTime,
    /// Those of the keys that are there.
    pub keys: Vec<KeyRecord>,
    /// Those of the digests that are taken.
    pub taken: Vec<KeyDigest>,
    /// How many live keys the owner has.
    pub live: u64,
    /// Whether the token is spent.
    pub spent: bool,
    /// Those of the tokens that need not be remembered any longer, the longest of them first.
    pub forgettable_tokens: Vec<TokenId>,
}

impl View {
    /// What was read at a time. What of tokens was asked is for whoever [keeps](super::KeyStore::keeps_tokens) them to fill in.
    #[must_use]
    pub fn new(now: SystemTime, keys: Vec<KeyRecord>, taken: Vec<KeyDigest>, live: u64) -> Self {
        Self {
            now,
            keys,
            taken,
            live,
            spent: false,
            forgettable_tokens: Vec::new(),
        }
    }

    /// The key with this id.
    #[must_use]
    pub fn key(&self, id: KeyId) -> Option<&KeyRecord> {
        self.keys.iter().find(|key| key.id == id)
    }
}

/// What a change writes: all of it, or nothing.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Writes {
    /// New keys.
    pub insert: Vec<KeyRecord>,
    /// Keys as they shall be; they are there. What a key is from its making stays as it is: digest, prefix, owner, date, whether it was
    /// imported. So does when it was last used, and what is revoked stays revoked as it was. The limit of an account is not written by it: what
    /// a key says of that is what was read.
    pub update: Vec<KeyRecord>,
    /// Accounts that shall be like this, new ones and old ones: before any key that names one.
    pub fill: Vec<Filling>,
    /// Keys that shall be gone, and with the last key of an account the account.
    pub delete: Vec<KeyId>,
    /// What to write into the log.
    pub events: Vec<KeyEvent>,
    /// A token that is spent with it. That it was spent already is a [conflict](super::StoreErrorKind::Conflict).
    pub spend_token: Option<SpentToken>,
    /// Spent tokens that shall be forgotten.
    pub forget_tokens: Vec<TokenId>,
}

impl Writes {
    /// Nothing: the transaction ends without a change.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        let Self {
            insert,
            update,
            fill,
            delete,
            events,
            spend_token,
            forget_tokens,
        } = self;
        let nothing = insert.is_empty() && update.is_empty() && fill.is_empty() && delete.is_empty();
        nothing && events.is_empty() && spend_token.is_none() && forget_tokens.is_empty()
    }
}

/// Decides, inside of a transaction, what to write. Must not block.
pub struct Decide(Box<dyn FnOnce(&View) -> Writes + Send>);

impl Decide {
    /// With this function.
    pub fn new(decide: impl FnOnce(&View) -> Writes + Send + 'static) -> Self {
        Self(Box::new(decide))
    }

    /// What to write, given what was read.
    #[must_use]
    pub fn decide(self, view: &View) -> Writes {
        (self.0)(view)
    }
}

impl fmt::Debug for Decide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<fn>")
    }
}
