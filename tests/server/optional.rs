//! What passes without a key: the greeting, and what a browser asks before it asks.

use std::time::UNIX_EPOCH;

use serde_json::json;

use crate::{
    support::server::{EXTERNAL, Setup, X_EXTERNAL},
    table::{AMBIGUOUS, EXPIRED, INVALID, MISSING},
};

const ORIGIN: &str = "Origin: https://elsewhere.example";
const METHOD: &str = "Access-Control-Request-Method: GET";

#[test]
fn the_greeting_is_for_strangers_too_but_not_for_bad_keys() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let database = setup.database();
    let stored = database.mint_scopes(&["issues:read"]);
    let expired = database.mint_expiring(&["issues:read"], UNIX_EPOCH);
    let greet = |fields: &[&str]| server.get("/api/v1/greeting", fields);

    for (fields, greeting, cache) in [
        (vec![], "Hello, stranger!", None),
        (vec!["Authorization: Basic dTpw"], "Hello, stranger!", None),
        (vec![X_EXTERNAL], "Hello, external!", Some("private")),
        (vec![&stored.bearer()], "Hello, alice!", Some("private")),
    ] {
        let answer = greet(&fields);
        assert_eq!(
            (answer.status, answer.json()),
            (200, json!({ "greeting": greeting }))
        );
        assert_eq!(answer.header("cache-control"), cache);
        // Another caller gets another answer, so this goes for strangers too.
        assert_eq!(answer.header("vary"), Some("Authorization, X-Key"));
    }
    INVALID.assert(&greet(&["X-Key: wrong"]));
    INVALID.assert(&greet(&["X-Key:"]));
    INVALID.assert(&greet(&["Authorization: Bearer"]));
    EXPIRED.assert(&greet(&[&expired.bearer()]));
    AMBIGUOUS.assert(&greet(&[X_EXTERNAL, X_EXTERNAL]));
    AMBIGUOUS.assert(&greet(&[X_EXTERNAL, "Authorization: Bearer wrong"]));
}

#[test]
fn a_preflight_passes_without_a_key_and_no_other_options_does() {
    let server = Setup::with_external_key().start();
    let key = format!("Authorization: Bearer {EXTERNAL}");
    for target in ["/api/v1/whoami", "/api/v1/issues", "/api/v1/agents/alpha/runs"] {
        let options = |fields: &[&str]| server.send("OPTIONS", target, fields);
        for fields in [
            &[ORIGIN, METHOD][..],
            &[METHOD, ORIGIN, "Access-Control-Request-Headers: x-key"],
        ] {
            let preflight = options(fields);
            assert_eq!(preflight.status, 204, "{preflight:?}");
            assert!(preflight.header("allow").is_some(), "{preflight:?}");
            // Nobody else's pages are allowed anything.
            assert_eq!(preflight.header("access-control-allow-origin"), None);
            assert_eq!(preflight.header("cache-control"), None);
        }
        for fields in [
            &[][..],
            &[ORIGIN],
            &[METHOD],
            &["Access-Control-Request-Headers: x-key", ORIGIN],
        ] {
            MISSING.assert(&options(fields));
        }
        INVALID.assert(&options(&["X-Key: wrong", ORIGIN]));
        assert_eq!(options(&[&key]).status, 204);
        // The two fields make a preflight of `OPTIONS` only.
        MISSING.assert(&server.get("/api/v1/whoami", &[ORIGIN, METHOD]));
        MISSING.assert(&server.send("POST", target, &[ORIGIN, METHOD]));
    }
}

#[test]
fn nobody_is_recognised_in_a_preflight() {
    let server = Setup::with_external_key().start();
    for fields in [
        &[ORIGIN, METHOD, X_EXTERNAL][..],
        &[ORIGIN, METHOD, "X-Key: wrong"],
    ] {
        assert_eq!(server.send("OPTIONS", "/api/v1/whoami", fields).status, 204);
    }
    assert_eq!(server.get("/api/v1/whoami", &[X_EXTERNAL]).status, 200);
    let log = server.stop().log;
    let named = |method: &str| {
        let lines = log
            .lines()
            .filter(|line| line.contains(&format!("method={method}")));
        lines.map(|line| line.contains("external")).collect::<Vec<_>>()
    };
    assert_eq!(named("GET"), [true], "{log}");
    assert_eq!(named("OPTIONS"), [false, false], "{log}");
}
