//! Whoever changes the log by SQL is found, at the very row.

use tower_api_key::{
    event::{Break, ChainHead},
    key::KeyDigest,
    manage::{ImportedKey, Keys, NewKey, Policy},
};

use crate::{on_both, place::Place};

on_both! {
    a_row_that_was_deleted_is_found,
    a_row_that_was_edited_is_found_whatever_was_edited,
    rows_that_were_swapped_are_found,
    a_row_that_was_added_is_found_wherever_it_is,
    a_log_of_several_pages_is_read_to_its_end,
}

/// How many events there are.
const LAST: i64 = 7;

/// A log, and a copy of it to go back to.
async fn logged(place: &Place) -> Keys {
    let auth = place.process(Policy::new()).await;
    let keys = auth.keys().expect("a store").clone();
    for _ in 0..3 {
        let issued = keys.issue(NewKey::new("alice")).await.expect("a key");
        keys.revoke(issued.record.id).await.expect("revoked");
    }
    keys.issue(NewKey::new("bob")).await.expect("a key");
    place.sql("CREATE TABLE kept AS SELECT * FROM api_key_events; CREATE TABLE kept_end AS SELECT * FROM api_key_log").await;
    assert_eq!(verified(&keys).await.expect("a whole log").seq, LAST);
    keys
}

async fn verified(keys: &Keys) -> Result<ChainHead, Break> {
    keys.verify_log().await.expect("an answer")
}

async fn restore(place: &Place, keys: &Keys) {
    place
        .sql(
            "DELETE FROM api_key_events; INSERT INTO api_key_events SELECT * FROM kept; \
             DELETE FROM api_key_log; INSERT INTO api_key_log SELECT * FROM kept_end",
        )
        .await;
    assert_eq!(verified(keys).await.expect("a whole log").seq, LAST);
}

/// Where the log is broken after this, and whether something is missing there.
async fn broken_by(place: &Place, keys: &Keys, statements: &str) -> (i64, bool) {
    place.sql(statements).await;
    let broken = verified(keys).await.expect_err(statements);
    restore(place, keys).await;
    (broken.seq(), broken.is_missing())
}

async fn a_row_that_was_deleted_is_found(place: Place) {
    let keys = logged(&place).await;
    for seq in 1..=LAST {
        let statement = format!("DELETE FROM api_key_events WHERE seq = {seq}");
        assert_eq!(broken_by(&place, &keys, &statement).await, (seq, true));
        // And all from there on.
        let statement = format!("DELETE FROM api_key_events WHERE seq >= {seq}");
        assert_eq!(broken_by(&place, &keys, &statement).await, (seq, true));
        // With the numbers closed up.
        if seq < LAST {
            let shift = format!(
                "DELETE FROM api_key_events WHERE seq = {seq}; \
                 UPDATE api_key_events SET seq = seq + 999 WHERE seq > {seq}; \
                 UPDATE api_key_events SET seq = seq - 1000 WHERE seq > {seq}"
            );
            assert_eq!(broken_by(&place, &keys, &shift).await, (seq, false));
        }
    }
}

async fn a_row_that_was_edited_is_found_whatever_was_edited(place: Place) {
    let keys = logged(&place).await;
    let other_hash = match &place {
        Place::Sqlite(_) => "zeroblob(32)",
        Place::Postgres(_) => "decode(repeat('00', 32), 'hex')",
    };
    let hash = format!("hash = {other_hash}");
    for seq in [1, 4, LAST] {
        for assignment in [
            "kind = 'changed'",
            "key_id = NULL",
            "key_id = '00000000-0000-0000-0000-000000000000'",
            "owner = 'mallory'",
            "at = at + 1",
            "actor_kind = 'key'",
            "actor_owner = 'mallory'",
            "actor_key_id = 'x'",
            "address = '192.0.2.7'",
            "request_id = ''",
            "before = ''",
            "after = 'x'",
            "reason = ''",
            &hash,
            // What cannot even be read.
            "kind = 'eaten'",
            "key_id = 'nonsense'",
            "address = 'nowhere'",
            "at = -1",
        ] {
            let statement = format!("UPDATE api_key_events SET {assignment} WHERE seq = {seq}");
            assert_eq!(
                broken_by(&place, &keys, &statement).await,
                (seq, false),
                "{statement}"
            );
        }
    }
    // The end that is written down beside it.
    let end = format!("UPDATE api_key_log SET hash = {other_hash}");
    assert_eq!(broken_by(&place, &keys, &end).await, (LAST + 1, false));
    let end = "UPDATE api_key_log SET seq = seq - 1";
    assert_eq!(broken_by(&place, &keys, end).await.0, LAST);
    let end = "UPDATE api_key_log SET seq = seq + 1";
    assert_eq!(broken_by(&place, &keys, end).await, (LAST + 1, true));
}

async fn rows_that_were_swapped_are_found(place: Place) {
    let keys = logged(&place).await;
    for (one, other) in [(1, 2), (2, 6), (LAST - 1, LAST)] {
        let swap = format!(
            "UPDATE api_key_events SET seq = -5 WHERE seq = {one}; \
             UPDATE api_key_events SET seq = {one} WHERE seq = {other}; \
             UPDATE api_key_events SET seq = {other} WHERE seq = -5"
        );
        assert_eq!(broken_by(&place, &keys, &swap).await, (one, false));
    }
}

async fn a_row_that_was_added_is_found_wherever_it_is(place: Place) {
    const COLUMNS: &str = "hash, kind, key_id, owner, at, actor_kind, actor_owner, actor_key_id, address, request_id, before, after, reason";
    let keys = logged(&place).await;
    let copy = |seq: i64| {
        format!(
            "INSERT INTO api_key_events (seq, {COLUMNS}) SELECT {seq}, {COLUMNS} FROM api_key_events WHERE seq = 2"
        )
    };
    assert_eq!(broken_by(&place, &keys, &copy(LAST + 1)).await, (LAST + 1, false));
    assert_eq!(broken_by(&place, &keys, &copy(LAST + 9)).await, (LAST + 9, false));
    for before_the_first in [0, -1, -1_000_000] {
        assert_eq!(
            broken_by(&place, &keys, &copy(before_the_first)).await,
            (before_the_first, false)
        );
    }
    // Put in between, with all others moved on.
    let insert = format!(
        "UPDATE api_key_events SET seq = seq + 1000 WHERE seq >= 3; \
         UPDATE api_key_events SET seq = seq - 999 WHERE seq > 1000; {}",
        copy(3)
    );
    assert_eq!(broken_by(&place, &keys, &insert).await, (3, false));
}

async fn a_log_of_several_pages_is_read_to_its_end(place: Place) {
    let auth = place.process(Policy::new()).await;
    let keys = auth.keys().expect("a store");
    let imported = |i: u32| ImportedKey::new(KeyDigest::of(&i.to_be_bytes()), NewKey::new("alice"));
    keys.import((0..2100).map(imported).collect())
        .await
        .expect("imported");
    assert_eq!(verified(keys).await.expect("a whole log").seq, 2100);
    for (statement, expected) in [
        (
            "UPDATE api_key_events SET kind = 'eaten' WHERE seq = 2099",
            (2099, false),
        ),
        (
            "UPDATE api_key_events SET owner = 'mallory' WHERE seq = 2001",
            (2001, false),
        ),
        ("DELETE FROM api_key_events WHERE seq = 1001", (1001, true)),
        (
            "UPDATE api_key_events SET at = at + 1 WHERE seq = 1000",
            (1000, false),
        ),
    ] {
        place.sql(statement).await;
        let broken = verified(keys).await.expect_err(statement);
        assert_eq!((broken.seq(), broken.is_missing()), expected, "{statement}");
    }
}
