//! The demo server as its users meet it: a process, spoken to over HTTP, byte by byte, and told to stop by a signal.

#![cfg(unix)]

#[path = "../support/mod.rs"]
mod support;

mod table;

mod refusals;

mod credentials;

mod optional;

mod outage;

mod bodies;

mod whoami;

mod first_start;

mod issues;

mod runs;

mod routes;

mod options;

mod limits;

mod proxies;

mod guessing;

mod introspect;

mod revoke;

mod verify;

mod nginx;

mod gateways;

mod leaks;

mod stopping;

mod secrecy;

mod metrics;

#[path = "../support/redis.rs"]
#[expect(dead_code, reason = "tests of the library need other parts of it")]
mod own;

mod shared_limits;
