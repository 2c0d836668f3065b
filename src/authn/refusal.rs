use std::{error::Error, fmt, sync::Arc};

use crate::{
    access::{Denied, DeniedKind},
    key::Malformed,
};

/// Why a request was refused: attached to the extensions of every response the crate makes in place of the application's, for logging
/// layers to read. What it says is for operators; the response itself says less.
#[derive(Debug, Clone)]
pub struct Refusal {
    kind: RefusalKind,
    reason: Reason,
}

/// Why a request was refused, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalKind {
    /// 401: there was no credential.
    MissingCredentials,
    /// 400: there was more than one.
    AmbiguousCredentials,
    /// 401: the key is none of ours, for whatever reason.
    InvalidKey,
    /// 401: the key was right, and has expired.
    KeyExpired,
    /// 401: the key was right, and has been revoked.
    KeyRevoked,
    /// 401: the key was right, and is switched off, or its owner is gone.
    KeyDisabled,
    /// 403: a scope is missing.
    InsufficientScope,
    /// 403: the key is bound to other resources.
    ResourceNotAllowed,
    /// 503: whether the key is good could not be found out.
    AuthUnavailable,
    /// 500: an extractor or a requirement was used on a route without [`ApiKeyAuth`](crate::ApiKeyAuth).
    LayerMissing,
    /// 500: a requirement or an extractor asks for something the route or the layer does not have.
    Misconfigured,
}

impl RefusalKind {
    /// The `code` of the problem document.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::MissingCredentials => "missing-credentials",
            Self::AmbiguousCredentials => "ambiguous-credentials",
            Self::InvalidKey => "invalid-key",
            Self::KeyExpired => "key-expired",
            Self::KeyRevoked => "key-revoked",
            Self::KeyDisabled => "key-disabled",
            Self::InsufficientScope => "insufficient-scope",
            Self::ResourceNotAllowed => "resource-not-allowed",
            Self::AuthUnavailable => "auth-unavailable",
            Self::LayerMissing => "auth-layer-missing",
            Self::Misconfigured => "auth-misconfigured",
        }
    }
}

#[derive(Debug, Clone)]
enum Reason {
    None,
    Text(&'static str),
    Malformed(Malformed),
    Denied(Denied),
    Failure(Arc<Unavailable>),
}

impl Refusal {
    pub(crate) fn new(kind: RefusalKind) -> Self {
        Self {
            kind,
            reason: Reason::None,
        }
    }

    pub(crate) fn because(kind: RefusalKind, reason: &'static str) -> Self {
        Self {
            kind,
            reason: Reason::Text(reason),
        }
    }

    pub(crate) fn malformed(malformed: Malformed) -> Self {
        Self {
            kind: RefusalKind::InvalidKey,
            reason: Reason::Malformed(malformed),
        }
    }

    pub(crate) fn denied(denied: Denied) -> Self {
        Self {
            kind: match denied.kind() {
                DeniedKind::Scope => RefusalKind::InsufficientScope,
                DeniedKind::Resource => RefusalKind::ResourceNotAllowed,
                DeniedKind::UnknownParameter => RefusalKind::Misconfigured,
            },
            reason: Reason::Denied(denied),
        }
    }

    pub(crate) fn unavailable(failure: Unavailable) -> Self {
        Self {
            kind: RefusalKind::AuthUnavailable,
            reason: Reason::Failure(Arc::new(failure)),
        }
    }

    /// Why, in one word.
    #[must_use]
    pub fn kind(&self) -> RefusalKind {
        self.kind
    }

    /// What a requirement asked for, where one was not met.
    #[must_use]
    pub fn as_denied(&self) -> Option<&Denied> {
        match &self.reason {
            Reason::Denied(denied) => Some(denied),
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.code())?;
        match &self.reason {
            Reason::None => Ok(()),
            Reason::Text(text) => write!(f, ": {text}"),
            Reason::Malformed(malformed) => write!(f, ": {malformed}"),
            Reason::Denied(denied) => write!(f, ": {denied}"),
            Reason::Failure(failure) => write!(f, ": {failure}"),
        }
    }
}

impl Error for Refusal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.reason {
            Reason::Malformed(malformed) => Some(malformed),
            Reason::Denied(denied) => Some(denied),
            Reason::Failure(failure) => failure.0.source(),
            Reason::None | Reason::Text(_) => None,
        }
    }
}

/// Whether a key is good could not be found out: the caller gets 503, and nothing is remembered.
///
/// Any error becomes one with `?`. It is not itself an [`Error`], which is what makes that conversion possible.
#[derive(Debug)]
pub struct Unavailable(Box<dyn Error + Send + Sync>);

impl Unavailable {
    /// With a cause, which appears in logs and must hold no secret.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Unavailable {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
