//! While the store cannot say: who is let in all the same, and how often it is asked.

use std::time::Duration;

use super::{
    limits,
    node::{Answer, Key, Node, Setup},
    script::Point,
};
use crate::{
    access::{Grants, Scopes},
    authn::{Limits, RefusalKind, Stale},
    clock::Clock,
    event::Invalidate,
    store::StoreErrorKind,
};

const STALE_FOR: Duration = Duration::from_secs(15 * 60);
const MINUTE: Duration = Duration::from_secs(60);
const UNAVAILABLE: Answer = Err(RefusalKind::AuthUnavailable);

/// A process that lets keys read on while its store is away.
fn available() -> Node {
    let node = Node::with(Setup {
        limits: Limits {
            lease: Some(Duration::from_secs(2)),
            good_for: Duration::from_secs(300),
            stale_for: STALE_FOR,
            ..limits()
        },
        stale: Some(Stale {
            scopes: Scopes::new(["read"]).expect("a scope"),
        }),
        ..Setup::default()
    });
    node.cache.proven(node.clock.elapsed());
    node
}

/// A key with these scopes, in the cache.
async fn cached(node: &Node, scopes: &[&str]) -> Key {
    let key = node.key();
    let grants = Grants::scopes(scopes).expect("scopes");
    node.store.edit(&key.digest, |row| row.grants = grants);
    assert_eq!(node.ask(&key).await, Ok(()));
    key
}

/// A request while the store does not answer.
async fn ask_in_vain(node: &Node, key: &Key) -> Answer {
    let mut held = node.store.hold(Point::BeforeRead);
    let asked = node.ask(key);
    held.reached().await;
    held.fail(StoreErrorKind::Unavailable);
    asked.await
}

#[tokio::test]
async fn by_default_a_key_that_cannot_be_confirmed_is_unavailable() {
    let node = Node::new();
    let key = node.cached_key().await;
    node.clock.advance(MINUTE);
    assert_eq!(ask_in_vain(&node, &key).await, UNAVAILABLE);
}

#[tokio::test]
async fn one_that_was_confirmed_lately_may_do_what_is_marked_for_it_and_nothing_else() {
    let node = available();
    let (reader, writer) = (
        cached(&node, &["read", "write"]).await,
        cached(&node, &["write"]).await,
    );
    node.cache.lost();
    node.clock.advance(MINUTE);
    assert_eq!(ask_in_vain(&node, &reader).await, Ok(()));
    assert_eq!(ask_in_vain(&node, &writer).await, UNAVAILABLE);
    let stale = node.cache.stale(&reader.digest).expect("kept");
    assert!(
        stale
            .grants()
            .granted_scopes()
            .covers(&Scopes::new(["write"]).expect("a scope"))
    );
    let let_in = node.lookup.stale_principal(&reader.digest).expect("let in");
    assert!(
        !let_in
            .grants()
            .granted_scopes()
            .covers(&Scopes::new(["write"]).expect("a scope"))
    );
    // And it is asked for again.
    assert!(!node.keeps(&reader));
}

#[tokio::test]
async fn not_for_longer_than_was_said_nor_past_its_own_end() {
    let node = available();
    let (endless, ending) = (cached(&node, &["read"]).await, node.key());
    let end = node.clock.now() + MINUTE;
    let grants = Grants::scopes(["read"]).expect("a scope");
    node.store.edit(&ending.digest, |row| {
        row.grants = grants;
        row.expires_at = Some(end);
    });
    assert_eq!(node.ask(&ending).await, Ok(()));
    node.cache.lost();
    node.clock.advance(MINUTE - Duration::from_millis(1));
    assert_eq!(ask_in_vain(&node, &ending).await, Ok(()));
    node.clock.advance(Duration::from_millis(1));
    assert_eq!(ask_in_vain(&node, &ending).await, UNAVAILABLE);
    node.clock.advance(STALE_FOR - MINUTE);
    assert_eq!(ask_in_vain(&node, &endless).await, UNAVAILABLE);
}

#[tokio::test]
async fn nor_after_anything_was_heard_of_it() {
    let node = available();
    let keys = [
        cached(&node, &["read"]).await,
        cached(&node, &["read"]).await,
        cached(&node, &["read"]).await,
    ];
    node.revoke(&keys[0]).await.expect("revoked");
    node.cache.forget(&keys[1].digest);
    assert_eq!(node.ask(&keys[0]).await, Err(RefusalKind::KeyRevoked));
    assert_eq!(ask_in_vain(&node, &keys[1]).await, UNAVAILABLE);
    assert!(node.cache.stale(&keys[2].digest).is_some());
    node.cache.forget_all();
    assert_eq!(ask_in_vain(&node, &keys[2]).await, UNAVAILABLE);
}

#[tokio::test]
async fn nor_after_the_store_has_said_no() {
    let node = available();
    let (disabled, gone) = (cached(&node, &["read"]).await, cached(&node, &["read"]).await);
    // By somebody of whom nothing was heard.
    let now = node.clock.now();
    node.store
        .edit(&disabled.digest, |row| row.disabled_at = Some(now));
    node.store.remove(&gone.digest);
    node.cache.lost();
    node.clock.advance(MINUTE);
    assert_eq!(node.ask(&disabled).await, Err(RefusalKind::KeyDisabled));
    assert_eq!(node.ask(&gone).await, Err(RefusalKind::InvalidKey));
    for key in [&disabled, &gone] {
        assert_eq!(ask_in_vain(&node, key).await, UNAVAILABLE);
    }
}

/// A request that the store does not answer in time.
async fn ask_in_vain_for_long(node: &Node, key: &Key) -> Answer {
    let mut held = node.store.hold(Point::BeforeRead);
    let asked = node.ask(key);
    held.reached().await;
    let answer = asked.await;
    drop(held);
    answer
}

fn impatient() -> Node {
    Node::with(Setup {
        timeout: Duration::from_millis(1),
        ..Setup::default()
    })
}

#[tokio::test]
async fn after_five_time_outs_in_a_row_the_store_is_asked_four_times_a_second() {
    let node = impatient();
    let key = node.key();
    for _ in 0..5 {
        assert_eq!(ask_in_vain_for_long(&node, &key).await, UNAVAILABLE);
    }
    assert_eq!(node.ask_counting(&key).await, (UNAVAILABLE, 0));
    node.clock.advance(Duration::from_millis(250));
    assert_eq!(ask_in_vain_for_long(&node, &key).await, UNAVAILABLE);
    assert_eq!(node.ask_counting(&key).await, (UNAVAILABLE, 0));
    node.clock.advance(Duration::from_millis(250));
    assert_eq!(node.ask_counting(&key).await, (Ok(()), 1));
    let other = node.key();
    assert_eq!(node.ask_counting(&other).await, (Ok(()), 1));
    assert_eq!(node.cache.flights(), 0);
}

#[tokio::test]
async fn a_store_that_fails_at_once_is_asked_again_at_once() {
    let node = impatient();
    let key = node.key();
    for _ in 0..20 {
        assert_eq!(ask_in_vain(&node, &key).await, UNAVAILABLE);
    }
    assert_eq!(node.ask(&key).await, Ok(()));
}
