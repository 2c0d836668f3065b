use std::{error::Error, fmt};

use crate::access::DeniedKind;

/// Why something that began with a good key may not go on: what [`Principal::revoked`](super::Principal::revoked) says, and the error of a
/// response body that was cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ended {
    /// The key has been revoked.
    KeyRevoked,
    /// The key is switched off, or its owner is suspended or gone.
    KeyDisabled,
    /// The key has expired, or the overlap after its rotation is over.
    KeyExpired,
    /// There is no such key any more.
    InvalidKey,
    /// The key has lost a scope that the route asked for.
    InsufficientScope,
    /// The key is bound now, and not to the resource that the route asked for.
    ResourceNotAllowed,
    /// The addresses that the key may be used from are others now: whoever connects anew is measured by them.
    AddressNotAllowed,
    /// Whether the key is still good could not be found out for some time, or too much is watched already.
    Unavailable,
}

impl Ended {
    /// The reason in one word, as in the `code` of a refusal: `key-revoked`.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::KeyRevoked => "key-revoked",
            Self::KeyDisabled => "key-disabled",
            Self::KeyExpired => "key-expired",
            Self::InvalidKey => "invalid-key",
            Self::InsufficientScope => "insufficient-scope",
            Self::ResourceNotAllowed => "resource-not-allowed",
            Self::AddressNotAllowed => "address-not-allowed",
            Self::Unavailable => "auth-unavailable",
        }
    }

    pub(super) fn of_denied(kind: DeniedKind) -> Self {
        match kind {
            DeniedKind::Scope => Self::InsufficientScope,
            DeniedKind::Resource | DeniedKind::UnknownParameter => Self::ResourceNotAllowed,
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ended: ")?;
        f.write_str(self.code())
    }
}

impl Error for Ended {}
