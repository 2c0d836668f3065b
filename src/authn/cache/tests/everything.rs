//! Changes of keys that nobody has listed: the rules hold for all keys at once, and for others of the same moment, too.

use super::{
    node::{Key, Node},
    script::Point,
};
use crate::{
    authn::RefusalKind,
    event::{Invalidate, Settled},
};

/// As a change of everything does it, all of which disable this key.
fn disable(node: &Node, key: &Key) {
    node.cache.fence_all();
    commit(node, key);
    node.cache.settle_all(true);
}

fn commit(node: &Node, key: &Key) {
    let now = node.store.row(&key.digest).expect("a row").created_at;
    node.store.edit(&key.digest, |row| row.disabled_at = Some(now));
}

#[tokio::test]
async fn nothing_that_was_kept_before_is_used_after_and_new_verdicts_are_kept_again() {
    let node = Node::new();
    let (key, other) = (node.cached_key().await, node.cached_key().await);
    let unknown = node.unknown_key();
    assert_eq!(node.ask(&unknown).await, Err(RefusalKind::InvalidKey));
    disable(&node, &key);
    node.store.put(node.record(&unknown));

    assert_eq!(node.ask(&key).await, Err(RefusalKind::KeyDisabled));
    assert_eq!(node.ask_counting(&other).await, (Ok(()), 1));
    assert_eq!(node.ask_counting(&other).await, (Ok(()), 0));
    assert_eq!(
        node.ask_counting(&unknown).await,
        (Ok(()), 1),
        "it is no longer unknown"
    );
}

#[tokio::test]
async fn nothing_is_kept_while_one_is_under_way() {
    let node = Node::new();
    let (key, other, unknown) = (node.cached_key().await, node.key(), node.unknown_key());
    node.cache.fence_all();
    for _ in 0..2 {
        assert_eq!(
            node.ask_counting(&key).await,
            (Ok(()), 1),
            "what was kept is not used either"
        );
        assert_eq!(node.ask_counting(&other).await, (Ok(()), 1));
        assert_eq!(
            node.ask_counting(&unknown).await,
            (Err(RefusalKind::InvalidKey), 1)
        );
    }
    commit(&node, &key);
    assert_eq!(node.ask(&key).await, Err(RefusalKind::KeyDisabled));
    node.cache.settle_all(true);
    assert_eq!(node.ask(&key).await, Err(RefusalKind::KeyDisabled));
}

#[tokio::test]
async fn what_was_read_before_is_not_kept_after_and_not_joined() {
    let node = Node::new();
    let key = node.key();
    let mut held = node.store.hold(Point::AfterRead);
    let early = node.ask(&key);
    held.reached().await;
    disable(&node, &key);

    let late = node.ask(&key);
    assert_eq!(node.cache.flights(), 2, "it joined");
    assert_eq!(late.await, Err(RefusalKind::KeyDisabled));
    held.go_on();
    assert_eq!(early.await, Ok(()), "it began before the change");
    assert!(!node.keeps(&key));
    assert_eq!(node.ask(&key).await, Err(RefusalKind::KeyDisabled));
}

#[tokio::test]
async fn what_was_read_in_the_middle_is_not_kept_after_and_not_joined() {
    let node = Node::new();
    let key = node.key();
    node.cache.fence_all();
    let mut held = node.store.hold(Point::AfterRead);
    let early = node.ask(&key);
    held.reached().await;
    let joined = node.ask(&key);
    assert_eq!(
        node.cache.flights(),
        1,
        "before the commit there is nothing to fear"
    );
    commit(&node, &key);
    node.cache.settle_all(true);

    assert_eq!(node.ask(&key).await, Err(RefusalKind::KeyDisabled));
    held.go_on();
    assert_eq!((early.await, joined.await), (Ok(()), Ok(())));
    assert!(!node.keeps(&key));
}

#[tokio::test]
async fn what_lands_in_the_middle_is_not_kept() {
    let node = Node::new();
    let key = node.key();
    let mut held = node.store.hold(Point::AfterRead);
    let early = node.ask(&key);
    held.reached().await;
    node.cache.fence_all();
    held.go_on();
    assert_eq!(early.await, Ok(()));
    assert!(!node.keeps(&key));
    commit(&node, &key);
    node.cache.settle_all(true);
    assert_eq!(node.ask(&key).await, Err(RefusalKind::KeyDisabled));
}

#[tokio::test]
async fn of_two_at_the_same_time_the_last_to_end_lifts_the_fence() {
    let node = Node::new();
    let key = node.key();
    node.cache.fence_all();
    node.cache.fence_all();
    node.cache.settle_all(true);
    assert_eq!(node.ask(&key).await, Ok(()));
    assert!(!node.keeps(&key));
    node.cache.settle_all(true);
    assert_eq!(node.ask(&key).await, Ok(()));
    assert!(node.keeps(&key));
}

#[tokio::test]
async fn an_unknown_outcome_leaves_the_fence_up_until_doubt_ends() {
    let node = Node::new();
    let key = node.cached_key().await;
    node.cache.fence_all();
    node.cache.settle_all(false);
    assert_eq!(node.ask_counting(&key).await, (Ok(()), 1));
    assert_eq!(node.ask_counting(&key).await, (Ok(()), 1));
    // The commit that nobody knew of.
    commit(&node, &key);
    assert_eq!(node.ask(&key).await, Err(RefusalKind::KeyDisabled));
    node.cache.settle_all(true);
    assert_eq!(node.ask(&key).await, Err(RefusalKind::KeyDisabled));
}

#[tokio::test]
async fn a_fence_of_one_key_holds_across_one_of_everything() {
    let node = Node::new();
    let key = node.cached_key().await;
    node.cache.fence(&key.digest);
    disable(&node, &node.key());
    assert_eq!(node.ask_counting(&key).await, (Ok(()), 1));
    assert_eq!(node.ask_counting(&key).await, (Ok(()), 1));
    node.cache.settle(&key.digest, Settled::Changed);
    assert_eq!(node.ask(&key).await, Ok(()));
    assert!(node.keeps(&key));
}

#[tokio::test]
async fn a_revoked_key_stays_revoked_across_one() {
    let node = Node::new();
    let key = node.cached_key().await;
    node.store.lag(&key.digest);
    node.revoke(&key).await.expect("revoked");
    disable(&node, &node.key());
    assert_eq!(node.ask_counting(&key).await, (Err(RefusalKind::KeyRevoked), 0));
}
