//! How long a key is good for counts by the clock of the store, whatever time it is elsewhere.

use std::time::{Duration, SystemTime};

use super::callers::{by, keys, record_of};
use crate::{
    clock::{Clock, ManualClock},
    key::KeyDigest,
    manage::{ImportOutcome, ImportedKey, ManageErrorKind, NewKey, Policy},
};

const HOUR: Duration = Duration::from_secs(60 * 60);

fn new() -> NewKey {
    NewKey::new("alice").name("k")
}

#[tokio::test]
async fn a_lifetime_counts_from_when_the_store_keeps_the_key() {
    // In 2001.
    let clock = ManualClock::default();
    let keys = keys(&clock, Policy::new().max_lifetime(2 * HOUR));
    let asked = new().expires_at(SystemTime::now()).expires_in(HOUR);
    clock.advance(HOUR);
    let key = keys.issue(asked.clone()).await.expect("a key").record;
    assert_eq!(key.created_at, clock.now());
    assert_eq!(key.expires_at, Some(clock.now() + HOUR));
    // What was said last holds.
    let moment = clock.now() + 3 * HOUR;
    let key = keys.issue(asked.clone().expires_at(moment)).await.expect("a key");
    assert_eq!(key.record.expires_at, Some(moment));

    let alice = by(&keys, &record_of(&keys, "alice", &["keys:write"]).await);
    let invalid = async |new: NewKey| match alice.issue(new).await.expect_err("no key").kind() {
        ManageErrorKind::Invalid(invalid) => invalid.field,
        other => panic!("{other:?}"),
    };
    assert!(alice.issue(new().expires_in(2 * HOUR)).await.is_ok());
    for lifetime in [
        Duration::ZERO,
        2 * HOUR + Duration::from_millis(1),
        Duration::from_secs(i64::MAX as u64),
        Duration::MAX,
    ] {
        assert_eq!(
            invalid(new().expires_in(lifetime)).await,
            "expires_at",
            "{lifetime:?}"
        );
    }
    let too_far = keys.issue(new().expires_in(Duration::MAX)).await;
    assert!(matches!(
        too_far.expect_err("no key").kind(),
        ManageErrorKind::Invalid(_)
    ));
}

#[tokio::test]
async fn of_an_imported_key_it_counts_from_the_import() {
    let clock = ManualClock::default();
    let keys = keys(&clock, Policy::new());
    let made = clock.now() - 10 * HOUR;
    let imported = ImportedKey::new(KeyDigest::of(b"theirs"), new().expires_in(HOUR)).created_at(made);
    let outcomes = keys.import(vec![imported]).await.expect("imported");
    let [ImportOutcome::Imported(id)] = outcomes[..] else {
        panic!("{outcomes:?}")
    };
    let key = keys.get(id).await.expect("read").expect("a key").record;
    assert_eq!((key.created_at, key.expires_at), (made, Some(clock.now() + HOUR)));
}
