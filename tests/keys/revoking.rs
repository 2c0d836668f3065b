//! Revocation: at once, for good, by whoever may or whoever holds the key.

use serde_json::json;

use crate::{
    support::server::EXTERNAL,
    world::{KEYS, at},
};

on_both! {
    fn a_revoked_key_is_refused_before_the_answer_is_there(place) {
        let world = place.start();
        let alice = world.alice();
        let (id, key) = world.minted(&alice.key, &json!({"name": "ci"}));
        assert_eq!(world.status_of(&key), 200);
        for _ in 0..3 {
            let revoked = world.call("DELETE", &at(&id), &alice.key);
            assert_eq!((revoked.status, revoked.body.as_str()), (204, ""), "{revoked:?}");
            world.assert_refused(&key, "key-revoked");
        }
        let shown = world.shown(&id, &alice.key);
        assert_eq!(shown["status"], "revoked");
        assert!(shown["revoked_at"].is_string(), "{shown}");
        // Only once did it happen.
        let events = world.get(&format!("{}/events", at(&id)), &alice.key).json();
        let kinds: Vec<_> = events["data"].as_array().expect("a list").iter().map(|event| event["kind"].clone()).collect();
        assert_eq!(kinds, ["revoked", "minted"]);
    }

    fn whoever_holds_a_key_can_revoke_it(place) {
        let world = place.start();
        let alice = world.alice();
        let (id, scopeless) = world.minted(&alice.key, &json!({"name": "found on the street"}));
        let revoked = world.call("DELETE", &format!("{KEYS}/current"), &scopeless);
        assert_eq!(revoked.status, 204, "{revoked:?}");
        world.assert_refused(&scopeless, "key-revoked");
        world.call("DELETE", &format!("{KEYS}/current"), &scopeless).assert_problem(401, "key-revoked");
        assert_eq!(world.shown(&id, &alice.key)["status"], "revoked");
        assert_eq!(world.status_of(&alice.key), 200);
        let event = &world.get(&format!("{}/events", at(&id)), &alice.key).json()["data"][0];
        assert_eq!((&event["kind"], &event["actor"]["key_id"]), (&json!("revoked"), &json!(id)));

        world.call("DELETE", &format!("{KEYS}/current"), EXTERNAL).assert_problem(409, "no-stored-key");
        assert_eq!(world.status_of(EXTERNAL), 200);
    }

    fn a_key_that_ended_elsewhere_manages_nothing_though_it_is_still_let_in(place) {
        let world = place.start();
        let (alice, bob) = (world.alice(), world.key_of("bob", &crate::world::MANAGER));
        let (id, _) = world.minted(&alice.key, &json!({"name": "ci"}));
        assert_eq!(world.status_of(&bob.key), 200);
        // By another process, whose word has not come through.
        world.wait(world.keys.revoke(alice.id)).expect("revoked");
        world.wait(world.keys.change(bob.id, tower_api_key::manage::KeyChange::new().disabled(true))).expect("disabled");
        let before = world.count();
        for (key, code) in [(&alice.key, "key-revoked"), (&bob.key, "key-disabled")] {
            let refused = world.mint(key, &json!({"name": "more"}));
            refused.assert_problem(401, code);
            assert!(refused.all("www-authenticate")[0].contains(r#"error="invalid_token""#), "{refused:?}");
        }
        world.send("PATCH", &at(&id), &alice.key, &json!({"name": "more"})).assert_problem(401, "key-revoked");
        world.call("DELETE", &at(&id), &alice.key).assert_problem(401, "key-revoked");
        assert_eq!(world.count(), before);
    }
}
