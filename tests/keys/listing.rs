//! Lists: pages, filters, and what is no query.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tower_api_key::manage::NewKey;

use crate::world::{KEYS, World, at, complaints};

fn page(world: &World, key: &str, query: &str) -> (Vec<String>, Option<String>) {
    let answer = world.get(&format!("{KEYS}{query}"), key);
    assert_eq!(answer.status, 200, "{query} {answer:?}");
    let body = answer.json();
    let data = body["data"].as_array().expect("a list").iter();
    let names = data.map(|key| key["name"].as_str().expect("a name").to_owned());
    (names.collect(), body["next_cursor"].as_str().map(str::to_owned))
}

on_both! {
    fn pages_follow_one_another_without_a_gap(place) {
        let world = place.start();
        let alice = world.alice();
        for i in 1..=5 {
            world.minted(&alice.key, &json!({"name": format!("key {i}")}));
        }
        let all = ["key 5", "key 4", "key 3", "key 2", "key 1", "for tests"];
        assert_eq!(page(&world, &alice.key, ""), (all.map(str::to_owned).to_vec(), None));
        for limit in [1, 2, 3, 4, 5, 6, 7] {
            let mut names = Vec::new();
            let mut query = format!("?limit={limit}");
            loop {
                let (more, cursor) = page(&world, &alice.key, &query);
                assert!(more.len() == limit || cursor.is_none(), "{query}");
                names.extend(more);
                match cursor {
                    Some(cursor) => query = format!("?limit={limit}&cursor={cursor}"),
                    None => break,
                }
                if names.len() == 2 {
                    // What comes meanwhile is before the first page.
                    let (id, _) = world.minted(&alice.key, &json!({"name": "late"}));
                    assert_eq!(world.call("DELETE", &at(&id), &alice.key).status, 204);
                }
            }
            assert_eq!(names, all, "{limit}");
        }
    }

    fn a_list_shows_the_status_asked_for(place) {
        let world = place.start();
        let alice = world.alice();
        let past = SystemTime::now() - Duration::from_secs(60);
        world.issue(NewKey::new("alice").name("expired").expires_at(past));
        let (revoked, _) = world.minted(&alice.key, &json!({"name": "revoked"}));
        assert_eq!(world.call("DELETE", &at(&revoked), &alice.key).status, 204);
        let (disabled, _) = world.minted(&alice.key, &json!({"name": "disabled"}));
        assert_eq!(world.send("PATCH", &at(&disabled), &alice.key, &json!({"disabled": true})).status, 200);
        for (query, names) in [
            ("", &["for tests"][..]),
            ("?status=active", &["for tests"]),
            ("?status=expired", &["expired"]),
            ("?status=revoked", &["revoked"]),
            ("?status=disabled", &["disabled"]),
            ("?status=all", &["disabled", "revoked", "expired", "for tests"]),
            ("?st%61tus=%61ll&limit=2", &["disabled", "revoked"]),
        ] {
            assert_eq!(page(&world, &alice.key, query).0, names, "{query}");
        }
        let all = world.get(&format!("{KEYS}?status=all"), &alice.key).json();
        let shown = all["data"].as_array().expect("a list").iter();
        let statuses: Vec<&Value> = shown.map(|key| &key["status"]).collect();
        assert_eq!(statuses, ["disabled", "revoked", "expired", "active"]);
    }

    fn a_query_that_cannot_be_meant_is_refused(place) {
        let world = place.start();
        let admin = world.admin();
        let targets = [KEYS.to_owned(), format!("{KEYS}/events"), format!("{}/events", at(admin.id))];
        for target in &targets {
            for (query, field) in [
                ("limit=0", "limit"), ("limit=101", "limit"), ("limit=-1", "limit"), ("limit=%2B1", "limit"), ("limit=1.0", "limit"),
                ("limit=", "limit"), ("limit", "limit"), ("limit=4294967297", "limit"), ("limit=ten", "limit"), ("limit=1&limit=1", "limit"),
                ("cursor=x", "cursor"), ("cursor=", "cursor"), ("cursor=-1", "cursor"), ("cursor=%27--", "cursor"),
                ("cursor=99999999999999999999", "cursor"), ("owner=bob", "query"), ("Limit=1", "query"), ("limit=%ff", "limit"),
                ("%3Cscript%3E=1", "query"),
            ] {
                let refused = world.get(&format!("{target}?{query}"), &admin.key);
                assert_eq!(complaints(&refused), [field], "{target} {query}");
                assert!(!refused.body.contains("script") && !refused.body.contains("--"), "{refused:?}");
            }
        }
        for status in ["", "Active", "any", "active,revoked", "%00"] {
            assert_eq!(complaints(&world.get(&format!("{KEYS}?status={status}"), &admin.key)), ["status"]);
        }
        assert_eq!(complaints(&world.get(&format!("{KEYS}/events?status=all"), &admin.key)), ["query"]);
        assert_eq!(complaints(&world.get(&format!("{KEYS}?limit=0&cursor=x&status=y&z"), &admin.key)).len(), 4);
    }
}
