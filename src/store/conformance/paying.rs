//! A store may keep no credits: then it says so, and none of this is asked of it.

use std::time::{Duration, SystemTime};

use super::{found, got, insertion, join_all, now, record, updating, view, write};
use crate::{
    access::Credits,
    key::{CreditAccount, KeyId, KeyRecord},
    store::{Balance, Filling, KeyQuery, KeyStore, Reads, Spent, StoreErrorKind, Writes},
};

const HOUR: Duration = Duration::from_secs(60 * 60);

async fn keeps_none<S: KeyStore>(store: &S) -> bool {
    store.credits(&[]).await.is_err()
}

fn credits(text: &str) -> Credits {
    text.parse().expect("credits")
}

/// A key with an account of its own, and so many uses left in it since a moment.
async fn sell<S: KeyStore>(store: &S, key: &[u8], limit: &str, left: u32, at: SystemTime) -> KeyRecord {
    let mut record = record(key);
    let account = CreditAccount::new(record.id, credits(limit));
    record.credits = Some(account);
    let mut writes = insertion(&record);
    writes.fill.push(Filling::full(account, at).left(left));
    write(store, writes).await.expect("sold");
    record
}

/// A full one that is never filled again.
async fn sell_once<S: KeyStore>(store: &S, key: &[u8], uses: u32) -> KeyRecord {
    let at = now(store).await;
    sell(store, key, &uses.to_string(), uses, at).await
}

async fn spend<S: KeyStore>(store: &S, key: &KeyRecord, cost: u32) -> Spent {
    let account = key.credits.expect("an account");
    store.spend(account.id, cost).await.expect("an answer")
}

async fn balance<S: KeyStore>(store: &S, account: KeyId) -> Option<Balance> {
    let balances = store.credits(&[account]).await.expect("an answer");
    assert!(balances.len() <= 1, "more than was asked for");
    balances.first().copied()
}

async fn left<S: KeyStore>(store: &S, key: &KeyRecord) -> u32 {
    let account = key.credits.expect("an account");
    balance(store, account.id).await.expect("the account").left
}

pub(super) async fn a_key_comes_back_with_its_account<S: KeyStore>(store: &S) {
    if keeps_none(store).await {
        return;
    }
    let other = sell_once(store, b"other", 7).await;
    let key = sell(store, b"key", "1000/30d", 17, now(store).await).await;
    let mut heir = record(b"heir");
    heir.credits = key.credits;
    write(store, insertion(&heir)).await.expect("kept");
    for kept in [&key, &heir] {
        assert_eq!(got(store, kept.id).await.as_ref(), Some(kept));
        let found = store.find(&kept.digest).await.expect("an answer");
        assert_eq!(found.map(|found| found.record).as_ref(), Some(kept));
        let read = view(store, Reads::nothing().key(kept.id)).await;
        assert_eq!(read.keys.as_slice(), std::slice::from_ref(kept));
    }
    for query in [KeyQuery::newest(9), KeyQuery::newest(9).owner("alice")] {
        let active = query.clone().status(crate::key::KeyStatus::Active);
        for query in [query, active] {
            let listed = store.list(&query).await.expect("an answer").keys;
            let accounts: Vec<_> = listed.iter().map(|key| key.credits).collect();
            assert_eq!(accounts, [key.credits, key.credits, other.credits], "{query:?}");
        }
    }
    let mut many = store
        .find_many(&[key.digest, heir.digest])
        .await
        .expect("an answer");
    many.retain(|found| found.record.credits == key.credits);
    assert_eq!(many.len(), 2);

    // What an account is made anew, it is for all of its keys.
    let account = CreditAccount::new(key.id, credits("5"));
    let mut writes = updating(&KeyRecord {
        credits: Some(account),
        ..heir.clone()
    });
    writes.fill.push(Filling::full(account, now(store).await));
    write(store, writes).await.expect("filled");
    for id in [key.id, heir.id] {
        assert_eq!(got(store, id).await.expect("a key").credits, Some(account));
    }
    let expected = Balance::new(account, 5, None);
    assert_eq!(balance(store, key.id).await, Some(expected));
    assert_eq!(left(store, &other).await, 7, "another account was filled");
    // A key that had none.
    let plain = record(b"plain");
    write(store, insertion(&plain)).await.expect("kept");
    let account = CreditAccount::new(plain.id, credits("3/1h"));
    let sold = KeyRecord {
        credits: Some(account),
        ..plain
    };
    let mut writes = updating(&sold);
    writes.fill.push(Filling::full(account, now(store).await));
    write(store, writes).await.expect("sold");
    assert_eq!(found(store, b"plain").await, Some(sold));
}

pub(super) async fn of_many_at_the_same_time_as_many_are_paid_for_as_there_are_uses<S: KeyStore>(store: &S) {
    if keeps_none(store).await {
        return;
    }
    let key = sell_once(store, b"key", 50).await;
    let other = sell_once(store, b"other", 50).await;
    let spent = join_all((0..64).map(|_| spend(store, &key, 1))).await;
    let mut counted: Vec<u32> = spent
        .iter()
        .filter(|spent| spent.enough)
        .map(|spent| spent.balance.left)
        .collect();
    counted.sort_unstable();
    assert_eq!(counted, (0..50).collect::<Vec<u32>>(), "each its own");
    assert_eq!((left(store, &key).await, left(store, &other).await), (0, 50));
}

pub(super) async fn what_is_refused_takes_nothing<S: KeyStore>(store: &S) {
    if keeps_none(store).await {
        return;
    }
    let key = sell_once(store, b"key", 3).await;
    for (cost, enough, left) in [
        (4, false, 3),
        (u32::MAX, false, 3),
        (0, true, 3),
        (2, true, 1),
        (2, false, 1),
        (1, true, 0),
        (1, false, 0),
        (0, true, 0),
    ] {
        let spent = spend(store, &key, cost).await;
        let told = (spent.enough, spent.balance.left);
        assert_eq!(told, (enough, left), "{cost} of it");
        assert_eq!(self::left(store, &key).await, left);
        assert_eq!(Some(spent.balance.account), key.credits);
        assert_eq!(spent.balance.refill_in, None);
    }
    let all = sell_once(store, b"all", u32::MAX).await;
    assert!(spend(store, &all, u32::MAX).await.enough);
    assert!(!spend(store, &all, 1).await.enough);
}

pub(super) async fn an_account_is_filled_when_its_period_ends<S: KeyStore>(store: &S) {
    if keeps_none(store).await {
        return;
    }
    let now = now(store).await;
    let within = |spent: Spent, from: u32, to: u32| {
        let wait = spent.balance.refill_in.expect("it is filled some day");
        assert!(wait > from * HOUR / 60 && wait <= to * HOUR / 60, "{wait:?}");
    };
    // One that is under way.
    let early = sell(store, b"early", "3/1h", 1, now - HOUR / 2).await;
    let spent = spend(store, &early, 2).await;
    assert!(!spent.enough, "filled too early");
    within(spent, 10, 30);
    // One and a half that have ended, or two and a half: what was left over is not added, and they count from the making.
    for (key, ago, from, to) in [
        (&b"late"[..], HOUR * 3 / 2, 10, 30),
        (b"later", HOUR * 29 / 10, 1, 6),
        (b"just now", HOUR, 40, 60),
    ] {
        let late = sell(store, key, "3/1h", 2, now - ago).await;
        assert_eq!(left(store, &late).await, 3);
        let spent = spend(store, &late, 2).await;
        assert_eq!((spent.enough, spent.balance.left), (true, 1));
        within(spent, from, to);
        // Once.
        let spent = spend(store, &late, 2).await;
        assert_eq!((spent.enough, spent.balance.left), (false, 1));
        within(spent, from, to);
    }
    // One that was made at a time to come, or the clock has gone back.
    let ahead = sell(store, b"ahead", "3/1h", 1, now + 3 * HOUR).await;
    assert!(!spend(store, &ahead, 2).await.enough);
    // One without a period.
    let once = sell(store, b"once", "3", 1, now - 1000 * HOUR).await;
    assert!(!spend(store, &once, 2).await.enough);
}

pub(super) async fn uses_are_put_back_up_to_the_limit<S: KeyStore>(store: &S) {
    if keeps_none(store).await {
        return;
    }
    let (key, other) = (
        sell_once(store, b"key", 5).await,
        sell_once(store, b"other", 5).await,
    );
    spend(store, &key, 4).await;
    spend(store, &other, 4).await;
    for (back, left) in [(1, 2), (0, 2), (2, 4), (2, 5), (u32::MAX, 5)] {
        store.give_back(key.id, back).await.expect("put back");
        assert_eq!(self::left(store, &key).await, left, "{back} put back");
    }
    assert_eq!(self::left(store, &other).await, 1, "put into another account");
    let gone = store.give_back(KeyId::generate(), 1).await;
    gone.expect("an account that is gone is left alone");
    // What is put back can be spent, at the same time, too.
    let many = sell_once(store, b"many", 100).await;
    spend(store, &many, 100).await;
    let moving = (0..16).map(|_| async {
        store.give_back(many.id, 1).await.expect("put back");
        spend(store, &many, 1).await.enough
    });
    assert!(join_all(moving).await.into_iter().all(|enough| enough));
    assert_eq!(self::left(store, &many).await, 0);
}

pub(super) async fn a_payment_is_no_change_of_the_key<S: KeyStore>(store: &S) {
    if keeps_none(store).await {
        return;
    }
    let key = sell_once(store, b"key", 5).await;
    let head = store.log_head().await.expect("an answer");
    spend(store, &key, 2).await;
    spend(store, &key, 9).await;
    store.give_back(key.id, 1).await.expect("put back");
    assert_eq!(got(store, key.id).await, Some(key));
    let after = store.log_head().await.expect("an answer");
    assert_eq!(after, head, "a payment is in the log");
}

pub(super) async fn an_account_goes_with_its_last_key<S: KeyStore>(store: &S) {
    if keeps_none(store).await {
        return;
    }
    let key = sell_once(store, b"key", 5).await;
    let other = sell_once(store, b"other", 5).await;
    let mut heir = record(b"heir");
    heir.credits = key.credits;
    write(store, insertion(&heir)).await.expect("kept");
    spend(store, &key, 1).await;
    for (gone, expected) in [(&key, Some(4)), (&heir, None)] {
        let mut writes = Writes::nothing();
        writes.delete.push(gone.id);
        write(store, writes).await.expect("removed");
        let left = balance(store, key.id).await.map(|balance| balance.left);
        assert_eq!(left, expected);
    }
    let error = store.spend(key.id, 1).await.expect_err("it is gone");
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    assert_eq!(left(store, &other).await, 5);
    let asked = [other.id, key.id];
    assert_eq!(store.credits(&asked).await.expect("an answer").len(), 1);
}

/// As a change that is refused leaves no key.
pub(super) async fn a_refused_change_fills_nothing<S: KeyStore>(store: &S) {
    if keeps_none(store).await {
        return;
    }
    let key = sell_once(store, b"key", 5).await;
    spend(store, &key, 5).await;
    let account = key.credits.expect("an account");
    let mut writes = insertion(&record(b"key"));
    writes.fill.push(Filling::full(account, now(store).await));
    let error = write(store, writes).await.expect_err("a digest that is taken");
    assert_eq!(error.kind(), StoreErrorKind::Conflict);
    assert_eq!(left(store, &key).await, 0);
}
