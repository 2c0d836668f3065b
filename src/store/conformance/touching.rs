//! A store may keep no time of last use: then it keeps none at all.

use std::{future::Future, pin::Pin, time::SystemTime};

use super::{at, found, got, insert, join_all, updating, write};
use crate::{
    key::{KeyId, KeyRecord},
    store::{KeyStore, StoreError, Writes},
};

async fn touch<S: KeyStore>(store: &S, uses: &[(KeyId, SystemTime)]) {
    store.touch(uses).await.expect("the uses are written");
}

async fn last_use<S: KeyStore>(store: &S, id: KeyId) -> Option<SystemTime> {
    got(store, id).await.expect("the key").last_used_at
}

async fn keeps_none<S: KeyStore>(store: &S) -> bool {
    let probe = insert(store, b"probe").await;
    touch(store, &[(probe.id, at(1))]).await;
    last_use(store, probe.id).await.is_none()
}

pub(super) async fn a_use_moves_a_key_s_time_on_and_never_back<S: KeyStore>(store: &S) {
    if keeps_none(store).await {
        return;
    }
    let key = insert(store, b"key").await;
    for (used, kept) in [
        (20, 20),
        (20, 20),
        (10, 20),
        (1_700_000_000_999, 1_700_000_000_999),
        (0, 1_700_000_000_999),
    ] {
        touch(store, &[(key.id, at(used))]).await;
        assert_eq!(last_use(store, key.id).await, Some(at(kept)), "used at {used}");
    }
}

pub(super) async fn a_use_is_no_change_and_leaves_other_keys_alone<S: KeyStore>(store: &S) {
    let (key, other) = (insert(store, b"key").await, insert(store, b"other").await);
    let head = store.log_head().await.expect("an answer");
    touch(store, &[]).await;
    touch(store, &[(key.id, at(20)), (KeyId::generate(), at(30))]).await;
    let last_used_at = last_use(store, key.id).await;
    let used = KeyRecord { last_used_at, ..key };
    assert_eq!(
        found(store, b"key").await,
        Some(used),
        "a use changed more than its time"
    );
    assert_eq!(
        got(store, other.id).await,
        Some(other),
        "another key was used, too"
    );
    assert_eq!(
        store.log_head().await.expect("an answer"),
        head,
        "a use is in the log"
    );
}

pub(super) async fn five_hundred_uses_are_written_at_once<S: KeyStore>(store: &S) {
    if keeps_none(store).await {
        return;
    }
    let mut writes = Writes::nothing();
    for i in 0..500_u32 {
        writes.insert.push(super::record(&i.to_be_bytes()));
    }
    let keys = writes.insert.clone();
    write(store, writes).await.expect("kept");
    // Neither in the order of the ids nor all at the same time.
    let used = |i| at(1_000 + i as u64);
    let uses = keys.iter().enumerate().map(|(i, key)| (key.id, used(i)));
    touch(store, &uses.rev().collect::<Vec<_>>()).await;
    for (i, key) in keys.iter().enumerate() {
        assert_eq!(last_use(store, key.id).await, Some(used(i)));
    }
}

pub(super) async fn uses_and_changes_at_the_same_time_lose_nothing<S: KeyStore>(store: &S) {
    if keeps_none(store).await {
        return;
    }
    let (one, two) = (insert(store, b"one").await, insert(store, b"two").await);
    let forth = [(one.id, at(10)), (two.id, at(40))];
    let back = [(two.id, at(30)), (one.id, at(20))];
    let mut renamed = one.clone();
    renamed.name = "renamed".into();
    let mut writing: Vec<Writing<'_>> = Vec::new();
    for _ in 0..8 {
        writing.push(Box::pin(store.touch(&forth)));
        writing.push(Box::pin(write(store, updating(&renamed))));
        writing.push(Box::pin(store.touch(&back)));
    }
    for outcome in join_all(writing).await {
        outcome.expect("written");
    }
    assert_eq!(last_use(store, one.id).await, Some(at(20)));
    assert_eq!(last_use(store, two.id).await, Some(at(40)));
    assert_eq!(
        got(store, one.id).await.map(|one| one.name),
        Some("renamed".into())
    );
}

type Writing<'a> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>>;
