//! Look-ups: one for all who ask, bounded, and never stuck.

use std::{
    future::Future,
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{runtime, task::yield_now};

use super::{
    super::Begin,
    limits,
    node::{Node, Setup},
    script::Point,
};
use crate::{
    authn::{Limits, OwnResolver, RefusalKind, Unavailable},
    clock::ManualClock,
    key::KeyDigest,
    principal::Identity,
};

const UNAVAILABLE: super::node::Answer = Err(RefusalKind::AuthUnavailable);

/// A node that looks keys up with this, and keeps nothing.
fn node_resolving<F, Fut>(resolver: F) -> Node
where
    F: Fn(KeyDigest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Option<Identity>, Unavailable>> + Send + 'static,
{
    let clock = Arc::new(ManualClock::default());
    Node::with(Setup {
        limits: Limits {
            good_for: Duration::ZERO,
            ..limits()
        },
        load: Some(Arc::new(OwnResolver { resolver, clock })),
        ..Setup::default()
    })
}

fn alice() -> Option<Identity> {
    Some(Identity::new("alice"))
}

/// Without the hook, which would print a backtrace each time.
fn panic_quietly() {
    resume_unwind(Box::new("scripted"));
}

#[tokio::test]
async fn one_look_up_answers_all_who_ask_while_it_is_under_way() {
    let node = Node::new();
    let key = node.key();
    let mut held = node.store.hold(Point::BeforeRead);
    let asked: Vec<_> = (0..100).map(|_| node.ask(&key)).collect();
    held.reached().await;
    assert_eq!(node.cache.flights(), 1);
    held.go_on();
    for answer in asked {
        assert_eq!(answer.await, Ok(()));
    }
    assert_eq!((node.store.reads(), node.cache.flights()), (1, 0));
}

#[tokio::test]
async fn a_look_up_that_lands_between_a_miss_and_the_lock_is_a_hit() {
    let node = Node::new();
    let key = node.key();
    assert!(node.cache.hit(&key.digest).is_none());
    assert_eq!(node.ask(&key).await, Ok(()));
    assert!(matches!(node.cache.begin(&key.digest), Begin::Decided(Ok(_))));
}

#[tokio::test]
async fn look_ups_are_bounded_and_one_too_many_is_unavailable_at_once() {
    let node = Node::with(Setup {
        limits: Limits {
            flights: 2,
            ..limits()
        },
        ..Setup::default()
    });
    let keys = [node.key(), node.key(), node.key()];
    let mut held = [
        node.store.hold(Point::BeforeRead),
        node.store.hold(Point::BeforeRead),
    ];
    let asked = [node.ask(&keys[0]), node.ask(&keys[1])];
    for held in &mut held {
        held.reached().await;
    }
    let joined = node.ask(&keys[0]);
    for _ in 0..100 {
        assert_eq!(node.ask_counting(&keys[2]).await, (UNAVAILABLE, 0));
    }
    // A look-up that a change has detached is under way all the same.
    node.change(&keys[0], |row| row.name = "renamed".into())
        .await
        .expect("changed");
    assert_eq!(node.ask_counting(&keys[0]).await, (UNAVAILABLE, 0));

    held.into_iter().for_each(|held| held.go_on());
    for answer in asked {
        assert_eq!(answer.await, Ok(()));
    }
    assert_eq!(
        joined.await,
        Ok(()),
        "waiting for the look-up of another is no look-up"
    );
    assert_eq!(node.cache.flights(), 0);
    assert_eq!(node.ask(&keys[2]).await, Ok(()));
}

#[tokio::test]
async fn keys_that_nobody_knows_cannot_take_the_room_of_those_that_were_good_lately() {
    let node = Node::with(Setup {
        limits: Limits {
            flights: 4,
            ..limits()
        },
        ..Setup::default()
    });
    let good = node.cached_key().await;
    // It is to be looked up again.
    node.clock.advance(Duration::from_secs(5));
    let unknown = [(); 4].map(|()| node.unknown_key());
    let mut held = [(); 3].map(|()| node.store.hold(Point::BeforeRead));
    let asked = [
        node.ask(&unknown[0]),
        node.ask(&unknown[1]),
        node.ask(&unknown[2]),
    ];
    for held in &mut held {
        held.reached().await;
    }
    assert_eq!(node.ask_counting(&unknown[3]).await, (UNAVAILABLE, 0));
    assert_eq!(node.ask_counting(&good).await, (Ok(()), 1));
    held.into_iter().for_each(|held| held.go_on());
    for answer in asked {
        assert_eq!(answer.await, Err(RefusalKind::InvalidKey));
    }
}

#[tokio::test]
async fn a_look_up_that_hangs_for_good_is_joined_by_nobody_new() {
    let node = Node::with(Setup {
        limits: Limits {
            flight_for: Duration::from_secs(2),
            ..limits()
        },
        ..Setup::default()
    });
    let key = node.key();
    let mut held = node.store.hold(Point::BeforeRead);
    let stuck = node.ask(&key);
    held.reached().await;
    node.clock.advance(Duration::from_secs(2));
    let joined = node.ask(&key);
    assert_eq!(node.cache.flights(), 1);
    node.clock.advance(Duration::from_nanos(1));
    assert_eq!(node.ask_counting(&key).await, (Ok(()), 1));
    held.go_on();
    assert_eq!((stuck.await, joined.await), (Ok(()), Ok(())));
}

#[tokio::test]
async fn a_leader_that_goes_away_takes_nobody_with_it() {
    let node = Node::new();
    let key = node.key();
    let mut held = node.store.hold(Point::BeforeRead);
    let leader = tokio::spawn(node.ask(&key));
    held.reached().await;
    let others = [node.ask(&key), node.ask(&key)];
    leader.abort();
    assert!(leader.await.expect_err("aborted").is_cancelled());
    let later = node.ask(&key);
    held.go_on();
    for answer in others.into_iter().chain([later]) {
        assert_eq!(answer.await, Ok(()));
    }
    assert_eq!((node.store.reads(), node.cache.flights()), (1, 0));
    assert!(node.keeps(&key));
}

#[tokio::test]
async fn ten_thousand_leaders_that_go_away_leave_no_look_up_behind() {
    const LEADERS: usize = 10_000;
    let led = Arc::new(AtomicUsize::new(0));
    let node = node_resolving({
        let led = led.clone();
        move |_| {
            let turn = led.fetch_add(1, Ordering::Relaxed);
            async move {
                for _ in 0..4 + turn % 4 {
                    yield_now().await;
                }
                Ok(alice())
            }
        }
    });
    let key = node.key();
    for i in 0..LEADERS {
        let leader = tokio::spawn(node.ask(&key));
        for _ in 0..i % 3 {
            yield_now().await;
        }
        let joined = (i % 2 == 0).then(|| node.ask(&key));
        leader.abort();
        assert!(
            leader.await.is_err_and(|error| error.is_cancelled()),
            "it was answered before"
        );
        if let Some(joined) = joined {
            assert_eq!(joined.await, Ok(()));
        }
        // So that the next one leads, too.
        while node.cache.flights() > 0 {
            yield_now().await;
        }
    }
    assert_eq!(led.load(Ordering::Relaxed), LEADERS);
    assert_eq!(node.ask(&key).await, Ok(()));
    assert_eq!(node.cache.flights(), 0);
}

#[tokio::test]
async fn a_look_up_that_panics_is_unavailable_to_all_who_wait_and_the_next_starts_afresh() {
    let node = Node::new();
    let key = node.key();
    for point in [Point::BeforeRead, Point::AfterRead] {
        let mut held = node.store.hold(point);
        let asked: Vec<_> = (0..50).map(|_| node.ask(&key)).collect();
        held.reached().await;
        held.panic();
        for answer in asked {
            assert_eq!(answer.await, UNAVAILABLE);
        }
        assert_eq!(node.cache.flights(), 0);
    }
    assert_eq!(node.ask_counting(&key).await, (Ok(()), 1));
}

#[tokio::test]
async fn ten_thousand_panics_leave_no_look_up_and_nobody_behind() {
    const PANICS: usize = 10_000;
    let turn = Arc::new(AtomicUsize::new(0));
    let node = node_resolving({
        let turn = turn.clone();
        move |_| {
            let turn = turn.fetch_add(1, Ordering::Relaxed);
            // In the call, at the first poll, at a later one.
            if turn < PANICS && turn.is_multiple_of(3) {
                panic_quietly();
            }
            async move {
                if turn % 3 == 2 {
                    yield_now().await;
                }
                if turn < PANICS {
                    panic_quietly();
                }
                Ok(alice())
            }
        }
    });
    let keys: Vec<_> = (0..100).map(|_| node.key()).collect();
    for _ in 0..PANICS / keys.len() {
        let asked: Vec<_> = keys
            .iter()
            .flat_map(|key| [node.ask(key), node.ask(key)])
            .collect();
        assert_eq!(node.cache.flights(), keys.len());
        for answer in asked {
            assert_eq!(answer.await, UNAVAILABLE);
        }
        assert_eq!(node.cache.flights(), 0);
    }
    assert_eq!(turn.load(Ordering::Relaxed), PANICS);
    for key in &keys {
        assert_eq!(node.ask(key).await, Ok(()));
    }
}

#[test]
fn a_runtime_that_ends_answers_those_who_wait_in_another() {
    let runtime = || {
        runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
    };
    let (ending, lasting) = (runtime(), runtime());
    let node = Node::new();
    let key = node.key();
    let _held = ending.block_on(async {
        let mut held = node.store.hold(Point::BeforeRead);
        drop(node.ask(&key));
        held.reached().await;
        held
    });
    let joined = {
        let _inside = lasting.enter();
        node.ask(&key)
    };
    assert_eq!(node.cache.flights(), 1, "it joined the look-up of the other");
    drop(ending);
    assert_eq!(lasting.block_on(joined), UNAVAILABLE);
    assert_eq!(node.cache.flights(), 0);
    assert_eq!(lasting.block_on(async { node.ask(&key).await }), Ok(()));
}

#[test]
fn without_a_runtime_a_look_up_is_unavailable_and_what_is_kept_is_used() {
    let node = Node::new();
    let key = node.key();
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    drop(node.ask(&key));
    assert_eq!(node.cache.flights(), 0);
    let outside = node.ask(&key);
    assert_eq!(runtime.block_on(outside), UNAVAILABLE);
    assert_eq!(runtime.block_on(async { node.ask(&key).await }), Ok(()));
    let outside = node.ask(&key);
    assert_eq!(runtime.block_on(outside), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_takes_too_long_is_unavailable_and_not_kept() {
    let node = Node::with(Setup {
        timeout: Duration::from_secs(1),
        ..Setup::default()
    });
    let key = node.key();
    for point in [Point::BeforeRead, Point::AfterRead] {
        let _held = node.store.hold(point);
        let asked = [node.ask(&key), node.ask(&key)];
        for answer in asked {
            assert_eq!(answer.await, UNAVAILABLE);
        }
        assert_eq!(node.cache.flights(), 0);
        assert!(!node.keeps(&key));
    }
    assert_eq!(node.ask(&key).await, Ok(()));
}

// One thread to block, and one to keep the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_does_not_wait_for_a_look_up_that_blocks_its_thread() {
    let (unblock, blocked) = mpsc::channel::<()>();
    let blocked = Mutex::new(blocked);
    let clock = Arc::new(ManualClock::default());
    let node = Node::with(Setup {
        timeout: Duration::from_millis(1),
        load: Some(Arc::new(OwnResolver {
            resolver: move |_| {
                let _end = blocked.lock().recv();
                async { Ok::<_, Unavailable>(alice()) }
            },
            clock,
        })),
        ..Setup::default()
    });
    let key = node.key();
    assert_eq!(node.ask(&key).await, UNAVAILABLE);
    assert_eq!(node.cache.flights(), 1, "it is still blocked");
    assert_eq!(node.ask(&key).await, UNAVAILABLE);
    drop(unblock);
    while node.cache.flights() > 0 {
        yield_now().await;
    }
    assert_eq!(node.ask(&key).await, Ok(()));
}

#[tokio::test]
async fn a_time_out_without_end_is_no_accident() {
    let node = Node::with(Setup {
        timeout: Duration::MAX,
        ..Setup::default()
    });
    assert_eq!(node.ask(&node.key()).await, Ok(()));
}

#[tokio::test]
async fn an_old_look_up_that_ends_never_removes_the_newer_one() {
    let node = Node::new();
    let key = node.key();
    let mut old = node.store.hold(Point::AfterRead);
    let early = node.ask(&key);
    old.reached().await;
    node.change(&key, |row| row.name = "renamed".into())
        .await
        .expect("changed");
    let mut new = node.store.hold(Point::AfterRead);
    let late = node.ask(&key);
    new.reached().await;

    old.go_on();
    assert_eq!(early.await, Ok(()));
    assert_eq!(node.cache.flights(), 1);
    let latest = node.ask(&key);
    assert_eq!(node.cache.flights(), 1, "it did not find the newer look-up");
    new.go_on();
    assert_eq!(late.await, Ok(()));
    assert_eq!(latest.await, Ok(()));
    assert_eq!((node.store.reads(), node.cache.flights()), (2, 0));
    assert!(node.keeps(&key));
}

#[tokio::test]
async fn an_old_look_up_that_panics_never_removes_the_newer_one() {
    let node = Node::new();
    let key = node.key();
    let mut old = node.store.hold(Point::AfterRead);
    let early = node.ask(&key);
    old.reached().await;
    node.change(&key, |row| row.name = "renamed".into())
        .await
        .expect("changed");
    let mut new = node.store.hold(Point::AfterRead);
    let late = node.ask(&key);
    new.reached().await;

    old.panic();
    assert_eq!(early.await, UNAVAILABLE);
    let latest = node.ask(&key);
    assert_eq!(node.cache.flights(), 1, "it did not find the newer look-up");
    new.go_on();
    assert_eq!(late.await, Ok(()));
    assert_eq!(latest.await, Ok(()));
}
