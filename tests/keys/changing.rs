//! `PATCH`: a key becomes less, and never more.

use serde_json::{Value, json};
use tower_api_key::{access::Grants, manage::NewKey};

use crate::{
    support::http::Response,
    world::{MANAGER, World, assert_exceeds, at, complaints},
};

#[expect(clippy::needless_pass_by_value, reason = "it is made for the call")]
fn patch(world: &World, id: &str, key: &str, body: Value) -> Response {
    world.send("PATCH", &at(id), key, &body)
}

on_both! {
    fn a_key_is_renamed_and_narrowed_at_once(place) {
        let world = place.start();
        let alice = world.alice();
        let body = json!({"name": "ci", "scopes": ["issues:read", "issues:write"], "expires_at": "2090-01-01T00:00:00Z"});
        let (id, key) = world.minted(&alice.key, &body);
        assert_eq!(world.get("/api/v1/issues", &key).status, 200);
        let before = world.shown(&id, &alice.key);

        let change = json!({
            "name": "ci 2", "scopes": ["issues:write"], "resources": ["agent:alpha"], "expires_at": "2080-01-01T00:00:00Z",
            "allowed_ips": ["127.0.0.1"],
        });
        let changed = patch(&world, &id, &alice.key, change);
        assert_eq!((changed.status, changed.header("cache-control")), (200, Some("no-store")), "{changed:?}");
        let mut expected = before;
        expected["name"] = json!("ci 2");
        expected["scopes"] = json!(["issues:write"]);
        expected["resources"] = json!(["agent:alpha"]);
        expected["expires_at"] = json!("2080-01-01T00:00:00.000Z");
        expected["allowed_ips"] = json!(["127.0.0.1"]);
        assert_eq!(changed.json(), expected);
        assert_eq!(world.shown(&id, &alice.key), expected);
        world.get("/api/v1/issues", &key).assert_problem(403, "insufficient-scope");
        // The same again changes nothing.
        assert_eq!(patch(&world, &id, &alice.key, json!({"name": "ci 2"})).json(), expected);
        assert_eq!(patch(&world, &id, &alice.key, json!({"scopes": []})).json()["scopes"], json!([]));
    }

    fn nothing_is_widened_and_nothing_changes(place) {
        let world = place.start();
        let alice = world.alice();
        let body = json!({
            "name": "ci", "scopes": ["issues:read"], "resources": ["agent:team-*"], "expires_at": "2080-01-01T00:00:00Z",
            "allowed_ips": ["127.0.0.0/8"],
        });
        let (id, _) = world.minted(&alice.key, &body);
        let before = world.shown(&id, &alice.key);
        for (field, wider) in [
            ("scopes", json!(["issues:read", "issues:write"])),
            ("scopes", json!(["keys:admin"])),
            ("scopes", json!(["issues:*"])),
            ("resources", json!(["agent:*"])),
            ("resources", json!(["agent:team-a", "agent:beta"])),
            ("resources", json!(null)),
            ("expires_at", json!("2080-01-01T00:00:00.001Z")),
            ("expires_at", json!(null)),
            ("allowed_ips", json!(["127.0.0.0/7", "127.0.0.1"].map(|ip| ip.replace("127.0.0.0/7", "126.0.0.0/7")))),
            ("allowed_ips", json!(null)),
        ] {
            // Together with something that would be allowed.
            let mut change = json!({"name": "renamed"});
            change[field] = wider;
            assert_exceeds(&patch(&world, &id, &alice.key, change), field);
        }
        assert_eq!(world.shown(&id, &alice.key), before);
    }

    fn null_is_no_limit_and_stays_what_it_is_where_there_is_none(place) {
        let world = place.start();
        let alice = world.alice();
        let (id, _) = world.minted(&alice.key, &json!({"name": "ci", "scopes": ["issues:read"]}));
        let before = world.shown(&id, &alice.key);
        let nulls = json!({"resources": null, "expires_at": null, "allowed_ips": null, "rate_limit": null});
        let answer = patch(&world, &id, &alice.key, nulls);
        assert_eq!((answer.status, answer.json()), (200, before));
        for field in ["name", "scopes", "disabled", "credits"] {
            assert_eq!(complaints(&patch(&world, &id, &alice.key, json!({field: null}))), [field]);
        }
        assert_eq!(complaints(&patch(&world, &id, &alice.key, json!({"resources": []}))), ["resources"]);
        assert_eq!(complaints(&patch(&world, &id, &alice.key, json!({"allowed_ips": []}))), ["allowed_ips"]);
        assert_eq!(complaints(&patch(&world, &id, &alice.key, json!({"disabled": "yes"}))), ["disabled"]);
        assert_eq!(complaints(&patch(&world, &id, &alice.key, json!({"expires_at": "2001-01-01T00:00:00Z"}))), ["expires_at"]);
    }

    fn a_key_is_switched_off_and_on_at_once(place) {
        let world = place.start();
        let alice = world.alice();
        let (id, key) = world.minted(&alice.key, &json!({"name": "ci"}));
        for _ in 0..3 {
            assert_eq!(world.status_of(&key), 200);
            let off = patch(&world, &id, &alice.key, json!({"disabled": true}));
            assert_eq!((off.status, &off.json()["status"]), (200, &json!("disabled")), "{off:?}");
            assert!(off.json()["disabled_at"].is_string());
            world.assert_refused(&key, "key-disabled");
            let on = patch(&world, &id, &alice.key, json!({"disabled": false}));
            assert_eq!((&on.json()["status"], &on.json()["disabled_at"]), (&json!("active"), &json!(null)));
        }
        // A key can switch itself off; it takes another to switch it on.
        let own = patch(&world, &alice.id.to_string(), &alice.key, json!({"disabled": true}));
        assert_eq!(own.status, 200, "{own:?}");
        patch(&world, &alice.id.to_string(), &alice.key, json!({"disabled": false})).assert_problem(401, "key-disabled");
    }

    fn a_weaker_key_does_not_touch_a_stronger_one_of_its_owner(place) {
        let world = place.start();
        let strong = world.alice();
        let weak = world.key_of("alice", &["keys:write", "keys:read"]);
        let id = strong.id.to_string();
        assert_exceeds(&patch(&world, &id, &weak.key, json!({"name": "mine"})), "scopes");
        let narrowed = patch(&world, &id, &weak.key, json!({"scopes": ["keys:read"]}));
        assert_eq!(narrowed.status, 200, "{narrowed:?}");

        let grants = Grants::scopes(MANAGER).expect("scopes");
        let later = world.issue(NewKey::new("alice").name("endless").grants(grants.clone()));
        let expiry = std::time::SystemTime::now() + std::time::Duration::from_secs(3600);
        let ending = world.issue(NewKey::new("alice").name("ending").grants(grants).expires_at(expiry));
        assert_exceeds(&patch(&world, &later.id.to_string(), &ending.key, json!({"name": "mine"})), "expires_at");
    }

    fn what_is_revoked_does_not_change(place) {
        let world = place.start();
        let alice = world.alice();
        let (id, _) = world.minted(&alice.key, &json!({"name": "ci"}));
        assert_eq!(world.call("DELETE", &at(&id), &alice.key).status, 204);
        let before = world.shown(&id, &alice.key);
        for change in [json!({"disabled": false}), json!({"name": "back"}), json!({"expires_at": "2090-01-01T00:00:00Z"}), json!({})] {
            patch(&world, &id, &alice.key, change).assert_problem(409, "key-not-active");
        }
        assert_eq!(world.shown(&id, &alice.key), before);
    }
}
