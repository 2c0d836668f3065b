//! After everything had to be forgotten, what is kept is confirmed in batches, and whoever comes for it waits for that.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinSet;

use super::{
    limits,
    node::{Key, Node, Setup},
    script::Point,
};
use crate::{
    authn::{Limits, OwnerState, Owners, RefusalKind, Unavailable},
    clock::Clock,
    event::Invalidate,
    store::StoreErrorKind,
};

fn hearing() -> Node {
    let node = Node::with(Setup {
        limits: Limits {
            lease: Some(Duration::from_secs(2)),
            good_for: Duration::from_secs(300),
            ..limits()
        },
        ..Setup::default()
    });
    node.cache.proven(node.clock.elapsed());
    node
}

async fn cached(node: &Node, count: usize) -> Vec<Key> {
    let mut keys = Vec::new();
    for _ in 0..count {
        keys.push(node.cached_key().await);
    }
    keys
}

#[tokio::test]
async fn ten_thousand_keys_are_confirmed_in_twenty_questions() {
    let node = hearing();
    let keys = cached(&node, 10_000).await;
    let before = node.store.reads();
    node.cache.forget_all();
    node.lookup.confirm();
    let mut asking = JoinSet::new();
    keys.iter().for_each(|key| {
        asking.spawn(node.ask(key));
    });
    assert!(asking.join_all().await.iter().all(Result::is_ok));
    assert_eq!(node.store.reads() - before, 20);
    assert!(keys.iter().all(|key| node.keeps(key)));
    assert_eq!(node.cache.flights(), 0);
}

#[tokio::test]
async fn what_was_revoked_meanwhile_is_refused_and_what_is_gone_is_unknown() {
    let node = hearing();
    let keys = cached(&node, 3).await;
    let now = node.clock.now();
    node.store.edit(&keys[0].digest, |row| row.revoked_at = Some(now));
    node.store.remove(&keys[1].digest);
    node.cache.forget_all();
    node.lookup.confirm();
    assert_eq!(node.ask(&keys[0]).await, Err(RefusalKind::KeyRevoked));
    assert_eq!(node.ask(&keys[1]).await, Err(RefusalKind::InvalidKey));
    assert_eq!(node.ask(&keys[2]).await, Ok(()));
}

#[tokio::test]
async fn what_is_revoked_while_it_is_confirmed_is_not_kept() {
    let node = hearing();
    let keys = cached(&node, 2).await;
    node.cache.forget_all();
    let mut held = node.store.hold(Point::AfterRead);
    node.lookup.confirm();
    held.reached().await;
    node.revoke(&keys[0]).await.expect("revoked");
    assert_eq!(node.ask(&keys[0]).await, Err(RefusalKind::KeyRevoked));
    held.go_on();
    assert_eq!(node.ask(&keys[1]).await, Ok(()));
    assert!(!node.keeps(&keys[0]));
    assert_eq!(node.ask(&keys[0]).await, Err(RefusalKind::KeyRevoked));
}

#[tokio::test]
async fn while_many_are_confirmed_there_is_room_for_keys_that_are_new() {
    let node = Node::with(Setup {
        limits: Limits {
            lease: Some(Duration::from_secs(2)),
            flights: 8,
            ..limits()
        },
        ..Setup::default()
    });
    node.cache.proven(node.clock.elapsed());
    let _kept = cached(&node, 100).await;
    node.cache.forget_all();
    let mut held = node.store.hold(Point::BeforeRead);
    node.lookup.confirm();
    held.reached().await;
    assert_eq!(node.ask(&node.key()).await, Ok(()));
    held.go_on();
}

#[tokio::test]
async fn a_batch_that_fails_at_once_is_asked_for_one_by_one_where_somebody_waits() {
    let node = hearing();
    let keys = cached(&node, 3).await;
    node.cache.forget_all();
    let mut held = node.store.hold(Point::BeforeRead);
    node.lookup.confirm();
    held.reached().await;
    let waiting = [node.ask(&keys[0]), node.ask(&keys[1])];
    let before = node.store.reads();
    held.fail(StoreErrorKind::Corrupt);
    for asked in waiting {
        assert_eq!(asked.await, Ok(()));
    }
    assert_eq!(node.store.reads() - before, 2);
    assert_eq!(node.ask_counting(&keys[2]).await, (Ok(()), 1));
}

#[tokio::test]
async fn an_owner_that_cannot_be_found_stops_no_other() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let owners = move |owner: String| {
        let asked = count.fetch_add(1, Ordering::Relaxed);
        async move {
            match owner.as_str() {
                "mallory" if asked > 0 => Err(Unavailable::new("scripted")),
                _ => Ok(Some(OwnerState::active())),
            }
        }
    };
    let node = Node::with(Setup {
        limits: Limits {
            lease: Some(Duration::from_secs(2)),
            ..limits()
        },
        owners: Some(Owners::new(owners)),
        ..Setup::default()
    });
    node.cache.proven(node.clock.elapsed());
    let mallorys = node.key();
    node.store
        .edit(&mallorys.digest, |row| row.owner = "mallory".into());
    assert_eq!(node.ask(&mallorys).await, Ok(()));
    let keys = cached(&node, 100).await;
    let before = node.store.reads();
    node.cache.forget_all();
    node.lookup.confirm();
    assert_eq!(node.ask(&mallorys).await, Err(RefusalKind::AuthUnavailable));
    for key in &keys {
        assert_eq!(node.ask(key).await, Ok(()));
    }
    assert_eq!(node.store.reads() - before, 1);
}

#[tokio::test]
async fn where_it_is_too_slow_those_who_wait_are_told_and_the_next_ask_for_themselves() {
    let node = Node::with(Setup {
        limits: Limits {
            lease: Some(Duration::from_secs(2)),
            ..limits()
        },
        timeout: Duration::from_millis(1),
        ..Setup::default()
    });
    node.cache.proven(node.clock.elapsed());
    let keys = cached(&node, 2).await;
    node.cache.forget_all();
    let mut held = node.store.hold(Point::BeforeRead);
    node.lookup.confirm();
    let waiting = node.ask(&keys[0]);
    held.reached().await;
    assert_eq!(waiting.await, Err(RefusalKind::AuthUnavailable));
    assert_eq!(node.ask(&keys[0]).await, Ok(()));
    assert_eq!(node.cache.flights(), 0);
}

#[tokio::test]
async fn a_flood_of_flushes_makes_one_confirmation_a_second() {
    let node = hearing();
    let keys = cached(&node, 2).await;
    let before = node.store.reads();
    for _ in 0..100 {
        node.cache.forget_all();
        node.lookup.confirm();
    }
    for key in &keys {
        assert_eq!(node.ask(key).await, Ok(()));
    }
    // The first of them, which came too early to be kept, and one for each key.
    assert!(node.store.reads() - before <= 3);
    node.clock.advance(Duration::from_secs(1));
    node.cache.proven(node.clock.elapsed());
    node.cache.forget_all();
    node.lookup.confirm();
    assert_eq!(node.ask(&keys[0]).await, Ok(()));
    assert_eq!(node.ask_counting(&keys[1]).await, (Ok(()), 0));
}

#[tokio::test]
async fn a_panic_on_the_way_leaves_nobody_waiting_and_the_next_one_possible() {
    let node = hearing();
    let keys = cached(&node, 2).await;
    node.cache.forget_all();
    let mut held = node.store.hold(Point::BeforeRead);
    node.lookup.confirm();
    held.reached().await;
    let waiting = node.ask(&keys[0]);
    held.panic();
    assert_eq!(waiting.await, Err(RefusalKind::AuthUnavailable));
    assert_eq!(node.cache.flights(), 0);
    node.clock.advance(Duration::from_secs(1));
    node.cache.proven(node.clock.elapsed());
    node.lookup.confirm();
    assert_eq!(node.ask(&keys[1]).await, Ok(()));
    let _alive = Arc::clone(&node.lookup);
}
