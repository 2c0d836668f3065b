//! The six rules, in the order of the module's documentation.

use std::time::Duration;

use super::{node::Node, script::Point};
use crate::{authn::RefusalKind, store::StoreErrorKind};

#[tokio::test]
async fn rule_1_a_change_begins_a_generation_and_a_look_up_remembers_its_own() {
    let node = Node::new();
    let key = node.key();
    let mut first = node.store.hold(Point::BeforeRead);
    let early = node.ask(&key);
    first.reached().await;
    node.change(&key, |row| row.name = "renamed".into())
        .await
        .expect("changed");
    let mut second = node.store.hold(Point::BeforeRead);
    let late = node.ask(&key);
    second.reached().await;
    assert_eq!(node.cache.flights(), 2, "one of each generation");

    // The old one reads after the change, and is right; it is not kept all the same, because nobody can know that.
    first.go_on();
    assert_eq!(early.await, Ok(()));
    assert!(!node.keeps(&key));
    second.go_on();
    assert_eq!(late.await, Ok(()));
    assert!(node.keeps(&key));
}

#[tokio::test]
async fn rule_2_what_was_read_before_a_change_is_not_kept_after_it() {
    let node = Node::new();
    let key = node.key();
    let mut held = node.store.hold(Point::AfterRead);
    let early = node.ask(&key);
    held.reached().await;
    node.disable(&key).await.expect("disabled");

    held.go_on();
    assert_eq!(early.await, Ok(()), "it began before the change");
    assert!(!node.keeps(&key));
    assert_eq!(node.ask(&key).await, Err(RefusalKind::KeyDisabled));
}

#[tokio::test]
async fn rule_2_what_was_read_before_a_revocation_is_not_kept_after_it() {
    let node = Node::new();
    let key = node.key();
    let mut held = node.store.hold(Point::AfterRead);
    let early = node.ask(&key);
    held.reached().await;
    node.revoke(&key).await.expect("revoked");

    held.go_on();
    assert_eq!(early.await, Ok(()), "it began before the revocation");
    assert!(!node.keeps(&key));
    assert_eq!(node.ask(&key).await, Err(RefusalKind::KeyRevoked));
}

#[tokio::test]
async fn rule_3_a_request_after_a_change_joins_no_look_up_from_before() {
    let node = Node::new();
    let key = node.key();
    let mut held = node.store.hold(Point::AfterRead);
    let early = node.ask(&key);
    held.reached().await;
    let joined = node.ask(&key);
    assert_eq!(node.cache.flights(), 1);
    node.disable(&key).await.expect("disabled");

    let late = node.ask(&key);
    assert_eq!(node.cache.flights(), 2, "it joined");
    assert_eq!(
        late.await,
        Err(RefusalKind::KeyDisabled),
        "while the old one is still held"
    );
    held.go_on();
    assert_eq!(early.await, Ok(()));
    assert_eq!(joined.await, Ok(()));
    assert_eq!(node.store.reads(), 2);
    assert_eq!(node.cache.flights(), 0);
}

#[tokio::test]
async fn rule_3_a_request_after_a_revocation_joins_no_look_up_from_before() {
    let node = Node::new();
    let key = node.key();
    let mut held = node.store.hold(Point::AfterRead);
    let early = node.ask(&key);
    held.reached().await;
    node.revoke(&key).await.expect("revoked");

    let late = node.ask(&key);
    held.go_on();
    assert_eq!(late.await, Err(RefusalKind::KeyRevoked));
    assert_eq!(early.await, Ok(()));
}

#[tokio::test]
async fn rule_3_a_change_of_one_key_leaves_the_look_ups_of_others_their_answers() {
    let node = Node::new();
    let keys: Vec<_> = (0..200).map(|_| node.key()).collect();
    let changed = node.key();
    let held: Vec<_> = keys.iter().map(|_| node.store.hold(Point::AfterRead)).collect();
    let answers: Vec<_> = keys.iter().map(|key| node.ask(key)).collect();
    tokio::task::yield_now().await;
    node.disable(&changed).await.expect("disabled");

    held.into_iter().for_each(drop);
    for answer in answers {
        assert_eq!(answer.await, Ok(()));
    }
    // Those that share a shard with the changed key are looked up once more, and are then kept too.
    for key in &keys {
        assert_eq!(node.ask(key).await, Ok(()));
        assert_eq!(node.ask_counting(key).await, (Ok(()), 0));
    }
}

#[tokio::test]
async fn rule_4_a_kept_verdict_is_used_before_its_deadline_and_not_at_it() {
    let node = Node::new();
    let key = node.cached_key();
    let key = key.await;
    assert_eq!(node.ask_counting(&key).await, (Ok(()), 0));
    node.clock.advance(super::limits().good_for);
    assert!(!node.keeps(&key));
    assert_eq!(node.ask_counting(&key).await, (Ok(()), 1));
}

#[tokio::test]
async fn rule_5_from_the_fence_on_nothing_is_used_or_kept() {
    let node = Node::new();
    let key = node.cached_key().await;
    let mut commit = node.store.hold(Point::BeforeCommit);
    let revoking = tokio::spawn(node.revoke(&key));
    commit.reached().await;

    assert!(!node.keeps(&key), "what was kept is used no more");
    // Not committed, so the key is good; but each request asks the store.
    assert_eq!(node.ask_counting(&key).await, (Ok(()), 1));
    assert_eq!(node.ask_counting(&key).await, (Ok(()), 1));
    commit.go_on();
    revoking.await.expect("no panic").expect("revoked");
    assert_eq!(node.ask(&key).await, Err(RefusalKind::KeyRevoked));
}

#[tokio::test]
async fn rule_5_a_look_up_that_reads_before_the_commit_and_ends_after_the_answer_is_not_kept() {
    let node = Node::new();
    let key = node.key();
    let mut commit = node.store.hold(Point::BeforeCommit);
    let disabling = tokio::spawn(node.disable(&key));
    commit.reached().await;
    let mut read = node.store.hold(Point::AfterRead);
    let straddling = node.ask(&key);
    read.reached().await;
    commit.go_on();
    disabling.await.expect("no panic").expect("disabled");

    let late = node.ask(&key);
    read.go_on();
    assert_eq!(straddling.await, Ok(()), "it began before the change");
    assert_eq!(late.await, Err(RefusalKind::KeyDisabled));
    assert!(!node.keeps(&key));
}

#[tokio::test]
async fn rule_5_the_change_is_answered_after_it_is_committed_and_settled() {
    let node = Node::new();
    let key = node.cached_key().await;
    let mut committed = node.store.hold(Point::AfterCommit);
    let revoking = tokio::spawn(node.revoke(&key));
    committed.reached().await;
    assert!(!revoking.is_finished());
    assert_eq!(
        node.ask(&key).await,
        Err(RefusalKind::KeyRevoked),
        "the store says so already"
    );
    committed.go_on();
    let record = revoking.await.expect("no panic").expect("revoked");
    assert!(record.revoked_at.is_some());
    assert_eq!(node.ask_counting(&key).await, (Err(RefusalKind::KeyRevoked), 0));
}

#[tokio::test]
async fn rule_5_two_changes_of_one_key_need_both_fences_lifted() {
    let node = Node::new();
    let key = node.key();
    let mut slow = node.store.hold(Point::BeforeCommit);
    let slow_change = tokio::spawn(node.disable(&key));
    slow.reached().await;
    node.change(&key, |row| row.name = "renamed".into())
        .await
        .expect("changed");

    assert_eq!(node.ask(&key).await, Ok(()));
    assert!(!node.keeps(&key), "the other change is still under way");
    slow.go_on();
    slow_change.await.expect("no panic").expect("disabled");
    assert_eq!(node.ask(&key).await, Err(RefusalKind::KeyDisabled));
    node.change(&key, |row| row.disabled_at = None)
        .await
        .expect("enabled");
    assert_eq!(node.ask(&key).await, Ok(()));
    assert!(node.keeps(&key), "no fence is left");
}

#[tokio::test]
async fn rule_6_a_store_that_lags_does_not_bring_a_revoked_key_back() {
    let node = Node::new();
    let key = node.cached_key().await;
    node.store.lag(&key.digest);
    node.revoke(&key).await.expect("revoked");
    assert_eq!(node.ask(&key).await, Err(RefusalKind::KeyRevoked));
    assert_eq!(node.ask_counting(&key).await, (Err(RefusalKind::KeyRevoked), 0));
}

#[tokio::test]
async fn rule_6_a_revocation_that_a_look_up_finds_is_as_final() {
    let node = Node::new();
    let key = node.key();
    let now = node.store.row(&key.digest).expect("a row").created_at;
    let mut stale = node.store.hold(Point::AfterRead);
    let early = node.ask(&key);
    stale.reached().await;
    node.disable(&key).await.expect("disabled");
    // Another process revokes it.
    node.store.edit(&key.digest, |row| row.revoked_at = Some(now));
    assert_eq!(node.ask(&key).await, Err(RefusalKind::KeyRevoked));

    stale.go_on();
    assert_eq!(early.await, Ok(()));
    node.store.edit(&key.digest, |row| {
        (row.revoked_at, row.disabled_at) = (None, None)
    });
    assert_eq!(node.ask_counting(&key).await, (Err(RefusalKind::KeyRevoked), 0));
}

#[tokio::test]
async fn revoking_twice_is_the_same_as_once_and_a_key_that_is_not_there_is_not_found() {
    let node = Node::new();
    let key = node.cached_key().await;
    node.revoke(&key).await.expect("revoked");
    node.revoke(&key).await.expect("revoked");
    assert_eq!(node.ask_counting(&key).await, (Err(RefusalKind::KeyRevoked), 0));
    let error = node.revoke(&node.unknown_key()).await.expect_err("no such key");
    assert_eq!(error.kind(), crate::manage::ManageErrorKind::NotFound);
}

#[tokio::test]
async fn an_expired_key_is_refused_for_a_while_or_until_a_change_and_a_disabled_one_is_looked_at_again() {
    let node = Node::new();
    let key = node.key();
    let now = node.store.row(&key.digest).expect("a row").created_at;
    node.store.edit(&key.digest, |row| row.disabled_at = Some(now));
    assert_eq!(node.ask_counting(&key).await, (Err(RefusalKind::KeyDisabled), 1));
    assert_eq!(node.ask_counting(&key).await, (Err(RefusalKind::KeyDisabled), 1));
    node.store.edit(&key.digest, |row| {
        (row.disabled_at, row.expires_at) = (None, Some(now))
    });
    assert_eq!(node.ask_counting(&key).await, (Err(RefusalKind::KeyExpired), 1));
    assert_eq!(node.ask_counting(&key).await, (Err(RefusalKind::KeyExpired), 0));
    node.clock.advance(Duration::from_secs(5));
    assert_eq!(node.ask_counting(&key).await, (Err(RefusalKind::KeyExpired), 1));
    // Through the crate, which takes effect at once.
    node.change(&key, |row| row.expires_at = None)
        .await
        .expect("changed");
    assert_eq!(node.ask_counting(&key).await, (Ok(()), 1));
}

#[tokio::test]
async fn that_the_store_could_not_say_is_not_kept() {
    let node = Node::new();
    let key = node.key();
    for kind in [StoreErrorKind::Unavailable, StoreErrorKind::Corrupt] {
        let mut held = node.store.hold(Point::BeforeRead);
        let asked = node.ask(&key);
        held.reached().await;
        held.fail(kind);
        assert_eq!(asked.await, Err(RefusalKind::AuthUnavailable));
    }
    assert_eq!(node.ask_counting(&key).await, (Ok(()), 1));
}
