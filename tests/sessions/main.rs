//! Users who log in to the demo server, over HTTP: what a session may do, and what it never makes up for.

#![cfg(unix)]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with targets that use more of it")]
mod support;

mod addresses;

mod deciding;

mod login;

mod origin;

#[path = "../support/people.rs"]
mod people;
