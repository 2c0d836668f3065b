//! Logging in and out.

use serde_json::json;

use crate::{
    people::{PASSWORD, alice, cookie, login, post_form, session, setup},
    support::{
        http::json_request,
        server::{Ended, Setup},
    },
};

#[test]
fn a_user_logs_in_is_known_and_logs_out() {
    let server = setup().start();
    let answer = login(&server, "alice", PASSWORD);
    assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let set = answer.header("set-cookie").expect("a cookie");
    let attributes: Vec<&str> = set.split("; ").skip(1).collect();
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(attributes.contains(&attribute), "{set}");
    }

    let field = cookie(&answer);
    let known = server.get("/api/v1/whoami", &[&field]);
    assert_eq!(known.status, 200, "{known:?}");
    assert_eq!(known.header("cache-control"), Some("private"));
    assert_eq!(known.header("vary"), Some("Authorization, X-Key, Cookie"));
    assert_eq!(
        known.json(),
        json!({
            "kind": "session", "owner": "alice", "key_id": null, "name": "alice", "resources": null, "expires_at": null,
            "scopes": ["agents:run", "issues:read", "issues:write", "keys:read", "keys:write", "topics:read", "topics:send"],
        })
    );
    let greeting = server.get("/api/v1/greeting", &[&field]);
    assert_eq!(greeting.json()["greeting"], "Hello, alice!");

    let out = server.send("POST", "/logout", &[&field]);
    assert_eq!(out.status, 204, "{out:?}");
    server
        .get("/api/v1/whoami", &[&field])
        .assert_problem(401, "missing-credentials");
    assert_eq!(
        server.get("/api/v1/greeting", &[&field]).json()["greeting"],
        "Hello, stranger!"
    );
    // Again, and by nobody.
    for fields in [&[field.as_str()][..], &[]] {
        assert_eq!(server.send("POST", "/logout", fields).status, 204);
    }
}

#[test]
fn sessions_are_apart_and_of_whoever_logged_in_last() {
    let server = setup().start();
    let (first, second) = (alice(&server), alice(&server));
    let other = session(&server, "bob", "pa:ss");
    assert_ne!(first, second);
    let owner = |field: &str| server.get("/api/v1/whoami", &[field]).json()["owner"].clone();
    assert_eq!(
        (owner(&first), owner(&second), owner(&other)),
        (json!("alice"), json!("alice"), json!("bob"))
    );
    assert_eq!(server.send("POST", "/logout", &[&first]).status, 204);
    assert_eq!(server.get("/api/v1/whoami", &[&first]).status, 401);
    assert_eq!(owner(&second), "alice");

    // A session that was there before the login is not the one after it.
    let again = post_form(&server, "/login", &[&second], "user=bob&password=pa:ss");
    assert_eq!(again.status, 204, "{again:?}");
    let renewed = cookie(&again);
    assert_ne!(renewed, second);
    assert_eq!(owner(&renewed), "bob");
    assert_eq!(server.get("/api/v1/whoami", &[&second]).status, 401);
}

#[test]
fn a_wrong_login_is_401_and_does_not_say_which_part_is_wrong() {
    let server = setup().start();
    let wrong = [
        login(&server, "alice", "wrong"),
        login(&server, "alice", "pa:ss"),
        login(&server, "alice", ""),
        login(&server, "mallory", PASSWORD),
        login(&server, "", ""),
        login(&server, "ALICE", PASSWORD),
        login(&server, "alice%00", PASSWORD),
        login(&server, "alice", &format!("{PASSWORD}%0A")),
    ];
    for answer in &wrong {
        answer.assert_problem(401, "wrong-login");
        assert!(answer.header("www-authenticate").is_some());
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("set-cookie"), None);
        assert_eq!(answer.without_date(), wrong[0].without_date());
    }
    // It ends no session, and makes none.
    let field = alice(&server);
    let answer = post_form(&server, "/login", &[&field], "user=alice&password=wrong");
    assert_eq!(answer.status, 401);
    assert_eq!(server.get("/api/v1/whoami", &[&field]).status, 200);
}

#[test]
fn what_is_no_login_form_is_refused() {
    let server = setup().start();
    for form in [
        "",
        "user=alice",
        "password=x",
        "user=alice&user=alice&password=x",
        "%",
    ] {
        let answer = post_form(&server, "/login", &[], form);
        answer.assert_problem(400, "invalid-request");
        assert_eq!(answer.header("set-cookie"), None);
    }
    let json = json_request("POST", "/login", &[], r#"{"user":"alice","password":"x"}"#);
    server
        .exchange(&json)
        .assert_problem(415, "unsupported-media-type");
    let large = format!("user=alice&password={}", "x".repeat(100_000));
    post_form(&server, "/login", &[], &large).assert_problem(413, "body-too-large");
    for (method, target) in [
        ("GET", "/login"),
        ("PUT", "/login"),
        ("GET", "/logout"),
        ("DELETE", "/logout"),
    ] {
        let answer = server.send(method, target, &[]);
        answer.assert_problem(405, "method-not-allowed");
        assert_eq!(answer.header("allow"), Some("POST"), "{method} {target}");
    }
}

#[test]
fn a_cookie_that_nobody_gave_is_nobody() {
    let server = setup().start();
    let good = alice(&server);
    let changed = format!(
        "{}{}",
        &good[..good.len() - 1],
        if good.ends_with('A') { 'Q' } else { 'A' }
    );
    for field in [
        "Cookie: session=",
        "Cookie: session=alice",
        "Cookie: session=%00",
        "Cookie: session=AAAAAAAAAAAAAAAAAAAAAA",
        "Cookie: user=alice",
        &changed,
        &good.replace("session=", "Session="),
    ] {
        let answer = server.get("/api/v1/whoami", &[field]);
        answer.assert_problem(401, "missing-credentials");
        assert_eq!(answer.all("www-authenticate").len(), 2, "{field}");
    }
}

#[test]
fn a_server_without_users_lets_nobody_log_in() {
    let server = Setup::with_external_key().start();
    login(&server, "alice", PASSWORD).assert_problem(401, "wrong-login");
    login(&server, "", "").assert_problem(401, "wrong-login");
    let answer = server.get("/api/v1/greeting", &[]);
    assert_eq!(answer.header("vary"), Some("Authorization, X-Key"));
}

#[test]
fn a_user_that_cannot_be_meant_is_refused_without_being_repeated() {
    for user in [
        "canary-without-a-colon",
        ":canary-password",
        "canary-name:",
        "canary name:password",
        "canary\u{a0}name:password",
        "canary\tname:password",
        "-canary",
        "",
        &format!("{}:canary", "x".repeat(65)),
    ] {
        let Ended { code, printed, log } = Setup::with_external_key().arguments(&["--user", user]).run();
        assert_eq!((code, printed.len()), (Some(2), 0), "{user:?}: {log}");
        assert!(
            log.contains("--user") && !log.contains("canary"),
            "{user:?}: {log}"
        );
    }
    let twice = setup().arguments(&["--user", "alice:another-password"]).run();
    assert_eq!(twice.code, Some(2));
    assert!(
        twice.log.contains("twice") && !twice.log.contains("password"),
        "{}",
        twice.log
    );
}

#[test]
fn neither_passwords_nor_sessions_are_in_the_log() {
    let server = setup().variable("RUST_LOG", "trace").start();
    let field = alice(&server);
    login(&server, "alice", "wrong-canary-password");
    assert_eq!(server.get("/api/v1/whoami", &[&field]).status, 200);
    server.send("POST", "/logout", &[&field]);
    server.get("/api/v1/whoami", &[&field]);
    let log = server.stop().log;
    assert!(log.contains("whoami"), "{log}");
    for secret in [PASSWORD, "canary-password", "pa:ss"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
