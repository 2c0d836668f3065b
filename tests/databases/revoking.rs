//! Revoking, while others do the same or mint.

use std::time::Duration;

use tokio::task::JoinSet;
use tower_api_key::{
    access::Grants,
    event::KeyEventKind,
    manage::{IssuedKey, Keys, NewKey, Policy},
    store::{EventQuery, KeyQuery},
};

use crate::{
    app::{App, at_once, with_status},
    on_both,
    place::{ALICE, Place},
};

on_both! {
    many_revokes_at_once_are_one_event,
    a_key_that_is_revoked_after_it_was_let_in_mints_nothing,
    nothing_is_minted_after_a_revoke_in_the_middle_of_a_storm,
}

async fn maker(keys: &Keys) -> IssuedKey {
    let new = NewKey::new("alice").grants(Grants::scopes(["keys:write"]).expect("scopes"));
    keys.issue(new).await.expect("a key")
}

async fn many_revokes_at_once_are_one_event(place: Place) {
    let auths = [
        place.process(Policy::new()).await,
        place.process(Policy::new()).await,
    ];
    let apps = auths.each_ref().map(App::new);
    let keys = auths[0].keys().expect("a store");
    let key = maker(keys).await;
    let answers = at_once(&apps, 20, "DELETE", &format!("/keys/{}", key.record.id), ALICE).await;
    assert_eq!(with_status(&answers, 204).len(), 20, "{answers:?}");
    let events = keys
        .events(&EventQuery::newest(100).key(key.record.id))
        .await
        .expect("events");
    let kinds: Vec<KeyEventKind> = events.iter().map(|logged| logged.event.kind).collect();
    assert_eq!(kinds, [KeyEventKind::Revoked, KeyEventKind::Minted]);
    let record = keys
        .get(key.record.id)
        .await
        .expect("an answer")
        .expect("the key")
        .record;
    assert_eq!(record.revoked_at, Some(events[0].event.at));
    assert_eq!(record.version, 2);
    for app in &apps {
        assert_eq!(app.status(key.key.expose()).await, 401);
    }

    // By possession, too.
    let key = maker(keys).await;
    let answers = at_once(&apps, 20, "DELETE", "/keys/current", key.key.expose()).await;
    let (done, late) = (with_status(&answers, 204), with_status(&answers, 401));
    assert!(!done.is_empty() && done.len() + late.len() == 20, "{answers:?}");
    let revoked = "SELECT count(*) FROM api_key_events WHERE kind = 'revoked'";
    assert_eq!(place.count(revoked).await, 2);
    keys.verify_log().await.expect("an answer").expect("a whole log");
}

/// The mint stands between the layer and the transaction while the revoke happens.
async fn a_key_that_is_revoked_after_it_was_let_in_mints_nothing(place: Place) {
    let (auth, elsewhere) = (
        place.process(Policy::new()).await,
        place.process(Policy::new()).await,
    );
    let app = App::new(&auth);
    let keys = auth.keys().expect("a store");
    let key = maker(keys).await;
    assert_eq!(app.call("POST", "/keys", key.key.expose()).await.0, 201);
    app.close_the_gate().await;
    let mut minting = JoinSet::new();
    for path in ["/keys".to_owned(), format!("/keys/{}/rotate/60", key.record.id)] {
        let (app, key) = (app.clone(), key.key.expose().to_owned());
        minting.spawn(async move { app.call("POST", &path, &key).await });
    }
    // Both are let in, and wait.
    while app.arrived() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    elsewhere
        .keys()
        .expect("a store")
        .revoke(key.record.id)
        .await
        .expect("revoked");
    app.open_the_gate();
    for (status, reason) in minting.join_all().await {
        assert_eq!((status, reason.as_str()), (401, "caller-not-good"));
    }
    assert_eq!(place.count("SELECT count(*) FROM api_keys").await, 2);
    assert_eq!(
        place
            .count("SELECT count(*) FROM api_key_events WHERE kind = 'refused'")
            .await,
        2
    );
}

async fn nothing_is_minted_after_a_revoke_in_the_middle_of_a_storm(place: Place) {
    let auths = [
        place.process(Policy::new()).await,
        place.process(Policy::new()).await,
    ];
    let apps = auths.each_ref().map(App::new);
    let keys = auths[1].keys().expect("a store").clone();
    let key = maker(&keys).await;
    let (storm, text) = (apps.clone(), key.key.expose().to_owned());
    let minting = tokio::spawn(async move { at_once(&storm, 60, "POST", "/keys", &text).await });
    while place.count("SELECT count(*) FROM api_keys").await < 5 {
        tokio::task::yield_now().await;
    }
    keys.revoke(key.record.id).await.expect("revoked");
    let answers = minting.await.expect("no panic");
    let created = with_status(&answers, 201).len();
    assert_eq!(created + with_status(&answers, 401).len(), 60, "{answers:?}");

    let log = keys.events(&EventQuery::newest(1000)).await.expect("events");
    let maker = key.record.id.to_string();
    let revoked = log
        .iter()
        .find(|logged| logged.event.kind == KeyEventKind::Revoked)
        .expect("the revoke");
    let by_maker = |logged: &&tower_api_key::event::LoggedEvent| {
        logged.event.kind == KeyEventKind::Minted
            && logged.event.actor.key_id.as_deref() == Some(maker.as_str())
    };
    let minted: Vec<_> = log.iter().filter(by_maker).collect();
    assert_eq!(minted.len(), created);
    assert!(
        minted.iter().all(|logged| logged.seq < revoked.seq),
        "minted by a revoked key"
    );
    let all = keys.list(&KeyQuery::newest(1000)).await.expect("keys").keys;
    assert_eq!(all.len(), created + 1);
    keys.verify_log().await.expect("an answer").expect("a whole log");
}
