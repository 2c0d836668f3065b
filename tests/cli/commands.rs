//! What each command does and answers.

use serde_json::{Value, json};

use crate::place::{Place, on_each};

fn ids(listed: &Value) -> Vec<&str> {
    let data = listed["data"].as_array().expect("a list");
    data.iter()
        .map(|key| key["id"].as_str().expect("an id"))
        .collect()
}

/// A key with everything that can be said of it.
fn mint_full(place: &Place) -> Value {
    place.json(&[
        "mint",
        "--owner",
        "alice",
        "--name",
        "deploy",
        "--scope",
        "issues:read",
        "--scope",
        "issues:*",
        "--resource",
        "agent:alpha",
        "--expires",
        "2099-01-31T01:00:00+01:00",
        "--allowed-ip",
        "192.0.2.0/24",
        "--allowed-ip",
        "::1",
        "--rate-limit",
        "100/1m",
        "--credits",
        "1000/30d",
    ])
}

#[test]
fn a_minted_key_is_what_was_asked_for_and_works() {
    on_each(|place| {
        let mut minted = mint_full(place);
        let key = minted["key"].as_str().expect("the key").to_owned();
        let id = minted["id"].as_str().expect("an id").to_owned();
        assert!(
            minted["created_at"]
                .as_str()
                .is_some_and(|date| date.ends_with('Z'))
        );
        let expected = json!({
            "id": id, "key": key, "prefix": &key[..7], "name": "deploy", "owner": "alice", "status": "active",
            "scopes": ["issues:*", "issues:read"], "resources": ["agent:alpha"],
            "allowed_ips": ["192.0.2.0/24", "::1"], "rate_limit": "100/1m",
            "credits": { "limit": "1000/30d", "left": 1000 }, "created_at": minted["created_at"],
            "expires_at": "2099-01-31T00:00:00.000Z", "revoked_at": null, "disabled_at": null, "last_used_at": null,
            "rotated_from": null, "rotated_to": null, "imported": false, "version": 1,
        });
        assert_eq!(minted, expected);
        // All but the key can be seen again.
        minted.as_object_mut().expect("an object").remove("key");
        assert_eq!(place.json(&["show", &id]), minted);
        let (unlimited, _) = place.mint(&["--owner", "alice"]);
        assert_eq!(place.status_of(&unlimited), 200);
    });
}

#[test]
fn what_is_left_of_a_key_that_is_sold_by_use_is_shown() {
    on_each(|place| {
        let (_, free) = place.mint(&["--owner", "alice"]);
        let (_, sold) = place.mint(&["--owner", "alice", "--credits", "20"]);
        place.sql("UPDATE api_key_credits SET remaining = 17");
        let left = json!({ "limit": "20", "left": 17 });
        assert_eq!(place.json(&["show", &sold])["credits"], left);
        assert_eq!(place.json(&["show", &free])["credits"], json!(null));
        let rotated = place.json(&["rotate", &sold]);
        assert_eq!(rotated["credits"], left, "rotating fills nothing");
        let listed = place.json(&["list"]);
        let data = listed["data"].as_array().expect("a list").iter();
        let credits: Vec<&Value> = data.map(|key| &key["credits"]).collect();
        assert_eq!(credits, [&left, &left, &json!(null)]);
        assert_eq!(place.json(&["disable", &sold])["credits"], left);
        assert_eq!(place.json(&["revoke", &sold])["credits"], left);
        let shown = place.run(&["show", &sold]).stdout;
        assert!(shown.contains("credits       17 of 20\n"), "{shown}");
        let shown = place.run(&["show", &free]).stdout;
        assert!(shown.contains("credits       -\n"), "{shown}");
    });
}

#[test]
fn the_key_stands_alone_on_standard_output() {
    on_each(|place| {
        let ran = place.run(&["mint", "--owner", "alice", "--prefix", "gak"]);
        let key = ran.stdout.strip_suffix('\n').expect("a line");
        assert!(
            key.starts_with("gak_") && key.len() == 53 && !key.contains(char::is_whitespace),
            "{ran:?}"
        );
        assert!(ran.stderr.contains("for alice; it does not expire"), "{ran:?}");
        assert_eq!(ran.code, 0);
    });
}

#[test]
fn without_a_scope_a_key_may_do_nothing_and_a_star_is_everything() {
    on_each(|place| {
        let scopes = |arguments: &[&str]| {
            place.json(&[&["mint", "--owner", "a"], arguments].concat())["scopes"].clone()
        };
        assert_eq!(scopes(&[]), json!([]));
        assert_eq!(scopes(&["--scope", "*"]), json!(["*"]));
        for bad in [
            &["--scope", "*", "--scope", "a"][..],
            &["--scope", "a b"],
            &["--scope", ""],
        ] {
            let ran = place.run(&[&["mint", "--owner", "a"], bad].concat());
            assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{bad:?}");
        }
        assert_eq!(ids(&place.json(&["list"])).len(), 2);
    });
}

#[test]
fn keys_are_listed_by_owner_and_status_in_pages() {
    on_each(|place| {
        let (_, first) = place.mint(&["--owner", "alice"]);
        let (_, second) = place.mint(&["--owner", "bob"]);
        let (_, third) = place.mint(&["--owner", "alice"]);
        let (_, gone) = place.mint(&["--owner", "alice"]);
        let (_, off) = place.mint(&["--owner", "bob"]);
        place.json(&["revoke", &gone]);
        place.json(&["disable", &off]);
        let listed = |arguments: &[&str]| place.json(&[&["list"], arguments].concat());
        assert_eq!(ids(&listed(&[])), [&third, &second, &first]);
        assert_eq!(ids(&listed(&["--owner", "alice"])), [&third, &first]);
        assert_eq!(ids(&listed(&["--status", "revoked"])), [&gone]);
        assert_eq!(ids(&listed(&["--status", "disabled"])), [&off]);
        assert_eq!(ids(&listed(&["--status", "expired"])), [""; 0]);
        assert_eq!(ids(&listed(&["--status", "all"])).len(), 5);
        let page = listed(&["--limit", "2"]);
        assert_eq!(
            (ids(&page), &page["next_before"]),
            (vec![&*third, &*second], &json!(second))
        );
        let page = listed(&["--limit", "2", "--before", &second]);
        assert_eq!((ids(&page), &page["next_before"]), (vec![&*first], &Value::Null));

        let table = place.run(&["list", "--limit", "1"]);
        let lines: Vec<&str> = table.stdout.lines().collect();
        assert!(
            lines[0].starts_with("ID ") && lines[1].starts_with(&third) && lines.len() == 2,
            "{table:?}"
        );
        assert!(table.stderr.contains("--before"), "{table:?}");
    });
}

#[test]
fn a_key_can_be_switched_off_and_on_and_ended_for_good() {
    on_each(|place| {
        let (key, id) = place.mint(&["--owner", "alice"]);
        assert_eq!(place.json(&["disable", &id])["status"], "disabled");
        assert_eq!(place.status_of(&key), 401);
        assert_eq!(place.json(&["enable", &id])["status"], "active");
        assert_eq!(place.status_of(&key), 200);
        // The beginning of the id will do, in either case, where no other begins like it.
        let beginning = id[..30].to_uppercase();
        assert_eq!(place.json(&["revoke", &beginning])["status"], "revoked");
        assert_eq!(place.status_of(&key), 401);
        assert_eq!(
            place.json(&["revoke", &id])["version"],
            4,
            "twice is the same as once"
        );
        let ran = place.run(&["enable", &id]);
        assert_eq!((ran.code, ran.stdout.as_str()), (5, ""), "{ran:?}");
        assert!(place.run(&["show", &id]).stdout.contains("revoked"));
    });
}

#[test]
fn a_rotation_gives_a_key_like_the_old_one_once() {
    on_each(|place| {
        let (old, id) = place.mint(&[
            "--owner", "alice", "--name", "deploy", "--scope", "a", "--prefix", "gak",
        ]);
        let new = place.json(&["rotate", &id, "--overlap", "0"]);
        let key = new["key"].as_str().expect("the key");
        assert!(key.starts_with("gak_") && key != old, "{key}");
        assert_eq!((&new["name"], &new["scopes"]), (&json!("deploy"), &json!(["a"])));
        assert_eq!(new["rotated_from"], json!(id));
        assert_eq!(place.json(&["show", &id])["rotated_to"], new["id"]);
        assert_eq!(place.run(&["rotate", &id]).code, 5);
        let (kept, id) = place.mint(&["--owner", "alice"]);
        let ran = place.run(&["rotate", &id]);
        assert_eq!(
            (place.status_of(&kept), place.status_of(ran.stdout.trim())),
            (200, 200)
        );
        assert_eq!(
            place.run(&["rotate", &id]).code,
            5,
            "another has taken over already"
        );
    });
}

#[test]
fn the_log_names_the_user_and_is_whole() {
    on_each(|place| {
        let (_, id) = place.mint(&["--owner", "alice"]);
        place.mint(&["--owner", "bob"]);
        place.json(&["revoke", &id]);
        let events = place.json(&["events"]);
        let kinds = |events: &Value| -> Vec<String> {
            let data = events["data"].as_array().expect("a list");
            data.iter()
                .map(|event| event["kind"].as_str().expect("a kind").to_owned())
                .collect()
        };
        assert_eq!(kinds(&events), ["revoked", "minted", "minted"]);
        let newest = &events["data"][0];
        assert_eq!(
            (&newest["seq"], &newest["key_id"], &newest["owner"]),
            (&json!(3), &json!(id), &json!("alice"))
        );
        assert_eq!(newest["actor"]["kind"], "cli");
        assert!(
            newest["actor"]["owner"]
                .as_str()
                .is_some_and(|user| !user.is_empty())
        );
        assert_eq!(newest["before"]["revoked_at"], Value::Null);
        assert!(newest["after"]["revoked_at"].is_i64());
        assert_eq!(kinds(&place.json(&["events", &id])), ["revoked", "minted"]);
        assert_eq!(kinds(&place.json(&["events", "--owner", "bob"])), ["minted"]);
        let page = place.json(&["events", "--limit", "2"]);
        assert_eq!(page["next_before"], 2);
        assert_eq!(kinds(&place.json(&["events", "--before", "2"])), ["minted"]);

        let whole = place.json(&["verify-log"]);
        assert_eq!(whole, json!({ "whole": true, "seq": 3, "hash": newest["hash"] }));
        let plain = place.run(&["verify-log"]);
        assert_eq!(
            plain.stdout,
            format!("3 {}\n", newest["hash"].as_str().expect("a hash"))
        );
    });
}

#[test]
fn pruning_removes_what_expired_long_ago_and_nothing_else() {
    on_each(|place| {
        let (_, id) = place.mint(&["--owner", "alice", "--expires", "90d"]);
        let (_, forever) = place.mint(&["--owner", "alice"]);
        place.sql(&format!(
            "UPDATE api_keys SET expires_at = 1000 WHERE id = '{id}'"
        ));
        assert_eq!(
            place.json(&["prune", "--older-than", "5200w"]),
            json!({ "removed": 0 })
        );
        assert_eq!(
            place.json(&["prune", "--older-than", "1d"]),
            json!({ "removed": 1 })
        );
        assert_eq!(ids(&place.json(&["list", "--status", "all"])), [&forever]);
        // What happened to it can still be seen, by its whole id.
        assert_eq!(place.json(&["events", &id])["data"][0]["kind"], "pruned");
    });
}

#[test]
fn a_pepper_is_mixed_in_where_there_is_one() {
    let place = Place::sqlite();
    let pepper = place.file("pepper", &"x".repeat(32));
    let (key, _) = place.mint(&["--owner", "alice", "--pepper-file", &pepper]);
    assert_eq!(place.status_of(&key), 401, "this server has none");
    let short = place.file("short", "x");
    assert_eq!(
        place.run(&["mint", "--owner", "a", "--pepper-file", &short]).code,
        2
    );
}

#[test]
fn completions_are_written_for_each_shell() {
    let place = Place::sqlite();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = place.run(&["completions", shell]);
        assert!(ran.code == 0 && ran.stdout.contains("verify-log"), "{shell}");
    }
}

#[test]
fn a_digest_for_the_configuration_is_made_of_standard_input_only() {
    let place = Place::sqlite();
    const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    for input in ["abc", "abc\n", "abc\r\n"] {
        assert_eq!(place.feed(&["hash"], input).stdout, format!("{DIGEST}\n"));
    }
    let object: Value = serde_json::from_str(&place.feed(&["hash", "--json"], "abc").stdout).expect("JSON");
    assert_eq!(object, json!({ "digest": DIGEST }));
}

#[test]
fn the_expression_for_scanners_finds_what_is_minted() {
    let place = Place::sqlite();
    for prefix in ["ak", "oc_org"] {
        let text = place.run(&["pattern", "--prefix", prefix]).stdout;
        let pattern = regex::Regex::new(text.trim_end()).expect("an expression");
        let key = place
            .run(&["mint", "--owner", "alice", "--prefix", prefix])
            .stdout;
        let found = pattern.find(&key).expect("found");
        assert_eq!(found.as_str(), key.trim_end());
    }
    assert_eq!(place.json(&["pattern"])["pattern"], r"\bak_[0-9A-Za-z]{49}\b");
    assert_eq!(place.run(&["pattern", "--prefix", "a.k"]).code, 2);
}
