//! API keys for axum and any tower HTTP stack.

// In rank order: a module imports only from those above it. `tests/rank.rs` holds the table.
mod trace;

pub mod clock;

pub mod access;

pub mod key;

pub mod principal;

pub mod event;

pub mod store;

pub mod authn;

pub mod manage;

pub mod credential;

pub mod middleware;

#[cfg(feature = "axum")]
pub mod extract;

mod setup;

pub use setup::{ApiKeyAuth, BuildError, Builder};
