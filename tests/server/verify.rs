//! Forward authentication: what proxies ask before they pass a request on.

use serde_json::json;
use tower_api_key::access::Grants;

use crate::{
    support::{
        http::{Response, request, with_body},
        server::{Server, Setup, X_EXTERNAL},
    },
    table::{AMBIGUOUS, ELSEWHERE, INVALID, MISSING, NO_WRITING, REVOKED, UNAVAILABLE},
};

const VERIFY: &str = "/api/v1/verify";

fn assert_let_in(answer: &Response, owner: &str, key_id: &str, scopes: &str) {
    assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{answer:?}");
    for (field, value) in [
        ("x-auth-owner", owner),
        ("x-auth-key-id", key_id),
        ("x-auth-scopes", scopes),
    ] {
        // An empty one is written without the space.
        let said = answer.header(field).unwrap_or_default();
        assert_eq!(said, value, "{answer:?}");
        assert!(answer.head.contains(&format!("{field}:")), "{answer:?}");
    }
    // One that is kept would outlive a revoke.
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
}

fn ask(server: &Server, query: &str, field: &str) -> Response {
    server.get(&format!("{VERIFY}{query}"), &[field])
}

#[test]
fn who_is_let_in_is_told_in_fields() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let key = setup.database().mint_scopes(&["issues:write", "issues:read"]);
    let id = key.id.to_string();
    for method in [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND",
    ] {
        let answer = server.send(method, VERIFY, &[&key.bearer()]);
        assert_let_in(&answer, "alice", &id, "issues:read issues:write");
    }
    let external = ask(&server, "", X_EXTERNAL);
    let all = external
        .header("x-auth-scopes")
        .expect("scopes")
        .split(' ')
        .count();
    assert_eq!(
        (external.status, external.header("x-auth-owner"), all),
        (200, Some("external"), 9)
    );
    assert!(external.head.contains("x-auth-key-id:"), "{external:?}");
    // A body is not looked at.
    let body = with_body("POST", VERIFY, &[&key.bearer()], Some("scope=keys:admin"));
    assert_eq!(server.exchange(&body).status, 200);
}

#[test]
fn an_owner_that_is_no_field_is_percent_encoded() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let database = setup.database();
    let key = database.mint_scopes(&[]);
    database.set(
        &key,
        "owner = 'J' || char(252, 13, 10) || 'X-Auth-Owner: root 100%'",
    );
    let answer = ask(&server, "", &key.bearer());
    assert_let_in(
        &answer,
        "J%C3%BC%0D%0AX-Auth-Owner:%20root%20100%25",
        &key.id.to_string(),
        "",
    );
}

#[test]
fn whoever_is_not_let_in_hears_what_the_layer_and_the_requirement_say() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let database = setup.database();
    let reader = database.mint_scopes(&["issues:read"]);
    MISSING.assert(&server.get(VERIFY, &[]));
    INVALID.assert(&ask(&server, "", "X-Key: wrong"));
    AMBIGUOUS.assert(&server.get(VERIFY, &[&reader.bearer(), &reader.x_key()]));
    NO_WRITING.assert(&ask(&server, "?scope=issues:write", &reader.bearer()));
    let head = server.send("HEAD", "/api/v1/verify?scope=issues:write", &[&reader.bearer()]);
    NO_WRITING.assert_head(&head);
    // All of them are needed, however they are said.
    for query in [
        "?scope=issues:read%20issues:write",
        "?scope=issues:read+issues:write",
        "?scope=issues:read&scope=issues:write",
    ] {
        let refused = ask(&server, query, &reader.bearer());
        refused.assert_problem(403, "insufficient-scope");
        assert_eq!(
            refused.json()["required"],
            json!(["issues:read", "issues:write"]),
            "{query}"
        );
    }
    for query in [
        "?scope=issues:read",
        "?scope=issues:read&scope=issues:read",
        "?scope=issues:read&resource=agent:x",
    ] {
        assert_eq!(ask(&server, query, &reader.bearer()).status, 200, "{query}");
    }
    database.revoke(&reader);
    let deleted = server.send("DELETE", &format!("/api/v1/keys/{}", reader.id), &[X_EXTERNAL]);
    assert_eq!(deleted.status, 204);
    REVOKED.assert(&ask(&server, "", &reader.bearer()));
}

#[test]
fn a_bound_key_is_let_in_where_it_is_bound_to() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let grants = Grants::scopes(["agents:run"]).expect("scopes");
    let bound = setup
        .database()
        .mint(grants.on(["agent:alpha", "doc:public/*"]).expect("resources"));
    for query in [
        "",
        "?scope=agents:run",
        "?resource=agent:alpha",
        "?scope=agents:run&resource=doc:public/a",
    ] {
        assert_eq!(ask(&server, query, &bound.bearer()).status, 200, "{query}");
    }
    for query in [
        "?resource=agent:beta",
        "?scope=agents:run&resource=agent:beta",
        "?resource=",
        "?resource=agent:*",
        "?resource=doc:public/../private",
        "?resource=doc:public/%2E%2E/private",
        "?resource=agent:alpha%20",
    ] {
        ELSEWHERE.assert(&ask(&server, query, &bound.bearer()));
    }
}

#[test]
fn a_question_that_cannot_be_meant_lets_nobody_in() {
    let server = Setup::with_external_key().start();
    for query in [
        "?scope=",
        "?scope",
        "?scope=issues:*",
        "?scope=a++b",
        "?scope=%00",
        "?scope=issues:read&scope=",
        "?resource=a&resource=a",
        "?scopes=issues:read",
        "?Scope=issues:read",
        "?x",
    ] {
        ask(&server, query, X_EXTERNAL).assert_problem(400, "invalid-request");
    }
    // Not to strangers.
    MISSING.assert(&server.get("/api/v1/verify?scope=", &[]));
}

#[test]
fn a_proxy_that_appends_the_address_it_was_asked_for_is_answered_too() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let key = setup.database().mint_scopes(&["issues:read"]);
    let id = key.id.to_string();
    for below in [
        "/",
        "/a",
        "/a/",
        "/a//b/../c?limit=1&status=open",
        "/%2e%2e/x?",
        "/a?x=%FF",
        "/whoami",
    ] {
        assert_let_in(&ask(&server, below, &key.bearer()), "alice", &id, "issues:read");
        let answer = server.send("DELETE", &format!("{VERIFY}{below}"), &[&key.bearer()]);
        assert_let_in(&answer, "alice", &id, "issues:read");
        MISSING.assert(&server.get(&format!("{VERIFY}{below}"), &[]));
    }
    // Put before it, and not to be changed by what comes after.
    for query in [
        "?scope=issues:read&uri=/a?b=c&scope=&resource=1&resource=2",
        "?uri=/a?scope=keys:admin",
    ] {
        assert_let_in(&ask(&server, query, &key.bearer()), "alice", &id, "issues:read");
    }
    for query in [
        "?scope=issues:write&uri=/a?scope=issues:read",
        "/a?scope=issues:write",
    ] {
        NO_WRITING.assert(&ask(&server, query, &key.bearer()));
    }
}

#[test]
fn it_is_a_use_of_the_key_but_where_it_is_refused() {
    let setup = Setup::with_external_key().arguments(&["--rate-limit", "2/1d"]);
    let server = setup.start();
    let key = setup.database().mint_scopes(&["issues:read"]);
    NO_WRITING.assert(&ask(&server, "?scope=issues:write", &key.bearer()));
    let first = ask(&server, "", &key.bearer());
    assert_eq!(
        (first.status, first.header("ratelimit")),
        (200, Some(r#""default";r=1;t=43200"#))
    );
    assert_eq!(ask(&server, "/a", &key.bearer()).status, 200);
    let refused = ask(&server, "", &key.bearer());
    refused.assert_problem(429, "rate-limited");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
}

#[test]
fn what_cannot_be_found_out_lets_nobody_in() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let database = setup.database();
    let key = database.mint_scopes(&[]);
    database.sql("ALTER TABLE api_keys RENAME TO gone".into());
    UNAVAILABLE.assert(&ask(&server, "", &key.bearer()));
    assert_eq!(ask(&server, "", X_EXTERNAL).status, 200);
}

#[test]
fn a_key_that_is_bound_to_addresses_goes_by_the_client_that_the_proxy_names() {
    let setup = Setup::with_external_key().arguments(&["--trust-proxy", "127.0.0.1"]);
    let server = setup.start();
    let database = setup.database();
    let key = database.mint_scopes(&[]);
    database.set(&key, "allowed_ips = '203.0.113.7'");
    let from = |client: &str| server.get(VERIFY, &[&key.x_key(), &format!("X-Forwarded-For: {client}")]);
    assert_eq!(from("192.0.2.1, 203.0.113.7").status, 200);
    from("203.0.113.8").assert_problem(403, "address-not-allowed");
    server
        .get(VERIFY, &[&key.x_key()])
        .assert_problem(403, "address-not-allowed");
}

#[test]
fn a_session_is_let_in_only_for_what_no_other_site_can_have_it_ask_for() {
    let setup = Setup::with_external_key().arguments(&["--user", "alice:correct-horse-battery"]);
    let server = setup.start();
    let login = with_body(
        "POST",
        "/login",
        &["Content-Type: application/x-www-form-urlencoded"],
        Some("user=alice&password=correct-horse-battery"),
    );
    let login = server.exchange(&login);
    let cookie = login
        .header("set-cookie")
        .and_then(|cookie| cookie.split(';').next());
    let cookie = format!("Cookie: {}", cookie.expect("a session"));
    let ask =
        |fields: &[&str]| server.exchange(&request("GET", VERIFY, &[&[cookie.as_str()], fields].concat()));
    for fields in [
        &["Sec-Fetch-Site: same-origin"][..],
        &["Sec-Fetch-Site: same-origin", "X-Forwarded-Method: POST"],
        &["Sec-Fetch-Site: cross-site", "X-Forwarded-Method: GET"],
        &["X-Original-Method: HEAD"],
    ] {
        let answer = ask(fields);
        assert_eq!(
            (answer.status, answer.header("x-auth-owner")),
            (200, Some("alice")),
            "{fields:?}"
        );
    }
    for fields in [
        &[][..],
        &["Sec-Fetch-Site: cross-site"],
        &["X-Forwarded-Method: POST"],
        &["X-Forwarded-Method: "],
        &["X-Original-Method: DELETE", "Sec-Fetch-Site: cross-site"],
        // Whichever of them the client has written itself.
        &["X-Forwarded-Method: GET", "X-Original-Method: POST"],
        &["X-Forwarded-Method: GET", "X-Forwarded-Method: POST"],
    ] {
        ask(fields).assert_problem(403, "cross-origin-request");
    }
    // A key is no cookie.
    let fields = [
        X_EXTERNAL,
        cookie.as_str(),
        "X-Forwarded-Method: POST",
        "Sec-Fetch-Site: cross-site",
    ];
    assert_eq!(
        server.get(VERIFY, &fields).header("x-auth-owner"),
        Some("external")
    );
}

#[test]
fn a_field_that_the_service_would_take_for_ours_is_refused() {
    let server = Setup::with_external_key().start();
    for field in [
        "X_Auth_Owner: root",
        "x_auth_owner: root",
        "X-Auth_Owner: root",
        "X_Auth-Scopes: keys:admin",
        "X-Auth-Key_Id: 1",
        "X_AUTH_: 1",
        "X.Auth.Owner: root",
        "X-Auth+Owner: root",
    ] {
        let answer = server.get(VERIFY, &[X_EXTERNAL, field]);
        answer.assert_problem(400, "invalid-request");
    }
    // As they are, a proxy replaces them; and others are none of our business.
    for field in [
        "X-Auth-Owner: root",
        "X_Authority: 1",
        "X_Request_Id: 1",
        "X_Auth: 1",
    ] {
        assert_eq!(server.get(VERIFY, &[X_EXTERNAL, field]).status, 200, "{field}");
    }
}
