//! Keys that are ended by whoever holds them.

use std::{
    fmt::Display,
    thread,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};

use crate::{
    introspect::post,
    support::{
        http::{Response, request},
        server::{EXTERNAL, Server, Setup, X_EXTERNAL},
    },
    table::{DISABLED, REVOKED, UNAVAILABLE},
};

const REVOKE: &str = "/api/v1/revoke";

fn revoke(server: &Server, token: &str) -> Response {
    post(server, REVOKE, &[], &format!("token={token}"))
}

fn assert_done(answer: &Response) {
    assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    assert_eq!(answer.header("content-type"), None, "{answer:?}");
}

fn events(server: &Server, id: impl Display) -> Value {
    let target = format!("/api/v1/keys/{id}/events");
    server.get(&target, &[X_EXTERNAL]).json()["data"].clone()
}

#[test]
fn whoever_holds_a_key_can_end_it_and_the_log_says_so() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let key = setup.database().mint_scopes(&["issues:read"]);
    assert_eq!(server.get("/api/v1/whoami", &[&key.bearer()]).status, 200);
    let form = format!("token={}&token_type_hint=access_token", key.key);
    assert_done(&post(&server, REVOKE, &["X-Request-Id: r-1"], &form));
    REVOKED.assert(&server.get("/api/v1/whoami", &[&key.bearer()]));
    // And again.
    assert_done(&revoke(&server, &key.key));
    let events = events(&server, key.id);
    let kinds: Vec<&Value> = events
        .as_array()
        .expect("a list")
        .iter()
        .map(|event| &event["kind"])
        .collect();
    assert_eq!(kinds, ["revoked", "minted"]);
    assert_eq!(
        events[0]["actor"],
        json!({"kind": "key", "owner": "alice", "key_id": key.id.to_string()})
    );
    assert_eq!(
        (&events[0]["address"], &events[0]["request_id"]),
        (&json!("127.0.0.1"), &json!("r-1"))
    );
}

#[test]
fn what_is_no_key_or_none_any_more_is_done_already() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let database = setup.database();
    let expired = database.mint_expiring(&[], SystemTime::now() - Duration::from_secs(1));
    for token in [
        "wrong",
        &database.mint_and_forget().key,
        &expired.key,
        "ak_wrong",
        "%00",
        &"x".repeat(4000),
    ] {
        assert_done(&revoke(&server, token));
    }
    // One that is switched off could be switched on again.
    let disabled = database.mint_scopes(&[]);
    database.set(&disabled, "disabled_at = created_at");
    DISABLED.assert(&server.get("/api/v1/whoami", &[&disabled.bearer()]));
    assert_done(&revoke(&server, &disabled.key));
    REVOKED.assert(&server.get("/api/v1/whoami", &[&disabled.bearer()]));
}

#[test]
fn no_key_is_asked_for_and_none_that_is_sent_along_counts() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let database = setup.database();
    for fields in [
        &["X-Key: wrong"][..],
        &["Authorization: Basic Y2xpZW50OnNlY3JldA=="],
        &["X-Key: wrong", "Authorization: Bearer wrong"],
    ] {
        let key = database.mint_scopes(&[]);
        assert_done(&post(&server, REVOKE, fields, &format!("token={}", key.key)));
        REVOKED.assert(&server.get("/api/v1/whoami", &[&key.bearer()]));
    }
    // The key of the request is not the one that is ended.
    let (own, other) = (database.mint_scopes(&[]), database.mint_scopes(&[]));
    assert_done(&post(
        &server,
        REVOKE,
        &[&own.bearer()],
        &format!("token={}", other.key),
    ));
    assert_eq!(server.get("/api/v1/whoami", &[&own.bearer()]).status, 200);
}

#[test]
fn what_cannot_be_revoked_here_is_said_to_be_so() {
    let server = Setup::with_external_key().start();
    let refused = revoke(&server, EXTERNAL);
    assert_eq!(
        (refused.status, &refused.json()["error"]),
        (400, &json!("unsupported_token_type"))
    );
    assert_eq!(server.get("/api/v1/whoami", &[X_EXTERNAL]).status, 200);
    for form in ["", "token=", "token=a&token=b"] {
        let refused = post(&server, REVOKE, &[], form);
        assert_eq!(
            (refused.status, &refused.json()["error"]),
            (400, &json!("invalid_request")),
            "{form}"
        );
    }
    let large = post(&server, REVOKE, &[], &format!("token={}", "x".repeat(9000)));
    assert_eq!(
        (large.status, &large.json()["error"]),
        (413, &json!("invalid_request"))
    );
    let refused = server.exchange(&request("GET", REVOKE, &[X_EXTERNAL]));
    refused.assert_problem(405, "method-not-allowed");
    assert_eq!(refused.header("allow"), Some("POST"));
}

#[test]
fn where_it_cannot_be_done_it_is_to_be_tried_again() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let database = setup.database();
    let (known, unknown) = (database.mint_scopes(&[]), database.mint_scopes(&[]));
    assert_eq!(server.get("/api/v1/whoami", &[&known.bearer()]).status, 200);

    let lock = database.lock();
    // It is known, and cannot be written.
    let refused = revoke(&server, &known.key);
    refused.assert_problem(503, "unavailable");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    assert_eq!(refused.header("cache-control"), Some("no-store"));
    drop(lock);
    assert_done(&revoke(&server, &known.key));

    database.sql("ALTER TABLE api_keys RENAME TO gone".into());
    UNAVAILABLE.assert(&revoke(&server, &unknown.key));
    database.sql("ALTER TABLE gone RENAME TO api_keys".into());
    assert_done(&revoke(&server, &unknown.key));
    REVOKED.assert(&server.get("/api/v1/whoami", &[&unknown.bearer()]));
}

#[test]
fn many_who_end_one_key_leave_one_line_in_the_log() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let key = setup.database().mint_scopes(&[]);
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| assert_done(&revoke(&server, &key.key)));
        }
    });
    let events = events(&server, key.id);
    assert_eq!(events.as_array().map(Vec::len), Some(2), "{events}");
}

#[test]
fn guesses_count_as_those_at_any_other_door_and_nobody_learns_more_here() {
    let arguments = ["--failure-limit", "3/1d", "--trust-proxy", "127.0.0.1"];
    let setup = Setup::with_external_key().arguments(&arguments);
    let server = setup.start();
    let key = setup.database().mint_scopes(&[]);
    let from = |client: &str, token: &str| {
        let forwarded = format!("X-Forwarded-For: {client}");
        post(&server, REVOKE, &[&forwarded], &format!("token={token}"))
    };
    for _ in 0..3 {
        assert_done(&from("203.0.113.7", "wrong"));
    }
    let refused = from("203.0.113.7", "wrong");
    refused.assert_problem(429, "rate-limited");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    let elsewhere = server.get(
        "/api/v1/whoami",
        &["X-Key: wrong", "X-Forwarded-For: 203.0.113.7"],
    );
    elsewhere.assert_problem(429, "rate-limited");
    assert_done(&from("203.0.113.8", "wrong"));
    // Whoever has it may end it, wherever they are.
    assert_done(&from("203.0.113.7", &key.key));
    REVOKED.assert(&server.get("/api/v1/whoami", &[&key.bearer()]));
    let log = events(&server, key.id);
    assert_eq!(log[0]["address"], "203.0.113.7");
}
