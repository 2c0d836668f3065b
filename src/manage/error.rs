use std::{error::Error, fmt};

use super::{change::ChangeError, policy::Excess};
use crate::{key::KeyStatus, store::StoreError};

/// A key could not be minted, changed or read.
#[derive(Debug)]
pub struct ManageError {
    kind: ManageErrorKind,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// Why a key could not be minted, changed or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ManageErrorKind {
    /// There is no such key, or it is not the caller's to know of.
    NotFound,
    /// A value cannot be meant.
    Invalid(Invalid),
    /// It would be more than the caller has, or than the key was.
    Exceeds(Excess),
    /// The caller lacks a scope that every call of this kind needs.
    MissingScope(&'static str),
    /// The owner has as many keys as an owner may have.
    Quota,
    /// The key is not in a state in which this can be done to it.
    Conflict(Conflict),
    /// The caller's own key was given for a token, and changes no keys, whatever its scopes.
    CallerExchanged,
    /// The token that a key was to be given for is not good for one.
    TokenNotGood(TokenFault),
    /// The caller's own key has ended since the request was let in.
    CallerNotGood(KeyStatus),
    /// The store could not do it, or could not say whether it did.
    Unavailable,
}

/// A value that cannot be meant: its field, and what would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invalid {
    /// The field.
    pub field: &'static str,
    /// What it must be.
    pub message: &'static str,
}

impl Invalid {
    pub(super) fn new(field: &'static str, message: &'static str) -> Self {
        Self { field, message }
    }
}

/// The state in which a key is not what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Conflict {
    /// The key is not good.
    NotActive(KeyStatus),
    /// Another key has taken over from it already.
    AlreadyRotated,
    /// The caller was not let in by a key of this store.
    NoStoredKey,
    /// The form that asks for a key has made one already.
    AlreadyMinted,
    /// The key was given for a token, and no other takes over from it.
    Exchanged,
}

/// Why no key is given for a token that is right otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenFault {
    /// There was one given for it before.
    Spent,
    /// It has expired.
    Expired,
    /// Its time has not come.
    NotYet,
}

impl TokenFault {
    /// The fault in one word, for the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spent => "token-spent",
            Self::Expired => "token-expired",
            Self::NotYet => "token-not-yet-good",
        }
    }
}

impl ManageError {
    /// Why.
    #[must_use]
    pub fn kind(&self) -> ManageErrorKind {
        self.kind
    }

    pub(super) fn unavailable(source: Box<dyn Error + Send + Sync>) -> Self {
        Self {
            kind: ManageErrorKind::Unavailable,
            source: Some(source),
        }
    }

    pub(super) fn invalid(field: &'static str, message: &'static str) -> Self {
        ManageErrorKind::Invalid(Invalid::new(field, message)).into()
    }
}

impl ManageErrorKind {
    /// The reason in one word, for the log of refused requests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::Invalid(_) => "invalid",
            Self::Exceeds(_) => "exceeds-maker",
            Self::MissingScope(_) => "insufficient-scope",
            Self::Quota => "too-many-keys",
            Self::Conflict(_) => "conflict",
            Self::CallerExchanged => "caller-exchanged",
            Self::TokenNotGood(fault) => fault.as_str(),
            Self::CallerNotGood(_) => "caller-not-good",
            Self::Unavailable => "unavailable",
        }
    }
}

impl From<ManageErrorKind> for ManageError {
    fn from(kind: ManageErrorKind) -> Self {
        Self { kind, source: None }
    }
}

impl From<Excess> for ManageError {
    fn from(excess: Excess) -> Self {
        ManageErrorKind::Exceeds(excess).into()
    }
}

impl From<Conflict> for ManageError {
    fn from(conflict: Conflict) -> Self {
        ManageErrorKind::Conflict(conflict).into()
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
        match self.kind {
            ManageErrorKind::NotFound => f.write_str("there is no such key"),
            ManageErrorKind::Invalid(Invalid { field, message }) => write!(f, "{field} {message}"),
            ManageErrorKind::Exceeds(excess) => fmt::Display::fmt(&excess, f),
            ManageErrorKind::MissingScope(scope) => write!(f, "the scope {scope} is needed"),
            ManageErrorKind::Quota => f.write_str("the owner has as many keys as an owner may have"),
            ManageErrorKind::Conflict(Conflict::NotActive(status)) => {
                write!(f, "the key is {}", status.as_str())
            }
            ManageErrorKind::Conflict(Conflict::AlreadyRotated) => {
                f.write_str("another key has taken over from this one already")
            }
            ManageErrorKind::Conflict(Conflict::NoStoredKey) => {
                f.write_str("the caller was not let in by a key of this store")
            }
            ManageErrorKind::Conflict(Conflict::AlreadyMinted) => {
                f.write_str("the form that asks for the key has made one already")
            }
            ManageErrorKind::Conflict(Conflict::Exchanged) => {
                f.write_str("the key was given for a token, and no other takes over from it")
            }
            ManageErrorKind::CallerExchanged => {
                f.write_str("the caller's key was given for a token, and changes no keys")
            }
            ManageErrorKind::TokenNotGood(TokenFault::Spent) => {
                f.write_str("a key was given for the token before")
            }
            ManageErrorKind::TokenNotGood(TokenFault::Expired) => f.write_str("the token has expired"),
            ManageErrorKind::TokenNotGood(TokenFault::NotYet) => f.write_str("the token is not good yet"),
            ManageErrorKind::CallerNotGood(status) => write!(f, "the caller's key is {}", status.as_str()),
            ManageErrorKind::Unavailable => f.write_str("the key store could not do it"),
        }
    }
}

impl Error for ManageError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
