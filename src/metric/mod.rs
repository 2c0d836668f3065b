//! What is counted with `metrics`, in words of this crate. Without the feature the same calls do nothing.
//!
//! Every label has a few values that stand in this crate: none is of a key, an owner or a caller.

#[cfg(feature = "metrics")]
mod on;

#[cfg(not(feature = "metrics"))]
mod off;

#[cfg(not(feature = "metrics"))]
use off as chosen;
#[cfg(feature = "metrics")]
use on as chosen;

#[cfg(feature = "oidc")]
pub(crate) use chosen::exchanged;
pub(crate) use chosen::{
    CacheMeter, Decisions, audit_dropped, breaker_open, feed_age, feed_live, lookup_not_made, stale_used,
    timed, uses_dropped, uses_not_written, uses_written,
};
#[cfg(feature = "redis")]
pub(crate) use chosen::{limit_not_shared, limits_shared};
pub(crate) use chosen::{stream_ended, stream_opened};
