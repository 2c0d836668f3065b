//! Revoking over a real SQLite file: what a request that begins afterwards gets, and what look-ups cost.

#![expect(clippy::print_stdout, reason = "figures")]

#[macro_use]
#[path = "../support/passed_on.rs"]
mod passed_on;

mod app;

mod hammering;

mod hanging_up;

mod look_ups;

mod random;

mod watched;
