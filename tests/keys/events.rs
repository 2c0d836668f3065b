//! The log: who did what to a key, from where, when; and what was refused.

use serde_json::{Value, json};

use crate::{
    support::{http::json_request, server::EXTERNAL},
    world::{KEYS, World, at, field, issued},
};

fn events(world: &World, target: &str, key: &str) -> Vec<Value> {
    let answer = world.get(&format!("{target}/events?limit=100"), key);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["data"].as_array().expect("a list").clone()
}

on_both! {
    fn the_life_of_a_key_is_written_down(place) {
        let world = place.start();
        let alice = world.alice();
        let fields = [&field(&alice.key), "X-Request-Id: request-7"];
        let minted = world.server.exchange(&json_request("POST", KEYS, &fields, r#"{"name":"ci","scopes":["issues:read"]}"#));
        let (id, key) = issued(&minted);
        let patch = |body: Value| assert_eq!(world.send("PATCH", &at(&id), EXTERNAL, &body).status, 200);
        patch(json!({"name": "ci 2"}));
        // What changes nothing is nothing.
        patch(json!({"name": "ci 2"}));
        patch(json!({"disabled": true}));
        patch(json!({"disabled": false}));
        let (next, _) = issued(&world.call("POST", &format!("{}/rotate", at(&id)), &alice.key));
        assert_eq!(world.call("DELETE", &at(&id), &alice.key).status, 204);

        let told = events(&world, &at(&id), &alice.key);
        let kinds: Vec<&Value> = told.iter().map(|event| &event["kind"]).collect();
        assert_eq!(kinds, ["revoked", "rotated", "enabled", "disabled", "changed", "minted"]);
        let alices = json!({"kind": "key", "owner": "alice", "key_id": alice.id.to_string()});
        let externals = json!({"kind": "external", "owner": "external", "key_id": null});
        let mut later = i64::MAX;
        for event in &told {
            let by = match event["kind"].as_str() {
                Some("changed" | "disabled" | "enabled") => &externals,
                _ => &alices,
            };
            assert_eq!(&event["actor"], by, "{event}");
            assert_eq!((&event["key_id"], &event["owner"], &event["address"]), (&json!(id), &json!("alice"), &json!("127.0.0.1")));
            assert_eq!(event["reason"], Value::Null);
            let at: jiff::Timestamp = event["at"].as_str().expect("a date").parse().expect("a date");
            assert!(at <= jiff::Timestamp::now() + std::time::Duration::from_secs(60));
            let seq = event["seq"].as_i64().expect("a number");
            assert!(seq < later, "{event}");
            later = seq;
        }
        let of = |kind: &str| told.iter().find(|event| event["kind"] == kind).expect("an event");
        assert_eq!((&of("minted")["request_id"], &of("changed")["request_id"]), (&json!("request-7"), &json!(null)));
        assert_eq!(of("minted")["before"], Value::Null);
        assert_eq!(of("minted")["after"]["scopes"], json!(["issues:read"]));
        assert_eq!((&of("changed")["before"]["name"], &of("changed")["after"]["name"]), (&json!("ci"), &json!("ci 2")));
        assert_eq!(of("disabled")["before"]["disabled_at"], Value::Null);
        assert!(of("disabled")["after"]["disabled_at"].as_str().is_some_and(|date| date.ends_with('Z')), "{told:?}");
        assert_eq!(of("rotated")["after"]["rotated_to"], json!(next));
        assert!(of("revoked")["after"]["revoked_at"].is_string());
        let successors = events(&world, &at(&next), &alice.key);
        assert_eq!(successors.len(), 1);
        assert_eq!(successors[0]["after"]["rotated_from"], json!(id));
        let everything = world.get(&format!("{KEYS}/events?limit=100"), EXTERNAL).body;
        assert!(!everything.contains(&key) && !everything.contains("digest"), "{everything}");
    }

    fn refusals_are_in_the_log_of_all_which_only_administrators_read(place) {
        let world = place.start();
        let (alice, reader) = (world.alice(), world.key_of("bob", &["keys:read"]));
        world.mint(&reader.key, &json!({"name": "no"})).assert_problem(403, "insufficient-scope");
        world.mint(&alice.key, &json!({"name": "no", "scopes": ["keys:admin"]})).assert_problem(403, "exceeds-maker");
        world.call("DELETE", &at(reader.id), &alice.key).assert_problem(404, "not-found");
        world.call("POST", &format!("{}/rotate", at(alice.id)), &reader.key).assert_problem(403, "insufficient-scope");
        for key in [&alice.key, &reader.key] {
            let refused = world.get(&format!("{KEYS}/events"), key);
            refused.assert_problem(403, "insufficient-scope");
            assert_eq!(refused.json()["required"], json!(["keys:admin"]));
        }
        let audit = events(&world, KEYS, EXTERNAL);
        let refusals: Vec<_> = audit
            .iter()
            .filter(|event| event["kind"] == "refused")
            .map(|event| (event["actor"]["owner"].clone(), event["key_id"].clone(), event["reason"].clone()))
            .collect();
        let expected = [
            ("bob", json!(null), "read-log: insufficient-scope"),
            ("alice", json!(null), "read-log: insufficient-scope"),
            ("bob", json!(alice.id.to_string()), "rotate: insufficient-scope"),
            ("alice", json!(reader.id.to_string()), "revoke: not-found"),
            ("alice", json!(null), "mint: exceeds-maker"),
            ("bob", json!(null), "mint: insufficient-scope"),
        ];
        assert_eq!(refusals, expected.map(|(owner, about, reason)| (json!(owner), about, json!(reason))));
        // Whoever sees the keys of all sees what was tried on this one; its owner has nothing of it in their log.
        let about = |key: &str| events(&world, &at(reader.id), key).len();
        assert_eq!((about(EXTERNAL), about(&reader.key)), (2, 1));
        // What cannot be meant is a mistake, and no event.
        world.mint(&alice.key, &json!({"name": ""})).assert_problem(400, "invalid-request");
        assert_eq!(events(&world, KEYS, EXTERNAL).len(), audit.len());
        let whole = world.wait(world.keys.verify_log()).expect("an answer");
        let end = whole.expect("an unbroken chain").seq;
        assert_eq!(audit[0]["seq"], json!(end));
    }

    fn pages_of_events_follow_one_another_without_a_gap(place) {
        let world = place.start();
        let alice = world.alice();
        for i in 0..4 {
            let renamed = world.send("PATCH", &at(alice.id), &alice.key, &json!({"name": format!("name {i}")}));
            assert_eq!(renamed.status, 200, "{renamed:?}");
        }
        for target in [format!("{KEYS}/events"), format!("{}/events", at(alice.id))] {
            for limit in [1, 2, 3, 5, 6] {
                let (mut seqs, mut query) = (Vec::new(), format!("?limit={limit}"));
                loop {
                    let page = world.get(&format!("{target}{query}"), EXTERNAL).json();
                    let data = page["data"].as_array().expect("a list").iter();
                    seqs.extend(data.map(|event| event["seq"].as_i64().expect("a number")));
                    match page["next_cursor"].as_str() {
                        Some(cursor) => query = format!("?limit={limit}&cursor={cursor}"),
                        None => break,
                    }
                }
                assert_eq!(seqs, [5, 4, 3, 2, 1], "{target} {limit}");
            }
        }
    }
}
