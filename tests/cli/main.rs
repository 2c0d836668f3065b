//! The binary `apikey` as its users meet it: a process, over SQLite and over PostgreSQL.

#![cfg(unix)]

#[path = "../support/mod.rs"]
#[expect(
    dead_code,
    reason = "shared with the tests of the server, which use more of it"
)]
mod support;

mod place;

mod commands;

mod exits;

mod import;

mod interrupted;

mod secrecy;

mod served;

mod terminal;
