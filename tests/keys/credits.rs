//! Keys that are sold by use: what they are made with, what they pass on, and who may fill them.

use serde_json::{Value, json};
use tower_api_key::{access::Grants, manage::NewKey};

use crate::{
    support::{http::Response, keys::Minted, server::EXTERNAL},
    world::{KEYS, MANAGER, Place, World, assert_exceeds, at, complaints, issued},
};

/// A manager's key that was sold with so many uses.
fn sold(world: &World, limit: &str) -> Minted {
    let grants = Grants::scopes(MANAGER).expect("scopes");
    let new = NewKey::new("alice").name("sold").grants(grants);
    world.issue(new.credits(limit.parse().expect("credits")))
}

/// What takes all that the keys in these tests can do, and the keys of others.
const ADMINISTRATOR: [&str; 5] = [
    "keys:admin",
    "keys:read",
    "keys:write",
    "issues:read",
    "issues:write",
];

/// As if the key had been used so often that so many uses are left.
fn use_up(place: &Place, world: &World, account: &str, left: u32) {
    let statement = format!("UPDATE api_key_credits SET remaining = {left} WHERE id = '{account}'");
    place.sql(world, &statement);
}

fn credits(world: &World, id: &str) -> Value {
    world.shown(id, EXTERNAL)["credits"].clone()
}

fn rotate(world: &World, id: &str, key: &str) -> Response {
    world.call("POST", &format!("{}/rotate", at(id)), key)
}

fn fill(world: &World, id: &str, key: &str, limit: &Value) -> Response {
    world.send("PATCH", &at(id), key, &json!({"credits": limit}))
}

on_both! {
    fn a_key_is_made_with_as_many_uses_as_were_asked(place) {
        let world = place.start();
        let alice = world.alice();
        let mint = |credits: Value| world.mint(&alice.key, &json!({"name": "ci", "credits": credits}));
        for bad in [
            json!(1000), json!("0"), json!(""), json!("many"), json!("-1"), json!("10/1w"), json!("10/367d"), json!("4294967296"), json!([]),
            json!({"limit": "10"}), json!(true), json!("10/"), json!("10/1d/1d"),
        ] {
            assert_eq!(complaints(&mint(bad.clone())), ["credits"], "{bad}");
        }
        for (given, limit, left) in [("1000", "1000", 1000), ("1000/30d", "1000/30d", 1000), ("7/120s", "7/2m", 7)] {
            let minted = mint(json!(given));
            let expected = json!({"limit": limit, "left": left});
            assert_eq!((minted.status, &minted.json()["credits"]), (201, &expected), "{minted:?}");
            let (id, _) = issued(&minted);
            assert_eq!(world.shown(&id, &alice.key)["credits"], expected);
        }
        assert_eq!(mint(json!(null)).json()["credits"], json!(null));
        let listed = world.get(KEYS, &alice.key).json();
        let shown = listed["data"].as_array().expect("a list").iter().map(|key| &key["credits"]["left"]);
        assert_eq!(shown.collect::<Vec<_>>(), [&json!(null), &json!(7), &json!(1000), &json!(1000), &json!(null)]);
    }

    fn a_successor_draws_on_what_is_left(place) {
        let world = place.start();
        let alice = world.alice();
        let (id, _) = world.minted(&alice.key, &json!({"name": "ci", "credits": "20/30d"}));
        use_up(place, &world, &id, 3);
        let rotated = rotate(&world, &id, &alice.key);
        let left = json!({"limit": "20/30d", "left": 3});
        assert_eq!((rotated.status, &rotated.json()["credits"]), (201, &left), "{rotated:?}");
        let (heir, _) = issued(&rotated);
        use_up(place, &world, &id, 2);
        assert_eq!((&credits(&world, &id)["left"], &credits(&world, &heir)["left"]), (&json!(2), &json!(2)));
        let (last, _) = issued(&rotate(&world, &heir, &alice.key));
        assert_eq!(credits(&world, &last)["left"], 2);
    }

    fn whoever_is_counted_makes_keys_that_are_counted_with_them(place) {
        let world = place.start();
        let maker = sold(&world, "20");
        let account = maker.id.to_string();
        // Managing keys is a use like any other.
        use_up(place, &world, &account, 9);
        let before = world.count();
        for asked in ["1", "20", "1/366d"] {
            assert_exceeds(&world.mint(&maker.key, &json!({"name": "more", "credits": asked})), "credits");
        }
        assert_eq!(world.count(), before);
        let left = |left: u32| json!({"limit": "20", "left": left});
        let child = world.mint(&maker.key, &json!({"name": "child", "scopes": ["keys:read", "keys:write"], "credits": null}));
        assert_eq!(child.json()["credits"], left(5), "{child:?}");
        let (child, key) = issued(&child);
        let grandchild = world.mint(&key, &json!({"name": "grandchild"}));
        assert_eq!(grandchild.json()["credits"], left(4));
        assert_exceeds(&world.mint(&key, &json!({"name": "more", "credits": "1"})), "credits");
        let rotated = rotate(&world, &child, &maker.key);
        assert_eq!(rotated.json()["credits"], left(2));
        // What came of one account is used up with it.
        use_up(place, &world, &account, 0);
        for id in [child, issued(&grandchild).0, issued(&rotated).0] {
            assert_eq!(credits(&world, &id), left(0));
        }
    }

    fn whoever_is_counted_gets_hold_of_no_key_that_is_not(place) {
        let world = place.start();
        let maker = sold(&world, "20");
        let free = world.alice();
        let other = sold(&world, "1000");
        for target in [&free, &other] {
            let id = target.id.to_string();
            assert_exceeds(&rotate(&world, &id, &maker.key), "credits");
            assert_exceeds(&world.send("PATCH", &at(&id), &maker.key, &json!({"name": "mine"})), "credits");
            assert_exceeds(&fill(&world, &id, &maker.key, &json!("1000")), "credits");
            assert_eq!(world.shown(&id, EXTERNAL)["rotated_to"], Value::Null);
        }
        // Not so the other way round, and to end one is nobody's gain.
        assert_eq!(world.send("PATCH", &at(maker.id), &free.key, &json!({"name": "hers"})).status, 200);
        assert_eq!(world.call("DELETE", &at(other.id), &maker.key).status, 204);
    }

    fn an_administrator_who_is_not_counted_fills_an_account_and_nobody_else(place) {
        let world = place.start();
        let (alice, admin) = (world.alice(), world.key_of("root", &ADMINISTRATOR));
        let key = sold(&world, "20/30d");
        let id = key.id.to_string();
        let (heir, _) = issued(&rotate(&world, &id, &alice.key));
        use_up(place, &world, &id, 3);
        for (who, limit) in [(&key.key, "20/30d"), (&key.key, "1"), (&alice.key, "20/30d"), (&alice.key, "1")] {
            assert_exceeds(&fill(&world, &id, who, &json!(limit)), "credits");
        }
        // An administrator who is counted is no exception.
        let counted = NewKey::new("root").name("counted").grants(Grants::scopes(ADMINISTRATOR).expect("scopes"));
        let counted = world.issue(counted.credits("5".parse().expect("credits")));
        assert_exceeds(&fill(&world, &id, &counted.key, &json!("20")), "credits");
        assert_exceeds(&fill(&world, &counted.id.to_string(), &counted.key, &json!("20")), "credits");
        assert_eq!(credits(&world, &id), json!({"limit": "20/30d", "left": 1}));
        assert_eq!(complaints(&fill(&world, &id, &admin.key, &json!(500))), ["credits"]);

        // With the same limit as with another, for all that draw on it, by whichever of them.
        for (asked, limit, left) in [("20/30d", "20/30d", 20), ("500", "500", 500), ("3/1h", "3/1h", 3)] {
            use_up(place, &world, &id, 0);
            let filled = fill(&world, &heir, &admin.key, &json!(asked));
            let expected = json!({"limit": limit, "left": left});
            assert_eq!((filled.status, &filled.json()["credits"]), (200, &expected), "{filled:?}");
            assert_eq!((credits(&world, &id), credits(&world, &heir)), (expected.clone(), expected));
        }
        // One that was not counted is from then on.
        let free = alice.id.to_string();
        assert_eq!(fill(&world, &free, &admin.key, &json!("7")).json()["credits"], json!({"limit": "7", "left": 7}));
        assert_exceeds(&world.mint(&alice.key, &json!({"name": "more", "credits": "8"})), "credits");
        assert_eq!(world.mint(&alice.key, &json!({"name": "child"})).json()["credits"]["limit"], "7");
    }

    fn the_log_tells_the_account_and_what_was_filled(place) {
        let world = place.start();
        let admin = world.key_of("root", &ADMINISTRATOR);
        let key = sold(&world, "20");
        let id = key.id.to_string();
        let (child, _) = world.minted(&key.key, &json!({"name": "child"}));
        assert_eq!(fill(&world, &id, &admin.key, &json!("30/30d")).status, 200);
        assert_eq!(fill(&world, &id, &admin.key, &json!("30/30d")).status, 200);
        assert_exceeds(&fill(&world, &id, &key.key, &json!("40")), "credits");
        let events = |id: &str| world.get(&format!("{}/events", at(id)), EXTERNAL).json()["data"].clone();
        let state = |limit: &str| json!({"account": id, "limit": limit});
        let told = events(&id);
        assert_eq!((&told[0]["kind"], &told[0]["reason"]), (&json!("refused"), &json!("change: exceeds-maker")));
        for (place, before, after) in [(1, "30/30d", "30/30d"), (2, "20", "30/30d")] {
            assert_eq!((&told[place]["kind"], &told[place]["before"]["credits"]), (&json!("changed"), &state(before)));
            assert_eq!(told[place]["after"]["credits"], state(after));
        }
        assert_eq!((&told[3]["kind"], &told[3]["after"]["credits"]), (&json!("minted"), &state("20")));
        assert_eq!(events(&child)[0]["after"]["credits"], state("20"));
        assert!(world.wait(world.keys.verify_log()).expect("an answer").is_ok());
    }

    fn an_account_is_pruned_with_the_last_key_that_draws_on_it(place) {
        let world = place.start();
        let key = sold(&world, "20");
        let child = world.minted(&key.key, &json!({"name": "child"})).0;
        use_up(place, &world, &key.id.to_string(), 6);
        let prune = |id: &str| {
            place.sql(&world, &format!("UPDATE api_keys SET expires_at = 5 WHERE id = '{id}'"));
            let pruned = world.wait(world.keys.prune(std::time::Duration::from_secs(60)));
            assert_eq!(pruned.expect("pruned"), 1);
        };
        let heir = world.wait(world.keys.get(child.parse().expect("an id"))).expect("an answer").expect("the key");
        let left = || {
            let balances = world.wait(world.keys.credits([&heir.record])).expect("an answer");
            balances.first().map(|balance| balance.left)
        };
        prune(&key.id.to_string());
        assert_eq!(left(), Some(6));
        assert_eq!(credits(&world, &child)["left"], 6);
        prune(&child);
        assert_eq!(left(), None);
    }
}
