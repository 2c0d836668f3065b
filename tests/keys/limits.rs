//! What a new key cannot have more of: time, addresses, rate, and companions.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde_json::{Value, json};
use tower_api_key::{
    access::{AddressList, Grants},
    manage::NewKey,
};

use crate::{
    support::server::EXTERNAL,
    world::{MANAGER, World, assert_exceeds, at, complaints},
};

fn rfc3339(moment: SystemTime) -> String {
    let moment = Timestamp::try_from(moment).expect("a date");
    format!("{moment:.3}")
}

fn from_now(seconds: u64) -> SystemTime {
    SystemTime::now() + Duration::from_secs(seconds)
}

/// A manager's key that ends in an hour and may be used from this machine only.
fn limited(world: &World) -> (tower_api_key::key::KeyId, String) {
    let new = NewKey::new("alice")
        .name("limited")
        .grants(Grants::scopes(MANAGER).expect("scopes"))
        .expires_at(from_now(3600))
        .allowed_ips(AddressList::new(["127.0.0.0/8", "::1"]).expect("addresses"));
    let minted = world.issue(new);
    (minted.id, minted.key)
}

on_both! {
    fn an_expiry_is_a_date_in_the_future_with_its_offset(place) {
        let world = place.start();
        let alice = world.alice();
        let before = world.count();
        let mint = |expires_at: Value| world.mint(&alice.key, &json!({"name": "ci", "expires_at": expires_at}));
        for bad in [
            json!("2001-01-01T00:00:00Z"), json!("1969-12-31T23:59:59Z"), json!("0000-01-01T00:00:00Z"), json!("-9999-01-01T00:00:00Z"),
            json!(rfc3339(SystemTime::now())), json!("10000-01-01T00:00:00Z"), json!("2030-02-30T00:00:00Z"), json!("2030-01-01"),
            json!("2030-01-01T00:00:00"), json!("2030-01-01T00:00:00+25:00"), json!("2030-01-01T00:00:00+02:00[Europe/Berlin]"),
            json!("2030-01-01T00:00:00 UTC"), json!("tomorrow"), json!(""), json!(1_893_456_000), json!(1e30), json!(-1),
            json!("1e30"), json!(true), json!(["2030-01-01T00:00:00Z"]), json!({}),
        ] {
            assert_eq!(complaints(&mint(bad.clone())), ["expires_at"], "{bad}");
        }
        let number = r#"{"name":"ci","expires_at":1e400}"#;
        assert!(!complaints(&world.send_text("POST", crate::world::KEYS, &alice.key, number)).is_empty());
        assert_eq!(world.count(), before);
        for (given, shown) in [
            (json!(null), json!(null)),
            (json!("2030-01-01T00:00:00Z"), json!("2030-01-01T00:00:00.000Z")),
            (json!("2030-01-01T02:00:00.1239+02:00"), json!("2030-01-01T00:00:00.123Z")),
            (json!("9999-01-01T00:00:00Z"), json!("9999-01-01T00:00:00.000Z")),
        ] {
            let answer = mint(given);
            assert_eq!((answer.status, &answer.json()["expires_at"]), (201, &shown), "{answer:?}");
        }
    }

    fn a_limited_maker_passes_its_limits_on_and_can_give_no_more(place) {
        let world = place.start();
        let (id, key) = limited(&world);
        let maker = world.shown(&id.to_string(), &key);
        let heir = world.mint(&key, &json!({"name": "heir", "scopes": ["issues:read"]})).json();
        assert_eq!(heir["expires_at"], maker["expires_at"]);
        assert_eq!(heir["allowed_ips"], json!(["127.0.0.0/8", "::1"]));
        let heir = world.mint(&key, &json!({"name": "heir", "expires_at": null, "allowed_ips": null})).json();
        assert_eq!((&heir["expires_at"], &heir["allowed_ips"]), (&maker["expires_at"], &maker["allowed_ips"]));

        let before = world.count();
        let mint = |limit: &str, value: Value| {
            let mut body = json!({"name": "more"});
            body[limit] = value;
            world.mint(&key, &body)
        };
        for later in [rfc3339(from_now(3700)), "2100-01-01T00:00:00Z".to_owned()] {
            assert_exceeds(&mint("expires_at", json!(later)), "expires_at");
        }
        for wider in [json!(["0.0.0.0/0"]), json!(["127.0.0.1", "192.0.2.1"]), json!(["::/0"]), json!(["126.0.0.0/7"])] {
            assert_exceeds(&mint("allowed_ips", wider), "allowed_ips");
        }
        assert_eq!(world.count(), before);
        let sooner = rfc3339(from_now(600));
        assert_eq!(mint("expires_at", json!(sooner)).json()["expires_at"], json!(sooner));
        assert_eq!(mint("allowed_ips", json!(["127.0.0.1"])).json()["allowed_ips"], json!(["127.0.0.1"]));
    }

    fn a_list_of_addresses_is_one(place) {
        let world = place.start();
        let alice = world.alice();
        let mint = |addresses: Value| world.mint(&alice.key, &json!({"name": "ci", "allowed_ips": addresses}));
        for bad in [
            json!([]), json!(""), json!("192.0.2.1"), json!([""]), json!(["localhost"]), json!(["192.0.2.1/24"]), json!(["192.0.2.0/33"]),
            json!(["192.0.2.1:80"]), json!([1]), json!([null]), json!({}), json!(["192.0.2.1", "x"]), json!(vec!["192.0.2.1 "; 2]),
        ] {
            assert_eq!(complaints(&mint(bad.clone())), ["allowed_ips"], "{bad}");
        }
        let listed = mint(json!(["192.0.2.7", "2001:db8::/32", "::ffff:192.0.2.7", "198.51.100.0/24"]));
        assert_eq!(listed.json()["allowed_ips"], json!(["192.0.2.7", "198.51.100.0/24", "2001:db8::/32"]));
    }

    fn a_rate_is_a_number_of_requests_and_a_period(place) {
        let world = place.start();
        let alice = world.alice();
        for rate in [json!("fast"), json!(1), json!([]), json!(""), json!("0/1m"), json!("1/31d"), json!("1/1w"), json!("-1/1m"), json!({})] {
            assert_eq!(complaints(&world.mint(&alice.key, &json!({"name": "ci", "rate_limit": rate}))), ["rate_limit"], "{rate}");
            assert_eq!(complaints(&world.send("PATCH", &at(alice.id), &alice.key, &json!({"rate_limit": rate}))), ["rate_limit"], "{rate}");
        }
        for (given, shown) in [(json!(null), json!(null)), (json!("100/1m"), json!("100/1m")), (json!("7/120s"), json!("7/2m"))] {
            let minted = world.mint(&alice.key, &json!({"name": "ci", "rate_limit": given}));
            assert_eq!((minted.status, &minted.json()["rate_limit"]), (201, &shown));
        }
    }

    fn a_key_comes_through_as_often_as_its_limit_says_and_can_give_no_more(place) {
        let world = place.start();
        let alice = world.alice();
        let (id, key) = world.minted(&alice.key, &json!({"name": "slow", "scopes": ["keys:read", "keys:write"], "rate_limit": "6/30d"}));
        let mint = |rate: Value| world.mint(&key, &json!({"name": "child", "rate_limit": rate}));
        assert_eq!(mint(json!(null)).json()["rate_limit"], "6/30d");
        assert_eq!(mint(json!("5/30d")).json()["rate_limit"], "5/30d");
        for looser in ["7/30d", "1/1d"] {
            assert_exceeds(&mint(json!(looser)), "rate_limit");
        }
        let change = |rate: Value, key: &str| world.send("PATCH", &at(&id), key, &json!({"rate_limit": rate}));
        for looser in [json!("7/30d"), json!(null)] {
            assert_exceeds(&change(looser, &alice.key), "rate_limit");
        }
        // Four of its six are used.
        let told = |answer: &crate::support::http::Response| (answer.status, answer.header("ratelimit-policy").map(str::to_owned));
        let policy = Some(r#""default";q=6;w=2592000"#.to_owned());
        for expected in [200, 200, 429] {
            let answer = world.get("/api/v1/whoami", &key);
            assert_eq!(told(&answer), (expected, policy.clone()), "{answer:?}");
        }
        let refused = world.get("/api/v1/whoami", &key);
        refused.assert_problem(429, "rate-limited");
        let wait: u64 = refused.header("retry-after").expect("a time").parse().expect("seconds");
        assert!((1..=432_000).contains(&wait), "{wait}");
        // A tighter one holds at once.
        assert_eq!(change(json!("1/30d"), &alice.key).json()["rate_limit"], "1/30d");
        assert_eq!(told(&world.get("/api/v1/whoami", &key)), (429, Some(r#""default";q=1;w=2592000"#.to_owned())));
        assert_eq!(world.get("/api/v1/whoami", &alice.key).header("ratelimit"), None);
    }

    fn the_limit_of_all_keys_is_an_option_and_keys_have_budgets_of_their_own(place) {
        let world = place.start_with(&["--rate-limit", "3/30d"]);
        let (alice, bob) = (world.alice(), world.key_of("bob", &[]));
        for key in [alice.key.as_str(), &bob.key, EXTERNAL] {
            for expected in [200, 200, 200, 429, 429] {
                assert_eq!(world.status_of(key), expected);
            }
        }
        // A wrong key is nobody's, and a session no key.
        assert_eq!(world.status_of("ak_nothing"), 401);
    }

    fn everything_that_is_wrong_is_told_at_once(place) {
        let world = place.start();
        let alice = world.alice();
        let mut told = complaints(&world.mint(
            &alice.key,
            &json!({
                "name": "", "scopes": ["*"], "resources": [], "expires_at": "soon", "allowed_ips": ["here"], "rate_limit": "1/1w",
                "owner": "mallory", "whatever": 1,
            }),
        ));
        told.sort_unstable();
        assert_eq!(told, ["allowed_ips", "body", "expires_at", "name", "owner", "rate_limit", "resources", "scopes"]);
    }

    fn an_owner_has_no_more_keys_than_an_owner_may(place) {
        let world = place.start_with(&["--max-keys-per-owner", "3"]);
        let alice = world.alice();
        let (second, _) = world.minted(&alice.key, &json!({"name": "second"}));
        let (third, _) = world.minted(&alice.key, &json!({"name": "third"}));
        world.mint(&alice.key, &json!({"name": "fourth"})).assert_problem(409, "too-many-keys");
        // What is switched off can be switched on again, so it counts.
        assert_eq!(world.send("PATCH", &at(&second), &alice.key, &json!({"disabled": true})).status, 200);
        world.mint(&alice.key, &json!({"name": "fourth"})).assert_problem(409, "too-many-keys");
        // Others have keys of their own.
        world.minted(EXTERNAL, &json!({"name": "external"}));
        assert_eq!(world.call("DELETE", &at(&third), &alice.key).status, 204);
        world.minted(&alice.key, &json!({"name": "fourth"}));
        world.mint(&alice.key, &json!({"name": "fifth"})).assert_problem(409, "too-many-keys");
    }
}
