use std::sync::atomic::AtomicU64;

use crate::key::KeyId;

#[derive(Debug, Clone, Default)]
pub(crate) struct Tallies {}

#[derive(Debug, Default)]
pub(crate) struct Counter {}

#[expect(clippy::unused_self, reason = "the same calls as with the feature")]
impl Tallies {
    pub(crate) fn counter(&self, _id: KeyId, _at_ms: u64) -> Counter {
        Counter {}
    }
}

#[expect(clippy::unused_self, reason = "the same calls as with the feature")]
impl Counter {
    pub(crate) fn admitted(&self, _at_ms: &AtomicU64) {}

    pub(crate) fn refused(&self, _at_ms: &AtomicU64) {}

    pub(crate) fn refused_inside(&self, _at_ms: &AtomicU64) {}
}
