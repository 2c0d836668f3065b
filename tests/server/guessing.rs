//! How many keys that are not good may come from one address.

use crate::support::{
    http::Response,
    server::{EXTERNAL, Setup},
};

const WHOAMI: &str = "/api/v1/whoami";

#[test]
fn whoever_guesses_too_often_is_told_to_wait_and_nobody_else_is() {
    let setup =
        Setup::with_external_key().arguments(&["--failure-limit", "3/1d", "--trust-proxy", "127.0.0.1"]);
    let server = setup.start();
    let database = setup.database();
    let (good, dead) = (database.mint_scopes(&[]), database.mint_scopes(&[]));
    database.revoke(&dead);
    let from = |client: &str, key: &str| -> Response {
        let (key, forwarded) = (format!("X-Key: {key}"), format!("X-Forwarded-For: {client}"));
        server.get(WHOAMI, &[&key, &forwarded])
    };
    let guesser = "203.0.113.7";
    from(guesser, "wrong").assert_problem(401, "invalid-key");
    from(guesser, &dead.key).assert_problem(401, "key-revoked");
    from(guesser, "wrong").assert_problem(401, "invalid-key");
    let first = from(guesser, "wrong");
    for key in [
        "wrong",
        "",
        "ak_wrong",
        &dead.key,
        &database.mint_and_forget().key,
    ] {
        let refused = from(guesser, key);
        refused.assert_problem(429, "rate-limited");
        for absent in ["www-authenticate", "ratelimit", "ratelimit-policy"] {
            assert_eq!(refused.all(absent), [""; 0], "{refused:?}");
        }
        assert_eq!(refused.header("cache-control"), Some("no-store"));
        let seconds: u32 = refused
            .header("retry-after")
            .expect("how long")
            .parse()
            .expect("seconds");
        assert!((1..=28_800).contains(&seconds), "{seconds}");
        assert_eq!(refused.body, first.body);
    }
    // What is good goes on working there, and what says nothing is told so.
    for key in [&good.key, EXTERNAL] {
        assert_eq!(from(guesser, key).status, 200);
    }
    let nothing = server.get(WHOAMI, &[&format!("X-Forwarded-For: {guesser}")]);
    nothing.assert_problem(401, "missing-credentials");
    let two = server.get(
        WHOAMI,
        &["X-Key: wrong", "X-Key: wrong", "X-Forwarded-For: 203.0.113.7"],
    );
    two.assert_problem(400, "ambiguous-credentials");
    // All of a /64 are one, and of IPv4 each is one.
    from("203.0.113.8", "wrong").assert_problem(401, "invalid-key");
    for host in 1..4 {
        from(&format!("2001:db8::{host}"), "wrong").assert_problem(401, "invalid-key");
    }
    from("2001:db8::ffff:1", "wrong").assert_problem(429, "rate-limited");
    from("2001:db8:0:1::1", "wrong").assert_problem(401, "invalid-key");
    from("::ffff:203.0.113.7", "wrong").assert_problem(429, "rate-limited");
}

#[test]
fn guesses_are_not_counted_unless_that_is_asked_for() {
    let server = Setup::with_external_key().start();
    for i in 0..200 {
        let refused = server.get(WHOAMI, &[&format!("X-Key: wrong-{i}")]);
        refused.assert_problem(401, "invalid-key");
    }
}
