//! Every promise of `docs/reliability.md` that is about several processes, and faults: measured on demo servers that run, with a
//! database of their own that is frozen, cut off and killed.
//!
//! Each program prints one line a promise, past what captures the output of tests:
//!
//! ```text
//! P-03 postgres  n=2000  p50=1.1ms  p99=6.0ms  max=13.9ms  |  promised:  p99<=50.0ms  max<=500.0ms  |  ok
//! ```
//!
//! The short version, with fewer rounds, is what `cargo test` runs. `FAULTS=long` runs as many as percentiles ask for, which takes half
//! an hour. What must never happen is held to the letter in both; times may take four times as long as promised before a program fails,
//! since others may be using the machine, and `FAULTS_SLACK=1` takes that back.

#![cfg(target_os = "linux")]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "other tests of the server need other parts of it")]
mod support;

#[path = "../support/proxy.rs"]
#[expect(dead_code, reason = "tests of the store need other parts of it")]
mod proxy;

// What programs are made of.
mod cluster;
mod crew;
mod figures;
mod manager;
mod postgres;
mod wire;

// The programs.
mod clocks;
mod elsewhere;
mod floods;
mod herd;
mod hot_path;
mod hung_up;
mod memory;
mod minted;
mod outage;
mod rotation;
mod same_node;
mod silent;
mod stampede;
mod stopping;
mod streams;
mod strict;

use std::{
    env,
    future::Future,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::{runtime::Builder, time::timeout};

/// A program that is not done by then hangs.
const SHORT_PATIENCE: Duration = Duration::from_secs(180);
const LONG_PATIENCE: Duration = Duration::from_secs(7200);

/// Runs a program while no other runs: they measure.
fn alone(program: impl Future<Output = ()>) {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    allow_many_files();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let patience = figures::scale(SHORT_PATIENCE, LONG_PATIENCE);
    let done = runtime.block_on(async { timeout(patience, program).await });
    runtime.shutdown_timeout(Duration::from_secs(1));
    assert!(done.is_ok(), "it is not done after {patience:?}");
}

/// As many sockets as the system lets this process have.
fn allow_many_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // What there was has to do, then.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Says that a program does not run; where `CI` is `true` that is a failure.
fn skip(why: &str) {
    assert!(env::var("CI").as_deref() != Ok("true"), "{why}");
    figures::print_line(&format!("SKIPPED: {why}"));
}
