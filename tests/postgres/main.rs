//! The store in PostgreSQL: what every store must do, and what only this one has.

#[path = "../support/caller.rs"]
mod caller;

mod clock;

mod conforming;

mod corrupt;

#[path = "../support/postgres.rs"]
mod database;

mod deaf;

mod everywhere;

mod fair;

mod feed;

mod forged;

#[path = "../support/hearing.rs"]
mod hearing;

mod imported;

mod migrations;

mod opened;

mod opening;

mod order;

mod outage;

mod paying;

#[path = "../support/proxy.rs"]
#[expect(dead_code, reason = "the fault suite needs other parts of it")]
mod proxy;

#[cfg(unix)]
mod replica;

mod shared;
