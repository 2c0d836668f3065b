//! Many rotations of one key at once.

use tower_api_key::{
    access::Grants,
    event::KeyEventKind,
    manage::{NewKey, Policy},
    store::{EventQuery, KeyQuery},
};

use crate::{
    app::{App, at_once, with_status},
    on_both,
    place::Place,
};

on_both! {
    one_of_twenty_succeeds_and_there_is_one_successor,
    a_successor_can_be_rotated_and_its_predecessor_cannot,
}

async fn one_of_twenty_succeeds_and_there_is_one_successor(place: Place) {
    for overlap in ["3600", "0"] {
        // Two processes.
        let auths = [
            place.process(Policy::new()).await,
            place.process(Policy::new()).await,
        ];
        let apps = auths.each_ref().map(App::new);
        let keys = auths[0].keys().expect("a store");
        let owner = format!("owner {overlap}");
        let new = NewKey::new(owner.as_str()).grants(Grants::scopes(["keys:write"]).expect("scopes"));
        let (old, by) = (
            keys.issue(new.clone()).await.expect("a key"),
            keys.issue(new).await.expect("a key"),
        );
        let path = format!("/keys/{}/rotate/{overlap}", old.record.id);
        let answers = at_once(&apps, 20, "POST", &path, by.key.expose()).await;
        let (created, conflicts) = (with_status(&answers, 201), with_status(&answers, 409));
        assert_eq!((created.len(), conflicts.len()), (1, 19), "{answers:?}");

        let (id, key) = created[0].split_once(' ').expect("an id and a key");
        let all = keys
            .list(&KeyQuery::newest(100).owner(owner.as_str()))
            .await
            .expect("keys")
            .keys;
        assert_eq!(all.len(), 3, "the old one, the caller's, and one successor");
        let successors: Vec<_> = all
            .iter()
            .filter(|key| key.rotated_from == Some(old.record.id))
            .collect();
        assert_eq!(successors.len(), 1);
        assert_eq!(successors[0].id.to_string(), id);
        let retired = keys
            .get(old.record.id)
            .await
            .expect("an answer")
            .expect("the key")
            .record;
        assert_eq!(retired.rotated_to, Some(successors[0].id));
        assert_eq!(retired.version, old.record.version + 1);
        for app in &apps {
            assert_eq!(app.status(key).await, 200);
            let expected = if overlap == "0" { 401 } else { 200 };
            assert_eq!(app.status(old.key.expose()).await, expected, "overlap {overlap}");
        }

        let events = keys
            .events(&EventQuery::newest(100).owner(owner.as_str()))
            .await
            .expect("events");
        let of = |kind| events.iter().filter(|logged| logged.event.kind == kind).count();
        assert_eq!(of(KeyEventKind::Minted), 3);
        assert_eq!(of(KeyEventKind::Rotated), 1);
        assert_eq!(of(KeyEventKind::Refused), 19);
        keys.verify_log().await.expect("an answer").expect("a whole log");
    }
}

async fn a_successor_can_be_rotated_and_its_predecessor_cannot(place: Place) {
    let auth = place.process(Policy::new()).await;
    let app = App::new(&auth);
    let new = NewKey::new("alice").grants(Grants::scopes(["keys:write"]).expect("scopes"));
    let first = auth.keys().expect("a store").issue(new).await.expect("a key");
    let (mut id, mut key) = (first.record.id.to_string(), first.key.expose().to_owned());
    for _ in 0..5 {
        // Each by the key itself.
        let path = format!("/keys/{id}/rotate/3600");
        let (status, told) = app.call("POST", &path, &key).await;
        assert_eq!(status, 201, "{told}");
        assert_eq!(app.call("POST", &path, &key).await.0, 409);
        let (next_id, next_key) = told.split_once(' ').expect("an id and a key");
        (id, key) = (next_id.to_owned(), next_key.to_owned());
    }
    assert_eq!(place.count("SELECT count(*) FROM api_keys").await, 6);
    assert_eq!(
        place
            .count("SELECT count(DISTINCT rotated_from) FROM api_keys")
            .await,
        5
    );
}
