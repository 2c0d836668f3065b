//! Changes by a session: from a page of the same origin, or not at all.

use serde_json::json;

use crate::{
    people::{PASSWORD, alice, post_form, setup},
    support::{
        http::{Response, json_request},
        server::{Server, X_EXTERNAL},
    },
};

/// Tells the server to create an issue, with these fields.
fn create(server: &Server, fields: &[&str]) -> Response {
    server.exchange(&json_request(
        "POST",
        "/api/v1/issues",
        fields,
        r#"{"title":"red"}"#,
    ))
}

const SITES: &[(Option<&str>, Option<bool>)] = &[
    (None, None),
    (Some("Sec-Fetch-Site: same-origin"), Some(true)),
    (Some("Sec-Fetch-Site: same-site"), Some(false)),
    (Some("Sec-Fetch-Site: cross-site"), Some(false)),
    (Some("Sec-Fetch-Site: none"), Some(false)),
    (Some("Sec-Fetch-Site:"), Some(false)),
    (Some("Sec-Fetch-Site: nonsense"), Some(false)),
];

/// The client of the tests says that the host is `demo`.
const ORIGINS: &[(Option<&str>, bool)] = &[
    (None, false),
    (Some("Origin: http://demo"), true),
    (Some("Origin: https://demo"), true),
    (Some("Origin: http://demo:80"), true),
    (Some("Origin: http://demo:3000"), false),
    (Some("Origin: http://demo.evil.example"), false),
    (Some("Origin: http://evil.example"), false),
    (Some("Origin: null"), false),
    (Some("Origin:"), false),
    (Some("Origin: demo"), false),
];

#[test]
fn every_combination_of_what_a_browser_says_of_where_a_change_comes_from() {
    let server = setup().start();
    let cookie = alice(&server);
    let mut created = 0;
    for &(site, site_allows) in SITES {
        for &(origin, origin_allows) in ORIGINS {
            let said: Vec<&str> = site.into_iter().chain(origin).collect();
            let allowed = site_allows.unwrap_or(origin_allows);
            let answer = create(&server, &[&[cookie.as_str()], &said[..]].concat());
            if allowed {
                assert_eq!(answer.status, 201, "{said:?}: {answer:?}");
                created += 1;
            } else {
                answer.assert_problem(403, "cross-origin-request");
                assert_eq!(answer.header("cache-control"), Some("no-store"));
                assert_eq!(answer.all("www-authenticate"), [""; 0]);
            }
            // Reading is no change, and a key is nothing that a browser sends of itself.
            let read = server.get("/api/v1/whoami", &[&[cookie.as_str()], &said[..]].concat());
            assert_eq!(
                (read.status, &read.json()["kind"]),
                (200, &json!("session")),
                "{said:?}"
            );
            let with_key = [&[cookie.as_str(), X_EXTERNAL], &said[..]].concat();
            let with_key = json_request("PATCH", "/api/v1/issues/0", &with_key, r#"{"status":"closed"}"#);
            server.exchange(&with_key).assert_problem(404, "not-found");
        }
    }
    assert_eq!(created, 10 + 3);
    let list = server.get("/api/v1/issues?limit=100", &[X_EXTERNAL]).json();
    let kept = list.as_array().expect("a list").len();
    assert_eq!(kept, created, "what was refused changed nothing");
}

#[test]
fn nobody_is_logged_in_or_out_by_a_page_of_another_site_and_programs_need_not_say_where_they_are() {
    let server = setup().start();
    let form = format!("user=alice&password={PASSWORD}");
    for &(site, site_allows) in SITES {
        for &(origin, origin_allows) in ORIGINS {
            let said: Vec<&str> = site.into_iter().chain(origin).collect();
            let allowed = said.is_empty() || site_allows.unwrap_or(origin_allows);
            let login = post_form(&server, "/login", &said, &form);
            let cookie = alice(&server);
            let logout = server.send("POST", "/logout", &[&[cookie.as_str()], &said[..]].concat());
            let after = server.get("/api/v1/whoami", &[&cookie]);
            if allowed {
                assert_eq!((login.status, logout.status), (204, 204), "{said:?}");
                assert!(login.header("set-cookie").is_some(), "{said:?}");
            } else {
                for answer in [&login, &logout] {
                    answer.assert_problem(403, "cross-origin-request");
                    assert_eq!(answer.header("cache-control"), Some("no-store"));
                    assert_eq!(answer.header("set-cookie"), None);
                }
            }
            assert_eq!(after.status == 200, !allowed, "{said:?}: {after:?}");
        }
    }
}

#[test]
fn every_method_that_may_change_something_is_held_to_it_and_no_other_is() {
    let server = setup().start();
    let cookie = alice(&server);
    for method in ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "BREW"] {
        for target in [
            "/api/v1/issues/1",
            "/api/v1/whoami",
            "/api/v1/greeting",
            "/api/v1/nowhere",
        ] {
            let foreign = server.send(method, target, &[&cookie, "Origin: https://evil.example"]);
            foreign.assert_problem(403, "cross-origin-request");
            let own = server.send(method, target, &[&cookie, "Sec-Fetch-Site: same-origin"]);
            assert_ne!(own.status, 403, "{method} {target}");
        }
    }
    for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
        let foreign = server.send(
            method,
            "/api/v1/whoami",
            &[&cookie, "Origin: https://evil.example"],
        );
        assert_ne!(foreign.status, 403, "{method}");
    }
}

#[test]
fn fields_that_come_twice_and_hosts_that_do_not_match_are_refused() {
    let server = setup().start();
    let cookie = alice(&server);
    for said in [
        &["Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: same-origin"][..],
        &["Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"],
        &["Origin: http://demo", "Origin: http://demo"],
        &["Origin: http://demo", "Origin: http://evil.example"],
        &["Referer: http://demo/"],
        &["X-Forwarded-Host: evil.example", "Origin: http://evil.example"],
    ] {
        create(&server, &[&[cookie.as_str()], said].concat()).assert_problem(403, "cross-origin-request");
    }
}
