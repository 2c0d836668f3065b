use std::net::IpAddr;

use super::{at, insert, insertion, join_all, record, write};
use crate::{
    event::{Actor, ChainCheck, ChainHead, KeyEvent, KeyEventKind, LoggedEvent},
    key::{KeyDigest, KeyId, KeyRecord},
    store::{EventQuery, KeyStore, Writes},
};

const KINDS: [KeyEventKind; 9] = [
    KeyEventKind::Minted,
    KeyEventKind::Imported,
    KeyEventKind::Changed,
    KeyEventKind::Disabled,
    KeyEventKind::Enabled,
    KeyEventKind::Rotated,
    KeyEventKind::Revoked,
    KeyEventKind::Pruned,
    KeyEventKind::Refused,
];

/// Checks the whole log, and gives it.
async fn verified<S: KeyStore>(store: &S) -> Vec<LoggedEvent> {
    let log = store.log_after(0, 10_000).await.expect("an answer");
    let mut check = ChainCheck::new();
    for logged in &log {
        check.next(logged).expect("an unbroken chain");
    }
    let head: ChainHead = store.log_head().await.expect("an answer");
    check.finish(head).expect("the end is where it is said to be");
    log
}

async fn append<S: KeyStore>(store: &S, events: Vec<KeyEvent>) {
    let mut writes = Writes::nothing();
    writes.events = events;
    write(store, writes).await.expect("an answer");
}

/// An event in which every field that may be there is.
fn full(kind: KeyEventKind, key: &KeyRecord, address: &str) -> KeyEvent {
    let mut actor = Actor::new("key", "O'Brien \u{1F511}");
    actor.key_id = Some(KeyId::generate().to_string());
    actor.address = Some(address.parse::<IpAddr>().expect("an address"));
    actor.request_id = Some("req-7 \"; --".into());
    let mut event = KeyEvent::new(kind, key, at(1_700_000_000_123), &actor)
        .before(key)
        .after(key);
    event.reason = Some("exceeds-maker".into());
    event
}

pub(super) async fn events_come_back_whole<S: KeyStore>(store: &S) {
    let mut key = record(b"key");
    key.name = "\u{202e} \" \\ \u{1F511} <script>".into();
    let mut events: Vec<KeyEvent> = KINDS
        .into_iter()
        .map(|kind| full(kind, &key, "192.0.2.7"))
        .collect();
    events.push(full(KeyEventKind::Minted, &key, "2001:db8::1"));
    events.push(KeyEvent::refused(None, "", at(0), &Actor::application(), ""));
    let mut empty = full(KeyEventKind::Minted, &key, "::1");
    (empty.before, empty.after) = (Some(String::new()), None);
    events.push(empty);
    append(store, events.clone()).await;
    let log = verified(store).await;
    let kept: Vec<KeyEvent> = log.iter().map(|logged| logged.event.clone()).collect();
    assert_eq!(kept, events);
    let mut newest = store.events(&EventQuery::newest(100)).await.expect("an answer");
    newest.reverse();
    assert_eq!(newest, log);
}

pub(super) async fn events_are_numbered_without_a_gap_and_the_chain_holds<S: KeyStore>(store: &S) {
    for i in 0..3_u8 {
        let key = insert(store, &[i]).await;
        append(store, vec![full(KeyEventKind::Changed, &key, "192.0.2.7"); 2]).await;
        // A refused change takes no number.
        let mut taken = record(b"taken");
        taken.digest = KeyDigest::of(&[i]);
        write(store, insertion(&taken))
            .await
            .expect_err("the digest is taken");
        append(store, Vec::new()).await;
    }
    let log = verified(store).await;
    let numbers: Vec<i64> = log.iter().map(|logged| logged.seq).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(store.log_after(4, 3).await.expect("an answer"), log[4..7]);
    assert_eq!(store.log_after(8, 3).await.expect("an answer"), log[8..]);
    assert!(store.log_after(9, 3).await.expect("an answer").is_empty());
    assert!(store.log_after(0, 0).await.expect("an answer").is_empty());
    assert_eq!(store.log_after(i64::MIN, 2).await.expect("an answer"), log[..2]);
    let head = store.log_head().await.expect("an answer");
    assert_eq!(head, ChainHead::new(9, log[8].hash));
}

pub(super) async fn events_are_listed_as_asked_for_the_newest_first<S: KeyStore>(store: &S) {
    let keys: Vec<KeyRecord> = ["alice", "alice", "bob", "Bob"]
        .into_iter()
        .enumerate()
        .map(|(i, owner)| {
            let mut key = record(&[i as u8]);
            key.owner = owner.into();
            key
        })
        .collect();
    for _ in 0..3 {
        let mut events: Vec<KeyEvent> = keys
            .iter()
            .map(|key| full(KeyEventKind::Changed, key, "192.0.2.7"))
            .collect();
        events.push(KeyEvent::refused(
            None,
            "alice",
            at(3),
            &Actor::application(),
            "too-many-keys",
        ));
        append(store, events).await;
    }
    let mut log = verified(store).await;
    log.reverse();
    let ids: Vec<Option<KeyId>> = [None, Some(KeyId::generate())]
        .into_iter()
        .chain(keys.iter().map(|key| Some(key.id)))
        .collect();
    for key_id in ids {
        for owner in [None, Some("alice"), Some("bob"), Some("nobody")] {
            for before in [None, Some(8), Some(1)] {
                let mut query = EventQuery::newest(100);
                (query.key_id, query.owner, query.before) = (key_id, owner.map(str::to_owned), before);
                let wanted: Vec<LoggedEvent> = log
                    .iter()
                    .filter(|logged| is_wanted(&query, logged))
                    .cloned()
                    .collect();
                assert_eq!(
                    store.events(&query).await.expect("an answer"),
                    wanted,
                    "{query:?}"
                );
                query.limit = 2;
                let first: Vec<LoggedEvent> = wanted.into_iter().take(2).collect();
                assert_eq!(store.events(&query).await.expect("an answer"), first, "{query:?}");
            }
        }
    }
}

fn is_wanted(query: &EventQuery, logged: &LoggedEvent) -> bool {
    query.key_id.is_none_or(|id| logged.event.key_id == Some(id))
        && query
            .owner
            .as_ref()
            .is_none_or(|owner| logged.event.owner == *owner)
        && query.before.is_none_or(|before| logged.seq < before)
}

pub(super) async fn events_of_many_at_the_same_time_form_one_chain<S: KeyStore>(store: &S) {
    let records: Vec<KeyRecord> = (0..16).map(|i: u8| record(&[i])).collect();
    let inserting = records.iter().map(|record| {
        let mut writes = insertion(record);
        writes
            .events
            .push(full(KeyEventKind::Changed, record, "192.0.2.7"));
        write(store, writes)
    });
    for outcome in join_all(inserting).await {
        outcome.expect("an answer");
    }
    let log = verified(store).await;
    assert_eq!(log.len(), 32);
    // The events of one change stand together.
    for pair in log.chunks(2) {
        assert_eq!(pair[0].event.key_id, pair[1].event.key_id);
    }
}
