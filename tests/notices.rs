//! What owners should hear of: keys that end soon.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use tokio::time::sleep;
use tower::Layer;
use tower_api_key::{
    ApiKeyAuth, Builder,
    clock::ManualClock,
    event::Notice,
    key::KeyId,
    manage::{KeyChange, NewKey},
    store::{KeyStore, MemoryStore},
};

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Which key was told of, and how long before its end.
type Heard = Arc<Mutex<Vec<(KeyId, Duration)>>>;

struct Place {
    clock: ManualClock,
    store: MemoryStore,
    auth: ApiKeyAuth,
    heard: Heard,
}

fn listening(store: impl KeyStore, clock: &ManualClock, heard: &Heard) -> Builder {
    let heard = heard.clone();
    ApiKeyAuth::builder(store)
        .clock(clock.clone())
        .on_notice(move |notice| {
            if let Notice::Expiring {
                key_id,
                within,
                owner,
                ..
            } = notice
            {
                assert_eq!(owner, "alice");
                heard.lock().push((*key_id, *within));
            }
        })
}

impl Place {
    fn new() -> Self {
        let clock = ManualClock::new(UNIX_EPOCH + 20_000 * DAY);
        let store = MemoryStore::with_clock(clock.clone()).expect("a store");
        let heard = Heard::default();
        let auth = listening(store.clone(), &clock, &heard)
            .build()
            .expect("a configuration");
        let place = Self {
            clock,
            store,
            auth,
            heard,
        };
        let _service = place.auth.layer(());
        place
    }

    fn now(&self) -> SystemTime {
        tower_api_key::clock::Clock::now(&self.clock)
    }

    async fn mint(&self, lasts: Duration) -> KeyId {
        let new = NewKey::new("alice").expires_at(self.now() + lasts);
        let keys = self.auth.keys().expect("there is a store");
        keys.issue(new).await.expect("a key").record.id
    }

    /// Time goes by, here and in the store, and what was told meanwhile.
    async fn after(&self, time: Duration) -> Vec<(KeyId, Duration)> {
        self.clock.advance(time);
        // Looked for once a minute; this is the time of the runtime, which nobody waits for.
        sleep(Duration::from_secs(61)).await;
        std::mem::take(&mut *self.heard.lock())
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_told_of_once_a_week_before_its_end_and_once_a_day() {
    let place = Place::new();
    let key = place.mint(30 * DAY).await;
    let endless = NewKey::new("alice");
    place
        .auth
        .keys()
        .expect("a store")
        .issue(endless)
        .await
        .expect("a key");
    assert_eq!(place.after(Duration::ZERO).await, []);
    assert_eq!(place.after(23 * DAY - HOUR).await, []);
    assert_eq!(place.after(2 * HOUR).await, [(key, 7 * DAY)]);
    for _ in 0..5 {
        assert_eq!(place.after(DAY).await, []);
    }
    assert_eq!(place.after(DAY).await, [(key, DAY)]);
    assert_eq!(place.after(HOUR).await, []);
    assert_eq!(place.after(10 * DAY).await, []);
}

#[tokio::test(start_paused = true)]
async fn nobody_hears_of_a_key_that_was_made_for_less_or_ends_otherwise() {
    let place = Place::new();
    // The last of them all the same, in its last day.
    let (_short, week) = (place.mint(HOUR).await, place.mint(7 * DAY).await);
    let [revoked, disabled, rotated] = [
        place.mint(30 * DAY).await,
        place.mint(30 * DAY).await,
        place.mint(30 * DAY).await,
    ];
    let keys = place.auth.keys().expect("there is a store");
    keys.revoke(revoked).await.expect("revoked");
    keys.change(disabled, KeyChange::new().disabled(true))
        .await
        .expect("disabled");
    let next = keys.rotate(rotated, DAY).await.expect("rotated").record.id;
    assert_eq!(place.after(Duration::ZERO).await, []);
    assert_eq!(place.after(6 * DAY + HOUR).await, [(week, DAY)]);
    assert_eq!(place.after(17 * DAY).await, [(next, 7 * DAY)]);
}

#[tokio::test(start_paused = true)]
async fn whoever_starts_tells_of_all_that_end_soon_each_by_the_shortest_time_that_fits() {
    let place = Place::new();
    let (late, soon) = (place.mint(30 * DAY).await, place.mint(25 * DAY).await);
    place.auth.close().await;
    assert_eq!(
        place.after(24 * DAY + HOUR).await,
        [],
        "nothing is told after the end"
    );
    let heard = Heard::default();
    let again = listening(place.store.clone(), &place.clock, &heard)
        .build()
        .expect("a configuration");
    let _service = again.layer(());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(*heard.lock(), [(soon, DAY), (late, 7 * DAY)]);
}

#[tokio::test(start_paused = true)]
async fn many_are_told_of_each_once() {
    let place = Place::new();
    let mut minted = Vec::new();
    for i in 0..1000 {
        // Several at each moment.
        minted.push(place.mint(30 * DAY + Duration::from_millis(i / 300)).await);
    }
    assert_eq!(place.after(Duration::ZERO).await, []);
    let mut heard: Vec<KeyId> = place
        .after(23 * DAY + HOUR)
        .await
        .iter()
        .map(|(id, _)| *id)
        .collect();
    heard.sort_unstable();
    minted.sort_unstable();
    assert_eq!(heard, minted);
}

#[tokio::test(start_paused = true)]
async fn which_times_there_are_is_the_applications_to_say() {
    let clock = ManualClock::new(UNIX_EPOCH + 20_000 * DAY);
    for (times, expected) in [
        (vec![], 0),
        (vec![Duration::ZERO], 0),
        (vec![3 * DAY, 3 * DAY], 1),
    ] {
        let store = MemoryStore::with_clock(clock.clone()).expect("a store");
        let heard = Heard::default();
        let auth = listening(store, &clock, &heard).expiry_notices(times.clone());
        let auth = auth.build().expect("a configuration");
        let _service = auth.layer(());
        let new = NewKey::new("alice").expires_at(tower_api_key::clock::Clock::now(&clock) + 10 * DAY);
        auth.keys().expect("a store").issue(new).await.expect("a key");
        sleep(Duration::from_secs(1)).await;
        clock.advance(8 * DAY);
        sleep(Duration::from_secs(61)).await;
        assert_eq!(heard.lock().len(), expected, "{times:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_panics_harms_nobody() {
    let clock = ManualClock::new(UNIX_EPOCH + 20_000 * DAY);
    let store = MemoryStore::with_clock(clock.clone()).expect("a store");
    let heard = Arc::new(Mutex::new(0));
    let count = heard.clone();
    let auth = ApiKeyAuth::builder(store).on_notice(move |_| {
        *count.lock() += 1;
        panic!("as tests do");
    });
    let auth = auth.build().expect("a configuration");
    let _service = auth.layer(());
    let keys = auth.keys().expect("there is a store");
    for _ in 0..2 {
        let new = NewKey::new("alice").expires_at(tower_api_key::clock::Clock::now(&clock) + 30 * DAY);
        keys.issue(new).await.expect("a key");
    }
    sleep(Duration::from_secs(1)).await;
    clock.advance(24 * DAY);
    sleep(Duration::from_secs(61)).await;
    assert_eq!(*heard.lock(), 2);
}

#[test]
fn without_a_store_there_is_nothing_to_tell() {
    let built = ApiKeyAuth::static_keys_only()
        .static_key(tower_api_key::authn::StaticKey::new("correct-horse-battery"))
        .on_notice(|_| {})
        .build();
    assert!(built.is_err());
}
