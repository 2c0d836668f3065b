//! Every lock and counter of the cache is a place where another thread may go on: `shuttle` tries many schedules of them.
//!
//! What is known of a key only ever grows, in this order: absent, good in version 1, 2, ..., revoked. So the two promises are one
//! comparison each: a request that begins after a change was answered is answered with no less than that change (S1), and when nothing is
//! under way any more, what is kept is what is in the database (S2).
//!
//! Run with `RUSTFLAGS="--cfg shuttle" CARGO_TARGET_DIR=target/shuttle cargo test --all-features --lib schedules`.

use std::{cell::Cell, sync::Arc};

use parking_lot::Mutex as Unscheduled;
use shuttle::{
    future::block_on,
    sync::Mutex,
    thread::{self, JoinHandle},
};

use super::{
    super::{Begin, Cache, Found},
    limits,
};
use crate::{
    authn::RefusalKind,
    clock::ManualClock,
    event::{Invalidate, Settled},
    key::KeyDigest,
};

/// How many schedules of each kind are tried of each scenario.
const SCHEDULES: usize = 10_000;
/// How many times PCT puts a thread back, at most.
const DEPTH: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Row {
    Absent,
    Good(u32),
    Revoked,
}
use Row::{Absent, Good, Revoked};

/// A process with two keys, which share a shard, and the database.
#[derive(Clone)]
struct World(Arc<Inner>);

struct Inner {
    cache: Arc<Cache<u32>>,
    database: Mutex<[Row; 2]>,
    /// What reads say in place of the database.
    replica: Option<Row>,
    /// The newest that a change has been answered for. Not scheduled: it stands for the caller's own memory.
    answered: Unscheduled<[Row; 2]>,
}

/// What the schedules of one scenario have led to. They all run in the thread of their test.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    hits: usize,
    joins: usize,
    /// Answers that were overtaken by a change.
    overtaken: usize,
}

thread_local! {
    static SEEN: Cell<Seen> = const { Cell::new(Seen { hits: 0, joins: 0, overtaken: 0 }) };
}

fn count(add: fn(&mut Seen)) {
    let mut seen = SEEN.get();
    add(&mut seen);
    SEEN.set(seen);
}

impl World {
    fn new(rows: [Row; 2]) -> Self {
        Self::reading(rows, None)
    }

    fn reading(rows: [Row; 2], replica: Option<Row>) -> Self {
        let clock = ManualClock::default();
        Self(Arc::new(Inner {
            cache: Arc::new(Cache::new(limits(), Arc::new(clock.clone()))),
            database: Mutex::new(rows),
            replica,
            answered: Unscheduled::new([Absent; 2]),
        }))
    }

    fn row(&self, key: usize) -> Row {
        self.0.database.lock().expect("no panic")[key]
    }

    fn commit(&self, key: usize, row: Row) {
        let rows = &mut self.0.database.lock().expect("no panic");
        rows[key] = rows[key].max(row);
    }

    /// One request, as by `Lookup`: with the look-up in a thread of its own.
    fn ask(&self, key: usize) -> Row {
        let (cache, digest) = (&self.0.cache, digest(key));
        if let Some((version, _)) = cache.hit(&digest) {
            count(|seen| seen.hits += 1);
            return Good(version);
        }
        if cache.refusal(&digest).is_some() {
            return Absent;
        }
        let outcome = match cache.begin(&digest) {
            Begin::Decided(outcome) => outcome,
            Begin::Join(answer) => {
                count(|seen| seen.joins += 1);
                block_on(answer).expect("an answer")
            }
            Begin::Lead(lead, answer) => {
                let world = self.clone();
                thread::spawn(move || {
                    let sent = lead.depart();
                    let row = world.0.replica.unwrap_or_else(|| world.row(key));
                    lead.land(
                        sent,
                        match row {
                            Absent => Found::Unknown,
                            Good(version) => Found::Good(version, None),
                            Revoked => Found::Revoked,
                        },
                    );
                });
                block_on(answer).expect("an answer")
            }
        };
        match outcome.map_err(|refusal| refusal.kind()) {
            Ok(version) => Good(version),
            Err(RefusalKind::InvalidKey) => Absent,
            Err(RefusalKind::KeyRevoked) => Revoked,
            Err(other) => panic!("{other:?}"),
        }
    }

    /// So many requests, one after the other, that each must be answered with no less than was known when they began.
    fn client(&self, key: usize, requests: usize) -> JoinHandle<()> {
        let world = self.clone();
        thread::spawn(move || {
            for _ in 0..requests {
                let known = world.0.answered.lock()[key];
                let answer = world.ask(key);
                assert!(answer >= known, "S1: answered {answer:?} after {known:?} was");
                if answer < world.0.answered.lock()[key] {
                    count(|seen| seen.overtaken += 1);
                }
            }
        })
    }

    fn change(&self, key: usize, row: Row) -> JoinHandle<()> {
        let world = self.clone();
        thread::spawn(move || {
            world.0.cache.fence(&digest(key));
            world.commit(key, row);
            world.0.cache.settle(
                &digest(key),
                match row {
                    Revoked => Settled::Revoked,
                    Absent | Good(_) => Settled::Changed,
                },
            );
            world.answered(key, row);
        })
    }

    /// A change that is answered with an error, and is committed later all the same; doubt may last beyond that.
    fn doubtful_change(&self, key: usize, row: Row, doubt_ends: bool) -> JoinHandle<()> {
        let world = self.clone();
        thread::spawn(move || {
            world.0.cache.fence(&digest(key));
            world.0.cache.settle(&digest(key), Settled::Unknown);
            world.commit(key, row);
            if doubt_ends {
                world.0.cache.settle(&digest(key), Settled::Changed);
                world.answered(key, row);
            }
        })
    }

    fn answered(&self, key: usize, row: Row) {
        let answered = &mut self.0.answered.lock()[key];
        *answered = (*answered).max(row);
    }

    /// When nothing is under way any more.
    fn check_at_rest(&self, threads: impl IntoIterator<Item = JoinHandle<()>>) {
        for thread in threads {
            thread.join().expect("no panic");
        }
        while self.0.cache.flights() > 0 {
            thread::yield_now();
        }
        for key in 0..2 {
            let row = self.row(key);
            if let Some((version, _)) = self.0.cache.hit(&digest(key)) {
                assert_eq!(Good(version), row, "S2: something stale stays cached");
            }
            let unknown = self.0.cache.refusal(&digest(key)).is_some();
            assert!(!unknown || row == Absent, "S2: taken to be unknown: {row:?}");
            assert_eq!(self.ask(key), row);
        }
    }
}

/// Both keys are of one shard: it is chosen by the first bytes.
fn digest(key: usize) -> KeyDigest {
    let mut bytes = [0xa5; 32];
    bytes[31] = key as u8;
    KeyDigest::from_bytes(bytes)
}

/// Tries schedules at random, and schedules with few preemptions in bad places; and makes sure that what they are about did happen.
fn explore(scenario: fn()) {
    shuttle::check_random(scenario, SCHEDULES);
    shuttle::check_pct(scenario, SCHEDULES, DEPTH);
    let seen = SEEN.get();
    assert!(seen.hits > SCHEDULES / 10, "{seen:?}");
    assert!(seen.joins > SCHEDULES / 10, "{seen:?}");
    assert!(seen.overtaken > SCHEDULES / 10, "{seen:?}");
}

#[test]
fn one_key_is_used_and_revoked() {
    explore(|| {
        let world = World::new([Good(1), Absent]);
        let clients = [world.client(0, 3), world.client(0, 2), world.client(0, 2)];
        let revoking = world.change(0, Revoked);
        world.check_at_rest(clients.into_iter().chain([revoking]));
    });
}

#[test]
fn one_key_is_used_and_revoked_although_the_store_lags() {
    explore(|| {
        let world = World::reading([Good(1), Good(1)], Some(Good(1)));
        let clients = [world.client(0, 3), world.client(0, 2)];
        let revoking = world.change(0, Revoked);
        world.check_at_rest(clients.into_iter().chain([revoking]));
    });
}

#[test]
fn one_key_is_used_and_changed_twice() {
    explore(|| {
        let world = World::new([Good(1), Absent]);
        let clients = [world.client(0, 3), world.client(0, 2)];
        let changes = [world.change(0, Good(2)), world.change(0, Good(3))];
        world.check_at_rest(clients.into_iter().chain(changes));
    });
}

#[test]
fn one_key_is_tried_minted_and_revoked() {
    explore(|| {
        let world = World::new([Absent, Absent]);
        let clients = [world.client(0, 3), world.client(0, 2)];
        let (minting, minted) = (world.change(0, Good(1)), world.clone());
        let revoking = thread::spawn(move || {
            minting.join().expect("no panic");
            minted.change(0, Revoked).join().expect("no panic");
        });
        world.check_at_rest(clients.into_iter().chain([revoking]));
    });
}

#[test]
fn one_key_is_used_while_its_fate_is_unknown() {
    explore(|| {
        let world = World::new([Good(1), Absent]);
        let clients = [world.client(0, 3), world.client(0, 2)];
        let changes = [world.doubtful_change(0, Good(3), false), world.change(0, Good(2))];
        world.check_at_rest(clients.into_iter().chain(changes));
    });
}

#[test]
fn one_key_is_used_until_doubt_ends() {
    explore(|| {
        let world = World::new([Good(1), Absent]);
        let clients = [world.client(0, 3), world.client(0, 2)];
        let changes = [world.doubtful_change(0, Good(3), true), world.change(0, Good(2))];
        world.check_at_rest(clients.into_iter().chain(changes));
    });
}

#[test]
fn two_keys_of_one_shard_are_used_changed_and_revoked() {
    explore(|| {
        let world = World::new([Good(1), Good(1)]);
        let clients = [
            world.client(0, 2),
            world.client(0, 2),
            world.client(1, 2),
            world.client(1, 2),
        ];
        let changes = [world.change(0, Good(2)), world.change(1, Revoked)];
        world.check_at_rest(clients.into_iter().chain(changes));
    });
}

#[test]
fn two_keys_of_one_shard_are_tried_and_minted() {
    explore(|| {
        let world = World::new([Absent, Absent]);
        let clients = [
            world.client(0, 2),
            world.client(0, 2),
            world.client(1, 2),
            world.client(1, 2),
        ];
        let changes = [world.change(0, Good(1)), world.change(1, Good(1))];
        world.check_at_rest(clients.into_iter().chain(changes));
    });
}
