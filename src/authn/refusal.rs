use std::{error::Error, fmt, sync::Arc, time::Duration};

use crate::{
    access::{Allowance, Denied, DeniedKind},
    key::{KeyStatus, Malformed},
    store::Balance,
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
    /// 401: there was no credential, nor anybody the fallback knows.
    MissingCredentials,
    /// 400: there was more than one.
    AmbiguousCredentials,
    /// 401: the key is none of ours, for whatever reason.
    InvalidKey,
    /// 401: the key was right, and has expired.
    KeyExpired,
    /// 401: the key was right, and has been revoked.
    KeyRevoked,
    /// 401: the key was right, and is switched off, or its owner is suspended or gone.
    KeyDisabled,
    /// 403: a scope is missing.
    InsufficientScope,
    /// 403: the key is bound to other resources.
    ResourceNotAllowed,
    /// 403: the key may not be used from where the caller is.
    AddressNotAllowed,
    /// 403: a session asked for a change, and not from a page of the same origin.
    CrossOrigin,
    /// 429: the key has been used too often.
    RateLimited,
    /// 429: the key was sold with so many uses, and [too few](crate::access::Credits) are left.
    UsedUp,
    /// 429: too many keys that are not good have come [from the same address](crate::Builder::failure_limit), and this one is not either.
    TooManyFailures,
    /// 503: whether the key is good could not be found out.
    AuthUnavailable,
    /// 500: an extractor or a requirement was used on a route without [`ApiKeyAuth`](crate::ApiKeyAuth).
    LayerMissing,
    /// 500: a requirement or an extractor asks for something the route or the layer does not have.
    Misconfigured,
}

impl RefusalKind {
    /// Each of them at the place of its own number.
    pub(crate) const ALL: [Self; 16] = [
        Self::MissingCredentials,
        Self::AmbiguousCredentials,
        Self::InvalidKey,
        Self::KeyExpired,
        Self::KeyRevoked,
        Self::KeyDisabled,
        Self::InsufficientScope,
        Self::ResourceNotAllowed,
        Self::AddressNotAllowed,
        Self::CrossOrigin,
        Self::RateLimited,
        Self::UsedUp,
        Self::TooManyFailures,
        Self::AuthUnavailable,
        Self::LayerMissing,
        Self::Misconfigured,
    ];

    /// Whether a credential was presented that is not good: what somebody who guesses is told.
    pub(crate) fn is_failure(self) -> bool {
        matches!(
            self,
            Self::InvalidKey | Self::KeyExpired | Self::KeyRevoked | Self::KeyDisabled
        )
    }

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
            Self::AddressNotAllowed => "address-not-allowed",
            Self::CrossOrigin => "cross-origin-request",
            Self::RateLimited | Self::UsedUp | Self::TooManyFailures => "rate-limited",
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
    Limited(Limited),
    UsedUp { left: Balance, wait: Option<Duration> },
    Failures { last: RefusalKind, wait: Duration },
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

    /// `None` for a key that is good.
    pub(crate) fn of_status(status: KeyStatus) -> Option<Self> {
        match status {
            KeyStatus::Active => None,
            KeyStatus::Expired => Some(Self::new(RefusalKind::KeyExpired)),
            KeyStatus::Disabled => Some(Self::new(RefusalKind::KeyDisabled)),
            KeyStatus::Revoked => Some(Self::new(RefusalKind::KeyRevoked)),
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

    /// All limits that hold, and when there is enough of them again, if ever.
    pub(crate) fn limited(allowances: Box<[Allowance]>, retry_after: Option<Duration>) -> Self {
        Self {
            kind: RefusalKind::RateLimited,
            reason: Reason::Limited(Limited {
                allowances,
                retry_after,
            }),
        }
    }

    /// There is less in the account of a key than a request costs. If that is more than there ever is, waiting does not help.
    pub(crate) fn used_up(left: Balance, uses: u32) -> Self {
        let ever = uses <= left.account.limit.uses();
        let wait = left.refill_in.filter(|_| ever);
        Self {
            kind: RefusalKind::UsedUp,
            reason: Reason::UsedUp { left, wait },
        }
    }

    /// In place of what would have been said of one more key that is not good.
    pub(crate) fn too_many_failures(last: RefusalKind, wait: Duration) -> Self {
        Self {
            kind: RefusalKind::TooManyFailures,
            reason: Reason::Failures { last, wait },
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

    /// What is left of all limits that hold, where one of them is why.
    #[must_use]
    pub fn as_limited(&self) -> Option<&[Allowance]> {
        match &self.reason {
            Reason::Limited(limited) => Some(&limited.allowances),
            _ => None,
        }
    }

    /// What is left of the uses that the key was sold with, where that is too little.
    #[must_use]
    pub fn as_used_up(&self) -> Option<&Balance> {
        match &self.reason {
            Reason::UsedUp { left, .. } => Some(left),
            _ => None,
        }
    }

    /// How long until the same request would come through, where a limit is why it did not, and time helps.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match &self.reason {
            Reason::Limited(limited) => limited.retry_after,
            Reason::UsedUp { wait, .. } => *wait,
            Reason::Failures { wait, .. } => Some(*wait),
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
            Reason::Limited(limited) => limited.fmt(f),
            Reason::UsedUp { left, .. } => write!(f, ": {} of {} uses left", left.left, left.account.limit),
            Reason::Failures { last, .. } => {
                write!(f, ": too many failures from one address, here {}", last.code())
            }
            Reason::Failure(failure) => write!(f, ": {failure}"),
        }
    }
}

/// What is left, and how long to wait.
#[derive(Debug, Clone)]
struct Limited {
    allowances: Box<[Allowance]>,
    retry_after: Option<Duration>,
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reached = |one: &&Allowance| !one.retry_after.is_zero();
        for (place, one) in self.allowances.iter().filter(reached).enumerate() {
            f.write_str(if place == 0 { ": " } else { ", " })?;
            write!(f, "{} {}", one.name, one.limit)?;
        }
        Ok(())
    }
}

impl Error for Refusal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.reason {
            Reason::Malformed(malformed) => Some(malformed),
            Reason::Denied(denied) => Some(denied),
            Reason::Failure(failure) => failure.0.source(),
            Reason::None
            | Reason::Text(_)
            | Reason::Limited(_)
            | Reason::UsedUp { .. }
            | Reason::Failures { .. } => None,
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

    pub(crate) fn cause(&self) -> &(dyn Error + 'static) {
        &*self.0
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

#[cfg(test)]
mod tests {
    use super::RefusalKind;

    #[test]
    fn every_kind_is_at_its_place() {
        for (i, kind) in RefusalKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, i, "{kind:?}");
        }
        assert_eq!(RefusalKind::ALL.len(), RefusalKind::Misconfigured as usize + 1);
    }
}
