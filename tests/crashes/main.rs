//! The demo server killed in the middle of a storm of mints, rotations, revokes and exchanges: what it had answered stands, and the rest is
//! there as a whole or not at all.
//!
//! `CRASHES=100` kills it that often on each database, rather than [`KILLS`] times.

#![cfg(unix)]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "other tests of the server need other parts of it")]
mod support;

#[path = "../support/postgres.rs"]
mod postgres;

#[path = "../exchange/signer.rs"]
#[expect(dead_code, reason = "tests of exchanges need other keys")]
mod signer;

#[path = "../exchange/transport.rs"]
#[expect(dead_code, reason = "tests of exchanges need TLS")]
mod transport;

#[path = "../exchange/issuer.rs"]
#[expect(dead_code, reason = "tests of exchanges need issuers that behave otherwise")]
mod issuer;

#[path = "../exchange/workflow.rs"]
mod workflow;

mod place;

mod storm;

mod promises;

mod exchanges;

use std::{
    env,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    place::Place,
    promises::Promises,
    storm::{Told, storm},
    support::{
        PATIENCE,
        server::{Server, Setup},
    },
};

/// How often a server is killed on each database when nobody asks for more.
const KILLS: usize = 10;

const CLIENTS: usize = 4;

fn kills() -> usize {
    env::var("CRASHES").map_or(KILLS, |kills| kills.parse().expect("CRASHES is a number"))
}

/// Kills the server while all clients wait for answers, and gives what each has been told. Each counts the answers it gets.
fn kill_in_a_storm<T: Send>(
    server: &Server,
    kill: usize,
    client: impl Fn(usize, &AtomicUsize) -> T + Sync,
) -> Vec<T> {
    let (answers, client) = (&AtomicUsize::new(0), &client);
    // Early and late, and anywhere between two answers.
    let enough = 1 + kill * 37 % 80;
    let moment = Duration::from_micros(kill as u64 * 379 % 4000);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| scope.spawn(move || client(number, answers)))
            .collect();
        let begun = Instant::now();
        while answers.load(Ordering::Relaxed) < enough && begun.elapsed() < PATIENCE {
            thread::sleep(Duration::from_micros(50));
        }
        thread::sleep(moment);
        // Whatever has happened: clients end when it does.
        server.signal(Signal::KILL);
        let told = clients.into_iter().map(|client| client.join().expect("a client"));
        let told = told.collect();
        assert!(
            answers.load(Ordering::Relaxed) >= enough,
            "the server hardly answers"
        );
        told
    })
}

fn storm_until(server: &Server, kill: usize) -> Vec<Told> {
    kill_in_a_storm(server, kill, |client, answers| {
        storm(server.address, client, answers)
    })
}

fn survives(place: &Place) {
    let begun = Instant::now();
    let mut promises = Promises::default();
    let setup = place.setup();
    let mut server = setup.start();
    for kill in 0..kills() {
        let told = storm_until(&server, kill);
        drop(server);
        // Nobody else has the database open: what the killed one left behind is for the next to deal with.
        server = setup.start();
        let fresh = promises.note(told);
        promises.assert_kept(&server, fresh..);
        place.assert_whole(&setup, kill);
    }
    promises.assert_kept(&server, ..);
    promises.print(place, &setup, begun.elapsed());
}

#[test]
fn what_was_answered_before_a_kill_stands_on_sqlite() {
    survives(&Place::sqlite());
}

#[test]
fn what_was_answered_before_a_kill_stands_on_postgres() {
    if let Some(place) = Place::postgres() {
        survives(&place);
    }
}

/// The tests above would find it.
fn finds_what_is_not_whole(place: &Place) {
    let setup: Setup = place.setup();
    let server = setup.start();
    let told = storm_until(&server, 79);
    drop(server);
    assert_eq!(place.faults(&setup), Vec::<String>::new());
    for (damage, faults) in place::DAMAGES {
        place.sql(&setup, damage);
        let found = place.faults(&setup);
        for fault in *faults {
            assert!(
                found.iter().any(|found| found.starts_with(fault)),
                "{damage}: {found:?}"
            );
        }
    }
    assert!(told.iter().any(|told| told.revokes > 0), "there was no storm");
}

#[test]
fn a_row_without_its_event_and_an_event_without_its_row_are_found_on_sqlite() {
    finds_what_is_not_whole(&Place::sqlite());
}

#[test]
fn a_row_without_its_event_and_an_event_without_its_row_are_found_on_postgres() {
    if let Some(place) = Place::postgres() {
        finds_what_is_not_whole(&place);
    }
}
