//! What is told to `tracing`, in words of this crate. Without the feature the same calls do nothing.

#[cfg(feature = "tracing")]
mod on;

#[cfg(not(feature = "tracing"))]
mod off;

#[cfg(not(feature = "tracing"))]
pub(crate) use off::{RequestSpan, lookup_failed, refused, short_static_key};
#[cfg(feature = "tracing")]
pub(crate) use on::{RequestSpan, lookup_failed, refused, short_static_key};
