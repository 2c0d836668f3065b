//! Keys managed over HTTP, against the demo server as a process, each test on SQLite and on PostgreSQL.

#![cfg(unix)]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "other tests of the server need other parts of it")]
mod support;

#[path = "../support/postgres.rs"]
mod postgres;

#[macro_use]
mod world;

mod minting;

mod bodies;

mod limits;

mod credits;

mod paying;

mod owners;

mod changing;

mod rotating;

mod revoking;

mod last_used;

mod listing;

mod events;

mod refusals;

mod issues;

mod openapi;
