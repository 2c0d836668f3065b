//! What a caller may do is looked at again inside of the transaction, and what is refused cannot fill the log.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    ApiKeyAuth,
    access::{AddressList, Grants, Scopes},
    clock::{Clock, ManualClock},
    event::KeyEventKind,
    key::{KeyDigest, KeyRecord},
    manage::{
        Caller, CallerKeys, DEFAULT_OVERLAP, ImportOutcome, ImportedKey, KeyChange, Keys, ManageErrorKind,
        NewKey, Policy,
    },
    principal::{Identity, Principal, PrincipalKind, Realm},
    store::{EventQuery, MemoryStore},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn keys(clock: &ManualClock, policy: Policy) -> Keys {
    let store = MemoryStore::with_clock(clock.clone()).expect("a store");
    let auth = ApiKeyAuth::builder(store).clock(clock.clone()).policy(policy);
    let auth = auth.build().expect("a configuration");
    auth.keys().expect("there is a store").clone()
}

fn grants(scopes: &[&str]) -> Grants {
    Grants::scopes(scopes).expect("scopes")
}

async fn record(keys: &Keys, scopes: &[&str]) -> KeyRecord {
    record_of(keys, "alice", scopes).await
}

pub(super) async fn record_of(keys: &Keys, owner: &str, scopes: &[&str]) -> KeyRecord {
    let new = NewKey::new(owner).name("k").grants(grants(scopes));
    keys.issue(new).await.expect("a key").record
}

/// As the holder was let in.
pub(super) fn by(keys: &Keys, record: &KeyRecord) -> CallerKeys {
    let identity = Identity::from_record(record, SystemTime::UNIX_EPOCH);
    let principal = Principal::new(PrincipalKind::Key, identity, Arc::new(Realm::for_tests()));
    keys.by(Caller::new(principal))
}

async fn refusals(keys: &Keys) -> usize {
    let events = keys.events(&EventQuery::newest(1000)).await.expect("events");
    let refused = |kind: KeyEventKind| kind == KeyEventKind::Refused;
    events.iter().filter(|logged| refused(logged.event.kind)).count()
}

#[tokio::test]
async fn a_key_that_has_lost_the_scope_since_it_was_let_in_changes_nothing_but_can_still_be_given_up() {
    let keys = keys(&ManualClock::default(), Policy::new());
    let writer = record(&keys, &["keys:write", "a"]).await;
    let let_in = by(&keys, &writer);
    let narrowed = KeyChange::new().scopes(Scopes::new(["a"]).expect("scopes"));
    keys.change(writer.id, narrowed).await.expect("narrowed");

    let missing = ManageErrorKind::MissingScope("keys:write");
    let new = NewKey::new("alice").name("child").grants(grants(&["a"]));
    assert_eq!(let_in.issue(new).await.expect_err("no child").kind(), missing);
    let rotated = let_in.rotate(writer.id, DEFAULT_OVERLAP).await;
    assert_eq!(rotated.expect_err("no successor").kind(), missing);
    assert_eq!(
        let_in.revoke(writer.id).await.expect_err("not by right").kind(),
        missing
    );
    let_in.revoke_current().await.expect("by possession");
}

#[tokio::test]
async fn what_is_refused_is_written_down_so_many_times_a_second_and_refused_all_the_same() {
    let clock = ManualClock::default();
    let keys = keys(&clock, Policy::new());
    let reader = by(&keys, &record(&keys, &["keys:read"]).await);
    for (moment, expected) in [(0, 200), (1, 220)] {
        clock.advance(Duration::from_secs(moment));
        for _ in 0..300 {
            let refused = reader.may_write().await.expect_err("refused");
            assert_eq!(refused.kind(), ManageErrorKind::MissingScope("keys:write"));
        }
        assert_eq!(refusals(&keys).await, expected);
    }
    // What was done is not counted with it.
    let writer = by(&keys, &record(&keys, &["keys:write"]).await);
    let more = NewKey::new("alice").name("more").grants(grants(&["b"]));
    assert!(writer.issue(more).await.is_err());
    let same = NewKey::new("alice").name("same").grants(Grants::none());
    writer.issue(same).await.expect("a key");
    assert!(keys.verify_log().await.expect("an answer").is_ok());
}

#[tokio::test]
async fn what_one_owner_is_refused_takes_no_room_from_what_others_are() {
    let keys = keys(&ManualClock::default(), Policy::new());
    let alice = by(&keys, &record(&keys, &["keys:read"]).await);
    let bob = by(&keys, &record_of(&keys, "bob", &["keys:write"]).await);
    for _ in 0..300 {
        alice.may_write().await.expect_err("refused");
    }
    assert_eq!(refusals(&keys).await, 200);
    bob.may_read().await.expect_err("refused");
    let more = NewKey::new("bob").name("more").grants(grants(&["b"]));
    bob.issue(more).await.expect_err("refused");
    assert_eq!(refusals(&keys).await, 202);
}

/// Many owners are no more than one who is many.
#[tokio::test]
async fn what_is_refused_to_all_together_has_an_end_too() {
    let keys = keys(&ManualClock::default(), Policy::new());
    for number in 0..8 {
        let owner = by(
            &keys,
            &record_of(&keys, &format!("owner-{number}"), &["keys:read"]).await,
        );
        for _ in 0..201 {
            owner.may_write().await.expect_err("refused");
        }
    }
    let mut query = EventQuery::newest(1000);
    let mut counted = 0;
    loop {
        let events = keys.events(&query).await.expect("events");
        let Some(last) = events.last() else { break };
        query.before = Some(last.seq);
        counted += events
            .iter()
            .filter(|logged| logged.event.kind == KeyEventKind::Refused)
            .count();
    }
    assert_eq!(counted, 1000);
}

#[tokio::test]
async fn what_a_caller_imports_has_their_limits_and_is_held_to_what_a_new_key_is() {
    let clock = ManualClock::default();
    let keys = keys(&clock, Policy::new().max_lifetime(30 * DAY));
    let now = clock.now();
    let maker = NewKey::new("alice").name("maker").grants(grants(&["keys:write"]));
    let maker = maker
        .expires_at(now + 10 * DAY)
        .allowed_ips(AddressList::new(["192.0.2.0/24"]).expect("a list"))
        .rate_limit("10/1m".parse().expect("a rate"));
    let maker = keys.issue(maker).await.expect("a key").record;
    let caller = by(&keys, &maker);
    let imported = |text: &str, new: NewKey| ImportedKey::new(KeyDigest::of(text.as_bytes()), new);
    let new = || NewKey::new("mallory").name("imported");

    let outcomes = caller
        .import(vec![imported("heir", new())])
        .await
        .expect("imported");
    let ImportOutcome::Imported(id) = outcomes[0] else {
        panic!("{outcomes:?}");
    };
    let heir = keys.get(id).await.expect("an answer").expect("a key").record;
    assert_eq!(
        (&heir.owner, heir.expires_at, &heir.allowed_ips, heir.rate_limit),
        (
            &maker.owner,
            maker.expires_at,
            &maker.allowed_ips,
            maker.rate_limit
        )
    );
    let refused = async |key: ImportedKey| {
        let refused = caller.import(vec![key]).await.expect_err("refused");
        match refused.kind() {
            ManageErrorKind::Invalid(invalid) => invalid.field,
            ManageErrorKind::Exceeds(excess) => excess.field(),
            other => panic!("{other:?}"),
        }
    };
    let long_ago = now - 25 * DAY;
    for (key, field) in [
        (imported("a", new()).created_at(now + DAY), "created_at"),
        (imported("b", new().expires_at(now + 11 * DAY)), "expires_at"),
        // Thirty days from when it was made.
        (
            imported("c", new().expires_at(now + 6 * DAY)).created_at(long_ago),
            "expires_at",
        ),
        (imported("d", new()).created_at(now - 31 * DAY), "expires_at"),
        (
            imported("e", new().rate_limit("11/1m".parse().expect("a rate"))),
            "rate_limit",
        ),
        (imported("f", new().name("")), "name"),
    ] {
        assert_eq!(refused(key).await, field);
    }
    let old = imported("g", new()).created_at(long_ago);
    let outcomes = caller.import(vec![old]).await.expect("imported");
    let ImportOutcome::Imported(id) = outcomes[0] else {
        panic!("{outcomes:?}");
    };
    let old = keys.get(id).await.expect("an answer").expect("a key").record;
    assert_eq!(old.expires_at, Some(long_ago + 30 * DAY));
}

#[test]
fn the_id_of_a_request_is_written_down_when_it_is_short_and_can_be_seen() {
    let identity = Identity::new("alice");
    let principal = Principal::new(PrincipalKind::Session, identity, Arc::new(Realm::for_tests()));
    let taken = |id: &str| {
        Caller::new(principal.clone())
            .request_id(Some(id))
            .actor()
            .request_id
    };
    for good in ["7", "01HF-request_7.a:b/c", "<script>", &"x".repeat(64)] {
        assert_eq!(taken(good).as_deref(), Some(good));
    }
    for bad in [
        "",
        &"x".repeat(65),
        "two words",
        "tab\tbed",
        "line\n",
        "nul\0",
        "\u{fc}",
        "\u{202e}x",
    ] {
        assert_eq!(taken(bad), None, "{bad:?}");
    }
}

#[tokio::test]
async fn a_successor_lasts_no_longer_than_the_policy_lets_keys_last() {
    let clock = ManualClock::default();
    let keys = keys(&clock, Policy::new().max_lifetime(DAY));
    // Made by the application, which may do as it likes.
    let endless = record(&keys, &["keys:write"]).await;
    let rotated = by(&keys, &endless).rotate(endless.id, DEFAULT_OVERLAP).await;
    let successor = rotated.expect("a successor").record;
    assert_eq!(successor.expires_at, Some(successor.created_at + DAY));
}
