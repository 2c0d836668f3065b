use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{
    abandon, at, event, found, got, insert, insertion, join_all, keep, keeping::full, now, record, updating,
    view, write,
};
use crate::{
    access::{AddressList, Grants},
    event::{ChainCheck, KeyEventKind},
    key::{KeyDigest, KeyId, KeyRecord},
    store::{Decide, EventQuery, KeyStore, Reads, StoreErrorKind, Writes},
};

pub(super) async fn a_change_comes_back_whole_and_changes_nothing_else<S: KeyStore>(store: &S) {
    let other = insert(store, b"other").await;
    let key = insert(store, b"key").await;
    // To all there is, and back to nothing.
    let mut more = full(b"key");
    (more.id, more.digest, more.created_at) = (key.id, key.digest, key.created_at);
    (more.prefix, more.imported, more.last_used_at) = (key.prefix.clone(), key.imported, key.last_used_at);
    let mut less = key.clone();
    less.version = 4;
    for changed in [more, less] {
        write(store, updating(&changed)).await.expect("changed");
        assert_eq!(got(store, key.id).await, Some(changed.clone()));
        assert_eq!(found(store, b"key").await, Some(changed));
    }
    assert_eq!(
        got(store, other.id).await,
        Some(other),
        "changing one key changed another"
    );
    assert_eq!(store.log_head().await.expect("an answer").seq, 4);
}

pub(super) async fn what_a_key_is_from_its_making_never_changes<S: KeyStore>(store: &S) {
    let mut key = record(b"key");
    (key.prefix, key.imported) = ("ak_abcd".into(), true);
    key.last_used_at = Some(at(5));
    keep(store, &key).await;
    for last_used_at in [None, Some(at(9))] {
        let mut changed = record(b"another");
        changed.id = key.id;
        changed.owner = "mallory".into();
        changed.created_at = at(1);
        changed.last_used_at = last_used_at;
        changed.name = "changed".into();
        write(store, updating(&changed)).await.expect("changed");
        key.name = "changed".into();
        assert_eq!(got(store, key.id).await, Some(key.clone()));
        assert_eq!(found(store, b"key").await, Some(key.clone()));
        assert!(found(store, b"another").await.is_none());
    }
}

pub(super) async fn revocation_is_final<S: KeyStore>(store: &S) {
    let key = insert(store, b"key").await;
    let mut revoked = key.clone();
    revoked.revoked_at = Some(at(20));
    write(store, updating(&revoked)).await.expect("revoked");
    for otherwise in [None, Some(at(10)), Some(at(30))] {
        let mut changed = key.clone();
        changed.revoked_at = otherwise;
        write(store, updating(&changed)).await.expect("an answer");
        let kept = got(store, key.id).await.expect("the key");
        assert_eq!(
            kept.revoked_at,
            Some(at(20)),
            "a revoked key came back, or at another time"
        );
    }
}

pub(super) async fn a_change_is_told_what_it_asked_for<S: KeyStore>(store: &S) {
    let (one, two) = (insert(store, b"one").await, insert(store, b"two").await);
    let mut revoked = record(b"revoked");
    revoked.revoked_at = Some(at(8));
    keep(store, &revoked).await;

    let nothing = view(store, Reads::nothing()).await;
    assert!(
        nothing.keys.is_empty() && nothing.taken.is_empty() && nothing.live == 0,
        "{nothing:?}"
    );

    let gone = KeyId::generate();
    let mut reads = Reads::nothing().key(two.id).key(gone).key(revoked.id);
    reads.digests = vec![KeyDigest::of(b"nothing"), revoked.digest, one.digest];
    let seen = view(store, reads).await;
    assert_eq!(seen.keys.len(), 2, "{seen:?}");
    assert_eq!(
        (seen.key(two.id), seen.key(revoked.id)),
        (Some(&two), Some(&revoked))
    );
    assert_eq!((seen.key(one.id), seen.key(gone)), (None, None));
    let taken = [revoked.digest, one.digest];
    assert!(
        seen.taken.len() == 2 && taken.iter().all(|digest| seen.taken.contains(digest)),
        "{seen:?}"
    );

    // What was written before is seen.
    let mut changed = one.clone();
    changed.name = "changed".into();
    write(store, updating(&changed)).await.expect("changed");
    assert_eq!(view(store, Reads::nothing().key(one.id)).await.keys, [changed]);
}

pub(super) async fn live_keys_are_counted_at_the_time_of_the_store<S: KeyStore>(store: &S) {
    let now = now(store).await;
    let hour = Duration::from_secs(60 * 60);
    let mut live = 0;
    for (i, (expiry, revoked, disabled, counts)) in [
        (None, None, None, true),
        (Some(now + hour), None, None, true),
        (Some(now - Duration::from_millis(1)), None, None, false),
        (Some(now - hour), None, None, false),
        (None, Some(at(8)), None, false),
        (Some(now + hour), Some(at(8)), Some(at(7)), false),
        // It can be enabled again.
        (None, None, Some(at(7)), true),
    ]
    .into_iter()
    .enumerate()
    {
        let mut key = record(format!("key {i}").as_bytes());
        key.expires_at = expiry.map(whole);
        (key.revoked_at, key.disabled_at) = (revoked, disabled);
        keep(store, &key).await;
        live += u64::from(counts);
        assert_eq!(
            view(store, Reads::nothing().live_of("alice")).await.live,
            live,
            "{key:?}"
        );
    }
    let mut other = record(b"other");
    other.owner = "bob".into();
    keep(store, &other).await;
    assert_eq!(view(store, Reads::nothing().live_of("alice")).await.live, live);
    assert_eq!(view(store, Reads::nothing().live_of("bob")).await.live, 1);
    assert_eq!(view(store, Reads::nothing().live_of("nobody")).await.live, 0);
}

/// Stores keep milliseconds.
fn whole(time: std::time::SystemTime) -> std::time::SystemTime {
    at(crate::clock::to_unix_ms(time).unsigned_abs())
}

pub(super) async fn changes_at_the_same_time_lose_nothing<S: KeyStore>(store: &S) {
    const CHANGES: usize = 16;
    let id = insert(store, b"key").await.id;
    let changing = (0..CHANGES).map(|i| {
        let decide = Decide::new(move |view| {
            let mut changed = view.key(id).expect("the key").clone();
            changed.name.push(char::from(b'a' + i as u8));
            changed.version += 1;
            updating(&changed)
        });
        store.transact(Reads::nothing().key(id), decide)
    });
    for outcome in join_all(changing).await {
        outcome.expect("changed");
    }
    let key = got(store, id).await.expect("the key");
    let mut name: Vec<char> = key.name.chars().collect();
    name.sort_unstable();
    assert_eq!(
        name.iter().collect::<String>(),
        "abcdefghijklmnop",
        "a change was lost"
    );
    assert_eq!(key.version, 1 + CHANGES as i64);

    // Counting is serial, too: each sees the keys of those before, and stops at four.
    let minting = (0..CHANGES).map(|i| {
        let decide = Decide::new(move |view| match view.live < 4 {
            true => insertion(&owned("bob", &format!("key {i}"))),
            false => Writes::nothing(),
        });
        store.transact(Reads::nothing().live_of("bob"), decide)
    });
    for outcome in join_all(minting).await {
        outcome.expect("an answer");
    }
    assert_eq!(view(store, Reads::nothing().live_of("bob")).await.live, 4);
}

fn owned(owner: &str, key: &str) -> KeyRecord {
    let mut record = record(key.as_bytes());
    record.owner = owner.into();
    record
}

pub(super) async fn a_refused_change_changes_nothing<S: KeyStore>(store: &S) {
    let (taken, other) = (insert(store, b"taken").await, insert(store, b"other").await);
    let head = store.log_head().await.expect("an answer");

    let conflict = record(b"taken");
    let new = record(b"new");
    let mut changed = taken.clone();
    changed.name = "changed".into();
    let mut writes = Writes::nothing();
    writes.insert = vec![new.clone(), conflict.clone()];
    writes.update.push(changed.clone());
    writes.delete.push(other.id);
    writes.events = vec![
        minted_as(&new),
        minted_as(&conflict),
        event(KeyEventKind::Pruned, &other),
    ];
    let error = write(store, writes).await.expect_err("the digest is taken");
    assert_eq!(error.kind(), StoreErrorKind::Conflict);

    // There is nothing to change.
    let missing = record(b"missing");
    let mut writes = updating(&changed);
    writes.update.push(missing.clone());
    writes.insert.push(new.clone());
    writes.delete.push(other.id);
    let error = write(store, writes).await.expect_err("the key is not there");
    assert_ne!(error.kind(), StoreErrorKind::Conflict);

    for id in [new.id, missing.id] {
        assert!(got(store, id).await.is_none(), "a refused change left a key");
    }
    assert!(
        found(store, b"new").await.is_none(),
        "a refused change left a key"
    );
    assert_eq!(
        got(store, taken.id).await,
        Some(taken),
        "a refused change changed a key"
    );
    assert_eq!(
        got(store, other.id).await,
        Some(other),
        "a refused change deleted a key"
    );
    assert_eq!(
        store.log_head().await.expect("an answer"),
        head,
        "a refused change moved the log"
    );
    assert_eq!(
        store.log_after(0, 10).await.expect("an answer").len(),
        2,
        "a refused change left an event"
    );
}

fn minted_as(record: &KeyRecord) -> crate::event::KeyEvent {
    event(KeyEventKind::Minted, record)
}

pub(super) async fn a_change_without_writes_leaves_no_trace<S: KeyStore>(store: &S) {
    let key = insert(store, b"key").await;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let decide = Decide::new(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Writes::nothing()
    });
    store
        .transact(Reads::nothing().key(key.id), decide)
        .await
        .expect("an answer");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(got(store, key.id).await, Some(key));
    assert_eq!(store.log_head().await.expect("an answer").seq, 1);
}

/// A caller that goes away at any of its steps.
pub(super) async fn a_change_that_is_abandoned_happens_whole_or_not_at_all<S: KeyStore>(store: &S) {
    for polls in 0..16 {
        let mut key = insert(store, format!("key {polls}").as_bytes()).await;
        key.grants = Grants::all();
        key.allowed_ips = Some(AddressList::new(["192.0.2.7"]).expect("addresses"));
        let new = record(format!("new {polls}").as_bytes());
        let mut writes = updating(&key);
        writes.insert.push(new.clone());
        writes.events.push(minted_as(&new));
        let done = abandon(write(store, writes), polls).await;
        if let Some(outcome) = &done {
            assert!(outcome.is_ok(), "{outcome:?}");
        }
        // The next change comes through.
        insert(store, format!("next {polls}").as_bytes()).await;
        let (happened, changed, events) = at_rest(store, async || {
            let logged = store.events(&EventQuery::newest(10).key(new.id)).await;
            (
                got(store, new.id).await.is_some(),
                got(store, key.id).await.expect("the key").grants == Grants::all(),
                logged.expect("an answer").len(),
            )
        })
        .await;
        assert!(happened || done.is_none(), "what was answered is not there");
        assert_eq!(
            (changed, events),
            (happened, usize::from(happened)),
            "half a change"
        );
    }
    let (logged, head) = at_rest(store, async || {
        let logged = store.log_after(0, 1000).await.expect("an answer");
        (logged, store.log_head().await.expect("an answer"))
    })
    .await;
    let mut check = ChainCheck::new();
    for logged in logged {
        check.next(&logged).expect("an unbroken chain");
    }
    check.finish(head).expect("an unbroken chain");
}

/// What is read while the log does not go on: a change that was abandoned may yet happen, whole, after others.
async fn at_rest<S: KeyStore, T>(store: &S, read: impl AsyncFn() -> T) -> T {
    loop {
        let before = store.log_head().await.expect("an answer").seq;
        let seen = read().await;
        if store.log_head().await.expect("an answer").seq == before {
            return seen;
        }
    }
}
