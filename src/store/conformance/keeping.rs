use super::{at, event, found, got, insert, insertion, join_all, keep, record, write};
use crate::{
    access::{AddressList, Grants, Resources, Scopes},
    event::KeyEventKind,
    key::{KeyDigest, KeyFormat, KeyId, KeyRecord},
    store::{EventQuery, KeyQuery, KeyStore, StoreErrorKind, Writes},
};

pub(super) async fn a_new_store_is_empty_and_answers<S: KeyStore>(store: &S) {
    store.ping().await.expect("a new store answers");
    assert!(store.is_empty().await.expect("an answer"), "a new store is empty");
    assert!(!store.has_imported().await.expect("an answer"));
    assert!(found(store, b"nothing").await.is_none());
    assert!(got(store, KeyId::generate()).await.is_none());
    let keys = store.list(&KeyQuery::newest(10)).await.expect("an answer");
    assert!(keys.keys.is_empty());
    let events = store.events(&EventQuery::newest(10)).await;
    assert!(events.expect("an answer").is_empty());
    assert!(store.log_after(0, 10).await.expect("an answer").is_empty());
    let head = store.log_head().await.expect("an answer");
    assert_eq!(
        (head.seq, head.hash),
        (0, [0; 32]),
        "the end of a log that is empty"
    );
    let expired = store.expired_before(at(4_102_444_800_000), 10).await;
    assert!(expired.expect("an answer").is_empty());
}

pub(super) async fn what_is_kept_comes_back_whole<S: KeyStore>(store: &S) {
    let mut plain = record(b"plain");
    plain.name = "O'Brien \u{1F511} \"; DROP TABLE api_keys; --".into();
    let mut all = record(b"all");
    all.grants = Grants::all();
    let mut bound_to_nothing = record(b"bound to nothing");
    bound_to_nothing.grants = Grants::new(Scopes::none(), Resources::only([""; 0]).expect("resources"));
    let mut revoked = record(b"revoked");
    revoked.revoked_at = Some(at(8));
    for kept in [plain, all, bound_to_nothing, revoked, full(b"full")] {
        assert!(!store.has_imported().await.expect("an answer"));
        keep(store, &kept).await;
        assert_eq!(
            store
                .find(&kept.digest)
                .await
                .expect("an answer")
                .map(|found| found.record),
            Some(kept.clone())
        );
        assert_eq!(got(store, kept.id).await, Some(kept.clone()));
        let listed = KeyQuery::newest(1).id_prefix(kept.id.to_string());
        assert_eq!(store.list(&listed).await.expect("an answer").keys, [kept]);
    }
    assert!(!store.is_empty().await.expect("an answer"));
    assert!(store.has_imported().await.expect("an answer"), "the last one was");
    assert!(found(store, b"something else").await.is_none());
}

/// A record in which no field is as it is in a new one.
pub(super) fn full(key: &[u8]) -> KeyRecord {
    let mut full = record(key);
    full.prefix = "ak_abcd".into();
    full.name = "deploy".into();
    full.grants = Grants::new(
        Scopes::new(["issues:*", "agents:run"]).expect("scopes"),
        Resources::only(["agent:alpha", "topic:*"]).expect("resources"),
    );
    full.allowed_ips =
        Some(AddressList::new(["192.0.2.7", "198.51.100.0/24", "2001:db8::/32"]).expect("addresses"));
    full.rate_limit = Some("100/1m".parse().expect("a rate"));
    full.expires_at = Some(at(4_102_444_800_123));
    full.disabled_at = Some(at(7));
    full.last_used_at = Some(at(1_700_000_000_999));
    full.rotated_from = Some(KeyId::generate());
    full.rotated_to = Some(KeyId::generate());
    full.imported = true;
    full.version = 3;
    full
}

pub(super) async fn ids_and_digests_are_unique<S: KeyStore>(store: &S) {
    let first = insert(store, b"first").await;
    let mut same_digest = record(b"first");
    same_digest.owner = "mallory".into();
    let mut same_id = record(b"second");
    same_id.id = first.id;
    same_id.owner = "mallory".into();
    let mut twice = insertion(&record(b"third"));
    twice.insert.push(record(b"third"));
    for (writes, what) in [
        (insertion(&same_digest), "a digest that is taken"),
        (insertion(&same_id), "an id that is taken"),
        (twice, "a digest that comes twice"),
    ] {
        let error = write(store, writes).await.expect_err(what);
        assert_eq!(error.kind(), StoreErrorKind::Conflict, "{what}");
    }
    assert_eq!(got(store, first.id).await, Some(first));
    for key in [&b"second"[..], b"third"] {
        assert!(found(store, key).await.is_none(), "a refused insert left a key");
    }
    let head = store.log_head().await.expect("an answer");
    assert_eq!(head.seq, 1, "a refused insert left an event");
}

pub(super) async fn only_one_of_many_inserts_wins<S: KeyStore>(store: &S) {
    let records: Vec<KeyRecord> = (0..8).map(|_| record(b"contended")).collect();
    let inserting = records.iter().map(|record| write(store, insertion(record)));
    let mut won = 0;
    for outcome in join_all(inserting).await {
        match outcome {
            Ok(()) => won += 1,
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Conflict),
        }
    }
    assert_eq!(won, 1);
    let kept = found(store, b"contended").await.expect("the winner is kept");
    assert!(records.contains(&kept));
    assert_eq!(store.log_head().await.expect("an answer").seq, 1);
}

pub(super) async fn what_is_deleted_is_gone_and_its_events_stay<S: KeyStore>(store: &S) {
    let (gone, other) = (insert(store, b"gone").await, insert(store, b"other").await);
    let mut writes = Writes::nothing();
    writes.delete.push(gone.id);
    writes.events.push(event(KeyEventKind::Pruned, &gone));
    write(store, writes).await.expect("deleted");
    assert!(found(store, b"gone").await.is_none());
    assert!(got(store, gone.id).await.is_none());
    assert_eq!(
        got(store, other.id).await,
        Some(other.clone()),
        "another key went, too"
    );
    let listed = store.list(&KeyQuery::newest(10)).await.expect("an answer");
    assert_eq!(listed.keys, [other]);
    let events = store.events(&EventQuery::newest(10).key(gone.id)).await;
    assert_eq!(events.expect("an answer").len(), 2);
    // Its digest is free again.
    let back = insert(store, b"gone").await;
    assert_eq!(
        store
            .find(&KeyDigest::of(b"gone"))
            .await
            .expect("an answer")
            .map(|found| found.record),
        Some(back)
    );
}

pub(super) async fn the_check_key_stays<S: KeyStore>(store: &S) {
    let format = || KeyFormat::new("ak", &store.check_key()).expect("a prefix");
    let key = format().generate().expect("random numbers");
    assert_eq!(
        format().check(key.expose().as_bytes()),
        Ok(()),
        "the check key changed"
    );
}
