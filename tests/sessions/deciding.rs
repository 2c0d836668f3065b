//! Who decides when a request carries a session and something else.

use tower_api_key::access::Grants;

use crate::{
    people::{alice, session, setup},
    support::{
        http::{json_request, request, with_body},
        server::X_EXTERNAL,
    },
};

#[test]
fn a_key_decides_alone_whether_it_is_good_or_bad() {
    let setup = setup();
    let server = setup.start();
    let key = setup.database().mint_scopes(&["issues:read"]);
    let forgotten = setup.database().mint_and_forget();
    let revoked = setup.database().mint(Grants::all());
    setup.database().revoke(&revoked);
    let cookie = alice(&server);
    let (good, unknown, gone) = (key.bearer(), forgotten.bearer(), revoked.bearer());
    let upper = format!(
        "Authorization: Bearer {}",
        forgotten.key.replacen("ak_", "AK_", 1)
    );
    let scheme = format!("Authorization: ApiKey {}", key.key);
    for (field, owner, kind) in [
        (good.as_str(), "alice", "key"),
        (&key.x_key(), "alice", "key"),
        (&scheme, "alice", "key"),
        (X_EXTERNAL, "external", "external"),
        (
            "Authorization: Bearer external-key-of-the-tests-0123",
            "external",
            "external",
        ),
        (
            "authorization: BEARER external-key-of-the-tests-0123",
            "external",
            "external",
        ),
        ("Authorization: Basic YTpi", "alice", "session"),
        ("Authorization: Digest username=\"alice\"", "alice", "session"),
    ] {
        let answer = server.get("/api/v1/whoami", &[&cookie, field]);
        assert_eq!(answer.status, 200, "{field}: {answer:?}");
        let who = answer.json();
        assert_eq!(
            (who["owner"].as_str(), who["kind"].as_str()),
            (Some(owner), Some(kind)),
            "{field}"
        );
    }
    let missing = server.get("/api/v1/whoami", &[&cookie, &unknown]);
    for field in [
        unknown.as_str(),
        &forgotten.x_key(),
        &upper,
        "Authorization: Bearer ak_",
        "Authorization: Bearer ak_nonsense",
        "Authorization: Bearer",
        "Authorization: Bearer ",
        "Authorization: Bearer two words",
        // Nobody claims them, and the login has no say in a bearer token.
        "Authorization: Bearer nonsense",
        "Authorization: Bearer eyJhbGciOiJub25lIn0.e30.",
        "Authorization: ApiKey nonsense",
        "X-Key: nonsense",
        "X-Key:",
    ] {
        for target in ["/api/v1/whoami", "/api/v1/greeting"] {
            let answer = server.get(target, &[&cookie, field]);
            answer.assert_problem(401, "invalid-key");
            assert_eq!(answer.without_date(), missing.without_date(), "{field}");
        }
    }
    server
        .get("/api/v1/whoami", &[&cookie, &gone])
        .assert_problem(401, "key-revoked");
    // Without a session to decide, a bearer token that is none of ours is a bad key.
    for fields in [
        &["Authorization: Bearer nonsense"][..],
        &["Authorization: Bearer nonsense", "Cookie: session=x"],
    ] {
        server
            .get("/api/v1/whoami", fields)
            .assert_problem(401, "invalid-key");
        server
            .get("/api/v1/greeting", fields)
            .assert_problem(401, "invalid-key");
    }
}

#[test]
fn more_than_one_credential_is_ambiguous_whatever_the_session_says() {
    let setup = setup();
    let server = setup.start();
    let key = setup.database().mint_scopes(&["issues:read"]);
    let cookie = alice(&server);
    let bearer = key.bearer();
    let x_key = key.x_key();
    for fields in [
        &[cookie.as_str(), &bearer, &x_key][..],
        &[&cookie, &bearer, &bearer],
        &[&cookie, &x_key, &x_key],
        &[&cookie, &x_key, "X-Key: nonsense"],
        &[&cookie, &x_key, "Authorization: Bearer nonsense"],
        &[
            &cookie,
            "Authorization: Bearer nonsense",
            "Authorization: Bearer nonsense",
        ],
        &[
            &cookie,
            "Authorization: Basic YTpi",
            "Authorization: Bearer nonsense",
        ],
        &[&cookie, "X-Key: a, b"],
    ] {
        for target in ["/api/v1/whoami", "/api/v1/greeting"] {
            server
                .get(target, fields)
                .assert_problem(400, "ambiguous-credentials");
        }
    }
}

#[test]
fn a_session_does_what_its_scopes_cover_and_a_key_is_never_merged_with_it() {
    let setup = setup();
    let server = setup.start();
    let reader = setup.database().mint_scopes(&["issues:read"]);
    let cookie = session(&server, "bob", "pa:ss");
    let here = "Sec-Fetch-Site: same-origin";
    assert_eq!(server.get("/api/v1/issues", &[&cookie]).status, 200);
    let create = |fields: &[&str]| {
        server.exchange(&json_request(
            "POST",
            "/api/v1/issues",
            fields,
            r#"{"title":"red"}"#,
        ))
    };
    assert_eq!(create(&[&cookie, here]).status, 201);
    let run = server.exchange(&request("POST", "/api/v1/agents/alpha/runs", &[&cookie, here]));
    assert_eq!(
        (run.status, &run.json()["started_by"]),
        (202, &"bob".into()),
        "{run:?}"
    );
    // The session may write, the key may not, and the key is what was presented.
    create(&[&cookie, here, &reader.x_key()]).assert_problem(403, "insufficient-scope");
    // Of the whole demo nothing is open to a session that needs what no session has.
    let who = server.get("/api/v1/whoami", &[&cookie]).json();
    for scope in ["keys:admin", "keys:introspect"] {
        let scopes = who["scopes"].as_array().expect("a list");
        assert!(!scopes.iter().any(|held| held == scope), "{scope}");
    }
}

#[test]
fn a_preflight_passes_without_asking_and_any_other_options_needs_somebody() {
    let server = setup().start();
    let cookie = alice(&server);
    let preflight = [
        "Origin: https://evil.example",
        "Access-Control-Request-Method: POST",
    ];
    assert_eq!(server.send("OPTIONS", "/api/v1/whoami", &preflight).status, 204);
    assert_eq!(server.send("OPTIONS", "/api/v1/whoami", &[&cookie]).status, 204);
    server
        .send("OPTIONS", "/api/v1/whoami", &[])
        .assert_problem(401, "missing-credentials");
}

#[test]
fn a_session_works_while_the_store_is_down_and_head_is_get_without_a_body() {
    let setup = setup();
    let server = setup.start();
    let cookie = alice(&server);
    let key = setup.database().mint(Grants::all());
    let database = setup.database();
    database.sql("ALTER TABLE api_keys RENAME TO elsewhere".into());
    server
        .get("/api/v1/whoami", &[&key.x_key(), &cookie])
        .assert_problem(503, "auth-unavailable");
    let answer = server.get("/api/v1/whoami", &[&cookie]);
    let head = server.send("HEAD", "/api/v1/whoami", &[&cookie]);
    assert_eq!((answer.status, head.status, head.body.as_str()), (200, 200, ""));
    assert_eq!(answer.header("content-length"), head.header("content-length"));
    let body = with_body("POST", "/api/v1/issues", &[&cookie], Some("not read"));
    server.exchange(&body).assert_problem(403, "cross-origin-request");
}
