//! Keys of the command line at a server that is running: the demo, as a process of its own.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    import::{base64url, hex},
    place::{Place, on_each},
    support::{
        PATIENCE,
        http::Response,
        server::{Server, Setup, X_EXTERNAL},
    },
};

fn whoami(server: &Server, key: &str) -> Response {
    server.get("/api/v1/whoami", &[&format!("Authorization: Bearer {key}")])
}

fn setup(place: &Place) -> Setup {
    Setup::with_external_key().arguments(&["--database-url", &place.url])
}

/// Until a cached verdict has run out.
fn until(server: &Server, key: &str, status: u16) -> Response {
    let begun = Instant::now();
    loop {
        let answer = whoami(server, key);
        if answer.status == status {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "it stays {answer:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_minted_key_works_at_once_and_a_revoked_one_stops_within_the_time_of_the_cache() {
    on_each(|place| {
        let server = setup(place).start();
        let (key, id) = place.mint(&["--owner", "alice", "--name", "deploy", "--scope", "issues:read"]);
        let caller = whoami(&server, &key);
        assert_eq!(caller.status, 200, "{caller:?}");
        assert_eq!(
            (caller.json()["owner"].as_str(), caller.json()["key_id"].as_str()),
            (Some("alice"), Some(&*id))
        );

        place.json(&["disable", &id]);
        until(&server, &key, 401).assert_problem(401, "key-disabled");
        place.json(&["enable", &id]);
        assert_eq!(
            whoami(&server, &key).status,
            200,
            "what may be good again is not cached"
        );
        let rotated = place.json(&["rotate", &id]);
        assert_eq!(
            whoami(&server, rotated["key"].as_str().expect("a key")).status,
            200
        );
        place.json(&["revoke", &id]);
        until(&server, &key, 401).assert_problem(401, "key-revoked");
        assert_eq!(server.get("/api/v1/whoami", &[X_EXTERNAL]).status, 200);
    });
}

#[test]
fn imported_keys_are_let_in_and_without_any_a_foreign_text_looks_like_any_other() {
    on_each(|place| {
        let server = setup(place).start();
        let mistyped = whoami(&server, &format!("ak_{}", "x".repeat(49)));
        mistyped.assert_problem(401, "invalid-key");
        for foreign in ["legacy-hex", "gak_0123456789", "x", "ak_short"] {
            assert_eq!(
                whoami(&server, foreign).without_date(),
                mistyped.without_date(),
                "{foreign}"
            );
        }
        let text = format!(
            "{{\"digest\":\"{}\",\"owner\":\"alice\",\"scopes\":[\"issues:read\"]}}\n\
         {{\"digest\":\"{}\",\"owner\":\"bob\",\"scopes\":[\"issues:read\"]}}\n",
            hex("legacy-hex"),
            base64url("gak_0123456789"),
        );
        let ran = place.feed(&["import", "-", "--format", "jsonl"], &text);
        assert_eq!(ran.code, 0, "{ran:?}");
        for (key, owner) in [("legacy-hex", "alice"), ("gak_0123456789", "bob")] {
            assert_eq!(until(&server, key, 200).json()["owner"], owner);
            let issues = server.get("/api/v1/issues", &[&format!("X-Key: {key}")]);
            assert_eq!(issues.status, 200, "{issues:?}");
        }
        assert_eq!(
            whoami(&server, "legacy-other").without_date(),
            mistyped.without_date()
        );
        let id = place.json(&["list", "--owner", "bob"])["data"][0]["id"].clone();
        place.json(&["revoke", id.as_str().expect("an id")]);
        until(&server, "gak_0123456789", 401).assert_problem(401, "key-revoked");
    });
}

#[test]
fn a_flood_of_guesses_is_answered_503_and_the_keys_of_the_server_work_on() {
    on_each(|place| {
        let text = format!("digest,owner\n{},alice\n", hex("legacy-hex"));
        place.feed(&["import", "-", "--format", "csv"], &text);
        let (key, _) = place.mint(&["--owner", "alice"]);
        let server = setup(place).start();
        assert_eq!(whoami(&server, "legacy-hex").status, 200);
        // Eight at a time, which is more than the budget of a second however slow the machine is.
        let guess = |guesser: usize| {
            let mut guesses = (0..1000).map(|i| whoami(&server, &format!("guess-{guesser}-{i}")));
            guesses.find(|answer| answer.status != 401)
        };
        let refused = thread::scope(|scope| {
            let guessers: Vec<_> = (0..8)
                .map(|guesser| scope.spawn(move || guess(guesser)))
                .collect();
            let refused = guessers
                .into_iter()
                .filter_map(|guesser| guesser.join().expect("no panic"));
            refused.last()
        });
        let refused = refused.expect("an end to the budget");
        refused.assert_problem(503, "auth-unavailable");
        assert!(refused.header("retry-after").is_some());
        assert_eq!(
            (whoami(&server, "legacy-hex").status, whoami(&server, &key).status),
            (200, 200)
        );
    });
}

#[test]
fn a_server_can_be_given_the_digest_that_hash_prints() {
    const KEY: &str = "a-key-for-the-configuration";
    let place = Place::sqlite();
    let digest = place.feed(&["hash"], KEY).stdout;
    let server = Setup::new().arguments(&["--api-key", digest.trim()]).start();
    assert_eq!(
        (whoami(&server, KEY).status, whoami(&server, digest.trim()).status),
        (200, 401)
    );
}
