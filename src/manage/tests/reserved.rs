//! A form that is sent twice makes one key, and one that is forged or forgotten makes none.

use std::time::{Duration, SystemTime};

use super::callers::{by, keys, record_of};
use crate::{
    access::Grants,
    clock::ManualClock,
    manage::{CallerKeys, Conflict, ManageErrorKind, NewKey, Policy},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn new() -> NewKey {
    NewKey::new("nobody").name("k").grants(Grants::none())
}

async fn refused(caller: &CallerKeys, reserved: &str) -> ManageErrorKind {
    let issued = caller.issue_reserved(new(), reserved).await;
    issued.expect_err("no key").kind()
}

#[tokio::test]
async fn a_reservation_is_taken_once_also_by_many_at_a_time() {
    let keys = keys(&ManualClock::new(SystemTime::now()), Policy::new());
    let alice = by(&keys, &record_of(&keys, "alice", &["keys:write"]).await);
    let reserved = alice.reserve().await.expect("a reservation");
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (alice, reserved) = (alice.clone(), reserved.clone());
            tokio::spawn(async move { alice.issue_reserved(new(), &reserved).await })
        })
        .collect();
    let mut issued = Vec::new();
    for task in tasks {
        match task.await.expect("no panic") {
            Ok(key) => issued.push(key.record),
            Err(error) => assert_eq!(error.kind(), ManageErrorKind::Conflict(Conflict::AlreadyMinted)),
        }
    }
    let [record] = &issued[..] else {
        panic!("{} keys", issued.len());
    };
    assert_eq!(
        (Some(record.id), record.owner.as_str()),
        (alice.reserved(&reserved), "alice")
    );
    // Revoked, it is still the one that was made.
    keys.revoke(record.id).await.expect("revoked");
    assert_eq!(
        refused(&alice, &reserved).await,
        ManageErrorKind::Conflict(Conflict::AlreadyMinted)
    );
}

#[tokio::test]
async fn a_reservation_is_its_owners_and_ends_after_a_day() {
    // An id is dated by the clock of its store, here far from that of its process.
    let clock = ManualClock::default();
    let keys = keys(&clock, Policy::new());
    let alice = by(&keys, &record_of(&keys, "alice", &["keys:write"]).await);
    let bob = by(&keys, &record_of(&keys, "bob", &["keys:write"]).await);
    let reserved = alice.reserve().await.expect("a reservation");
    let other = alice.reserve().await.expect("a reservation");
    let (id, seal) = reserved.split_once('.').expect("two parts");
    let turned: String = seal.chars().rev().collect();
    for forged in [
        format!("{id}."),
        format!("{id}.{turned}"),
        id.to_owned(),
        String::new(),
        ".".to_owned(),
    ] {
        assert!(
            matches!(refused(&alice, &forged).await, ManageErrorKind::Invalid(_)),
            "{forged}"
        );
    }
    assert!(matches!(
        refused(&bob, &reserved).await,
        ManageErrorKind::Invalid(_)
    ));

    clock.advance(DAY - DAY / 24);
    assert!(
        alice.issue_reserved(new(), &other).await.is_ok(),
        "nearly a day old"
    );
    clock.advance(DAY / 12);
    assert!(matches!(
        refused(&alice, &reserved).await,
        ManageErrorKind::Invalid(_)
    ));
}
