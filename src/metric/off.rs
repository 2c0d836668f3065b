use std::{future::Future, time::Duration};

#[derive(Debug, Default)]
pub(crate) struct Decisions;

#[expect(clippy::unused_self, reason = "the same calls as with the feature")]
impl Decisions {
    pub(crate) fn register(
        _kinds: impl IntoIterator<Item = &'static str>,
        _codes: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        Self
    }

    pub(crate) fn allowed(&self, _kind: usize) {}

    pub(crate) fn anonymous(&self) {}

    pub(crate) fn refused(&self, _kind: usize) {}
}

pub(crate) struct CacheMeter;

#[expect(clippy::unused_self, reason = "the same calls as with the feature")]
impl CacheMeter {
    pub(crate) fn register() -> Self {
        Self
    }

    pub(crate) fn hit(&self) {}

    pub(crate) fn refused(&self) {}

    pub(crate) fn miss(&self) {}

    pub(crate) fn flights(&self, _flights: usize) {}

    pub(crate) fn entries(&self, _entries: impl FnOnce() -> [usize; 2]) {}
}

pub(crate) fn lookup_not_made(_why: &'static str) {}

pub(crate) fn timed<T, E>(
    _operation: &'static str,
    work: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, E>> {
    work
}

pub(crate) fn breaker_open() {}

pub(crate) fn stale_used() {}

pub(crate) fn feed_live(_live: bool) {}

pub(crate) fn feed_age(_age: Duration) {}

pub(crate) fn stream_opened() {}

pub(crate) fn stream_ended(_reason: &'static str) {}

pub(crate) fn uses_written(_keys: usize) {}

pub(crate) fn uses_not_written() {}

pub(crate) fn uses_dropped(_keys: u64) {}

pub(crate) fn audit_dropped() {}

#[cfg(feature = "redis")]
pub(crate) fn limits_shared(_shared: bool) {}

#[cfg(feature = "redis")]
pub(crate) fn limit_not_shared(_then: &'static str) {}

#[cfg(feature = "oidc")]
pub(crate) fn exchanged(_outcome: &'static str) {}
