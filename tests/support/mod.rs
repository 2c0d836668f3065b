//! The demo server as a process, a client that shows every byte of an answer, and hands on the server's database.

#![expect(
    unreachable_pub,
    reason = "shared by test targets, each of which is a crate of its own"
)]

pub mod http;
pub mod keys;
pub mod server;

use std::time::Duration;

/// Long enough for a busy machine; what takes longer hangs.
pub const PATIENCE: Duration = Duration::from_secs(30);
