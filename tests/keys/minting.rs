//! `POST /api/v1/keys`: what is made, for whom, and how it is shown.

use serde_json::{Value, json};

use crate::{
    support::server::EXTERNAL,
    world::{KEYS, assert_exceeds, at, complaints, issued},
};

on_both! {
    fn a_minted_key_is_shown_once_and_works_at_once(place) {
        let world = place.start();
        let alice = world.alice();
        let answer = world.mint(&alice.key, &json!({"name": "ci", "scopes": ["issues:read"]}));
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("vary"), Some("Authorization, X-Key"));
        let (id, key) = issued(&answer);
        assert_eq!(answer.header("location"), Some(at(&id).as_str()));

        let mut body = answer.json();
        assert_eq!(world.get("/api/v1/issues", &key).status, 200);
        assert_eq!(world.get("/api/v1/whoami", &key).json()["owner"], "alice");
        assert!(key.starts_with(body["prefix"].as_str().expect("a prefix")), "{body}");
        let created_at = body["created_at"].as_str().expect("a date").to_owned();
        assert!(created_at.len() == 24 && created_at.ends_with('Z'), "{created_at}");
        assert_eq!(body["key"].take(), json!(key));
        let expected = json!({
            "id": id, "name": "ci", "prefix": body["prefix"], "key": null, "owner": "alice", "status": "active",
            "scopes": ["issues:read"], "resources": null, "allowed_ips": null, "rate_limit": null, "credits": null,
            "created_at": created_at, "expires_at": null, "disabled_at": null, "revoked_at": null, "last_used_at": null,
            "rotated_from": null, "rotated_to": null,
        });
        assert_eq!(body, expected);

        let shown = world.get(&at(&id), &alice.key);
        assert_eq!((shown.status, shown.header("cache-control")), (200, Some("no-store")));
        let mut without_key = expected;
        without_key.as_object_mut().expect("an object").remove("key");
        assert_eq!(shown.json(), without_key);
        for path in [KEYS.to_owned(), format!("{}/events", at(&id))] {
            let answer = world.get(&path, &alice.key);
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert!(!answer.body.contains(&key) && !answer.body.contains("digest"), "{answer:?}");
        }
    }

    fn the_external_key_may_mint_and_what_it_mints_is_the_externals(place) {
        let world = place.start();
        let body = json!({"name": "first", "scopes": ["keys:admin", "agents:run"], "resources": ["agent:alpha"]});
        let (id, key) = world.minted(EXTERNAL, &body);
        let shown = world.shown(&id, EXTERNAL);
        assert_eq!(shown["owner"], "external");
        assert_eq!(shown["resources"], json!(["agent:alpha"]));
        let run = |agent: &str| world.call("POST", &format!("/api/v1/agents/{agent}/runs"), &key).status;
        assert_eq!((run("alpha"), run("beta")), (202, 403));
    }

    fn what_is_not_the_callers_to_say_is_refused_and_forges_nothing(place) {
        let world = place.start();
        let alice = world.alice();
        let before = world.count();
        for field in [
            "key", "id", "user_id", "owner", "prefix", "revoked", "digest", "created_at", "revoked_at", "disabled_at", "status",
            "rotated_from", "rotated_to", "last_used_at", "version", "imported", "hash", "secret",
        ] {
            for value in [json!("mallory"), json!(null), json!(false), json!(0)] {
                let mut body = json!({"name": "ci", "scopes": []});
                body[field] = value;
                assert_eq!(complaints(&world.mint(&alice.key, &body)), [field]);
                assert_eq!(complaints(&world.send("PATCH", &at(alice.id), &alice.key, &body)), [field]);
            }
        }
        // Names that nobody knows are not repeated.
        for field in ["kind", "Name", "scope", "expires", "__proto__", "", "<script>", "name\0", "n\u{430}me", "disabled"] {
            let mut body = json!({"name": "ci"});
            body[field] = json!(true);
            let refused = world.mint(&alice.key, &body);
            assert_eq!(complaints(&refused), ["body"], "{field}");
            assert!(!refused.body.contains("script") && !refused.body.contains("__proto__"), "{refused:?}");
        }
        assert_eq!(world.count(), before);
        assert_eq!(world.shown(&alice.id.to_string(), &alice.key)["owner"], "alice");
    }

    fn a_hostile_name_is_refused_or_stays_a_text(place) {
        let world = place.start();
        let alice = world.alice();
        let before = world.count();
        for bad in [
            "", " ", "\u{2003}\u{3000}", "before\0after", "first\nsecond", "first\r\nSet-Cookie: a=b", "\u{202e}desrever",
            "a\u{2066}b", "\u{feff}a", "a\u{200b}b", "\u{1b}[31mred", "a\u{2028}b", "a\u{7f}", "\u{e0041}",
            &"x".repeat(101), &"x".repeat(10_000), &"\u{1f980}".repeat(10_000),
        ] {
            let refused = world.mint(&alice.key, &json!({"name": bad}));
            assert_eq!(complaints(&refused), ["name"], "{bad:?}");
            let kept = bad.trim();
            assert!(kept.is_empty() || !refused.body.contains(kept), "{refused:?}");
            assert_eq!(complaints(&world.send("PATCH", &at(alice.id), &alice.key, &json!({"name": bad}))), ["name"]);
        }
        for bad in [json!(null), json!(1), json!(["ci"]), json!({"name": "ci"}), json!(true)] {
            assert_eq!(complaints(&world.mint(&alice.key, &json!({"name": bad}))), ["name"]);
        }
        assert_eq!(complaints(&world.mint(&alice.key, &json!({}))), ["name"]);
        assert_eq!(world.count(), before);
        for text in [
            "<script>alert(document.cookie)</script>", "\"}],\"scopes\":[\"*", "'); DROP TABLE api_keys; --", "schl\u{fc}ssel \u{1f511}",
            "\u{1f468}\u{200d}\u{1f469}", "${jndi:ldap://x}", "%s%n", "\\u0000", &"\u{1f980}".repeat(100),
        ] {
            let (id, _) = world.minted(&alice.key, &json!({"name": text}));
            let shown = world.get(&at(&id), &alice.key);
            assert_eq!((shown.json()["name"].as_str(), shown.header("content-type")), (Some(text), Some("application/json")));
            let events = world.get(&format!("{}/events", at(&id)), &alice.key).json();
            assert_eq!(events["data"][0]["after"]["name"], text);
        }
    }

    fn a_key_without_scopes_may_do_nothing(place) {
        let world = place.start();
        let alice = world.alice();
        for body in [json!({"name": "none"}), json!({"name": "none", "scopes": []})] {
            let answer = world.mint(&alice.key, &body);
            assert_eq!((answer.status, &answer.json()["scopes"]), (201, &json!([])), "{answer:?}");
            let (_, key) = issued(&answer);
            assert_eq!(world.get("/api/v1/whoami", &key).json()["scopes"], json!([]));
            world.get("/api/v1/issues", &key).assert_problem(403, "insufficient-scope");
            world.mint(&key, &json!({"name": "more"})).assert_problem(403, "insufficient-scope");
        }
    }

    fn scopes_are_a_subset_of_the_makers_or_nothing_is_made(place) {
        let world = place.start();
        let alice = world.alice();
        let before = world.count();
        let mint = |scopes: Value| world.mint(&alice.key, &json!({"name": "ci", "scopes": scopes}));
        for too_much in [
            json!(["issues:read", "keys:admin"]), json!(["issues:*"]), json!(["keys:*"]), json!(["Issues:read"]), json!(["issues"]),
            json!(["issues:"]), json!(["issues:read:own"]), json!(["a"]),
        ] {
            assert_exceeds(&mint(too_much), "scopes");
        }
        for nonsense in [
            json!(["*"]), json!("*"), json!("issues:read"), json!(null), json!([null]), json!([1]), json!([["issues:read"]]),
            json!({"0": "issues:read"}), json!(["issues:read", "\u{456}ssues:read"]), json!(["issues:re\u{430}d"]), json!(["issues:read "]),
            json!(["issues:read\0"]), json!([""]), json!(["i*:read"]), json!(["issues:**"]), json!(["x".repeat(129)]), json!(true),
        ] {
            let refused = mint(nonsense);
            assert_eq!(complaints(&refused), ["scopes"]);
            assert!(!refused.body.contains('\u{456}') && !refused.body.contains("i*:"), "{refused:?}");
        }
        assert_eq!(world.count(), before);
        assert_eq!(mint(json!(["issues:read", "issues:read"])).json()["scopes"], json!(["issues:read"]));

        // Who has a pattern may give it out, and what it covers; it is shown as what it is of the scopes there are.
        let wide = world.key_of("bob", &["keys:write", "keys:read", "issues:*"]);
        for (scopes, shown) in [
            (json!(["issues:*"]), json!(["issues:read", "issues:write"])),
            (json!(["issues:read"]), json!(["issues:read"])),
            (json!(["issues:read:own:*"]), json!(["issues:read:own:*"])),
        ] {
            let answer = world.mint(&wide.key, &json!({"name": "ci", "scopes": scopes}));
            assert_eq!((answer.status, &answer.json()["scopes"]), (201, &shown), "{answer:?}");
        }
        assert_exceeds(&world.mint(&wide.key, &json!({"name": "ci", "scopes": ["issues"]})), "scopes");
    }

    fn a_key_that_may_do_everything_is_shown_by_the_scopes_there_are(place) {
        let world = place.start();
        let all = world.issue(tower_api_key::manage::NewKey::new("root").grants(tower_api_key::access::Grants::all()));
        let shown = world.shown(&all.id.to_string(), &all.key);
        let scopes = shown["scopes"].as_array().expect("a list");
        assert_eq!(scopes.len(), 9, "{shown}");
        let events = world.get(&format!("{}/events", at(all.id)), &all.key);
        assert_eq!(events.json()["data"][0]["after"]["scopes"].as_array().map(Vec::len), Some(9));
        assert!(!events.body.contains("\"*\""), "{events:?}");
    }

    fn resources_are_a_subset_of_the_makers(place) {
        let world = place.start();
        let free = world.key_of("alice", &["keys:write", "agents:run"]);
        let mint = |key: &str, resources: Value| world.mint(key, &json!({"name": "ci", "scopes": ["agents:run"], "resources": resources}));
        for nonsense in [
            json!([]), json!(""), json!("agent:alpha"), json!([null]), json!(["agent"]), json!(["agent:"]), json!(["*"]), json!([":x"]),
            json!(["agent:a b"]), json!(["agent:\u{430}lpha"]), json!({}), json!(0),
        ] {
            assert_eq!(complaints(&mint(&free.key, nonsense)), ["resources"]);
        }
        let unbound = world.mint(&free.key, &json!({"name": "ci", "scopes": ["agents:run"]}));
        assert_eq!(unbound.json()["resources"], Value::Null);
        assert_eq!(mint(&free.key, json!(null)).json()["resources"], Value::Null);

        let grants = tower_api_key::access::Grants::scopes(["keys:write", "agents:run"]).expect("scopes");
        let grants = grants.on(["agent:alpha", "agent:team-*"]).expect("resources");
        let bound = world.issue(tower_api_key::manage::NewKey::new("alice").grants(grants));
        let before = world.count();
        for too_much in [
            json!(null), json!(["agent:beta"]), json!(["agent:*"]), json!(["agent:alpha", "agent:beta"]), json!(["agent:team-"]),
            json!(["topic:alpha"]), json!(["Agent:alpha"]),
        ] {
            assert_exceeds(&mint(&bound.key, too_much), "resources");
        }
        assert_exceeds(&world.mint(&bound.key, &json!({"name": "ci", "scopes": ["agents:run"]})), "resources");
        assert_eq!(world.count(), before);
        for narrower in [json!(["agent:alpha"]), json!(["agent:team-*"]), json!(["agent:team-a", "agent:team-b*"])] {
            let answer = mint(&bound.key, narrower.clone());
            assert_eq!((answer.status, &answer.json()["resources"]), (201, &narrower), "{answer:?}");
        }
    }
}
