//! What is kept, for how long, and how much of it.

use std::time::Duration;

use super::{
    super::{Begin, Mix, shard::TOMBSTONES},
    limits,
    node::{Key, Node, Setup},
    script::Point,
};
use crate::{
    authn::{Limits, RefusalKind},
    clock::Clock,
    event::{Invalidate, Settled},
    key::KeyDigest,
};

const NO_READ: usize = 0;
const ONE_READ: usize = 1;

fn node_with(limits: Limits) -> Node {
    Node::with(Setup {
        limits,
        ..Setup::default()
    })
}

/// A key that expires so much later.
fn expiring(node: &Node, later: Duration) -> Key {
    let key = node.key();
    let moment = node.clock.now() + later;
    node.store.edit(&key.digest, |row| row.expires_at = Some(moment));
    key
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test]
async fn every_hit_looks_at_the_clock_and_at_the_expiry_the_key_has_expired() {
    let node = Node::new();
    let key = expiring(&node, seconds(3));
    assert_eq!(node.ask_counting(&key).await, (Ok(()), ONE_READ));
    for _ in 0..2 {
        node.clock.advance(seconds(1));
        assert_eq!(node.ask_counting(&key).await, (Ok(()), NO_READ));
    }
    node.clock.advance(Duration::from_nanos(999_999_999));
    assert_eq!(node.ask_counting(&key).await, (Ok(()), NO_READ));
    node.clock.advance(Duration::from_nanos(1));
    assert_eq!(
        node.ask_counting(&key).await,
        (Err(RefusalKind::KeyExpired), ONE_READ)
    );
}

#[tokio::test]
async fn lifetimes_count_from_when_the_look_up_was_sent() {
    let node = Node::new();
    let key = node.key();
    let mut held = node.store.hold(Point::AfterRead);
    let asked = node.ask(&key);
    held.reached().await;
    node.clock.advance(seconds(4));
    held.go_on();
    assert_eq!(asked.await, Ok(()));

    assert!(node.keeps(&key));
    node.clock.advance(seconds(1));
    assert_eq!(node.ask_counting(&key).await, (Ok(()), ONE_READ));
}

#[tokio::test]
async fn an_answer_that_took_longer_than_its_lifetime_is_not_used_again() {
    let node = Node::new();
    for expires in [60, 3] {
        let key = expiring(&node, seconds(expires));
        let mut held = node.store.hold(Point::AfterRead);
        let asked = node.ask(&key);
        held.reached().await;
        node.clock.advance(seconds(5));
        held.go_on();
        assert_eq!(asked.await, Ok(()), "it was good when it was read");
        assert!(!node.keeps(&key));
    }
}

#[tokio::test]
async fn the_expiry_of_a_slow_answer_counts_from_when_the_look_up_was_sent() {
    let node = Node::new();
    let key = expiring(&node, seconds(3));
    let mut held = node.store.hold(Point::AfterRead);
    let asked = node.ask(&key);
    held.reached().await;
    node.clock.advance(seconds(2));
    held.go_on();
    assert_eq!(asked.await, Ok(()));
    assert_eq!(node.ask_counting(&key).await, (Ok(()), NO_READ));
    node.clock.advance(seconds(1));
    assert_eq!(
        node.ask_counting(&key).await,
        (Err(RefusalKind::KeyExpired), ONE_READ)
    );
}

#[tokio::test]
async fn an_unknown_key_is_unknown_for_its_own_time() {
    let node = node_with(Limits {
        unknown_for: seconds(2),
        ..limits()
    });
    let key = node.unknown_key();
    assert_eq!(
        node.ask_counting(&key).await,
        (Err(RefusalKind::InvalidKey), ONE_READ)
    );
    node.clock.advance(seconds(1));
    assert_eq!(
        node.ask_counting(&key).await,
        (Err(RefusalKind::InvalidKey), NO_READ)
    );
    node.clock.advance(seconds(1));
    node.store.put(node.record(&key));
    assert_eq!(node.ask_counting(&key).await, (Ok(()), ONE_READ));
}

#[tokio::test]
async fn a_lifetime_of_zero_keeps_nothing_but_tombstones() {
    let node = node_with(Limits {
        good_for: Duration::ZERO,
        unknown_for: Duration::ZERO,
        ..limits()
    });
    let (key, unknown) = (node.key(), node.unknown_key());
    for _ in 0..3 {
        assert_eq!(node.ask_counting(&key).await, (Ok(()), ONE_READ));
        assert_eq!(
            node.ask_counting(&unknown).await,
            (Err(RefusalKind::InvalidKey), ONE_READ)
        );
    }
    node.revoke(&key).await.expect("revoked");
    assert_eq!(
        node.ask_counting(&key).await,
        (Err(RefusalKind::KeyRevoked), NO_READ)
    );
}

#[tokio::test]
async fn a_lifetime_without_end_is_no_accident() {
    let node = node_with(Limits {
        good_for: Duration::MAX,
        unknown_for: Duration::MAX,
        ..limits()
    });
    let (key, unknown) = (node.key(), node.unknown_key());
    assert_eq!(node.ask_counting(&key).await, (Ok(()), ONE_READ));
    assert_eq!(
        node.ask_counting(&unknown).await,
        (Err(RefusalKind::InvalidKey), ONE_READ)
    );
    assert_eq!(node.cache.flights(), 0);
    node.clock.advance(seconds(1_000_000_000));
    assert_eq!(node.ask_counting(&key).await, (Ok(()), NO_READ));
    assert_eq!(
        node.ask_counting(&unknown).await,
        (Err(RefusalKind::InvalidKey), NO_READ)
    );
}

#[test]
fn a_lifetime_is_shortened_by_up_to_a_tenth_and_never_lengthened() {
    let lifetimes = [
        Duration::ZERO,
        Duration::from_nanos(1),
        Duration::from_nanos(9_999),
        Duration::from_millis(1),
        seconds(5),
        seconds(u64::from(u32::MAX)),
        Duration::MAX,
    ];
    for lifetime in lifetimes {
        let mut distinct = std::collections::HashSet::new();
        for _ in 0..20 {
            let mix = Mix::random();
            for i in 0..500_u32 {
                let digest = KeyDigest::of(&i.to_ne_bytes());
                let sent = Duration::new(u64::from(i), i.wrapping_mul(1_999_993) % 1_000_000_000);
                let shortened = mix.shorten(&digest, sent, lifetime);
                assert!(shortened <= lifetime, "{shortened:?} of {lifetime:?}");
                assert!(
                    shortened >= lifetime - lifetime / 10,
                    "{shortened:?} of {lifetime:?}"
                );
                distinct.insert(shortened);
            }
        }
        assert!(
            lifetime < seconds(1) || distinct.len() > 500,
            "{}",
            distinct.len()
        );
    }
}

#[tokio::test]
async fn a_flood_of_unknown_keys_pushes_out_no_good_one() {
    let node = node_with(Limits {
        good: 1000,
        unknown: 1000,
        ..limits()
    });
    let mut good = Vec::new();
    for _ in 0..500 {
        good.push(node.cached_key().await);
    }
    // More than once each: the table protects what is used from what is only passing through.
    for _ in 0..10_000 {
        let unknown = node.unknown_key();
        for _ in 0..3 {
            assert_eq!(node.ask(&unknown).await, Err(RefusalKind::InvalidKey));
        }
    }
    assert!(node.cache.refused.len() <= 1000, "{}", node.cache.refused.len());
    let mut reads = 0;
    for key in &good {
        let (answer, read) = node.ask_counting(key).await;
        assert_eq!(answer, Ok(()));
        reads += read;
    }
    assert_eq!(reads, 0, "good keys were pushed out");
}

#[tokio::test]
async fn no_more_good_keys_are_kept_than_was_said() {
    let node = node_with(Limits {
        good: 1000,
        ..limits()
    });
    for _ in 0..5000 {
        let key = node.key();
        assert_eq!(node.ask(&key).await, Ok(()));
        let kept = node.cache.good.len();
        assert!(kept <= 1000, "{kept}");
    }
    assert!(node.cache.good.len() > 500, "{}", node.cache.good.len());
}

#[tokio::test]
async fn a_ring_of_tombstones_that_is_full_begins_everything_anew() {
    let node = Node::new();
    // All of one shard: a shard is chosen by the first bytes.
    let neighbour = |i: usize| {
        let mut bytes = [0xa5; 32];
        bytes[24..].copy_from_slice(&i.to_ne_bytes());
        KeyDigest::from_bytes(bytes)
    };
    let revoke = |i: usize| {
        node.cache.fence(&neighbour(i));
        node.cache.settle(&neighbour(i), Settled::Revoked);
    };
    let is_revoked = |i: usize| match node.cache.begin(&neighbour(i)) {
        Begin::Decided(Err(refusal)) => refusal.kind() == RefusalKind::KeyRevoked,
        _ => false,
    };
    let (kept, looked_up) = (node.cached_key().await, node.key());
    let mut held = node.store.hold(Point::AfterRead);
    let early = node.ask(&looked_up);
    held.reached().await;

    (0..TOMBSTONES).for_each(&revoke);
    // Not one more, though one is revoked again.
    revoke(0);
    assert!((0..TOMBSTONES).all(&is_revoked));
    assert!(node.keeps(&kept));

    revoke(TOMBSTONES);
    assert!(is_revoked(TOMBSTONES));
    assert!(!is_revoked(0), "there is no room for it");
    assert!(
        !node.keeps(&kept),
        "what was kept before could be of a key whose tombstone is gone"
    );
    let late = node.ask(&looked_up);
    assert_eq!(node.cache.flights(), 2, "it joined a look-up from before");
    held.go_on();
    assert_eq!(early.await, Ok(()));
    assert_eq!(late.await, Ok(()));
    assert_eq!(node.ask_counting(&kept).await, (Ok(()), ONE_READ));
    assert_eq!(node.ask_counting(&kept).await, (Ok(()), NO_READ));
}

#[tokio::test]
async fn a_look_up_from_before_the_ring_was_full_is_not_kept() {
    let node = Node::new();
    let key = node.key();
    let mut held = node.store.hold(Point::AfterRead);
    let early = node.ask(&key);
    held.reached().await;
    for i in 0..=TOMBSTONES {
        let mut bytes = [0xa5; 32];
        bytes[24..].copy_from_slice(&i.to_ne_bytes());
        node.cache.settle(&KeyDigest::from_bytes(bytes), Settled::Revoked);
    }
    held.go_on();
    assert_eq!(early.await, Ok(()));
    assert!(!node.keeps(&key));
}
