use std::{error::Error, fmt::Display};

pub(crate) struct RequestSpan;

/// What [`RequestSpan::enter`] gives; there is nothing to leave.
pub(crate) struct Entered;

impl RequestSpan {
    pub(crate) fn none() -> Self {
        Self
    }

    pub(crate) fn authenticated(_kind: &'static str, _owner: &str, _key_id: Option<&str>) -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "the same call as with the feature")]
    pub(crate) fn enter(&self) -> Entered {
        Entered
    }
}

pub(crate) fn refused(_code: &'static str, _refusal: &dyn Display) {}

pub(crate) fn lookup_failed(_error: &dyn Error) {}

pub(crate) fn short_static_key(_name: &str) {}

pub(crate) fn fallback_failed(_error: &dyn Error) {}

pub(crate) fn owner_changes(_owner: &str) {}

pub(crate) fn uses_not_written(_error: &dyn Error, _keys: usize) {}

pub(crate) fn credits_lost(_error: &dyn Error, _uses: u32) {}

pub(crate) fn uses_dropped(_keys: u64) {}

#[cfg(feature = "management")]
pub(crate) fn management_failed(_error: &dyn Error) {}

#[cfg(feature = "leaks")]
pub(crate) fn key_leaked(_key_id: Option<&str>) {}

#[cfg(feature = "leaks")]
pub(crate) fn alerts_not_believed(_error: &dyn Error) {}

pub(crate) fn notice_lost() {}

pub(crate) fn expiring_not_found(_error: &dyn Error) {}

pub(crate) fn store_down() {}

pub(crate) fn feed_live() {}

pub(crate) fn feed_lost(_cause: &str) {}

pub(crate) fn untold(_error: &dyn Error) {}

pub(crate) fn stale_key_used(_key_id: Option<&str>) {}

pub(crate) fn unheard(_error: &dyn Error) {}

#[cfg(feature = "redis")]
pub(crate) fn limits_not_shared(_error: &dyn Error) {}

#[cfg(feature = "redis")]
pub(crate) fn limits_shared() {}

#[cfg(feature = "oidc")]
pub(crate) fn issuer_failed(_issuer: &str, _error: &dyn Error) {}

#[cfg(feature = "oidc")]
pub(crate) fn token_refused(_why: &'static str) {}
