//! Where a key and its digest may be seen: nowhere but where it is said.

use std::fs;

use crate::{
    import::{base64url, hex},
    place::{Place, Ran, finish, on_each, without_database},
};

/// Whether the text has the canary, or any spelling of its digest.
fn tells(text: &str, key: &str) -> bool {
    let (hex, base64) = (hex(key), base64url(key));
    let folded = text.to_lowercase();
    // Half of it is too much.
    text.contains(&key[8..30])
        || folded.contains(&hex[..32])
        || folded.contains(&hex[32..])
        || text.contains(&base64[..20])
}

#[test]
fn only_mint_and_rotate_tell_a_key_once_and_nothing_tells_a_digest() {
    on_each(|place| {
        let ran = place.run(&["mint", "--owner", "alice", "--name", "deploy"]);
        let key = ran.stdout.trim().to_owned();
        assert!(!tells(&ran.stderr, &key), "{ran:?}");
        assert_eq!(ran.stdout.matches(&key).count(), 1);
        let (json_key, id) = place.mint(&["--owner", "alice"]);
        let file = place.file(
            "keys.csv",
            &format!("digest,owner\n{},alice\nx,alice\n", hex(&json_key)),
        );
        let everything: Vec<Ran> = [
            &["list", "--status", "all"][..],
            &["show", &id],
            &["disable", &id],
            &["enable", &id],
            &["rotate", &id],
            &["revoke", &id],
            &["revoke", &key],
            &["show", &hex(&key)],
            &["events"],
            &["events", &id],
            &["verify-log"],
            &["prune", "--older-than", "1d"],
            &["import", &file],
            &["import", &file, "--dry-run"],
            &["--help"],
            &["mint", "--help"],
        ]
        .into_iter()
        .flat_map(|arguments| {
            [
                place.run(arguments),
                place.run(&[arguments, &["--json"]].concat()),
            ]
        })
        .collect();
        for ran in everything {
            for key in [&key, &json_key] {
                assert!(!tells(&ran.stdout, key) && !tells(&ran.stderr, key), "{ran:?}");
            }
        }
        // The name that the canary has in the database is not a clear one, either.
        if !place.is_postgres() {
            for file in ["keys.db", "keys.db-wal"] {
                let bytes = fs::read(place.path(file)).unwrap_or_default();
                let text = String::from_utf8_lossy(&bytes);
                assert!(
                    !text.contains(&key[8..]) && !text.contains(&json_key[8..]),
                    "{file}"
                );
            }
        }
    });
}

#[test]
fn a_key_on_the_command_line_of_hash_is_refused_and_not_repeated() {
    let place = Place::sqlite();
    for arguments in [
        &["hash", "canary-key-0123"][..],
        &["hash", "--", "canary-key-0123"],
        &["hash", "--canary-key-0123"],
        &["hash", "-canary-key-0123"],
        &["hash", "a", "canary-key-0123"],
    ] {
        let ran = place.feed(arguments, "abc\n");
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
        assert!(!ran.stderr.contains("canary"), "{ran:?}");
    }
}

#[test]
fn the_address_of_the_database_is_not_shown() {
    for (url, arguments) in [
        ("postgres://a:canary-password@127.0.0.1:port/keys", &["list"][..]),
        ("canary-password", &["list"]),
        ("sqlite://canary-password", &["list"]),
        ("postgres://a:canary-password@127.0.0.1/keys", &["--help"]),
        (
            "postgres://a:canary-password@127.0.0.1/keys",
            &["list", "--unknown"],
        ),
    ] {
        let mut command = without_database(arguments);
        command.env("APIKEY_DATABASE_URL", url);
        let ran = finish(command, "");
        assert!(
            !ran.stdout.contains("canary") && !ran.stderr.contains("canary"),
            "{ran:?}"
        );
    }
}
