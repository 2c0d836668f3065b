use std::{error::Error, fmt, time::Duration};

use crate::manage::ManageError;

/// No key was given for a token.
#[derive(Debug)]
pub struct ExchangeError {
    kind: ExchangeErrorKind,
    source: Option<ManageError>,
}

/// Why no key was given for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExchangeErrorKind {
    /// The token is not good, was used before, or no policy is for it. Which of these, whoever brings it is not told.
    Refused,
    /// The policy does not give a scope that was asked for, or what was asked for is no list of scopes.
    Scope,
    /// The policy is for another audience than was asked for.
    Target,
    /// The keys of the issuer, or the store, cannot be reached.
    Unavailable,
    /// There are too many at a time, or the owner has as many keys as an owner may have: later there will be room again.
    Busy,
}

impl ExchangeError {
    /// Why.
    #[must_use]
    pub fn kind(&self) -> ExchangeErrorKind {
        self.kind
    }

    /// When it is worth trying the same again, if ever.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self.kind {
            ExchangeErrorKind::Unavailable | ExchangeErrorKind::Busy => Some(Duration::from_secs(5)),
            ExchangeErrorKind::Refused | ExchangeErrorKind::Scope | ExchangeErrorKind::Target => None,
        }
    }
}

impl From<ExchangeErrorKind> for ExchangeError {
    fn from(kind: ExchangeErrorKind) -> Self {
        Self { kind, source: None }
    }
}

impl From<ManageError> for ExchangeError {
    fn from(error: ManageError) -> Self {
        Self {
            kind: ExchangeErrorKind::Unavailable,
            source: Some(error),
        }
    }
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            ExchangeErrorKind::Refused => "the token is not taken",
            ExchangeErrorKind::Scope => "the policy does not give the scope that was asked for",
            ExchangeErrorKind::Target => "the policy is for another audience than was asked for",
            ExchangeErrorKind::Unavailable => "the issuer or the key store cannot be reached",
            ExchangeErrorKind::Busy => "there are too many at the moment",
        })
    }
}

impl Error for ExchangeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
