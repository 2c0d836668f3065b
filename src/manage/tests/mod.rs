//! The verbs against a reference model that knows nothing of patterns: it lists, one by one, what a key may do.

mod model;

mod sequences;

#[cfg(feature = "testing")]
mod callers;

#[cfg(feature = "testing")]
mod fair;

#[cfg(feature = "testing")]
mod lifetimes;

#[cfg(all(feature = "testing", feature = "page"))]
mod reserved;

#[cfg(feature = "testing")]
mod troubled;

#[cfg(feature = "testing")]
mod strict;
