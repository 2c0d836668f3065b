//! Whose keys somebody may see, and how little others learn of them.

use serde_json::{Value, json};

use crate::{
    support::{http::Response, server::EXTERNAL},
    world::{KEYS, World, at, issued},
};

/// Every call about one key.
fn calls(world: &World, id: &str, key: &str) -> Vec<Response> {
    let target = at(id);
    vec![
        world.get(&target, key),
        world.call("HEAD", &target, key),
        world.get(&format!("{target}/events"), key),
        world.get(&format!("{target}/events?limit=0"), key),
        world.send("PATCH", &target, key, &json!({"name": "mine"})),
        world.send("PATCH", &target, key, &json!({"disabled": true})),
        world.send("PATCH", &target, key, &json!({"scopes": ["issues:read"]})),
        world.send("PATCH", &target, key, &json!({"scopes": "?"})),
        world.send("PATCH", &target, key, &json!({})),
        world.call("POST", &format!("{target}/rotate"), key),
        world.send(
            "POST",
            &format!("{target}/rotate"),
            key,
            &json!({"overlap_seconds": 0}),
        ),
        world.send(
            "POST",
            &format!("{target}/rotate"),
            key,
            &json!({"overlap_seconds": -1}),
        ),
        world.call("DELETE", &target, key),
    ]
}

on_both! {
    fn a_key_of_another_is_not_told_from_one_that_does_not_exist(place) {
        let world = place.start();
        let (alice, bob) = (world.alice(), world.key_of("bob", &crate::world::MANAGER));
        let (bobs_revoked, _) = world.minted(&bob.key, &json!({"name": "old"}));
        assert_eq!(world.call("DELETE", &at(&bobs_revoked), &bob.key).status, 204);
        let before = world.shown(&bob.id.to_string(), &bob.key);
        let id = alice.id.to_string();

        let texts = |id: &str| -> Vec<String> { calls(&world, id, &alice.key).iter().map(Response::without_date).collect() };
        let missing = texts("01890a5d-ac96-774b-bcce-b302099a8057");
        for answer in &missing {
            assert!(answer.starts_with("HTTP/1.1 404") || answer.starts_with("HTTP/1.1 400"), "{answer}");
        }
        assert_eq!(missing.iter().filter(|answer| answer.starts_with("HTTP/1.1 404")).count(), 10);
        for other in [
            bob.id.to_string(), bobs_revoked, id.to_uppercase(), id.replace('-', ""), format!("{{{id}}}").replace(['{', '}'], "%7B"), "x".to_owned(),
            "0".to_owned(), "%00".to_owned(), "%ff".to_owned(), format!("{id}%20"), "..%2f..".to_owned(), "x".repeat(5000), "'--".to_owned(),
            "%3Cscript%3E".to_owned(),
        ] {
            assert_eq!(texts(&other), missing, "{other}");
        }
        assert_eq!(world.shown(&bob.id.to_string(), &bob.key), before);
    }

    fn the_list_of_somebody_is_their_own(place) {
        let world = place.start();
        let (alice, bob) = (world.alice(), world.key_of("bob", &crate::world::MANAGER));
        world.minted(&bob.key, &json!({"name": "bobs"}));
        let (_, scopeless) = world.minted(&alice.key, &json!({"name": "none"}));
        let owners = |key: &str| -> Vec<Value> {
            let listed = world.get(&format!("{KEYS}?status=all"), key).json();
            listed["data"].as_array().expect("a list").iter().map(|key| key["owner"].clone()).collect()
        };
        assert_eq!(owners(&alice.key), ["alice", "alice"]);
        assert_eq!(owners(&bob.key), ["bob", "bob"]);
        assert_eq!(owners(EXTERNAL), ["alice", "bob", "bob", "alice"]);
        world.get(KEYS, &scopeless).assert_problem(403, "insufficient-scope");
    }

    fn an_administrator_manages_the_keys_of_all(place) {
        let world = place.start();
        let (admin, bob) = (world.admin(), world.key_of("bob", &["keys:read"]));
        let id = bob.id.to_string();
        assert_eq!(world.shown(&id, &admin.key)["owner"], "bob");
        let renamed = world.send("PATCH", &at(&id), &admin.key, &json!({"name": "renamed"}));
        assert_eq!((renamed.status, &renamed.json()["name"]), (200, &json!("renamed")), "{renamed:?}");
        let rotated = world.call("POST", &format!("{}/rotate", at(&id)), &admin.key);
        assert_eq!(rotated.status, 201, "{rotated:?}");
        let (_, successor) = issued(&rotated);
        // It stays the owner's.
        assert_eq!(world.get("/api/v1/whoami", &successor).json()["owner"], "bob");
        assert_eq!(world.call("DELETE", &at(&id), &admin.key).status, 204);
        world.assert_refused(&bob.key, "key-revoked");

        // Also an administrator gives out only what they have.
        let wide = world.key_of("carol", &["issues:read"]);
        world.call("POST", &format!("{}/rotate", at(wide.id)), &admin.key).assert_problem(403, "exceeds-maker");
        assert_eq!(world.status_of(&wide.key), 200);
    }
}
