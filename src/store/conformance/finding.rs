use super::{at, insert, record, updating, write};
use crate::{
    key::{KeyDigest, KeyRecord},
    store::{KeyStore, Writes},
};

/// In the order of their digests.
fn sorted(records: impl IntoIterator<Item = KeyRecord>) -> Vec<KeyRecord> {
    let mut records: Vec<KeyRecord> = records.into_iter().collect();
    records.sort_by_key(|record| *record.digest.as_bytes());
    records
}

async fn find_many<S: KeyStore>(store: &S, digests: &[KeyDigest]) -> Vec<KeyRecord> {
    let found = store.find_many(digests).await.expect("an answer");
    sorted(found.into_iter().map(|found| found.record))
}

pub(super) async fn of_many_those_are_found_that_are_there<S: KeyStore>(store: &S) {
    let absent = KeyDigest::of(b"absent");
    assert_eq!(find_many(store, &[absent]).await, []);
    let (one, _two) = (insert(store, b"one").await, insert(store, b"two").await);
    let mut revoked = insert(store, b"revoked").await;
    revoked.revoked_at = Some(at(8));
    revoked.version += 1;
    write(store, updating(&revoked)).await.expect("revoked");
    assert_eq!(find_many(store, &[]).await, [], "nobody asked for any");
    assert_eq!(find_many(store, &[absent]).await, []);
    let asked = [one.digest, absent, revoked.digest];
    assert_eq!(find_many(store, &asked).await, sorted([one, revoked]));
}

pub(super) async fn five_hundred_are_found_at_once<S: KeyStore>(store: &S) {
    let mut writes = Writes::nothing();
    for i in 0..501_u32 {
        writes.insert.push(record(&i.to_be_bytes()));
    }
    let mut keys = writes.insert.clone();
    write(store, writes).await.expect("kept");
    // One is there that nobody asks for.
    keys.pop();
    let digests: Vec<KeyDigest> = keys.iter().map(|key| key.digest).collect();
    assert_eq!(find_many(store, &digests).await, sorted(keys));
}
