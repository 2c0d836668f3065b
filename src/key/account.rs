use super::id::KeyId;
use crate::access::Credits;

/// Where the uses of a key are counted down: an account, which is made with a key and which every key that comes of that one draws on, too.
///
/// How many uses are left is no part of it: that is the store's to say, at the moment it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CreditAccount {
    /// Its id, which is that of the key it was made for. It outlives that key as long as another draws on it.
    pub id: KeyId,
    /// How many uses there are when it is full, and how often it is filled.
    pub limit: Credits,
}

impl CreditAccount {
    /// The account of this id.
    #[must_use]
    pub fn new(id: KeyId, limit: Credits) -> Self {
        Self { id, limit }
    }
}
