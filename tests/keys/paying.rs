//! What a key that is sold by use pays, and for what it does not.

use std::{thread, time::Duration};

use serde_json::json;
use tower_api_key::{access::Grants, manage::NewKey};

use crate::{
    support::{
        http::Response,
        keys::Minted,
        server::{EXTERNAL, Server},
    },
    world::{MANAGER, World, at, field},
};

const WHOAMI: &str = "/api/v1/whoami";

fn sold(world: &World, limit: &str) -> Minted {
    let new = NewKey::new("alice").name("sold");
    let new = new.grants(Grants::scopes(MANAGER).expect("scopes"));
    world.issue(new.credits(limit.parse().expect("credits")))
}

fn left(world: &World, key: &Minted) -> u64 {
    let shown = world.shown(&key.id.to_string(), EXTERNAL);
    shown["credits"]["left"].as_u64().expect("a number")
}

fn told(answer: &Response) -> [Option<&str>; 3] {
    ["ratelimit-policy", "ratelimit", "retry-after"].map(|name| answer.header(name))
}

/// By so many clients at once, each of which asks the server that its number names.
fn at_once(servers: &[&Server], clients: usize, key: &str) -> Vec<u16> {
    thread::scope(|scope| {
        let asked: Vec<_> = (0..clients)
            .map(|number| {
                let server = servers[number % servers.len()];
                scope.spawn(move || server.get(WHOAMI, &[&field(key)]).status)
            })
            .collect();
        asked
            .into_iter()
            .map(|client| client.join().expect("an answer"))
            .collect()
    })
}

on_both! {
    fn each_use_is_paid_for_and_then_there_are_none(place) {
        let world = place.start();
        let key = sold(&world, "3");
        for remaining in ["2", "1", "0"] {
            let answer = world.get(WHOAMI, &key.key);
            let limit = format!(r#""credits";r={remaining}"#);
            assert_eq!((answer.status, told(&answer)), (200, [Some(r#""credits";q=3"#), Some(&limit), None]), "{answer:?}");
        }
        let refused = world.get(WHOAMI, &key.key);
        refused.assert_problem(429, "rate-limited");
        // There never are any again, so nobody is told to wait.
        assert_eq!(told(&refused), [Some(r#""credits";q=3"#), Some(r#""credits";r=0"#), None]);
        assert_eq!(refused.header("cache-control"), Some("no-store"));
        // What has no account is told of none.
        assert_eq!(told(&world.get(WHOAMI, EXTERNAL)), [None; 3]);
    }

    fn a_period_fills_the_account(place) {
        let world = place.start();
        let key = sold(&world, "2/1h");
        assert_eq!([200, 200, 429].map(|_| world.status_of(&key.key)), [200, 200, 429]);
        let refused = world.get(WHOAMI, &key.key);
        let wait: u64 = refused.header("retry-after").expect("a time").parse().expect("seconds");
        assert!((3500..=3600).contains(&wait), "{wait}");
        assert_eq!(told(&refused)[0], Some(r#""credits";q=2;w=3600"#));
        place.sql(&world, "UPDATE api_key_credits SET filled_at = filled_at - 3600000");
        // That there were none is known for a quarter of a second.
        thread::sleep(Duration::from_millis(300));
        assert_eq!([200, 200, 429].map(|_| world.status_of(&key.key)), [200, 200, 429]);
    }

    fn as_many_come_through_as_there_are_uses_whoever_they_ask(place) {
        let world = place.start();
        let key = sold(&world, "40/30d");
        // A second server beside it, on the same database.
        let other = world.setup.start();
        let statuses = at_once(&[&world.server, &other], 64, &key.key);
        let count = |status| statuses.iter().filter(|one| **one == status).count();
        assert_eq!((count(200), count(429)), (40, 24), "{statuses:?}");
        assert_eq!(left(&world, &key), 0);
    }

    fn what_is_refused_costs_nothing(place) {
        let world = place.start();
        let key = sold(&world, "5");
        // A scope that it lacks, found inside of the layer.
        let denied = world.send("POST", "/api/v1/topics/news/messages", &key.key, &json!({"text": "x"}));
        assert_eq!((denied.status, told(&denied)[1]), (403, Some(r#""credits";r=5"#)), "{denied:?}");
        // It is put back after the answer, by a task of its own.
        for _ in 0..1000 {
            if left(&world, &key) == 5 {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let id = at(key.id);
        assert_eq!(world.send("PATCH", &id, EXTERNAL, &json!({"disabled": true})).status, 200);
        assert_eq!(world.get(WHOAMI, &key.key).status, 401);
        assert_eq!(world.send("PATCH", &id, EXTERNAL, &json!({"disabled": false, "allowed_ips": ["192.0.2.1"]})).status, 200);
        assert_eq!(world.get(WHOAMI, &key.key).status, 403);
        assert_eq!(left(&world, &key), 5);
    }

    fn what_a_limit_refuses_costs_nothing_and_what_is_not_paid_counts_for_nothing(place) {
        let world = place.start();
        let new = NewKey::new("alice").name("both").rate_limit("2/30d".parse().expect("a rate"));
        let key = world.issue(new.credits("3".parse().expect("credits")));
        let answer = world.get(WHOAMI, &key.key);
        assert_eq!(told(&answer)[0], Some(r#""default";q=2;w=2592000, "credits";q=3"#), "{answer:?}");
        assert_eq!([200, 429, 429].map(|_| world.status_of(&key.key)), [200, 429, 429]);
        assert_eq!(left(&world, &key), 1);

        let new = NewKey::new("alice").name("both").rate_limit("9/30d".parse().expect("a rate"));
        let key = world.issue(new.credits("1".parse().expect("credits")));
        assert_eq!([200, 429, 429].map(|_| world.status_of(&key.key)), [200, 429, 429]);
        assert_eq!(world.send("PATCH", &at(key.id), EXTERNAL, &json!({"credits": "9"})).status, 200);
        // Of nine, one was used before and this is the second.
        let limit = world.get(WHOAMI, &key.key);
        assert!(told(&limit)[1].is_some_and(|told| told.starts_with(r#""default";r=7;"#)), "{limit:?}");
    }

    fn an_account_that_is_not_there_lets_nobody_in(place) {
        let world = place.start();
        let key = sold(&world, "5");
        assert_eq!(world.status_of(&key.key), 200);
        place.sql(&world, "DELETE FROM api_key_credits");
        let refused = world.get(WHOAMI, &key.key);
        refused.assert_problem(503, "auth-unavailable");
        assert!(refused.header("retry-after").is_some());
        assert_eq!(world.status_of(EXTERNAL), 200);
    }
}
