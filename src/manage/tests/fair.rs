//! Whoever changes as much as they can waits for themselves.

use tokio::task::{JoinSet, yield_now};

use super::{
    callers::{by, record_of},
    troubled::{Troubled, keys},
};
use crate::{
    access::Grants,
    manage::{CallerKeys, NewKey},
};

/// From here on changes are held up, or are not, and counted anew.
fn set_open(store: &Troubled, open: bool) {
    store.open.send_replace(open);
    store.calls.lock().clear();
}

/// How many changes are under way, once everybody has come as far as they can.
async fn under_way(store: &Troubled) -> usize {
    for _ in 0..1000 {
        yield_now().await;
    }
    let calls = store.calls.lock();
    calls.iter().filter(|call| **call == "transact").count()
}

async fn mint(caller: CallerKeys) {
    let new = NewKey::new("").name("one of many").grants(Grants::none());
    caller.issue(new).await.expect("a key");
}

#[tokio::test]
async fn one_change_of_an_owner_is_under_way_at_a_time_and_revokes_pass_all_that_wait() {
    let store = Troubled::new();
    let keys = keys(&store);
    let alice = by(&keys, &record_of(&keys, "alice", &["keys:write"]).await);
    let alices_other = record_of(&keys, "alice", &["keys:write"]).await;
    let admin = by(
        &keys,
        &record_of(&keys, "admin", &["keys:write", "keys:admin"]).await,
    );
    let bob = by(&keys, &record_of(&keys, "bob", &["keys:write"]).await);
    let target = record_of(&keys, "carol", &[]).await;

    set_open(&store, false);
    let mut flood = JoinSet::new();
    for i in 0..200 {
        let caller = if i % 2 == 0 {
            alice.clone()
        } else {
            by(&keys, &alices_other)
        };
        flood.spawn(mint(caller));
    }
    assert_eq!(under_way(&store).await, 1);
    let revoking = tokio::spawn(async move { admin.revoke(target.id).await });
    assert_eq!(under_way(&store).await, 2);
    // So does the owner's own, with another key and with this one.
    let own = by(&keys, &alices_other);
    let ending = tokio::spawn(async move { own.revoke_current().await });
    assert_eq!(under_way(&store).await, 3);
    let mut again = JoinSet::new();
    for _ in 0..50 {
        let bob = bob.clone();
        again.spawn(async move { bob.revoke_current().await });
    }
    assert_eq!(under_way(&store).await, 3 + 4, "nor are these without end");

    set_open(&store, true);
    revoking.await.expect("no panic").expect("revoked");
    ending.await.expect("no panic").expect("revoked");
    flood.shutdown().await;
    again.join_all().await;
}

/// Who hangs up does not get to the front by it: what has begun goes on, and is theirs.
#[tokio::test]
async fn a_change_that_nobody_waits_for_any_more_keeps_its_turn() {
    let store = Troubled::new();
    let keys = keys(&store);
    let alice = by(&keys, &record_of(&keys, "alice", &["keys:write"]).await);
    set_open(&store, false);
    for _ in 0..20 {
        let revoking = tokio::spawn({
            let alice = alice.clone();
            async move { alice.revoke_current().await }
        });
        let minting = tokio::spawn(mint(alice.clone()));
        under_way(&store).await;
        revoking.abort();
        minting.abort();
    }
    assert_eq!(under_way(&store).await, 1 + 4);
    set_open(&store, true);
    while !keys.0.turns.is_idle() {
        yield_now().await;
    }
}
