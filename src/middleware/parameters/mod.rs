//! Path parameters, as the router that matched the route decoded them: the same text that the handler will see.

#[cfg(feature = "axum")]
mod axum;

#[cfg(not(feature = "axum"))]
mod none;

#[cfg(feature = "axum")]
pub(crate) use self::axum::Parameters;
#[cfg(not(feature = "axum"))]
pub(super) use none::Parameters;
