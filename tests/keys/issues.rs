//! The demo's own table, on either database.

use serde_json::json;

use crate::support::server::EXTERNAL;

on_both! {
    fn issues_are_kept_listed_and_changed(place) {
        let world = place.start();
        let create = |title: &str| world.send("POST", "/api/v1/issues", EXTERNAL, &json!({"title": title}));
        for title in ["one", "'); DROP TABLE demo_issues; --", "\u{1f980}"] {
            assert_eq!(create(title).status, 201, "{title}");
        }
        create("a\0b").assert_problem(400, "invalid-request");
        let closed = world.send("PATCH", "/api/v1/issues/2", EXTERNAL, &json!({"status": "closed"}));
        assert_eq!((closed.status, &closed.json()["status"]), (200, &json!("closed")), "{closed:?}");
        world.send("PATCH", "/api/v1/issues/99", EXTERNAL, &json!({"status": "closed"})).assert_problem(404, "not-found");
        let titles = |query: &str| -> Vec<String> {
            let listed = world.get(&format!("/api/v1/issues{query}"), EXTERNAL).json();
            let listed = listed.as_array().expect("a list").iter();
            listed.map(|issue| issue["title"].as_str().expect("a title").to_owned()).collect()
        };
        assert_eq!(titles(""), ["\u{1f980}", "'); DROP TABLE demo_issues; --", "one"]);
        assert_eq!(titles("?status=open&limit=1"), ["\u{1f980}"]);
        assert_eq!(titles("?status=closed"), ["'); DROP TABLE demo_issues; --"]);
        assert_eq!(world.server.get("/healthz", &[]).status, 200);
        world.server.stop().assert_success();

        let world = place.start();
        let kept = world.get("/api/v1/issues", EXTERNAL).json().as_array().map(Vec::len);
        // A server of a file is in another directory now.
        assert_eq!(kept, Some(if place.is_postgres() { 3 } else { 0 }));
    }
}
