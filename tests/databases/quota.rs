//! A number of keys that nobody gets past, however many ask at once.

use tower_api_key::{
    access::Grants,
    key::KeyDigest,
    manage::{Caller, ImportedKey, NewKey, Policy},
};

use crate::{
    app::{App, at_once, principal_of, with_status},
    on_both,
    place::{ALICE, Place},
};

on_both! {
    fifty_mints_at_once_against_a_quota_of_ten_make_ten_keys,
    the_key_that_mints_counts_and_room_comes_back_when_one_is_revoked,
    rotations_at_once_stay_within_one_more_than_the_quota,
    an_import_does_not_get_past_the_quota,
}

const LIVE: &str = "SELECT count(*) FROM api_keys WHERE owner = 'alice' AND revoked_at IS NULL";

fn ten() -> Policy {
    Policy::new().max_keys_per_owner(10)
}

async fn fifty_mints_at_once_against_a_quota_of_ten_make_ten_keys(place: Place) {
    let auths = [place.process(ten()).await, place.process(ten()).await];
    let apps = auths.each_ref().map(App::new);
    let answers = at_once(&apps, 50, "POST", "/keys", ALICE).await;
    let (created, refused) = (with_status(&answers, 201), with_status(&answers, 403));
    assert_eq!((created.len(), refused.len()), (10, 40), "{answers:?}");
    assert!(
        refused.iter().all(|reason| *reason == "too-many-keys"),
        "{refused:?}"
    );
    assert_eq!(place.count("SELECT count(*) FROM api_keys").await, 10);
    for told in created {
        let (_, key) = told.split_once(' ').expect("an id and a key");
        for app in &apps {
            assert_eq!(app.status(key).await, 200);
        }
    }
    let events = "SELECT count(*) FROM api_key_events WHERE kind = ";
    assert_eq!(place.count(&format!("{events} 'minted'")).await, 10);
    assert_eq!(place.count(&format!("{events} 'refused'")).await, 40);
    let verified = auths[0].keys().expect("a store").verify_log().await;
    assert_eq!(verified.expect("an answer").expect("a whole log").seq, 50);
}

async fn the_key_that_mints_counts_and_room_comes_back_when_one_is_revoked(place: Place) {
    let auth = place.process(ten()).await;
    let apps = [App::new(&auth)];
    let new = NewKey::new("alice").grants(Grants::scopes(["keys:write"]).expect("scopes"));
    let by = auth.keys().expect("a store").issue(new).await.expect("a key");
    let answers = at_once(&apps, 30, "POST", "/keys", by.key.expose()).await;
    let created = with_status(&answers, 201);
    assert_eq!(created.len(), 9, "{answers:?}");
    for told in &created[..3] {
        let (id, _) = told.split_once(' ').expect("an id and a key");
        assert_eq!(
            apps[0]
                .call("DELETE", &format!("/keys/{id}"), by.key.expose())
                .await
                .0,
            204
        );
    }
    let answers = at_once(&apps, 30, "POST", "/keys", by.key.expose()).await;
    assert_eq!(with_status(&answers, 201).len(), 3, "{answers:?}");
    assert_eq!(place.count(LIVE).await, 10);
}

async fn rotations_at_once_stay_within_one_more_than_the_quota(place: Place) {
    let auth = place.process(ten()).await;
    let app = App::new(&auth);
    let answers = at_once(std::slice::from_ref(&app), 10, "POST", "/keys", ALICE).await;
    let mut rotating = tokio::task::JoinSet::new();
    for told in with_status(&answers, 201) {
        let (id, _) = told.split_once(' ').expect("an id and a key");
        let (app, path) = (app.clone(), format!("/keys/{id}/rotate/3600"));
        rotating.spawn(async move { app.call("POST", &path, ALICE).await });
    }
    let rotated = rotating.join_all().await;
    assert_eq!(with_status(&rotated, 201).len(), 1, "{rotated:?}");
    assert_eq!(place.count(LIVE).await, 11);
}

async fn an_import_does_not_get_past_the_quota(place: Place) {
    let auth = place.process(ten()).await;
    let keys = auth.keys().expect("a store");
    let new = NewKey::new("alice").grants(Grants::scopes(["keys:write"]).expect("scopes"));
    let by = keys.issue(new).await.expect("a key");
    let principal = principal_of(&auth, by.key.expose()).await;
    let caller = keys.by(Caller::new(principal));
    let batch = |from: u8, count: u8| -> Vec<ImportedKey> {
        let digests = (from..from + count).map(|i| KeyDigest::of(&[i]));
        digests
            .map(|digest| ImportedKey::new(digest, NewKey::new("alice").name("old")))
            .collect()
    };
    caller.import(batch(0, 5)).await.expect("there is room");
    // All or none.
    let error = caller.import(batch(5, 5)).await.expect_err("one too many");
    assert_eq!(error.kind().as_str(), "too-many-keys");
    assert_eq!(place.count(LIVE).await, 6);
    // Those that are known already take no room.
    caller.import(batch(1, 8)).await.expect("four are new");
    assert_eq!(place.count(LIVE).await, 10);
    assert!(caller.import(batch(9, 1)).await.is_err());
}
