//! With the preset `strict`: which changes are waited for, and what becomes of one when nobody can say who has heard of it.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::Instant;

use super::troubled::Troubled;
use crate::{
    ApiKeyAuth, Preset,
    access::Scopes,
    key::KeyDigest,
    manage::{IssuedKey, KeyChange, Keys, NewKey},
};

/// What a store that does not say otherwise has.
const LEASE: Duration = Duration::from_secs(2);

fn auth(store: &Troubled, preset: Preset) -> ApiKeyAuth {
    let builder = ApiKeyAuth::builder(store.clone()).preset(preset);
    builder.build().expect("a configuration")
}

fn keys(auth: &ApiKeyAuth) -> Keys {
    auth.keys().expect("there is a store").clone()
}

async fn issue(keys: &Keys) -> IssuedKey {
    keys.issue(NewKey::new("alice")).await.expect("a key")
}

/// How often it was asked who has heard, since this was last called.
fn waits(store: &Troubled) -> usize {
    let calls = std::mem::take(&mut *store.calls.lock());
    calls.into_iter().filter(|call| *call == "everywhere").count()
}

#[tokio::test(start_paused = true)]
async fn a_change_of_which_nobody_can_say_who_has_heard_is_answered_when_no_old_lease_is_left() {
    for tells in [true, false] {
        let store = Troubled::telling(tells);
        let auth = auth(&store, Preset::Strict);
        let keys = keys(&auth);
        // Where nobody tells, what is cached is good for longer.
        let least = if tells { LEASE } else { 3 * LEASE };
        let waited = |begun: Instant| {
            assert!(begun.elapsed() >= least, "{tells}: {:?}", begun.elapsed());
            assert!(begun.elapsed() <= least + LEASE, "{tells}: {:?}", begun.elapsed());
        };
        let [changing, rotated, revoked] = [issue(&keys).await, issue(&keys).await, issue(&keys).await];
        store.deaf.store(true, Ordering::Relaxed);

        let begun = Instant::now();
        let receipt = keys.revoke(revoked.record.id).await.expect("revoked").receipt;
        let receipt = receipt.expect("it was waited for");
        assert_eq!((receipt.acked, receipt.of), (1, 1));
        assert!(receipt.took >= least);
        waited(begun);

        let begun = Instant::now();
        let narrowed = KeyChange::new().scopes(Scopes::none());
        keys.change(changing.record.id, narrowed).await.expect("changed");
        waited(begun);

        let begun = Instant::now();
        keys.rotate(rotated.record.id, Duration::ZERO)
            .await
            .expect("rotated");
        waited(begun);
    }
}

#[tokio::test]
async fn a_rotation_is_waited_for_when_its_overlap_is_over_before_a_lease_is() {
    let store = Troubled::telling(true);
    let keys = keys(&auth(&store, Preset::Strict));
    for (overlap, expected) in [
        (Duration::ZERO, 1),
        (Duration::from_secs(1), 1),
        (LEASE - Duration::from_millis(1), 1),
        // Whoever has not heard by then uses nothing that is cached.
        (LEASE, 0),
        (Duration::from_secs(3600), 0),
    ] {
        let key = issue(&keys).await;
        waits(&store);
        keys.rotate(key.record.id, overlap).await.expect("rotated");
        assert_eq!(waits(&store), expected, "{overlap:?}");
    }
}

#[tokio::test]
async fn what_the_application_changes_beside_the_store_is_waited_for_as_well() {
    for (preset, expected) in [(Preset::Strict, 1), (Preset::Balanced, 0)] {
        let store = Troubled::telling(true);
        let auth = auth(&store, preset);
        let work = async || Ok::<_, &str>(7);
        assert_eq!(auth.change_owner("alice", work()).await.expect("changed"), 7);
        assert_eq!(waits(&store), expected, "{preset:?}");
        let changing = auth.change(KeyDigest::of(b"any"), work());
        assert_eq!(changing.await.expect("changed"), 7);
        assert_eq!(waits(&store), expected, "{preset:?}");
        let failing = auth.change_owner("alice", async { Err::<u8, _>("no") });
        failing.await.expect_err("failed");
        assert_eq!(waits(&store), 0, "there is nothing to have heard of");
    }
}
