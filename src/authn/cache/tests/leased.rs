//! Rules 7 and 8: what is kept is used only while it is proven that changes made elsewhere are heard of.

use std::time::Duration;

use super::{
    super::Begin,
    limits,
    node::{Key, Node, Setup},
    script::Point,
};
use crate::{
    authn::{Limits, RefusalKind},
    clock::Clock,
    event::Invalidate,
};

const LEASE: Duration = Duration::from_secs(2);
/// A twentieth is given away.
const USED: Duration = Duration::from_millis(1900);
const MOMENT: Duration = Duration::from_millis(1);

/// A process that has a feed, from which nothing has been heard yet.
fn deaf() -> Node {
    Node::with(Setup {
        limits: Limits {
            lease: Some(LEASE),
            good_for: Duration::from_secs(300),
            ..limits()
        },
        ..Setup::default()
    })
}

/// One whose feed is proven now.
fn hearing() -> Node {
    let node = deaf();
    assert!(node.cache.proven(node.clock.elapsed()));
    node
}

/// As another process does, which waits for nobody.
fn revoke_elsewhere(node: &Node, key: &Key) {
    let now = node.clock.now();
    node.store.edit(&key.digest, |row| row.revoked_at = Some(now));
}

#[tokio::test]
async fn nothing_is_kept_before_changes_are_heard_of() {
    let node = deaf();
    let key = node.key();
    for _ in 0..2 {
        assert_eq!(node.ask_counting(&key).await, (Ok(()), 1));
    }
    let unknown = node.unknown_key();
    for _ in 0..2 {
        assert_eq!(
            node.ask_counting(&unknown).await,
            (Err(RefusalKind::InvalidKey), 1)
        );
    }
    node.cache.proven(node.clock.elapsed());
    assert_eq!(node.ask_counting(&key).await, (Ok(()), 1));
    assert_eq!(node.ask_counting(&key).await, (Ok(()), 0));
}

/// Else a flood of texts that may be keys of other systems would keep it out for as long as nothing is heard.
#[tokio::test]
async fn a_key_that_cannot_be_kept_is_no_guess_the_next_time() {
    let node = deaf();
    let (key, unknown) = (node.key(), node.unknown_key());
    assert_eq!(node.ask(&key).await, Ok(()));
    assert_eq!(node.ask(&unknown).await, Err(RefusalKind::InvalidKey));
    let was_good = |key: &Key| match node.cache.begin(&key.digest) {
        Begin::Lead(lead, _) => lead.was_good(),
        Begin::Decided(_) | Begin::Join(_) => panic!("it has to be looked up"),
    };
    assert!(was_good(&key));
    assert!(!was_good(&unknown));
    // And it counts for nothing else, also once changes are heard of.
    node.cache.proven(node.clock.elapsed());
    revoke_elsewhere(&node, &key);
    assert_eq!(node.ask(&key).await, Err(RefusalKind::KeyRevoked));
}

#[tokio::test]
async fn what_is_kept_is_used_for_a_lease_from_when_the_proof_was_sent() {
    let node = hearing();
    let key = node.cached_key().await;
    let sent = node.clock.elapsed();
    node.clock.advance(Duration::from_secs(1));
    assert!(!node.cache.proven(sent + MOMENT));
    node.clock.advance(USED - Duration::from_secs(1));
    assert!(node.keeps(&key));
    node.clock.advance(MOMENT);
    assert!(!node.keeps(&key));
    assert_eq!(node.ask_counting(&key).await, (Ok(()), 1));
    assert_eq!(node.ask_counting(&key).await, (Ok(()), 1), "nor is it kept again");
}

#[tokio::test]
async fn a_proof_that_took_as_long_as_a_lease_proves_nothing() {
    let node = deaf();
    let sent = node.clock.elapsed();
    node.clock.advance(USED);
    node.cache.proven(sent);
    let key = node.key();
    assert_eq!(node.ask(&key).await, Ok(()));
    assert!(!node.keeps(&key));
}

#[tokio::test]
async fn when_the_feed_is_lost_nothing_kept_is_used_from_that_moment_on() {
    let node = hearing();
    let key = node.cached_key().await;
    node.cache.lost();
    revoke_elsewhere(&node, &key);
    assert_eq!(node.ask(&key).await, Err(RefusalKind::KeyRevoked));
}

#[tokio::test]
async fn rule_7_a_look_up_from_before_the_lapse_that_may_have_read_is_not_joined_after_it() {
    let node = hearing();
    let key = node.key();
    let mut held = node.store.hold(Point::AfterRead);
    let early = node.ask(&key);
    held.reached().await;
    node.clock.advance(LEASE);
    // Answered without waiting for this process: its lease is over.
    revoke_elsewhere(&node, &key);
    let late = node.ask(&key);
    held.go_on();
    assert_eq!(early.await, Ok(()), "it began before the revocation");
    assert_eq!(late.await, Err(RefusalKind::KeyRevoked));
}

#[tokio::test]
async fn rule_7_a_look_up_from_after_the_lapse_that_may_have_read_is_not_joined_either() {
    let node = hearing();
    let key = node.key();
    node.clock.advance(LEASE);
    let mut held = node.store.hold(Point::AfterRead);
    let early = node.ask(&key);
    held.reached().await;
    revoke_elsewhere(&node, &key);
    let late = node.ask(&key);
    held.go_on();
    assert_eq!(early.await, Ok(()));
    assert_eq!(late.await, Err(RefusalKind::KeyRevoked));
}

#[tokio::test]
async fn rule_7_those_who_come_before_the_question_is_sent_share_one_look_up() {
    let node = deaf();
    let key = node.key();
    // Nothing else has run until here: the look-up is yet to depart.
    let (first, second) = (node.ask(&key), node.ask(&key));
    assert_eq!((first.await, second.await), (Ok(()), Ok(())));
    assert_eq!(node.store.reads(), 1);
}

#[tokio::test]
async fn rule_8_after_a_lapse_nothing_from_before_it_counts() {
    let node = hearing();
    let (kept, read) = (node.cached_key().await, node.key());
    let mut held = node.store.hold(Point::AfterRead);
    let early = node.ask(&read);
    held.reached().await;
    node.clock.advance(LEASE);
    for key in [&kept, &read] {
        revoke_elsewhere(&node, key);
    }
    // The notifications went by while nobody listened.
    assert!(node.cache.proven(node.clock.elapsed()));
    assert_eq!(node.ask(&kept).await, Err(RefusalKind::KeyRevoked));
    held.go_on();
    assert_eq!(early.await, Ok(()));
    assert!(!node.keeps(&read));
    assert_eq!(node.ask(&read).await, Err(RefusalKind::KeyRevoked));
}

#[tokio::test]
async fn what_is_heard_of_one_key_makes_it_forgotten_and_leaves_the_others() {
    let node = hearing();
    let (changed, other) = (node.cached_key().await, node.cached_key().await);
    let mut held = node.store.hold(Point::AfterRead);
    node.cache.forget(&changed.digest);
    let early = node.ask(&changed);
    held.reached().await;
    revoke_elsewhere(&node, &changed);
    node.cache.forget(&changed.digest);
    let late = node.ask(&changed);
    held.go_on();
    assert_eq!(early.await, Ok(()));
    assert_eq!(late.await, Err(RefusalKind::KeyRevoked), "it does not join");
    assert_eq!(node.ask(&changed).await, Err(RefusalKind::KeyRevoked));
    assert!(node.keeps(&other));
}

#[tokio::test]
async fn what_is_heard_lifts_no_fence_of_a_change_that_is_under_way_here() {
    let node = hearing();
    let key = node.cached_key().await;
    let mut committing = node.store.hold(Point::BeforeCommit);
    let revoking = tokio::spawn(node.revoke(&key));
    committing.reached().await;
    node.cache.forget(&key.digest);
    assert_eq!(node.ask(&key).await, Ok(()));
    // It may be committed at any moment.
    assert!(!node.keeps(&key));
    committing.go_on();
    revoking.await.expect("no panic").expect("revoked");
    assert_eq!(node.ask(&key).await, Err(RefusalKind::KeyRevoked));
}

#[tokio::test]
async fn a_key_minted_elsewhere_is_let_in_once_it_is_heard_of() {
    let node = hearing();
    let key = node.unknown_key();
    assert_eq!(node.ask(&key).await, Err(RefusalKind::InvalidKey));
    node.store.put(node.record(&key));
    assert_eq!(node.ask_counting(&key).await, (Err(RefusalKind::InvalidKey), 0));
    node.cache.forget(&key.digest);
    assert_eq!(node.ask(&key).await, Ok(()));
}
