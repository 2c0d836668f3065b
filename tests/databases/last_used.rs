//! When keys were last used, written by several processes.

use std::time::{Duration, SystemTime};

use tower_api_key::{
    ApiKeyAuth,
    clock::to_unix_ms,
    manage::{IssuedKey, NewKey, Policy},
};

use crate::{app::App, on_both, place::Place};

on_both! {
    what_two_processes_write_in_turn_never_goes_back,
    two_that_write_the_same_keys_at_once_do_not_wait_for_each_other,
    a_row_is_written_once_however_often_its_key_is_used,
}

async fn issue(auth: &ApiKeyAuth) -> IssuedKey {
    let keys = auth.keys().expect("there is a store");
    keys.issue(NewKey::new("bob")).await.expect("a key")
}

/// When it was last used, as the row says; 0 for never.
async fn last_use(place: &Place, issued: &IssuedKey) -> i64 {
    let id = issued.record.id;
    let query = format!("SELECT coalesce(last_used_at, 0) FROM api_keys WHERE id = '{id}'");
    place.count(&query).await
}

fn now() -> i64 {
    to_unix_ms(SystemTime::now())
}

async fn what_two_processes_write_in_turn_never_goes_back(place: Place) {
    let (one, two) = (
        place.process(Policy::new()).await,
        place.process(Policy::new()).await,
    );
    let issued = issue(&one).await;
    let key = issued.key.expose();
    let begun = to_unix_ms(issued.record.created_at);
    assert_eq!(App::new(&one).status(key).await, 200);
    let between = now();
    // Longer than uses can be apart and count as one.
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(App::new(&two).status(key).await, 200);
    two.close().await;
    let later = last_use(&place, &issued).await;
    assert!(between <= later && later <= now(), "{between} {later}");
    one.close().await;
    assert_eq!(
        last_use(&place, &issued).await,
        later,
        "the earlier use came later"
    );
    assert!(begun <= later);
    let record = one.keys().expect("a store").get(issued.record.id).await;
    let record = record.expect("an answer").expect("the key").record;
    assert_eq!(record.last_used_at.map(to_unix_ms), Some(later));
    assert_eq!(record.version, issued.record.version);
    assert_eq!(place.count("SELECT count(*) FROM api_key_events").await, 1);
}

async fn two_that_write_the_same_keys_at_once_do_not_wait_for_each_other(place: Place) {
    let (one, two) = (
        place.process(Policy::new()).await,
        place.process(Policy::new()).await,
    );
    let mut keys = Vec::new();
    for _ in 0..100 {
        keys.push(issue(&one).await);
    }
    for _ in 0..5 {
        for (auth, keys) in [
            (&one, keys.iter().collect()),
            (&two, keys.iter().rev().collect::<Vec<_>>()),
        ] {
            let app = App::new(auth);
            for issued in keys {
                assert_eq!(app.status(issued.key.expose()).await, 200);
            }
        }
        // A change of many of them, in an order of its own, goes on meanwhile.
        let revoke = one
            .keys()
            .expect("a store")
            .revoke(keys.pop().expect("a key").record.id);
        let ((), (), revoked) = tokio::join!(one.close(), two.close(), revoke);
        revoked.expect("revoked");
        assert_eq!(
            place
                .count("SELECT count(*) FROM api_keys WHERE last_used_at IS NULL")
                .await,
            0
        );
    }
}

async fn a_row_is_written_once_however_often_its_key_is_used(place: Place) {
    let auth = place.process(Policy::new()).await;
    let mut keys = Vec::new();
    for _ in 0..10 {
        keys.push(issue(&auth).await);
    }
    place.count_updates().await;
    let app = App::new(&auth);
    for issued in keys.iter().cycle().take(1_000) {
        assert_eq!(app.status(issued.key.expose()).await, 200);
    }
    auth.close().await;
    // Again, without a use in between.
    auth.close().await;
    assert_eq!(place.count("SELECT count(*) FROM updates").await, 10);
    assert_eq!(place.count("SELECT count(DISTINCT id) FROM updates").await, 10);
}
