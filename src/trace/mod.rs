//! What is told to `tracing`, in words of this crate. Without the feature the same calls do nothing.

#[cfg(feature = "tracing")]
mod on;

#[cfg(not(feature = "tracing"))]
mod off;

#[cfg(any(
    feature = "tracing",
    feature = "sqlite",
    feature = "postgres",
    feature = "redis"
))]
mod causes;

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "redis"))]
pub(crate) use causes::Causes;

#[cfg(all(not(feature = "tracing"), feature = "management"))]
pub(crate) use off::management_failed;
#[cfg(not(feature = "tracing"))]
pub(crate) use off::{
    RequestSpan, credits_lost, expiring_not_found, fallback_failed, feed_live, feed_lost, lookup_failed,
    notice_lost, owner_changes, refused, short_static_key, stale_key_used, store_down, unheard, untold,
    uses_dropped, uses_not_written,
};
#[cfg(all(not(feature = "tracing"), feature = "leaks"))]
pub(crate) use off::{alerts_not_believed, key_leaked};
#[cfg(all(not(feature = "tracing"), feature = "oidc"))]
pub(crate) use off::{issuer_failed, token_refused};
#[cfg(all(not(feature = "tracing"), feature = "redis"))]
pub(crate) use off::{limits_not_shared, limits_shared};
#[cfg(all(feature = "tracing", feature = "management"))]
pub(crate) use on::management_failed;
#[cfg(feature = "tracing")]
pub(crate) use on::{
    RequestSpan, credits_lost, expiring_not_found, fallback_failed, feed_live, feed_lost, lookup_failed,
    notice_lost, owner_changes, refused, short_static_key, stale_key_used, store_down, unheard, untold,
    uses_dropped, uses_not_written,
};
#[cfg(all(feature = "tracing", feature = "leaks"))]
pub(crate) use on::{alerts_not_believed, key_leaked};
#[cfg(all(feature = "tracing", feature = "oidc"))]
pub(crate) use on::{issuer_failed, token_refused};
#[cfg(all(feature = "tracing", feature = "redis"))]
pub(crate) use on::{limits_not_shared, limits_shared};
