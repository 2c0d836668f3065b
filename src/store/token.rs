use std::{fmt, time::SystemTime};

use sha2::{Digest, Sha256};

/// Which token of another issuer it is, as a store keeps it: a SHA-256 of the issuer and of the id that it gave the token.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenId([u8; 32]);

impl TokenId {
    /// That of the token to which the issuer gave this id, its `jti`. Two issuers may use the same ids.
    #[must_use]
    pub fn of(issuer: &str, id: &str) -> Self {
        let mut sha = Sha256::new();
        sha.update((issuer.len() as u64).to_be_bytes());
        sha.update(issuer);
        sha.update(id);
        Self(sha.finalize().into())
    }

    /// As it was kept.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// To be kept.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A token that a key has been given for, and will not be again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpentToken {
    /// Which.
    pub id: TokenId,
    /// Until when it must be remembered.
    pub until: SystemTime,
}

impl SpentToken {
    /// To be remembered until then.
    #[must_use]
    pub fn new(id: TokenId, until: SystemTime) -> Self {
        Self { id, until }
    }
}
