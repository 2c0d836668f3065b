//! Changes of owners: whatever stands where at the time, nothing from before is used once the change has returned.

use std::{future::Future, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{task::yield_now, time::advance};

use super::{
    node::{DOUBT, Key, Node, Setup},
    script::{Held, Point, Scripted},
};
use crate::{
    access::Grants,
    authn::{OwnerDirectory, OwnerState, Owners, RefusalKind, Unavailable},
    event::Settled,
    manage::{ChangeError, Scope},
    store::{StoreError, StoreErrorKind},
};

/// Knows one owner, and stops at gates as the store does.
#[derive(Clone)]
struct Directory {
    state: Arc<Mutex<OwnerState>>,
    gates: Scripted,
}

impl OwnerDirectory for Directory {
    async fn find(&self, _: &str) -> Result<Option<OwnerState>, Unavailable> {
        self.gates.pass(Point::BeforeRead).await?;
        let state = self.state.lock().clone();
        self.gates.pass(Point::AfterRead).await?;
        Ok(Some(state))
    }
}

impl Directory {
    fn suspend(&self) {
        *self.state.lock() = OwnerState::suspended();
    }
}

fn node() -> (Node, Directory) {
    let directory = Directory {
        state: Arc::new(Mutex::new(OwnerState::active().grants(Grants::all()))),
        gates: Scripted::new(Default::default()),
    };
    let node = Node::with(Setup {
        owners: Some(Owners::new(directory.clone())),
        ..Setup::default()
    });
    (node, directory)
}

/// As [`ApiKeyAuth::change_owner`](crate::ApiKeyAuth::change_owner) does it.
fn suspend(
    node: &Node,
    directory: &Directory,
) -> impl Future<Output = Result<(), ChangeError<StoreError>>> + Send + use<> {
    let (changes, directory) = (node.changes.clone(), directory.clone());
    let work = async move { directory.gates.write(|_| directory.suspend()).await };
    async move {
        changes
            .run(
                Scope::Everything,
                work,
                |()| Settled::Changed,
                |_| Settled::Unknown,
            )
            .await
    }
}

async fn let_run() {
    for _ in 0..100 {
        yield_now().await;
    }
}

/// Refused, and from nothing that is kept.
async fn assert_stopped(node: &Node, key: &Key, what: &str) {
    assert!(!node.keeps(key), "{what}");
    for _ in 0..2 {
        assert_eq!(node.ask(key).await, Err(RefusalKind::KeyDisabled), "{what}");
    }
}

#[tokio::test]
async fn suspending_an_owner_stops_all_their_keys_at_the_next_request() {
    let (node, directory) = node();
    let keys = [node.cached_key().await, node.cached_key().await, node.key()];
    suspend(&node, &directory).await.expect("suspended");
    for key in &keys {
        assert_stopped(&node, key, "suspended").await;
    }
}

#[tokio::test]
async fn wherever_a_look_up_stands_what_it_read_is_neither_kept_nor_joined() {
    for (store_holds, look_up_at) in [
        (true, Point::BeforeRead),
        (true, Point::AfterRead),
        (false, Point::BeforeRead),
        (false, Point::AfterRead),
    ] {
        for change_at in [None, Some(Point::BeforeCommit), Some(Point::AfterCommit)] {
            for lands_in_the_middle in [false, true] {
                let what = format!("{store_holds} {look_up_at:?} {change_at:?} {lands_in_the_middle}");
                let (node, directory) = node();
                let key = node.key();
                let hold = |point| {
                    if store_holds {
                        node.store.hold(point)
                    } else {
                        directory.gates.hold(point)
                    }
                };

                // Begun before the change and, once more, in the middle of it.
                let mut early_held = hold(look_up_at);
                let early = node.ask(&key);
                early_held.reached().await;
                let mut change_held: Option<Held> = change_at.map(|point| directory.gates.hold(point));
                let change = tokio::spawn(suspend(&node, &directory));
                if let Some(held) = &mut change_held {
                    held.reached().await;
                    let mut middle_held = hold(look_up_at);
                    let middle = node.ask(&key);
                    middle_held.reached().await;
                    if lands_in_the_middle {
                        early_held.go_on();
                        middle_held.go_on();
                        let (_, _) = (early.await, middle.await);
                        change_held.take().expect("it is held").go_on();
                        change.await.expect("no panic").expect("suspended");
                    } else {
                        change_held.take().expect("it is held").go_on();
                        change.await.expect("no panic").expect("suspended");
                        assert_eq!(
                            node.ask(&key).await,
                            Err(RefusalKind::KeyDisabled),
                            "it joined: {what}"
                        );
                        early_held.go_on();
                        middle_held.go_on();
                        let (_, _) = (early.await, middle.await);
                    }
                } else {
                    change.await.expect("no panic").expect("suspended");
                    assert_eq!(
                        node.ask(&key).await,
                        Err(RefusalKind::KeyDisabled),
                        "it joined: {what}"
                    );
                    early_held.go_on();
                    let _ = early.await;
                }
                assert_stopped(&node, &key, &what).await;
                assert_eq!(node.cache.flights(), 0, "{what}");
            }
        }
    }
}

#[tokio::test]
async fn a_caller_that_hangs_up_suspends_all_the_same() {
    for point in [Point::BeforeCommit, Point::AfterCommit] {
        let (node, directory) = node();
        let key = node.cached_key().await;
        let mut held = directory.gates.hold(point);
        let change = tokio::spawn(suspend(&node, &directory));
        held.reached().await;
        change.abort();
        assert!(change.await.is_err(), "it hung up");
        held.go_on();
        let_run().await;
        assert_stopped(&node, &key, "hung up").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_suspension_of_which_nobody_knows_counts_from_when_it_happens() {
    for point in [Point::BeforeCommit, Point::AfterCommit] {
        let (node, directory) = node();
        let key = node.cached_key().await;
        let mut held = directory.gates.hold(point);
        let change = tokio::spawn(suspend(&node, &directory));
        held.reached().await;
        held.fail(StoreErrorKind::Unavailable);
        change.await.expect("no panic").expect_err("nobody knows");
        if point == Point::BeforeCommit {
            assert_eq!(node.ask(&key).await, Ok(()));
            assert!(!node.keeps(&key), "it may happen yet");
            directory.suspend();
        }
        assert_stopped(&node, &key, "in doubt").await;
        *directory.state.lock() = OwnerState::active();
        advance(DOUBT + Duration::from_millis(1)).await;
        let_run().await;
        assert_eq!(node.ask(&key).await, Ok(()));
        assert!(node.keeps(&key), "doubt has ended");
    }
}

#[tokio::test]
async fn two_owners_changed_at_once_need_both_fences_lifted() {
    let (node, directory) = node();
    let key = node.key();
    let mut slow = directory.gates.hold(Point::BeforeCommit);
    let slow_change = tokio::spawn(suspend(&node, &directory));
    slow.reached().await;
    let nothing = async { Ok::<_, StoreError>(()) };
    let another = node.changes.run(
        Scope::Everything,
        nothing,
        |()| Settled::Changed,
        |_| Settled::Unknown,
    );
    another.await.expect("changed");
    assert_eq!(node.ask(&key).await, Ok(()));
    assert!(!node.keeps(&key), "the other change is still under way");
    slow.go_on();
    slow_change.await.expect("no panic").expect("suspended");
    assert_stopped(&node, &key, "both").await;
}
