use std::{cmp::Reverse, time::Duration};

use super::{at, keep, now, record};
use crate::{
    key::{KeyDigest, KeyId, KeyRecord, KeyStatus},
    store::{ExpiryQuery, KeyQuery, KeyStore},
};

const OWNERS: [&str; 2] = ["alice", "bob"];

/// Keys of two owners in every status, made in no order; the time of the store is then certain to be on one side of each expiry.
async fn shelf<S: KeyStore>(store: &S) -> Vec<KeyRecord> {
    let now = now(store).await;
    let soon = |ms: u64| at(crate::clock::to_unix_ms(now).unsigned_abs() + ms);
    let (over, hour) = (at(1_000), soon(60 * 60 * 1000));
    let mut keys = Vec::new();
    for round in 0..2_u8 {
        for (i, (expiry, revoked, disabled)) in [
            (None, None, None),
            (Some(hour), None, None),
            (Some(over), None, None),
            (None, None, Some(at(7))),
            (Some(over), None, Some(at(7))),
            (None, Some(at(8)), None),
            (Some(over), Some(at(8)), Some(at(7))),
            (Some(hour), Some(at(8)), None),
        ]
        .into_iter()
        .enumerate()
        {
            for (j, owner) in OWNERS.into_iter().enumerate() {
                let number = ((i * 37 + j * 11 + usize::from(round) * 101) % 251) as u8;
                let mut bytes = [0x5c; 16];
                // Ids that begin with 0, 1 and 2.
                (bytes[0], bytes[1]) = ((number % 3) << 4 | 1, number);
                let digest = KeyDigest::of(&[round, i as u8, j as u8]);
                let mut key = KeyRecord::new(KeyId::from_bytes(bytes), digest, owner, at(u64::from(number)));
                (key.expires_at, key.revoked_at, key.disabled_at) = (expiry, revoked, disabled);
                keep(store, &key).await;
                keys.push(key);
            }
        }
    }
    keys.sort_unstable_by_key(|key| Reverse(key.id));
    keys
}

pub(super) async fn lists_hold_what_was_asked_for_the_newest_first<S: KeyStore>(store: &S) {
    let keys = shelf(store).await;
    let statuses = [
        KeyStatus::Active,
        KeyStatus::Expired,
        KeyStatus::Disabled,
        KeyStatus::Revoked,
    ];
    for owner in [None, Some("alice"), Some("bob"), Some("nobody")] {
        for status in [None].into_iter().chain(statuses.map(Some)) {
            for prefix in [None, Some(""), Some("1"), Some("01"), Some("3")] {
                let mut query = KeyQuery::newest(100);
                query.owner = owner.map(str::to_owned);
                query.status = status;
                query.id_prefix = prefix.map(str::to_owned);
                let page = store.list(&query).await.expect("an answer");
                let wanted = keys.iter().filter(|key| query.matches(key, page.now));
                let wanted: Vec<KeyRecord> = wanted.cloned().collect();
                assert_eq!(page.keys, wanted, "{query:?}");
                assert_eq!(paged(store, query, 3).await, wanted);
            }
        }
    }
    let everybody = KeyQuery::newest(0);
    assert!(store.list(&everybody).await.expect("an answer").keys.is_empty());
    // Every status is there, or nothing was tested.
    let now = now(store).await;
    for status in statuses {
        let some = keys.iter().filter(|key| key.status(now) == status).count();
        assert!(some >= 4, "{status:?}");
    }
    // A cursor that is no key, and one beyond the last.
    let between = KeyId::from_bytes([0x11; 16]);
    let older = store
        .list(&KeyQuery::newest(100).before(between))
        .await
        .expect("an answer");
    let wanted: Vec<KeyRecord> = keys.iter().filter(|key| key.id < between).cloned().collect();
    assert!(!wanted.is_empty() && wanted.len() < keys.len());
    assert_eq!(older.keys, wanted);
    let end = store
        .list(&KeyQuery::newest(100).before(KeyId::from_bytes([0; 16])))
        .await;
    assert!(end.expect("an answer").keys.is_empty());
}

async fn paged<S: KeyStore>(store: &S, mut query: KeyQuery, limit: u32) -> Vec<KeyRecord> {
    query.limit = limit;
    let mut keys: Vec<KeyRecord> = Vec::new();
    loop {
        let page = store.list(&query).await.expect("an answer").keys;
        assert!(page.len() <= limit as usize, "more than was asked for");
        let Some(last) = page.last() else {
            return keys;
        };
        assert!(
            query.before.is_none_or(|before| last.id < before),
            "a page that does not go on"
        );
        query.before = Some(last.id);
        keys.extend(page);
    }
}

pub(super) async fn owners_and_prefixes_are_compared_letter_by_letter<S: KeyStore>(store: &S) {
    let owners = [
        "alice",
        "Alice",
        "alice ",
        "al%",
        "al_ce",
        "\u{e4}lice",
        "a\u{308}lice",
        "",
    ];
    let mut keys = Vec::new();
    for owner in owners {
        let mut key = record(owner.as_bytes());
        key.owner = owner.into();
        keep(store, &key).await;
        keys.push(key);
    }
    for key in &keys {
        let page = store
            .list(&KeyQuery::newest(10).owner(key.owner.as_str()))
            .await
            .expect("an answer");
        assert_eq!(page.keys, std::slice::from_ref(key));
    }
    for prefix in ["%", "_", "0_", "~", "\u{e4}", "0\u{10ffff}", "Z", " "] {
        let page = store
            .list(&KeyQuery::newest(10).id_prefix(prefix))
            .await
            .expect("an answer");
        assert!(page.keys.is_empty(), "{prefix:?}");
    }
    let last = &keys[keys.len() - 1];
    let id = last.id.to_string();
    let whole = store
        .list(&KeyQuery::newest(10).id_prefix(id.as_str()))
        .await
        .expect("an answer");
    assert_eq!(whole.keys, std::slice::from_ref(last));
    let longer = store
        .list(&KeyQuery::newest(10).id_prefix(format!("{id}0")))
        .await
        .expect("an answer");
    assert!(longer.keys.is_empty());
    let upper = id.to_uppercase();
    if upper != id {
        let upper = store
            .list(&KeyQuery::newest(10).id_prefix(upper))
            .await
            .expect("an answer");
        assert!(upper.keys.is_empty(), "an id has one spelling");
    }
}

/// Where the store says so at all.
pub(super) async fn what_ends_soon_is_found_the_soonest_first<S: KeyStore>(store: &S) {
    let (from, until) = (at(1_000_000), at(2_000_000));
    let all = ExpiryQuery::between(from, until, 10);
    if store.expiring(&all).await.expect("an answer").is_none() {
        return;
    }
    let mut wanted = Vec::new();
    // Several at one moment, which no page may cut off.
    for (i, ms) in [
        1_500_000, 1_000_001, 1_500_000, 2_000_000, 1_500_000, 1_000_000, 2_000_001, 5,
    ]
    .into_iter()
    .enumerate()
    {
        let mut key = record(&[i as u8]);
        (key.created_at, key.expires_at) = (at(0), Some(at(ms)));
        keep(store, &key).await;
        if (1_000_001..=2_000_000).contains(&ms) {
            wanted.push((ms, key.id));
        }
    }
    wanted.sort_unstable();
    let wanted: Vec<KeyId> = wanted.into_iter().map(|(_, id)| id).collect();
    // None of whose ends is one that anybody need hear of.
    for i in 100..103 {
        let mut key = record(&[i]);
        (key.created_at, key.expires_at) = (at(0), Some(at(1_600_000)));
        match i {
            100 => key.revoked_at = Some(at(1)),
            101 => key.disabled_at = Some(at(1)),
            _ => key.rotated_to = Some(KeyId::generate()),
        }
        keep(store, &key).await;
    }
    keep(store, &record(b"endless")).await;
    let ids = async |query: &ExpiryQuery| -> Vec<KeyId> {
        let page = store.expiring(query).await.expect("an answer").expect("a page");
        page.keys.iter().map(|key| key.id).collect()
    };
    assert_eq!(ids(&all).await, wanted);
    for limit in 1..4 {
        let (mut found, mut query) = (Vec::new(), ExpiryQuery::between(from, until, limit));
        loop {
            let page = store.expiring(&query).await.expect("an answer").expect("a page");
            let Some(last) = page.keys.last() else { break };
            query.after = (last.expires_at.expect("an end"), Some(last.id));
            found.extend(page.keys.iter().map(|key| key.id));
        }
        assert_eq!(found, wanted, "{limit} at a time");
    }
    // Made at the beginning of time: they last as long as the dates of their ends say.
    let lasting = ExpiryQuery::between(from, until, 10).made_for(Duration::from_millis(1_500_000));
    assert_eq!(ids(&lasting).await, wanted[4..]);
}

pub(super) async fn what_expired_before_a_moment_is_found_the_longest_expired_first<S: KeyStore>(store: &S) {
    let moment = at(1_000_000);
    let mut wanted = Vec::new();
    for (i, ms) in [999_999, 5, 1_000_000, 70_000, 1_000_001, 300]
        .into_iter()
        .enumerate()
    {
        let mut key = record(&[i as u8]);
        key.expires_at = Some(at(ms));
        // Revoked and disabled keys end as others do.
        key.revoked_at = (i == 1).then(|| at(1));
        key.disabled_at = (i == 3).then(|| at(1));
        keep(store, &key).await;
        if ms < 1_000_000 {
            wanted.push((ms, key.id));
        }
    }
    let mut endless = record(b"endless");
    endless.revoked_at = Some(at(1));
    keep(store, &endless).await;
    // Its row keeps it from being imported again.
    let mut imported = record(b"imported");
    (imported.imported, imported.expires_at) = (true, Some(at(7)));
    keep(store, &imported).await;
    wanted.sort_unstable();
    let wanted: Vec<KeyId> = wanted.into_iter().map(|(_, id)| id).collect();
    assert_eq!(store.expired_before(moment, 10).await.expect("an answer"), wanted);
    assert_eq!(
        store.expired_before(moment, 2).await.expect("an answer"),
        wanted[..2]
    );
    let long_after = moment + Duration::from_secs(10_000_000_000);
    assert_eq!(
        store
            .expired_before(long_after, 10)
            .await
            .expect("an answer")
            .len(),
        6
    );
}
