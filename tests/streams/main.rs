//! What stays open ends with its key: event streams, WebSockets and uploads, against the demo server as a process.
//!
//! A `Setup` is kept for as long as its server runs: the directory of the database goes with it.

#![cfg(unix)]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "other tests of the server need other parts of it")]
mod support;

mod client;

mod ending;

mod answered;

mod many;

mod stopping;

mod bare;
