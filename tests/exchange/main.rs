//! Tokens of an issuer that a test has, exchanged for keys: what is taken, and every attack that is not.

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "tests of the demo need other parts of it")]
mod support;

#[path = "../support/postgres.rs"]
#[expect(dead_code, reason = "tests of the store need other parts of it")]
mod postgres;

#[macro_use]
#[path = "../support/passed_on.rs"]
mod passed_on;

mod signer;

mod authority;

mod transport;

mod issuer;

mod workflow;

mod world;

mod given;

mod forged;

mod trusted;

mod timing;

mod issuers;

mod tls;

mod keys;

mod forms;

mod demo;

mod configuration;

mod cluster;

mod model;

mod steps;

mod sequences;
