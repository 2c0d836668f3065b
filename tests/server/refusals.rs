//! Every row of the table of refusals that a caller can meet, but for outages.

use std::time::{Duration, SystemTime};

use serde_json::json;
use tower_api_key::access::Grants;

use crate::{
    support::{
        http::{Response, json_request, request},
        keys::Minted,
        server::{Server, Setup, X_EXTERNAL},
    },
    table::{
        DISABLED, ELSEWHERE, EXPIRED, INVALID, MISSING, NO_READING, NO_RUNNING, NO_WRITING, REVOKED, Refusal,
    },
};

const GUARDED: [(&str, &str); 5] = [
    ("GET", "/api/v1/whoami"),
    ("GET", "/api/v1/issues?status=open&limit=1"),
    ("POST", "/api/v1/issues"),
    ("PATCH", "/api/v1/issues/1"),
    ("POST", "/api/v1/agents/alpha/runs"),
];

fn whoami(server: &Server, key: &str) -> Response {
    server.get("/api/v1/whoami", &[&format!("Authorization: Bearer {key}")])
}

#[test]
fn without_a_key_every_guarded_route_names_the_ways_to_present_one() {
    let server = Setup::with_external_key().start();
    for (method, target) in GUARDED {
        let refused = server.send(method, target, &[]);
        MISSING.assert(&refused);
        let again = server.exchange(&json_request(method, target, &[], r#"{"title":"unread"}"#));
        assert_eq!(again.without_date(), refused.without_date());
    }
    // Which addresses there are below is nobody's business either.
    MISSING.assert(&server.get("/api/v1/nothing", &[]));
    MISSING.assert(&server.send("DELETE", "/api/v1/whoami", &[]));
}

#[test]
fn a_key_that_is_not_good_is_refused_byte_for_byte_alike_whatever_is_wrong_with_it() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let database = setup.database();
    let unknown = database.mint_and_forget().key;
    let good = database.mint(Grants::all()).key;
    let first = whoami(&server, &unknown);
    INVALID.assert(&first);

    let changed = |at: usize| {
        let other = if good.as_bytes()[at] == b'x' { "y" } else { "x" };
        format!("{}{other}{}", &good[..at], &good[at + 1..])
    };
    let too_long = "x".repeat(513);
    let grown = format!("{good}{}", "x".repeat(513));
    let malformed = format!("{}-{}", &good[..9], &good[10..]);
    for wrong in [
        "x",
        "ak_",
        &good[1..],
        &good[..good.len() - 1],
        &changed(3),
        &changed(20),
        &changed(good.len() - 1),
        &good.replacen("ak_", "gak_", 1),
        &good.replacen("ak_", "AK_", 1),
        &good.to_lowercase(),
        &format!("{good}x"),
        &malformed,
        &grown,
        &too_long,
        "external-key-of-the-tests-0124",
        "external-key-of-the-tests-012",
        "External-key-of-the-tests-0123",
        "",
        "a b",
        "\u{e9}",
    ] {
        for field in [
            format!("Authorization: Bearer {wrong}"),
            format!("Authorization: ApiKey {wrong}"),
            format!("X-Key: {wrong}"),
        ] {
            let refused = server.get("/api/v1/whoami", &[&field]);
            assert_eq!(refused.without_date(), first.without_date(), "{field:?}");
        }
    }
    // Unless something is remembered that should not be, it is still so, and the good one still good.
    assert_eq!(whoami(&server, &unknown).without_date(), first.without_date());
    assert_eq!(whoami(&server, &good).status, 200);
}

#[test]
fn an_expired_revoked_or_disabled_key_is_told_so_on_every_route() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let database = setup.database();
    let scopes = ["issues:read", "issues:write", "agents:run"];
    let revoked = database.mint_scopes(&scopes);
    database.revoke(&revoked);
    let disabled = database.mint_scopes(&scopes);
    database.set(&disabled, "disabled_at = created_at");
    let expired = database.mint_expiring(&scopes, SystemTime::now() - Duration::from_secs(1));

    for (key, row) in [(&expired, EXPIRED), (&revoked, REVOKED), (&disabled, DISABLED)] {
        for (method, target) in GUARDED {
            row.assert(&server.send(method, target, &[&key.bearer()]));
        }
        row.assert(&server.get("/api/v1/whoami", &[&key.x_key()]));
        // Only the whole secret is told anything.
        INVALID.assert(&whoami(&server, &key.key[..key.key.len() - 1]));
    }

    // Disabled is the reversible one.
    database.set(&disabled, "disabled_at = NULL");
    assert_eq!(whoami(&server, &disabled.key).status, 200);
}

#[test]
fn a_key_expires_while_it_is_in_use() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let database = setup.database();
    let key = database.mint_expiring(&["issues:read"], SystemTime::now() + Duration::from_secs(3));

    let mut answers = Vec::new();
    loop {
        let answer = whoami(&server, &key.key);
        if answer.status != 200 {
            EXPIRED.assert(&answer);
            break;
        }
        answers.push(answer);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!answers.is_empty(), "it was good to begin with");
    EXPIRED.assert(&whoami(&server, &key.key));
}

#[test]
fn a_missing_scope_is_named_and_the_granted_ones_are_not() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let database = setup.database();
    let other = database.mint_scopes(&["topics:send", "blueprints:see", "issues:read:own"]);
    let none = database.mint(Grants::none());
    let writer = database.mint_scopes(&["issues:write"]);
    let reader = database.mint_scopes(&["issues:read"]);

    let check = |key: &Minted, method: &str, target: &str, row: Refusal, scope: &str| {
        let request = json_request(method, target, &[&key.bearer()], r#"{"title":"unread"}"#);
        let refused = server.exchange(&request);
        row.assert(&refused);
        assert_eq!(refused.json()["required"], json!([scope]));
        for granted in ["topics", "blueprints", "own", &key.id.to_string(), "alice"] {
            let text = refused.without_date();
            assert!(!text.contains(granted), "{granted} in {text}");
        }
    };
    for key in [&other, &none, &writer] {
        check(key, "GET", "/api/v1/issues", NO_READING, "issues:read");
    }
    for key in [&other, &none, &reader] {
        check(key, "POST", "/api/v1/issues", NO_WRITING, "issues:write");
        check(key, "PATCH", "/api/v1/issues/1", NO_WRITING, "issues:write");
        check(key, "POST", "/api/v1/agents/alpha/runs", NO_RUNNING, "agents:run");
        assert_eq!(whoami(&server, &key.key).status, 200);
    }
    assert_eq!(server.get("/api/v1/issues", &[X_EXTERNAL]).body, "[]");
}

#[test]
fn a_key_bound_elsewhere_is_told_so_and_not_where() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let grants = Grants::scopes(["agents:run"]).expect("scopes");
    let bound = setup
        .database()
        .mint(grants.on(["agent:alpha"]).expect("resources"));

    let run = request("POST", "/api/v1/agents/beta/runs", &[&bound.bearer()]);
    let refused = server.exchange(&run);
    ELSEWHERE.assert(&refused);
    for hidden in ["alpha", "beta", "agents:run"] {
        assert!(!refused.without_date().contains(hidden), "{refused:?}");
    }
}
