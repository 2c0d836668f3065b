//! Rotation: two keys for a while, then one.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tower_api_key::{access::Grants, manage::NewKey};

use crate::{
    support::http::Response,
    world::{World, assert_exceeds, at, complaints, issued},
};

fn rotate(world: &World, id: &str, key: &str, body: &Value) -> Response {
    world.send("POST", &format!("{}/rotate", at(id)), key, body)
}

on_both! {
    fn both_keys_work_during_the_overlap(place) {
        let world = place.start();
        let alice = world.alice();
        let body = json!({"name": "ci", "scopes": ["issues:read"], "resources": ["agent:alpha"], "allowed_ips": ["127.0.0.1"]});
        let (old_id, old) = world.minted(&alice.key, &body);
        let before = world.shown(&old_id, &alice.key);
        let answer = world.call("POST", &format!("{}/rotate", at(&old_id)), &alice.key);
        assert_eq!((answer.status, answer.header("cache-control")), (201, Some("no-store")), "{answer:?}");
        let (new_id, new) = issued(&answer);
        assert_eq!(answer.header("location"), Some(at(&new_id).as_str()));
        assert!(new != old && new_id != old_id);
        assert_eq!((world.status_of(&old), world.status_of(&new)), (200, 200));

        let after = world.shown(&new_id, &alice.key);
        for same in ["name", "owner", "scopes", "resources", "allowed_ips", "rate_limit", "credits", "expires_at"] {
            assert_eq!(after[same], before[same], "{same}");
        }
        assert_eq!((&after["rotated_from"], &after["rotated_to"]), (&json!(old_id), &json!(null)));
        let retired = world.shown(&old_id, &alice.key);
        assert_eq!((&retired["rotated_to"], &retired["status"]), (&json!(new_id), &json!("active")));
        // A day from now, if nothing else is asked.
        let end: jiff::Timestamp = retired["expires_at"].as_str().expect("a date").parse().expect("a date");
        let left = SystemTime::from(end).duration_since(SystemTime::now()).expect("in the future");
        assert!(left > Duration::from_secs(23 * 3600) && left < Duration::from_secs(25 * 3600), "{left:?}");
        rotate(&world, &old_id, &alice.key, &json!({})).assert_problem(409, "already-rotated");
        assert_eq!(rotate(&world, &new_id, &alice.key, &json!({"overlap_seconds": 60})).status, 201);
    }

    fn without_an_overlap_the_old_key_ends_before_the_answer(place) {
        let world = place.start();
        let alice = world.alice();
        let (id, old) = world.minted(&alice.key, &json!({"name": "ci"}));
        assert_eq!(world.status_of(&old), 200);
        let (_, new) = issued(&rotate(&world, &id, &alice.key, &json!({"overlap_seconds": 0})));
        world.assert_refused(&old, "key-expired");
        assert_eq!(world.status_of(&new), 200);
        assert_eq!(world.shown(&id, &alice.key)["status"], "expired");
    }

    fn a_key_rotates_itself(place) {
        let world = place.start();
        let alice = world.alice();
        let answer = rotate(&world, &alice.id.to_string(), &alice.key, &json!({"overlap_seconds": 0}));
        let (_, new) = issued(&answer);
        world.assert_refused(&alice.key, "key-expired");
        assert_eq!(world.get(crate::world::KEYS, &new).status, 200);
    }

    fn an_overlap_never_lasts_longer_than_the_old_key(place) {
        let world = place.start();
        let alice = world.alice();
        let soon = jiff::Timestamp::try_from(SystemTime::now() + Duration::from_secs(600)).expect("a date");
        let soon = format!("{soon:.3}");
        let (id, _) = world.minted(&alice.key, &json!({"name": "ci", "expires_at": soon}));
        let (new, _) = issued(&rotate(&world, &id, &alice.key, &json!({"overlap_seconds": 86_400})));
        assert_eq!(world.shown(&id, &alice.key)["expires_at"], json!(soon));
        // The maker may mint endless keys, so the new one has a term as long as the old one's.
        let renewed = world.shown(&new, &alice.key)["expires_at"].as_str().expect("a date").to_owned();
        assert!(renewed >= soon, "{renewed} {soon}");
    }

    fn a_limited_maker_renews_nothing_beyond_its_own_end(place) {
        let world = place.start();
        let end = SystemTime::now() + Duration::from_secs(3600);
        let grants = Grants::scopes(["keys:read", "keys:write"]).expect("scopes");
        let maker = world.issue(NewKey::new("alice").name("ending").grants(grants).expires_at(end));
        let (id, _) = world.minted(&maker.key, &json!({"name": "ci"}));
        let before = world.shown(&id, &maker.key);
        let (new, _) = issued(&rotate(&world, &id, &maker.key, &json!({})));
        assert_eq!(world.shown(&new, &maker.key)["expires_at"], before["expires_at"]);
        let endless = world.key_of("alice", &["keys:read"]);
        assert_exceeds(&rotate(&world, &endless.id.to_string(), &maker.key, &json!({})), "expires_at");
        let stronger = world.key_of("alice", &["issues:read"]);
        assert_exceeds(&rotate(&world, &stronger.id.to_string(), &maker.key, &json!({})), "scopes");
        assert_eq!((world.status_of(&endless.key), world.status_of(&stronger.key)), (200, 200));
    }

    fn only_a_good_key_is_rotated(place) {
        let world = place.start();
        let alice = world.alice();
        let (disabled, _) = world.minted(&alice.key, &json!({"name": "disabled"}));
        assert_eq!(world.send("PATCH", &at(&disabled), &alice.key, &json!({"disabled": true})).status, 200);
        let (revoked, _) = world.minted(&alice.key, &json!({"name": "revoked"}));
        assert_eq!(world.call("DELETE", &at(&revoked), &alice.key).status, 204);
        let past = SystemTime::now() - Duration::from_secs(60);
        let expired = world.issue(NewKey::new("alice").name("expired").expires_at(past)).id.to_string();
        let before = world.count();
        for id in [&disabled, &revoked, &expired] {
            rotate(&world, id, &alice.key, &json!({})).assert_problem(409, "key-not-active");
            assert_eq!(world.shown(id, &alice.key)["rotated_to"], Value::Null);
        }
        assert_eq!(world.count(), before);
    }

    fn an_overlap_is_a_whole_number_of_seconds(place) {
        let world = place.start();
        let alice = world.alice();
        let (id, key) = world.minted(&alice.key, &json!({"name": "ci"}));
        for bad in [json!(-1), json!(1.5), json!("60"), json!(null), json!(1e30), json!(2_592_001), json!(true), json!([])] {
            let refused = rotate(&world, &id, &alice.key, &json!({"overlap_seconds": bad}));
            assert_eq!(complaints(&refused), ["overlap_seconds"], "{bad}");
        }
        for forged in ["name", "scopes", "expires_at", "key", "owner"] {
            assert_eq!(complaints(&rotate(&world, &id, &alice.key, &json!({forged: "x"}))).len(), 1, "{forged}");
        }
        assert_eq!(world.shown(&id, &alice.key)["rotated_to"], Value::Null);
        assert_eq!(world.status_of(&key), 200);
        assert_eq!(rotate(&world, &id, &alice.key, &json!({"overlap_seconds": 2_592_000})).status, 201);
    }
}
