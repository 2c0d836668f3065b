//! What every [`KeyStore`] must do, as one call that a third party's test can make.
//!
//! ```
//! use tower_api_key::store::{MemoryStore, conformance};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! conformance::check(|| async { MemoryStore::new().expect("a store") }).await;
//! # }
//! ```

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;

use super::{Decide, KeyStore, Reads, StoreError, View, Writes};
use crate::{
    event::{Actor, KeyEvent, KeyEventKind},
    key::{KeyDigest, KeyId, KeyRecord},
};

mod keeping;

mod changing;

mod listing;

mod log;

mod touching;

mod finding;

mod paying;

mod telling;

mod spending;

/// Runs every case, each on a new, empty store that `make` gives.
///
/// # Panics
///
/// When the store does something a store must not do.
pub async fn check<S, F>(make: impl Fn() -> F)
where
    S: KeyStore,
    F: Future<Output = S>,
{
    keeping::a_new_store_is_empty_and_answers(&make().await).await;
    keeping::what_is_kept_comes_back_whole(&make().await).await;
    keeping::ids_and_digests_are_unique(&make().await).await;
    keeping::only_one_of_many_inserts_wins(&make().await).await;
    keeping::what_is_deleted_is_gone_and_its_events_stay(&make().await).await;
    keeping::the_check_key_stays(&make().await).await;

    changing::a_change_comes_back_whole_and_changes_nothing_else(&make().await).await;
    changing::what_a_key_is_from_its_making_never_changes(&make().await).await;
    changing::revocation_is_final(&make().await).await;
    changing::a_change_is_told_what_it_asked_for(&make().await).await;
    changing::live_keys_are_counted_at_the_time_of_the_store(&make().await).await;
    changing::changes_at_the_same_time_lose_nothing(&make().await).await;
    changing::a_refused_change_changes_nothing(&make().await).await;
    changing::a_change_without_writes_leaves_no_trace(&make().await).await;
    changing::a_change_that_is_abandoned_happens_whole_or_not_at_all(&make().await).await;

    listing::lists_hold_what_was_asked_for_the_newest_first(&make().await).await;
    listing::owners_and_prefixes_are_compared_letter_by_letter(&make().await).await;
    listing::what_expired_before_a_moment_is_found_the_longest_expired_first(&make().await).await;

    listing::what_ends_soon_is_found_the_soonest_first(&make().await).await;

    log::events_come_back_whole(&make().await).await;
    log::events_are_numbered_without_a_gap_and_the_chain_holds(&make().await).await;
    log::events_are_listed_as_asked_for_the_newest_first(&make().await).await;
    log::events_of_many_at_the_same_time_form_one_chain(&make().await).await;

    touching::a_use_moves_a_key_s_time_on_and_never_back(&make().await).await;
    touching::a_use_is_no_change_and_leaves_other_keys_alone(&make().await).await;
    touching::five_hundred_uses_are_written_at_once(&make().await).await;
    touching::uses_and_changes_at_the_same_time_lose_nothing(&make().await).await;

    finding::of_many_those_are_found_that_are_there(&make().await).await;
    finding::five_hundred_are_found_at_once(&make().await).await;

    paying::a_key_comes_back_with_its_account(&make().await).await;
    paying::of_many_at_the_same_time_as_many_are_paid_for_as_there_are_uses(&make().await).await;
    paying::what_is_refused_takes_nothing(&make().await).await;
    paying::an_account_is_filled_when_its_period_ends(&make().await).await;
    paying::uses_are_put_back_up_to_the_limit(&make().await).await;
    paying::a_payment_is_no_change_of_the_key(&make().await).await;
    paying::an_account_goes_with_its_last_key(&make().await).await;
    paying::a_refused_change_fills_nothing(&make().await).await;

    telling::what_is_changed_is_told(&make().await).await;

    spending::a_token_is_spent_with_the_key_that_is_given_for_it(&make().await).await;
    spending::of_many_who_spend_a_token_one_does(&make().await).await;
    spending::a_token_is_forgotten_when_it_is_asked_for(&make().await).await;
}

/// Writes, whatever the store holds.
async fn write<S: KeyStore>(store: &S, writes: Writes) -> Result<(), StoreError> {
    let decide = Decide::new(move |_| writes);
    store.transact(Reads::nothing(), decide).await
}

/// What a change would be told.
async fn view<S: KeyStore>(store: &S, reads: Reads) -> View {
    let seen = Arc::new(Mutex::new(None));
    let told = seen.clone();
    let decide = Decide::new(move |view| {
        *told.lock() = Some(view.clone());
        Writes::nothing()
    });
    store.transact(reads, decide).await.expect("an answer");
    let seen = seen.lock().take();
    seen.expect("the store asked what to write")
}

/// The time of the store.
async fn now<S: KeyStore>(store: &S) -> SystemTime {
    view(store, Reads::nothing()).await.now
}

/// With the event that makes it whole.
fn insertion(record: &KeyRecord) -> Writes {
    let mut writes = Writes::nothing();
    writes.insert.push(record.clone());
    writes.events.push(minted(record));
    writes
}

fn updating(record: &KeyRecord) -> Writes {
    let mut writes = Writes::nothing();
    writes.update.push(record.clone());
    writes.events.push(event(KeyEventKind::Changed, record));
    writes
}

async fn keep<S: KeyStore>(store: &S, record: &KeyRecord) {
    write(store, insertion(record)).await.expect("a new key is kept");
}

async fn insert<S: KeyStore>(store: &S, key: &[u8]) -> KeyRecord {
    let record = record(key);
    keep(store, &record).await;
    record
}

async fn found<S: KeyStore>(store: &S, key: &[u8]) -> Option<KeyRecord> {
    let found = store.find(&KeyDigest::of(key)).await;
    found.expect("an answer").map(|found| found.record)
}

async fn got<S: KeyStore>(store: &S, id: KeyId) -> Option<KeyRecord> {
    let got = store.get(id).await;
    got.expect("an answer").map(|got| got.record)
}

fn record(key: &[u8]) -> KeyRecord {
    KeyRecord::new(
        KeyId::generate(),
        KeyDigest::of(key),
        "alice",
        at(1_700_000_000_123),
    )
}

fn minted(record: &KeyRecord) -> KeyEvent {
    event(KeyEventKind::Minted, record).after(record)
}

fn event(kind: KeyEventKind, record: &KeyRecord) -> KeyEvent {
    KeyEvent::new(kind, record, record.created_at, &Actor::application())
}

fn at(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms)
}

/// Polls all of them in turn, so that their steps interleave.
async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let futures = futures.into_iter();
    let mut pending: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, output) in &mut pending {
            if output.is_none()
                && let Poll::Ready(ready) = future.as_mut().poll(context)
            {
                *output = Some(ready);
            }
        }
        match pending.iter().all(|(_, output)| output.is_some()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    pending.into_iter().filter_map(|(_, output)| output).collect()
}

/// Polls it so many times at most, and drops it then.
async fn abandon<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut polled = 0;
    std::future::poll_fn(move |context| {
        if polled == polls {
            return Poll::Ready(None);
        }
        polled += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if polled == polls => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
