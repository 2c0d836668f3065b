//! What every [`KeyStore`] must do, as one call that a third party's test can make.
//!
//! ```
//! use tower_api_key::store::{MemoryStore, conformance};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! conformance::check(|| async { MemoryStore::new().expect("a store") }).await;
//! # }
//! ```

use std::{
    future::Future,
    task::Poll,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{KeyStore, StoreErrorKind};
use crate::{
    access::{Grants, Resources, Scopes},
    event::{KeyEvent, KeyEventKind},
    key::{KeyDigest, KeyFormat, KeyId, KeyRecord},
};

/// Runs every case, each on a new, empty store that `make` gives.
///
/// # Panics
///
/// When the store does something a store must not do.
pub async fn check<S, F>(make: impl Fn() -> F)
where
    S: KeyStore,
    F: Future<Output = S>,
{
    a_new_store_is_empty_and_answers(make().await).await;
    what_is_kept_comes_back_whole(make().await).await;
    ids_and_digests_are_unique(make().await).await;
    only_one_of_many_inserts_wins(make().await).await;
    revocation_is_final_and_recorded_once(make().await).await;
    only_one_of_many_revokes_counts(make().await).await;
    the_check_key_stays(make().await).await;
}

async fn a_new_store_is_empty_and_answers<S: KeyStore>(store: S) {
    store.ping().await.expect("a new store answers");
    assert!(
        store
            .is_empty()
            .await
            .expect("a new store says whether it is empty")
    );
    assert!(found(&store, b"nothing").await.is_none());
    let id = KeyId::generate();
    assert!(store.get(id).await.expect("an answer").is_none());
    assert!(store.events(id).await.expect("an answer").is_empty());
    let nothing_to_revoke = store
        .revoke(&KeyEvent::new(id, KeyEventKind::Revoked, at(1)))
        .await;
    assert!(nothing_to_revoke.expect("an answer").is_none());
    assert!(
        store.events(id).await.expect("an answer").is_empty(),
        "an event of a key that is not there"
    );
}

async fn what_is_kept_comes_back_whole<S: KeyStore>(store: S) {
    let mut plain = record(b"plain");
    plain.name = "O'Brien \u{1F511} \"; DROP TABLE api_keys; --".into();
    let mut full = record(b"full");
    full.prefix = "ak_abcd".into();
    full.grants = Grants::new(
        Scopes::new(["issues:*", "agents:run"]).expect("scopes"),
        Resources::only(["agent:alpha", "topic:*"]).expect("resources"),
    );
    full.expires_at = Some(at(4_102_444_800_123));
    full.disabled_at = Some(at(7));
    full.version = 3;
    let mut all = record(b"all");
    all.grants = Grants::all();
    let mut bound_to_nothing = record(b"bound to nothing");
    bound_to_nothing.grants = Grants::new(Scopes::none(), Resources::only([""; 0]).expect("resources"));
    let mut revoked = record(b"revoked");
    revoked.revoked_at = Some(at(8));
    for kept in [plain, full, all, bound_to_nothing, revoked] {
        let minted = KeyEvent::new(kept.id, KeyEventKind::Minted, kept.created_at);
        store.insert(&kept, &minted).await.expect("a new key is kept");
        let by_digest = store
            .find(&kept.digest)
            .await
            .expect("an answer")
            .expect("the key is found by digest");
        assert_eq!(by_digest.record, kept);
        assert_eq!(store.get(kept.id).await.expect("an answer"), Some(kept.clone()));
        assert_eq!(store.events(kept.id).await.expect("an answer"), [minted]);
    }
    assert!(!store.is_empty().await.expect("an answer"));
    assert!(found(&store, b"something else").await.is_none());
}

async fn ids_and_digests_are_unique<S: KeyStore>(store: S) {
    let first = insert(&store, b"first").await;
    let mut same_digest = record(b"first");
    same_digest.owner = "mallory".into();
    let mut same_id = record(b"second");
    same_id.id = first.id;
    same_id.owner = "mallory".into();
    for (taken, what) in [(same_digest, "digest"), (same_id, "id")] {
        let error = store.insert(&taken, &minted(&taken)).await.expect_err(what);
        assert_eq!(error.kind(), StoreErrorKind::Conflict, "{what}");
    }
    assert_eq!(store.get(first.id).await.expect("an answer"), Some(first.clone()));
    assert_eq!(
        store.events(first.id).await.expect("an answer").len(),
        1,
        "a refused insert left an event"
    );
    assert!(
        found(&store, b"second").await.is_none(),
        "a refused insert left a key"
    );
}

async fn only_one_of_many_inserts_wins<S: KeyStore>(store: S) {
    let records: Vec<KeyRecord> = (0..8).map(|_| record(b"contended")).collect();
    let mut won = 0;
    for outcome in join_all(
        records
            .iter()
            .map(|record| async { store.insert(record, &minted(record)).await }),
    )
    .await
    {
        match outcome {
            Ok(()) => won += 1,
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Conflict),
        }
    }
    assert_eq!(won, 1);
    let kept = found(&store, b"contended").await.expect("the winner is kept");
    assert!(records.contains(&kept));
}

async fn revocation_is_final_and_recorded_once<S: KeyStore>(store: S) {
    let other = insert(&store, b"other").await;
    let key = insert(&store, b"key").await;
    let first = KeyEvent::new(key.id, KeyEventKind::Revoked, at(20));
    let revoked = store
        .revoke(&first)
        .await
        .expect("an answer")
        .expect("the key is there");
    assert_eq!(revoked.revoked_at, Some(at(20)));
    assert_eq!(revoked.version, key.version + 1);
    let again = KeyEvent::new(key.id, KeyEventKind::Revoked, at(30));
    assert_eq!(
        store.revoke(&again).await.expect("an answer"),
        Some(revoked.clone()),
        "revoking twice changed the key"
    );
    assert_eq!(found(&store, b"key").await, Some(revoked));
    assert_eq!(
        store.events(key.id).await.expect("an answer"),
        [minted(&key), first]
    );
    assert_eq!(
        found(&store, b"other").await,
        Some(other),
        "revoking one key changed another"
    );
}

async fn only_one_of_many_revokes_counts<S: KeyStore>(store: S) {
    let key = insert(&store, b"key").await;
    let events: Vec<KeyEvent> = (0..8)
        .map(|i| KeyEvent::new(key.id, KeyEventKind::Revoked, at(i)))
        .collect();
    let mut dates = Vec::new();
    for outcome in join_all(events.iter().map(|event| async { store.revoke(event).await })).await {
        dates.push(outcome.expect("an answer").expect("the key is there").revoked_at);
    }
    dates.dedup();
    assert_eq!(dates.len(), 1, "the date of revocation changed");
    assert_eq!(store.events(key.id).await.expect("an answer").len(), 2);
}

async fn the_check_key_stays<S: KeyStore>(store: S) {
    let format = || KeyFormat::new("ak", &store.check_key()).expect("a prefix");
    let key = format().generate().expect("random numbers");
    assert_eq!(
        format().check(key.expose().as_bytes()),
        Ok(()),
        "the check key changed"
    );
}

async fn insert<S: KeyStore>(store: &S, key: &[u8]) -> KeyRecord {
    let record = record(key);
    store
        .insert(&record, &minted(&record))
        .await
        .expect("a new key is kept");
    record
}

async fn found<S: KeyStore>(store: &S, key: &[u8]) -> Option<KeyRecord> {
    store
        .find(&KeyDigest::of(key))
        .await
        .expect("an answer")
        .map(|found| found.record)
}

fn record(key: &[u8]) -> KeyRecord {
    KeyRecord::new(
        KeyId::generate(),
        KeyDigest::of(key),
        "alice",
        at(1_700_000_000_123),
    )
}

fn minted(record: &KeyRecord) -> KeyEvent {
    KeyEvent::new(record.id, KeyEventKind::Minted, record.created_at)
}

fn at(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms)
}

/// Polls all of them in turn, so that their steps interleave.
async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, output) in &mut pending {
            if output.is_none()
                && let Poll::Ready(ready) = future.as_mut().poll(context)
            {
                *output = Some(ready);
            }
        }
        match pending.iter().all(|(_, output)| output.is_some()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    pending.into_iter().filter_map(|(_, output)| output).collect()
}
