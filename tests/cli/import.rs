//! Keys of other systems, and files that are not good.

use std::fmt::Write;

use serde_json::{Value, json};
use tower_api_key::key::KeyDigest;

use crate::place::{Place, on_each};

pub(crate) fn hex(key: &str) -> String {
    KeyDigest::of(key.as_bytes()).to_hex()
}

/// Written here once more, so that the reader is not checked against itself.
pub(crate) fn base64url(key: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digest = KeyDigest::of(key.as_bytes());
    let bits: String = digest.as_bytes().iter().fold(String::new(), |mut bits, byte| {
        write!(bits, "{byte:08b}").expect("written");
        bits
    });
    let bits = format!("{bits}00");
    let groups = (0..43).map(|i| usize::from_str_radix(&bits[i * 6..i * 6 + 6], 2).expect("bits"));
    groups.map(|value| char::from(LETTERS[value])).collect()
}

pub(crate) fn rows(place: &Place) -> i64 {
    place.count("SELECT count(*) FROM api_keys").unwrap_or(0)
}

#[test]
fn csv_with_every_column_is_taken_over_and_works() {
    on_each(|place| {
        let text = format!(
            "owner,digest,name,scopes,resources,expires_at,created_at,prefix\r\n\
             alice,{},\"a, \"\"b\"\"\",issues:read  issues:*,agent:alpha,2099-01-01T00:00:00Z,2020-01-01 02:00:00+02,gak_0123\r\n\
             bob,\\x{},,,*,,,\r\n",
            hex("legacy-one"),
            hex("legacy-two"),
        );
        let file = place.file("keys.csv", &text);
        let answer = place.json(&["import", &file]);
        assert_eq!(answer, json!({ "imported": 2, "skipped": 0, "dry_run": false }));
        let listed = place.json(&["list", "--owner", "alice"]);
        let key = &listed["data"][0];
        for (field, value) in [
            ("name", json!("a, \"b\"")),
            ("scopes", json!(["issues:*", "issues:read"])),
            ("resources", json!(["agent:alpha"])),
            ("expires_at", json!("2099-01-01T00:00:00.000Z")),
            ("created_at", json!("2020-01-01T00:00:00.000Z")),
            ("prefix", json!("gak_0123")),
            ("imported", json!(true)),
        ] {
            assert_eq!(key[field], value, "{field}");
        }
        let bare = &place.json(&["list", "--owner", "bob"])["data"][0];
        assert_eq!((&bare["scopes"], &bare["resources"]), (&json!([]), &Value::Null));
        assert_eq!(
            (place.status_of("legacy-one"), place.status_of("legacy-two")),
            (200, 200)
        );
        assert_eq!(place.status_of("legacy-three"), 401);
        assert_eq!(place.json(&["events"])["data"][0]["kind"], "imported");
        assert_eq!(place.json(&["verify-log"])["whole"], true);
    });
}

#[test]
fn json_lines_take_every_spelling_of_a_digest() {
    on_each(|place| {
        let raw = KeyDigest::of(b"legacy-raw").as_bytes().to_vec();
        let lines = [
            json!({ "digest": hex("legacy-hex").to_uppercase(), "owner": "alice", "scopes": ["a", "b:*"] }),
            json!({ "digest": base64url("legacy-url"), "owner": "alice", "scopes": "a b:*", "name": null }),
            json!({ "digest": format!("{}=", base64url("legacy-padded")), "owner": "alice", "scopes": ["*"] }),
            json!({ "digest": raw, "owner": "alice", "resources": ["agent:alpha", "agent:beta"] }),
        ];
        let text: String = lines.iter().map(|line| format!("{line}\n\n")).collect();
        let ran = place.feed(&["import", "-", "--format", "jsonl"], &text);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{ran:?}");
        assert_eq!(ran.stderr, "4 keys were now imported; 0 were there already\n");
        for key in ["legacy-hex", "legacy-url", "legacy-padded", "legacy-raw"] {
            assert_eq!(place.status_of(key), 200, "{key}");
        }
        let listed = place.json(&["list"]);
        let with = |name: &str, value: &Value| {
            let data = listed["data"].as_array().expect("a list");
            data.iter().filter(|key| key[name] == *value).count()
        };
        assert_eq!(with("scopes", &json!(["a", "b:*"])), 2);
        assert_eq!(with("scopes", &json!(["*"])), 1);
        assert_eq!(with("resources", &json!(["agent:alpha", "agent:beta"])), 1);
    });
}

#[test]
fn a_second_time_everything_is_skipped_and_a_dry_run_writes_nothing() {
    on_each(|place| {
        let text = |keys: std::ops::Range<u32>| -> String {
            let lines = keys.map(|i| format!("{},alice\n", hex(&format!("legacy-{i}"))));
            format!("digest,owner\n{}", lines.collect::<String>())
        };
        // One is in it twice.
        let first = place.file("first.csv", &format!("{}{},bob\n", text(0..600), hex("legacy-7")));
        assert_eq!(place.json(&["import", &first])["imported"], 600);
        let second = place.file("second.csv", &text(0..1000));
        let rehearsed = place.json(&["import", &second, "--dry-run"]);
        assert_eq!(
            rehearsed,
            json!({ "imported": 400, "skipped": 600, "dry_run": true })
        );
        assert_eq!(rows(place), 600);
        assert_eq!(place.json(&["verify-log"])["seq"], 600);
        // What is there is left as it is: a key that was revoked since is not brought back.
        let newest = place.json(&["list", "--limit", "1"])["data"][0]["id"].clone();
        place.json(&["revoke", newest.as_str().expect("an id")]);
        for _ in 0..2 {
            place.run(&["import", &second]);
        }
        assert_eq!(rows(place), 1000);
        assert_eq!(place.json(&["import", &second])["skipped"], 1000);
        assert_eq!(
            place.json(&["list", "--status", "revoked"])["data"]
                .as_array()
                .map(Vec::len),
            Some(1)
        );
        assert_eq!(place.json(&["verify-log"])["seq"], 1001);
    });
}

#[test]
fn a_bad_line_stops_before_its_batch_and_is_named_without_what_is_on_it() {
    on_each(|place| {
        let good = |from: u32, to: u32| -> String {
            (from..to)
                .map(|i| format!("{},alice,n\n", hex(&format!("legacy-{i}"))))
                .collect()
        };
        let digest = hex("canary");
        for (bad, told) in [
            (
                format!("{digest}0,alice,n\n"),
                "line 722: digest must be a SHA-256",
            ),
            (format!("{digest},,n\n"), "line 722: owner must not be missing"),
            // What an export has of a column that was empty.
            (
                format!("{},alice,n\n", hex("")),
                "line 722: digest is of a text that everybody knows",
            ),
            (
                format!("{},alice,n\n", hex("CHANGEME").to_uppercase()),
                "line 722: digest is of a text that everybody knows",
            ),
            (
                format!("{digest},alice\n"),
                "line 722: it does not have as many fields",
            ),
            (
                format!("{digest},alice,\"n\u{202e}\"\n"),
                "line 722: name must not have control characters",
            ),
        ] {
            let text = format!("digest,owner,name\n{}{bad}{}", good(0, 720), good(720, 1100));
            let ran = place.feed(&["import", "-", "--format", "csv"], &text);
            assert_eq!(ran.code, 8, "{ran:?}");
            assert!(ran.stderr.contains(told), "{told}: {ran:?}");
            assert!(!ran.stderr.contains(&digest[..60]), "{ran:?}");
            // The first 500 are there, and nothing of the batch of the bad line.
            assert_eq!(rows(place), 500, "{told}");
        }
        let ran = place.feed(
            &["import", "-", "--format", "csv"],
            &format!("digest,owner,name\n{}", good(0, 1100)),
        );
        assert_eq!(ran.stderr, "600 keys were now imported; 500 were there already\n");
    });
}

#[test]
fn a_digest_that_is_a_key_of_another_owner_already_changes_nothing_of_it() {
    on_each(|place| {
        let (key, id) = place.mint(&["--owner", "alice", "--scope", "a"]);
        let before = place.json(&["show", &id]);
        let text = format!("digest,owner,scopes\n{},mallory,*\n", hex(&key));
        let ran = place.feed(&["import", "-", "--format", "csv", "--json"], &text);
        assert!(ran.stdout.contains("\"skipped\":1"), "{ran:?}");
        assert_eq!(place.json(&["show", &id]), before);
    });
}
