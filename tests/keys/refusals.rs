//! Who is not let through, which methods there are, and what happens while the store is down.

use serde_json::json;

use crate::{
    support::{http::request, server::EXTERNAL},
    world::{KEYS, at},
};

on_both! {
    fn nobody_manages_keys_without_one(place) {
        let world = place.start();
        let id = world.alice().id;
        for (method, target) in [
            ("GET", KEYS.to_owned()), ("POST", KEYS.to_owned()), ("GET", at(id)), ("PATCH", at(id)), ("DELETE", at(id)), ("PUT", at(id)),
            ("POST", format!("{}/rotate", at(id))), ("GET", format!("{}/events", at(id))), ("GET", format!("{KEYS}/events")),
            ("DELETE", format!("{KEYS}/current")),
        ] {
            world.server.exchange(&request(method, &target, &[])).assert_problem(401, "missing-credentials");
            world.call(method, &target, "ak_nothing").assert_problem(401, "invalid-key");
        }
    }

    fn a_scope_that_is_missing_is_refused_in_the_words_of_the_layer(place) {
        let world = place.start();
        let scopeless = world.key_of("alice", &[]);
        let id = scopeless.id;
        let layers = world.get("/api/v1/issues", &scopeless.key).without_date();
        for (method, target, scope) in [
            ("GET", KEYS.to_owned(), "keys:read"), ("POST", KEYS.to_owned(), "keys:write"), ("GET", at(id), "keys:read"),
            ("PATCH", at(id), "keys:write"), ("DELETE", at(id), "keys:write"), ("POST", format!("{}/rotate", at(id)), "keys:write"),
            ("GET", format!("{}/events", at(id)), "keys:read"), ("GET", format!("{KEYS}/events"), "keys:admin"),
            ("GET", at("nothing"), "keys:read"), ("DELETE", at("nothing"), "keys:write"),
        ] {
            let refused = world.call(method, &target, &scopeless.key).without_date();
            let length = |text: &str| text.lines().find_map(|line| line.strip_prefix("content-length: ").map(str::to_owned));
            let (ours, theirs) = (length(&refused).expect("a length"), length(&layers).expect("a length"));
            let expected = layers.replace("issues:read", scope).replace(&format!("content-length: {theirs}"), &format!("content-length: {ours}"));
            assert_eq!(refused, expected, "{method} {target}");
        }
        assert_eq!(world.status_of(&scopeless.key), 200);
    }

    fn other_methods_are_told_which_there_are(place) {
        let world = place.start();
        let alice = world.alice();
        for (target, allowed) in [
            (KEYS.to_owned(), "GET,HEAD,POST"),
            (format!("{KEYS}/events"), "GET,HEAD"),
            (format!("{KEYS}/current"), "DELETE"),
            (at(alice.id), "GET,HEAD,PATCH,DELETE"),
            (format!("{}/rotate", at(alice.id)), "POST"),
            (format!("{}/events", at(alice.id)), "GET,HEAD"),
        ] {
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get"] {
                if allowed.split(',').any(|one| one == method) {
                    continue;
                }
                let refused = world.call(method, &target, &alice.key);
                refused.assert_problem(405, "method-not-allowed");
                let mut told: Vec<&str> = refused.header("allow").expect("a list").split(',').collect();
                let mut expected: Vec<&str> = allowed.split(',').collect();
                told.sort_unstable();
                expected.sort_unstable();
                assert_eq!(told, expected, "{method} {target}");
            }
        }
        let head = world.call("HEAD", KEYS, &alice.key);
        let get = world.get(KEYS, &alice.key);
        assert_eq!((head.status, head.header("content-length")), (200, get.header("content-length")));
    }

    fn while_the_store_is_down_nothing_is_managed_and_nothing_is_half_done(place) {
        let world = place.start();
        let alice = world.alice();
        let (id, key) = world.minted(&alice.key, &json!({"name": "ci"}));
        assert_eq!(world.status_of(&key), 200);
        let before = world.count();
        place.sql(&world, "ALTER TABLE api_key_log RENAME TO away");
        for answer in [
            world.mint(&alice.key, &json!({"name": "more"})),
            world.send("PATCH", &at(&id), &alice.key, &json!({"name": "more"})),
            world.call("POST", &format!("{}/rotate", at(&id)), &alice.key),
            world.call("DELETE", &at(&id), &alice.key),
            world.call("DELETE", &format!("{KEYS}/current"), &key),
        ] {
            answer.assert_problem(503, "unavailable");
            assert_eq!((answer.header("retry-after"), answer.header("cache-control")), (Some("1"), Some("no-store")), "{answer:?}");
            assert!(!answer.body.contains("api_key"), "{answer:?}");
        }
        // Reading goes on.
        assert_eq!((world.count(), &world.shown(&id, &alice.key)["name"]), (before, &json!("ci")));
        place.sql(&world, "ALTER TABLE away RENAME TO api_key_log");
        assert_eq!(world.status_of(&key), 200);
        assert_eq!(world.call("DELETE", &at(&id), &alice.key).status, 204);
        world.assert_refused(&key, "key-revoked");

        place.sql(&world, "ALTER TABLE api_keys RENAME TO away");
        for target in [KEYS.to_owned(), at(&id)] {
            let answer = world.get(&target, EXTERNAL);
            answer.assert_problem(503, "unavailable");
            assert_eq!(answer.header("retry-after"), Some("1"));
        }
        place.sql(&world, "ALTER TABLE away RENAME TO api_keys");
        assert_eq!(world.count(), before);
    }
}
