//! Each exit code, and what is said with it.

use std::{fs::File, process::Stdio};

use crate::place::{Place, finish, on_each, without_database};

#[test]
fn a_command_line_that_cannot_be_meant_is_2_and_changes_nothing() {
    on_each(|place| {
        for arguments in [
            &["mint"][..],
            &["mint", "--owner", " "],
            &["mint", "--owner", "a", "--expires", "2001-01-01T00:00:00Z"],
            &["mint", "--owner", "a", "--expires", "soon"],
            &["mint", "--owner", "a", "--expires", "0"],
            &["mint", "--owner", "a", "--name", "a\nb"],
            &["mint", "--owner", "a", "--name", "\u{202e}"],
            &["mint", "--owner", "a", "--scope", "*:b"],
            &["mint", "--owner", "a", "--resource", "alpha"],
            &["mint", "--owner", "a", "--allowed-ip", "everywhere"],
            &["mint", "--owner", "a", "--rate-limit", "1"],
            &["mint", "--owner", "a", "--credits", "0"],
            &["mint", "--owner", "a", "--credits", "10/2w"],
            &["mint", "--owner", "a", "--prefix", "A"],
            &["revoke", ""],
            &["revoke"],
            &["list", "--status", "good"],
            &["list", "--limit", "0"],
            &["prune"],
            &["import", "keys.txt"],
            &["completions", "sh"],
            &["frobnicate"],
            &[],
        ] {
            let ran = place.run(arguments);
            assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}: {ran:?}");
            assert!(!ran.stderr.is_empty(), "{arguments:?}");
        }
        assert_eq!(place.count("SELECT count(*) FROM api_keys").unwrap_or(0), 0);
    });
    for url in [
        None,
        Some("mysql://x"),
        Some("sqlite::memory:"),
        Some("sqlite://file.db?mode=memory"),
    ] {
        let mut command = without_database(&["list", "--json"]);
        command.envs(url.map(|url| ("APIKEY_DATABASE_URL", url)));
        let ran = finish(command, "");
        assert_eq!(
            (ran.code, ran.failure()["error"].as_str()),
            (2, Some("usage")),
            "{url:?}"
        );
    }
}

#[test]
fn what_is_not_there_is_3() {
    let missing = Place::sqlite();
    let ran = missing.run(&["list", "--json"]);
    assert_eq!(
        (ran.code, ran.failure()["error"].as_str()),
        (3, Some("not-found"))
    );
    assert!(
        !missing.path("keys.db").exists(),
        "a mistyped path makes no database"
    );
    on_each(|place| {
        let (key, id) = place.mint(&["--owner", "a"]);
        let other = id.replace(&id[..4], "ffff");
        for verb in ["show", "rotate", "revoke", "disable", "enable", "events"] {
            for id in [other.as_str(), "ffff", "_", "' OR 1=1 --", "%", key.as_str()] {
                let ran = place.run(&[verb, id, "--json"]);
                assert_eq!(
                    (ran.code, ran.failure()["error"].as_str()),
                    (3, Some("not-found")),
                    "{verb} {id}"
                );
                assert!(
                    !ran.stderr.contains(&key),
                    "{verb} repeats a key that was given for an id"
                );
            }
        }
        assert_eq!(place.json(&["show", &id])["status"], "active");
        assert_eq!(place.run(&["import", "nowhere.csv"]).code, 3);
    });
}

#[test]
fn more_than_one_key_is_4_names_them_and_changes_none() {
    on_each(|place| {
        // The first digits of an id are of its time.
        let minted: Vec<String> = (0..12).map(|_| place.mint(&["--owner", "a"]).1).collect();
        let ran = place.run(&["revoke", &minted[0][..5], "--json"]);
        let failure = ran.failure();
        assert_eq!((ran.code, failure["error"].as_str()), (4, Some("ambiguous")));
        let named = failure["candidates"].as_array().expect("a list");
        assert_eq!(named.len(), 10);
        assert!(
            named.iter().all(|key| minted.iter().any(|id| key["id"] == *id)),
            "{failure}"
        );
        let plain = place.run(&["revoke", &minted[0][..5]]);
        assert!(plain.code == 4 && plain.stderr.contains(&minted[11]), "{plain:?}");
        assert_eq!(
            place.count("SELECT count(*) FROM api_keys WHERE revoked_at IS NOT NULL"),
            Some(0)
        );
    });
}

#[test]
fn a_key_that_is_not_in_the_state_for_it_is_5() {
    on_each(|place| {
        let (_, id) = place.mint(&["--owner", "a"]);
        place.json(&["revoke", &id]);
        for verb in ["rotate", "disable", "enable"] {
            let ran = place.run(&[verb, &id, "--json"]);
            assert_eq!(
                (ran.code, ran.failure()["error"].as_str()),
                (5, Some("conflict")),
                "{verb}"
            );
        }
    });
}

#[test]
fn a_database_that_cannot_be_reached_is_6_and_its_password_is_not_told() {
    for arguments in [&["list", "--json"][..], &["mint", "--owner", "a", "--json"]] {
        let mut command = without_database(arguments);
        command.env(
            "APIKEY_DATABASE_URL",
            "postgres://alice:canary-password@127.0.0.1:1/keys",
        );
        let ran = finish(command, "");
        assert_eq!(
            (ran.code, ran.failure()["error"].as_str()),
            (6, Some("unavailable")),
            "{ran:?}"
        );
        assert!(!ran.stderr.contains("canary-password"), "{ran:?}");
    }
    let place = Place::sqlite();
    std::fs::create_dir(place.path("keys.db")).expect("a directory where a file should be");
    assert_eq!(place.run(&["list"]).code, 6);
}

#[test]
fn a_log_that_was_tampered_with_is_7_and_says_where() {
    on_each(|place| {
        for _ in 0..3 {
            place.mint(&["--owner", "a"]);
        }
        place.sql("UPDATE api_key_events SET owner = 'b' WHERE seq = 2");
        let ran = place.run(&["verify-log"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (7, ""), "{ran:?}");
        assert!(ran.stderr.contains("event 2 was altered"), "{ran:?}");
        place.sql("DELETE FROM api_key_events WHERE seq = 2");
        let ran = place.run(&["verify-log", "--json"]);
        assert_eq!(ran.code, 7);
        assert_eq!(ran.stdout.trim(), r#"{"missing":true,"seq":2,"whole":false}"#);
    });
}

#[test]
fn what_cannot_be_read_is_8() {
    let place = Place::sqlite();
    for input in [
        "",
        "\n",
        "a b\n",
        "schl\u{fc}ssel",
        &"x".repeat(513),
        &"x".repeat(100_000),
    ] {
        let ran = place.feed(&["hash"], input);
        assert_eq!((ran.code, ran.stdout.as_str()), (8, ""), "{ran:?}");
    }
    let ran = place.feed(&["import", "-", "--format", "csv", "--json"], "digest,secret\n");
    assert_eq!(
        (ran.code, ran.failure()["error"].as_str()),
        (8, Some("bad-input"))
    );
}

#[test]
fn anything_else_is_1() {
    on_each(|place| {
        let (_, id) = place.mint(&["--owner", "a"]);
        place.sql(&format!("UPDATE api_keys SET scopes = '* a' WHERE id = '{id}'"));
        let ran = place.run(&["list", "--json"]);
        assert_eq!((ran.code, ran.failure()["error"].as_str()), (1, Some("failed")));
        // A key that nobody can read is no success, and can be found by its id.
        place.sql("DELETE FROM api_keys");
        let mut command = place.command(&["mint", "--owner", "a"]);
        command.stdout(Stdio::from(File::create("/dev/full").expect("a full device")));
        let ran = finish(command, "");
        let (_, rest) = ran.stderr.split_once("the key ").expect("an id");
        assert_eq!(ran.code, 1, "{ran:?}");
        assert_eq!(place.json(&["revoke", &rest[..36]])["status"], "revoked");
    });
}

#[test]
fn the_codes_are_in_the_help() {
    let help = finish(without_database(&["--help"]), "").stdout;
    let manual = include_str!("../../docs/cli.md");
    for code in 0..=8 {
        assert!(help.contains(&format!("\n  {code}  ")), "{code}");
        assert!(manual.contains(&format!("\n| {code} | ")), "{code}");
    }
}
