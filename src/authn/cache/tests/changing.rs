//! Changes that do not go as they should: callers that hang up, outcomes that nobody knows, work that panics; and minting.

use std::time::Duration;

use tokio::{sync::oneshot, task::yield_now, time::advance};

use super::{
    node::{DOUBT, Key, Node},
    script::{Held, Point},
};
use crate::{
    authn::RefusalKind,
    manage::{ChangeError, ManageErrorKind},
    store::StoreErrorKind,
};

/// Begins a revoke, and hangs up when it stands at this point.
async fn hung_up(node: &Node, key: &Key, point: Point) -> Held {
    let mut held = node.store.hold(point);
    let (hang_up, hung_up) = oneshot::channel::<()>();
    let revoking = node.revoke(key);
    let caller = tokio::spawn(async move {
        tokio::select! {
            _ = revoking => panic!("it is held"),
            _ = hung_up => {}
        }
    });
    held.reached().await;
    hang_up.send(()).expect("it is held");
    caller.await.expect("no panic");
    held
}

/// Lets everything that can run do so.
async fn let_run() {
    for _ in 0..100 {
        yield_now().await;
    }
}

#[tokio::test]
async fn a_caller_that_hangs_up_after_the_commit_leaves_no_good_verdict() {
    let node = Node::new();
    let key = node.cached_key().await;
    let committed = hung_up(&node, &key, Point::AfterCommit).await;
    assert_eq!(node.ask(&key).await, Err(RefusalKind::KeyRevoked));

    committed.go_on();
    let_run().await;
    node.store.lag(&key.digest);
    assert_eq!(node.ask_counting(&key).await, (Err(RefusalKind::KeyRevoked), 0));
}

#[tokio::test]
async fn a_caller_that_hangs_up_before_the_commit_revokes_all_the_same() {
    let node = Node::new();
    let key = node.cached_key().await;
    node.store.lag(&key.digest);
    let before_commit = hung_up(&node, &key, Point::BeforeCommit).await;
    assert_eq!(node.ask(&key).await, Ok(()), "nothing has happened yet");

    before_commit.go_on();
    let_run().await;
    let row = node.store.row(&key.digest).expect("a row");
    assert_ne!(row.revoked_at, None, "the change died with its caller");
    assert_eq!(node.ask_counting(&key).await, (Err(RefusalKind::KeyRevoked), 0));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_of_a_key_whose_fate_is_unknown_until_doubt_ends() {
    let node = Node::new();
    let key = node.cached_key().await;
    let mut commit = node.store.hold(Point::BeforeCommit);
    let revoking = tokio::spawn(node.revoke(&key));
    commit.reached().await;
    commit.fail(StoreErrorKind::Unavailable);
    let error = revoking.await.expect("no panic").expect_err("nobody knows");
    assert_eq!(error.kind(), ManageErrorKind::Unavailable);

    assert_eq!(node.ask_counting(&key).await, (Ok(()), 1));
    assert_eq!(node.ask_counting(&key).await, (Ok(()), 1));
    advance(DOUBT - Duration::from_millis(1)).await;
    assert_eq!(node.ask_counting(&key).await, (Ok(()), 1));
    // What is in the air when doubt ends may have read before a commit that came at the last moment.
    let mut read = node.store.hold(Point::AfterRead);
    let straddling = node.ask(&key);
    read.reached().await;
    advance(Duration::from_millis(2)).await;
    let_run().await;
    read.go_on();
    assert_eq!(straddling.await, Ok(()));
    assert!(!node.keeps(&key));

    assert_eq!(node.ask_counting(&key).await, (Ok(()), 1));
    assert_eq!(node.ask_counting(&key).await, (Ok(()), 0));
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_comes_after_its_error_is_seen_at_once() {
    let node = Node::new();
    let key = node.cached_key().await;
    let mut commit = node.store.hold(Point::BeforeCommit);
    let disabling = tokio::spawn(node.disable(&key));
    commit.reached().await;
    commit.fail(StoreErrorKind::Unavailable);
    disabling.await.expect("no panic").expect_err("nobody knows");
    assert_eq!(node.ask(&key).await, Ok(()));

    let now = node.store.row(&key.digest).expect("a row").created_at;
    node.store.edit(&key.digest, |row| row.disabled_at = Some(now));
    assert_eq!(node.ask(&key).await, Err(RefusalKind::KeyDisabled));
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_seen_at_once() {
    let node = Node::new();
    let key = node.cached_key().await;
    let mut committed = node.store.hold(Point::AfterCommit);
    let disabling = tokio::spawn(node.disable(&key));
    committed.reached().await;
    committed.fail(StoreErrorKind::Unavailable);
    disabling.await.expect("no panic").expect_err("nobody knows");
    assert_eq!(node.ask(&key).await, Err(RefusalKind::KeyDisabled));
}

#[tokio::test]
async fn a_change_that_certainly_did_not_happen_lifts_its_fence_at_once() {
    let node = Node::new();
    let key = node.cached_key().await;
    let mut commit = node.store.hold(Point::BeforeCommit);
    let revoking = tokio::spawn(node.revoke(&key));
    commit.reached().await;
    commit.fail(StoreErrorKind::Conflict);
    revoking.await.expect("no panic").expect_err("a conflict");
    assert_eq!(node.ask_counting(&key).await, (Ok(()), 1));
    assert_eq!(node.ask_counting(&key).await, (Ok(()), 0));
}

#[tokio::test(start_paused = true)]
async fn work_that_panics_leaves_the_key_in_doubt_and_doubt_ends() {
    for point in [Point::BeforeCommit, Point::AfterCommit] {
        let node = Node::new();
        let key = node.cached_key().await;
        let mut held = node.store.hold(point);
        let changing = tokio::spawn(node.change(&key, |row| row.name = "renamed".into()));
        held.reached().await;
        held.panic();
        let error = changing
            .await
            .expect("the caller does not panic")
            .expect_err("lost");
        assert!(matches!(error, ChangeError::Lost), "{error:?}");

        assert_eq!(node.ask_counting(&key).await, (Ok(()), 1));
        assert_eq!(node.ask_counting(&key).await, (Ok(()), 1));
        advance(DOUBT + Duration::from_millis(1)).await;
        let_run().await;
        assert_eq!(node.ask_counting(&key).await, (Ok(()), 1));
        assert_eq!(
            node.ask_counting(&key).await,
            (Ok(()), 0),
            "{point:?}: the fence stays up for ever"
        );
    }
}

#[test]
fn a_runtime_that_ends_in_the_middle_of_a_change_leaves_nothing_kept() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
    };
    let node = Node::new();
    let first = runtime();
    let key = first.block_on(async {
        let key = node.cached_key().await;
        let mut commit = node.store.hold(Point::BeforeCommit);
        tokio::spawn(node.disable(&key));
        commit.reached().await;
        // Dropped at the gate: kept out of reach, so that the change does not go on.
        std::mem::forget(commit);
        key
    });
    drop(first);
    runtime().block_on(async {
        assert_eq!(node.ask_counting(&key).await, (Ok(()), 1));
        assert_eq!(node.ask_counting(&key).await, (Ok(()), 1));
    });
}

#[tokio::test]
async fn a_key_that_was_tried_before_it_was_minted_works_at_once() {
    let node = Node::new();
    let key = node.unknown_key();
    assert_eq!(node.ask_counting(&key).await, (Err(RefusalKind::InvalidKey), 1));
    assert_eq!(node.ask_counting(&key).await, (Err(RefusalKind::InvalidKey), 0));
    node.mint(&key).await.expect("minted");
    assert_eq!(node.ask(&key).await, Ok(()));
}

#[tokio::test]
async fn a_look_up_that_found_nothing_is_not_kept_across_a_mint_nor_joined_after_it() {
    let node = Node::new();
    let key = node.unknown_key();
    let mut held = node.store.hold(Point::AfterRead);
    let early = node.ask(&key);
    held.reached().await;
    node.mint(&key).await.expect("minted");

    let late = node.ask(&key);
    held.go_on();
    assert_eq!(
        early.await,
        Err(RefusalKind::InvalidKey),
        "it began before the mint"
    );
    assert_eq!(late.await, Ok(()));
    assert!(node.cache.refusal(&key.digest).is_none());
    assert_eq!(node.ask(&key).await, Ok(()));
}

#[tokio::test]
async fn a_look_up_that_ends_in_the_middle_of_a_mint_is_not_kept() {
    let node = Node::new();
    let key = node.unknown_key();
    let mut commit = node.store.hold(Point::BeforeCommit);
    let minting = tokio::spawn(node.mint(&key));
    commit.reached().await;
    assert_eq!(node.ask(&key).await, Err(RefusalKind::InvalidKey));
    assert!(node.cache.refusal(&key.digest).is_none());
    commit.go_on();
    minting.await.expect("no panic").expect("minted");
    assert_eq!(node.ask(&key).await, Ok(()));
}
