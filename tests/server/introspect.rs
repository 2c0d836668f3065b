//! What is known of a key, for services that were shown it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tower_api_key::access::Grants;

use crate::{
    support::{
        http::{Response, request, with_body},
        keys::{Database, Minted},
        server::{EXTERNAL, Server, Setup, X_EXTERNAL},
    },
    table::{INVALID, MISSING, UNAVAILABLE},
};

const INTROSPECT: &str = "/api/v1/introspect";
pub(crate) const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

pub(crate) fn post(server: &Server, target: &str, fields: &[&str], form: &str) -> Response {
    server.exchange(&with_body(
        "POST",
        target,
        &[fields, &[FORM]].concat(),
        Some(form),
    ))
}

fn introspect(server: &Server, token: &str) -> Response {
    post(server, INTROSPECT, &[X_EXTERNAL], &format!("token={token}"))
}

fn known(server: &Server, token: &str) -> Value {
    let answer = introspect(server, token);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    answer.json()
}

fn assert_inactive(server: &Server, token: &str) {
    let answer = introspect(server, token);
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, r#"{"active":false}"#),
        "{token}"
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
}

fn created_at(database: &Database, server: &Server, minted: &Minted) -> i64 {
    let _its_own = database;
    let shown = server
        .get(&format!("/api/v1/keys/{}", minted.id), &[X_EXTERNAL])
        .json();
    let created: jiff::Timestamp = shown["created_at"]
        .as_str()
        .expect("a date")
        .parse()
        .expect("a date");
    created.as_second()
}

#[test]
fn a_good_key_is_told_with_all_that_it_may_do() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let database = setup.database();
    let plain = database.mint_scopes(&["issues:read", "topics:*"]);
    let answer = known(&server, &plain.key);
    let created = created_at(&database, &server, &plain);
    let iat = answer["iat"].as_i64().expect("a number");
    assert!((created - 1..=created).contains(&iat), "{iat} {created}");
    assert_eq!(
        answer,
        json!({
            "active": true, "scope": "issues:read topics:read topics:send", "sub": "alice", "iat": iat, "token_type": "Bearer",
            "key_id": plain.id.to_string(), "name": "for tests",
        })
    );

    let soon = SystemTime::now() + Duration::from_millis(3_600_900);
    let seconds = soon.duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let expiring = database.mint_expiring(&[], soon);
    let answer = known(&server, &expiring.key);
    assert_eq!((&answer["exp"], &answer["scope"]), (&json!(seconds), &json!("")));

    let grants = Grants::scopes(["agents:run"])
        .expect("scopes")
        .on(["agent:alpha"])
        .expect("resources");
    let bound = database.mint(grants);
    database.set(&bound, "allowed_ips = '192.0.2.0/24'");
    let answer = known(&server, &bound.key);
    assert_eq!(answer["resources"], json!(["agent:alpha"]));
    assert_eq!(answer["allowed_ips"], json!(["192.0.2.0/24"]));

    let everything = known(&server, &database.mint(Grants::all()).key);
    assert!(
        everything["scope"]
            .as_str()
            .is_some_and(|scope| scope.split(' ').count() == 9),
        "{everything}"
    );

    // A static key is as good as any. It has no id.
    let external = known(&server, EXTERNAL);
    assert_eq!(
        (&external["active"], &external["sub"]),
        (&json!(true), &json!("external"))
    );
    assert!(
        external.get("key_id").is_none() && external.get("iat").is_none(),
        "{external}"
    );
}

#[test]
fn whatever_is_not_good_is_inactive_and_nothing_more() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let database = setup.database();
    let [revoked, disabled, cut] = [(); 3].map(|()| database.mint_scopes(&["issues:read"]));
    database.revoke(&revoked);
    database.set(&disabled, "disabled_at = created_at");
    let expired = database.mint_expiring(&[], SystemTime::now() - Duration::from_secs(1));
    let unknown = database.mint_and_forget();
    for token in [
        &revoked.key,
        &disabled.key,
        &expired.key,
        &unknown.key,
        &cut.key[..cut.key.len() - 1],
        "wrong",
        "%00",
        "%C3%A9",
        "%FF",
        "a+b",
        &"x".repeat(4000),
    ] {
        assert_inactive(&server, token);
    }
    // Nor is it once it is no longer.
    assert_eq!(known(&server, &cut.key)["active"], true);
    let deleted = server.send("DELETE", &format!("/api/v1/keys/{}", cut.id), &[X_EXTERNAL]);
    assert_eq!(deleted.status, 204);
    assert_inactive(&server, &cut.key);
    // A user who is logged in has no token.
    assert_inactive(&server, "session");
}

#[test]
fn it_takes_a_key_with_the_scope_for_it() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let database = setup.database();
    let (asker, other) = (
        database.mint_scopes(&["keys:introspect"]),
        database.mint_scopes(&["issues:read", "keys:admin"]),
    );
    let form = format!("token={}", other.key);
    let answer = post(&server, INTROSPECT, &[&asker.bearer()], &form);
    assert_eq!((answer.status, &answer.json()["active"]), (200, &json!(true)));
    MISSING.assert(&post(&server, INTROSPECT, &[], &form));
    INVALID.assert(&post(&server, INTROSPECT, &["X-Key: wrong"], &form));
    let refused = post(&server, INTROSPECT, &[&other.bearer()], &form);
    refused.assert_problem(403, "insufficient-scope");
    assert_eq!(refused.json()["required"], json!(["keys:introspect"]));
    // Not even what is wrong with the form is told to others.
    post(&server, INTROSPECT, &[&other.bearer()], "").assert_problem(403, "insufficient-scope");
}

#[test]
fn a_form_that_cannot_be_meant_is_an_invalid_request() {
    let server = Setup::with_external_key().start();
    let assert_invalid = |answer: &Response, status: u16| {
        assert_eq!(
            (answer.status, &answer.json()["error"]),
            (status, &json!("invalid_request")),
            "{answer:?}"
        );
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    };
    for form in [
        "",
        "token",
        "token=",
        "tokens=x",
        "token_type_hint=access_token",
        "token=a&token=b",
        "token=a&token=a",
    ] {
        assert_invalid(&post(&server, INTROSPECT, &[X_EXTERNAL], form), 400);
    }
    let large = format!("token={}", "x".repeat(64 * 1024));
    assert_invalid(&post(&server, INTROSPECT, &[X_EXTERNAL], &large), 413);
    for kind in ["", "Content-Type: application/json", "Content-Type: text/plain"] {
        let fields: Vec<&str> = [X_EXTERNAL, kind]
            .into_iter()
            .filter(|field| !field.is_empty())
            .collect();
        let answer = server.exchange(&with_body("POST", INTROSPECT, &fields, Some("token=x")));
        assert_invalid(&answer, 415);
    }
    // What else there is, is ignored.
    let more = format!("token_type_hint=refresh_token&x=1&token={EXTERNAL}&client_id=c");
    let answer = post(&server, INTROSPECT, &[X_EXTERNAL], &more);
    assert_eq!(answer.json()["active"], true);
    let charset = format!("{FORM}; charset=UTF-8");
    let answer = with_body("POST", INTROSPECT, &[X_EXTERNAL, &charset], Some("token=x"));
    assert_eq!(server.exchange(&answer).status, 200);
    for method in ["GET", "PUT", "DELETE"] {
        let refused = server.exchange(&request(method, INTROSPECT, &[X_EXTERNAL]));
        refused.assert_problem(405, "method-not-allowed");
        assert_eq!(refused.header("allow"), Some("POST"));
    }
}

#[test]
fn what_cannot_be_found_out_is_no_verdict() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let database = setup.database();
    let (stored, unknown) = (database.mint_scopes(&[]), database.mint_and_forget());
    database.sql("ALTER TABLE api_keys RENAME TO gone".into());
    for minted in [&stored, &unknown] {
        UNAVAILABLE.assert(&introspect(&server, &minted.key));
    }
    // These need no store.
    assert_eq!(known(&server, EXTERNAL)["active"], true);
    let mut mistyped = stored.key.clone();
    let last = mistyped.pop();
    mistyped.push(if last == Some('x') { 'y' } else { 'x' });
    assert_inactive(&server, &mistyped);
    database.sql("ALTER TABLE gone RENAME TO api_keys".into());
    assert_eq!(known(&server, &stored.key)["active"], true);
}

#[test]
fn to_be_asked_about_is_no_use_of_a_key() {
    let setup = Setup::with_external_key().arguments(&["--rate-limit", "3/1d"]);
    let server = setup.start();
    let database = setup.database();
    let (asked, used) = (
        database.mint_scopes(&[]),
        database.mint_scopes(&["keys:introspect"]),
    );
    for _ in 0..2 {
        let answer = post(
            &server,
            INTROSPECT,
            &[&used.bearer()],
            &format!("token={}", asked.key),
        );
        assert_eq!((answer.status, &answer.json()["active"]), (200, &json!(true)));
    }
    let whoami = server.get("/api/v1/whoami", &[&asked.bearer()]);
    assert_eq!(
        whoami.header("ratelimit"),
        Some(r#""default";r=2;t=28800"#),
        "{whoami:?}"
    );
    let again = database.mint_scopes(&[]);
    assert_eq!(
        post(
            &server,
            INTROSPECT,
            &[&used.bearer()],
            &format!("token={}", again.key)
        )
        .status,
        200
    );
    // It is written down when the server ends.
    server.stop().assert_success();
    let server = setup
        .without_arguments()
        .arguments(&["--api-key", EXTERNAL])
        .start();
    let last_used = |minted: &Minted| {
        let shown = server.get(&format!("/api/v1/keys/{}", minted.id), &[X_EXTERNAL]);
        shown.json()["last_used_at"].clone()
    };
    assert!(last_used(&used).is_string() && last_used(&asked).is_string());
    assert_eq!(last_used(&again), Value::Null);
}
