//! Addresses and methods that there are not.

use crate::support::{
    http::request,
    server::{Setup, X_EXTERNAL},
};

#[test]
fn an_address_that_there_is_not_is_a_problem_document() {
    let server = Setup::with_external_key().start();
    for target in [
        "/",
        "/nothing",
        "/healthz/",
        "/HEALTHZ",
        "/favicon.ico",
        "/api",
        "/api/v2/whoami",
    ] {
        for method in ["GET", "POST", "DELETE", "OPTIONS"] {
            // Nobody needs a key to hear that.
            server.send(method, target, &[]).assert_problem(404, "not-found");
        }
    }
    for target in [
        "/api/v1",
        "/api/v1/nothing",
        "/api/v1/issues/",
        "/api/v1/issues/1/2",
        "/api/v1/whoami/",
        "/api/v1//whoami",
        "/api/v1/%77hoami",
        "/api/v1/%2e/whoami",
        "/api/v1/whoami%00",
        "/api/v1/Whoami",
    ] {
        let missing = server.get(target, &[X_EXTERNAL]);
        missing.assert_problem(404, "not-found");
        assert_eq!(missing.header("cache-control"), Some("private"), "{target}");
    }
}

#[test]
fn another_method_is_told_which_there_are() {
    let server = Setup::with_external_key().start();
    for (target, allowed) in [
        ("/healthz", &["GET", "HEAD"][..]),
        ("/api/v1/whoami", &["GET", "HEAD"]),
        ("/api/v1/greeting", &["GET", "HEAD"]),
        ("/api/v1/issues", &["GET", "HEAD", "POST"]),
        ("/api/v1/issues/1", &["PATCH"]),
        ("/api/v1/agents/alpha/runs", &["POST"]),
    ] {
        for method in [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW", "get",
        ] {
            if allowed.contains(&method) {
                continue;
            }
            let mut refused = server.exchange(&request(method, target, &[X_EXTERNAL]));
            let allow = refused.header("allow").map(str::to_owned).unwrap_or_default();
            let mut methods: Vec<&str> = allow.split(',').map(str::trim).collect();
            methods.sort_unstable();
            assert_eq!(methods, allowed, "{method} {target} {refused:?}");
            if method == "HEAD" {
                refused.body = server.exchange(&request("PUT", target, &[X_EXTERNAL])).body;
            }
            refused.assert_problem(405, "method-not-allowed");
        }
        let options = server.send("OPTIONS", target, &[X_EXTERNAL]);
        assert_eq!((options.status, options.body.as_str()), (204, ""), "{options:?}");
        assert!(options.header("allow").is_some(), "{options:?}");
    }
}
