//! Every store against the conformance suite, the suite against stores that are wrong, and what only SQLite has.

#[macro_use]
#[path = "../support/passed_on.rs"]
mod passed_on;

mod broken;

mod browsing;

mod busy;

#[path = "../support/caller.rs"]
mod caller;

mod conforming;

mod corrupt;

mod fault;

mod feed;

mod file;

#[path = "../support/hearing.rs"]
mod hearing;

mod migrations;

mod opened;

mod paying;

mod shelf;

mod telling;

mod till;
