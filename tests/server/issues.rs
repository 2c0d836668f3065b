//! Issues: rows that last, and bodies that cannot do harm.

use serde_json::{Value, json};

use crate::support::{
    http::{Response, json_request, with_body},
    server::{Server, Setup, X_EXTERNAL},
};

fn create(server: &Server, title: &str) -> Response {
    server.send_json("POST", "/api/v1/issues", &json!({ "title": title }).to_string())
}

fn list(server: &Server, query: &str) -> Value {
    let answer = server.get(&format!("/api/v1/issues{query}"), &[X_EXTERNAL]);
    assert_eq!(answer.status, 200, "{query} {answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("private"));
    answer.json()
}

fn titles(server: &Server, query: &str) -> Vec<String> {
    let issues = list(server, query);
    let issues = issues.as_array().expect("a list").iter();
    issues
        .map(|issue| issue["title"].as_str().expect("a title").to_owned())
        .collect()
}

#[test]
fn a_new_issue_says_where_it_is_and_whose() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let writer = setup.database().mint_scopes(&["issues:write"]).bearer();
    for (id, field, owner) in [(1, X_EXTERNAL, "external"), (2, &writer, "alice")] {
        let request = json_request("POST", "/api/v1/issues", &[field], r#"{"title":"It works"}"#);
        let created = server.exchange(&request);
        assert_eq!(created.status, 201, "{created:?}");
        let location = created.header("location").expect("a place");
        assert_eq!(location, format!("/api/v1/issues/{id}"));
        assert_eq!(created.header("vary"), Some("Authorization, X-Key"));
        let mut issue = created.json();
        let created_at = issue["created_at"].take();
        let date: Result<jiff::Timestamp, _> = created_at.as_str().expect("a text").parse();
        assert!(date.is_ok(), "{created_at}");
        assert_eq!(
            issue,
            json!({"id": id, "title": "It works", "status": "open", "created_by": owner, "created_at": null})
        );
        let changed = server.send_json("PATCH", location, r#"{"status":"open"}"#);
        assert_eq!((changed.status, changed.json()), (200, created.json()));
    }
}

#[test]
fn issues_are_listed_newest_first_and_filtered() {
    let server = Setup::with_external_key().start();
    assert_eq!(list(&server, ""), json!([]));
    for title in ["one", "two", "three", "four"] {
        assert_eq!(create(&server, title).status, 201);
    }
    for closed in [1, 3] {
        let target = format!("/api/v1/issues/{closed}");
        assert_eq!(
            server
                .send_json("PATCH", &target, r#"{"status":"closed"}"#)
                .status,
            200
        );
    }
    for (query, expected) in [
        ("", &["four", "three", "two", "one"][..]),
        ("?limit=2", &["four", "three"]),
        ("?limit=100", &["four", "three", "two", "one"]),
        ("?status=open", &["four", "two"]),
        ("?status=closed", &["three", "one"]),
        ("?status=closed&limit=1", &["three"]),
        ("?limit=1&status=open", &["four"]),
        ("?l%69mit=%31", &["four"]),
        ("?unheard=of", &["four", "three", "two", "one"]),
    ] {
        assert_eq!(titles(&server, query), expected, "{query}");
    }
}

#[test]
fn a_limit_or_a_status_that_cannot_be_is_refused_and_not_repeated() {
    let server = Setup::with_external_key().start();
    for query in [
        "limit=0",
        "limit=-1",
        "limit=101",
        "limit=4294967297",
        "limit=1e1",
        "limit=1.0",
        "limit=",
        "limit",
        "limit=%201",
        "limit=ten",
        "limit=%3Cscript%3E",
        "limit=%ff",
        "limit=1&limit=2",
        "status=",
        "status=Open",
        "status=all",
        "status=open&status=closed",
        "status=open'--",
    ] {
        let refused = server.get(&format!("/api/v1/issues?{query}"), &[X_EXTERNAL]);
        refused.assert_problem(400, "invalid-request");
        assert!(
            !refused.body.contains("script") && !refused.body.contains("--"),
            "{refused:?}"
        );
    }
}

#[test]
fn a_status_can_be_changed_and_nothing_else() {
    let server = Setup::with_external_key().start();
    let before = create(&server, "red").json();
    let patch =
        |target: &str, body: &str| server.send_json("PATCH", &format!("/api/v1/issues/{target}"), body);

    for status in ["closed", "closed", "open"] {
        let changed = patch("1", &json!({ "status": status }).to_string());
        let mut expected = before.clone();
        expected["status"] = json!(status);
        assert_eq!((changed.status, changed.json()), (200, expected));
    }
    for bad in [
        r#"{"status":"done"}"#,
        r#"{"status":"CLOSED"}"#,
        r#"{"status":null}"#,
        r#"{"status":1}"#,
        r#"{"status":["closed"]}"#,
        r#"{"status":"closed","status":"closed"}"#,
        r#"{"status":"closed","title":"blue"}"#,
        r#"{"title":"blue"}"#,
        "{}",
        "null",
        "",
    ] {
        patch("1", bad).assert_problem(400, "invalid-request");
    }
    for nowhere in [
        "2",
        "0",
        "-1",
        "one",
        "1.0",
        "99999999999999999999",
        "%31%00",
        "%ff",
    ] {
        patch(nowhere, r#"{"status":"closed"}"#).assert_problem(404, "not-found");
    }
    assert_eq!(list(&server, ""), json!([before]));
}

#[test]
fn a_body_that_is_not_what_the_call_takes_is_refused_and_creates_nothing() {
    const GOOD: &str = r#"{"title":"made"}"#;
    let server = Setup::with_external_key().start();
    let post = |content_type: &[&str], body: &str| {
        let fields = [&[X_EXTERNAL], content_type].concat();
        server.exchange(&with_body("POST", "/api/v1/issues", &fields, Some(body)))
    };
    for other in [
        &[][..],
        &["Content-Type: text/plain"],
        &["Content-Type: application/x-www-form-urlencoded"],
        &["Content-Type: application/problem"],
        &["Content-Type: json"],
        &["Content-Type:"],
    ] {
        post(other, GOOD).assert_problem(415, "unsupported-media-type");
    }

    let json = &["Content-Type: application/json"];
    let large = json!({ "title": "made", "padding": "x".repeat(64 * 1024) }).to_string();
    post(json, &large).assert_problem(413, "body-too-large");
    let chunked = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    let fields = [X_EXTERNAL, json[0], "Transfer-Encoding: chunked"];
    let request = with_body("POST", "/api/v1/issues", &fields, None);
    let refused = server.exchange(&[&request, chunked.as_bytes()].concat());
    refused.assert_problem(413, "body-too-large");

    for bad in [
        "",
        "{",
        "null",
        "[]",
        r#""made""#,
        r#"["made"]"#,
        "{}",
        r#"{"title":null}"#,
        r#"{"title":1}"#,
        r#"{"title":["made"]}"#,
        r#"{"title":"made","id":7}"#,
        r#"{"title":"made","status":"closed"}"#,
        r#"{"title":"made","title":"twice"}"#,
        r#"{"title":"made"} {}"#,
        r#"{"title":"\ud800"}"#,
        r#"{"title":""}"#,
        r#"{"title":" \t\n\u2003"}"#,
    ] {
        let refused = post(json, bad);
        refused.assert_problem(400, "invalid-request");
        assert!(!refused.body.contains("made"), "{refused:?}");
    }
    // Not text at all.
    let mut request = json_request("POST", "/api/v1/issues", &[X_EXTERNAL], r#"{"title":"??"}"#);
    let end = request.len() - 4;
    request[end..end + 2].copy_from_slice(b"\xff\xfe");
    server.exchange(&request).assert_problem(400, "invalid-request");

    assert_eq!(list(&server, ""), json!([]));
    assert_eq!(
        post(&["Content-Type: Application/JSON; charset=utf-8"], GOOD).status,
        201
    );
}

#[test]
fn a_hostile_title_stays_a_text() {
    let server = Setup::with_external_key().start();
    let hostile = [
        "<script>alert(document.cookie)</script>",
        "\"}],\"title\":\"",
        "'); DROP TABLE api_keys; --",
        "first\nsecond\r\nSet-Cookie: a=b",
        "\u{202e}desrever\u{2066}",
        "\u{1}\u{1b}[31m\u{7f}\u{85}\u{2028}\u{feff}",
        "e\u{301}\u{1f469}\u{200d}\u{1f4bb}",
        &"\u{1f980}".repeat(200),
    ];
    for title in hostile {
        let created = create(&server, title);
        assert_eq!(created.status, 201, "{created:?}");
        assert_eq!(created.json()["title"], title);
        assert_eq!(created.all("set-cookie"), [""; 0]);
        assert_eq!(created.header("content-type"), Some("application/json"));
    }
    let mut newest_first = hostile;
    newest_first.reverse();
    assert_eq!(titles(&server, ""), newest_first);

    create(&server, "before\0after").assert_problem(400, "invalid-request");
    for too_long in [201, 10_000] {
        let refused = create(&server, &"\u{1f980}".repeat(too_long));
        refused.assert_problem(400, "invalid-request");
        assert!(!refused.body.contains('\u{1f980}'), "{refused:?}");
    }
    assert_eq!(titles(&server, "").len(), hostile.len());
}

#[test]
fn issues_survive_a_restart() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    assert_eq!(create(&server, "lasting").status, 201);
    assert_eq!(create(&server, "closed").status, 201);
    assert_eq!(
        server
            .send_json("PATCH", "/api/v1/issues/2", r#"{"status":"closed"}"#)
            .status,
        200
    );
    let before = list(&server, "");
    server.stop().assert_success();

    let server = setup.start();
    assert_eq!(list(&server, ""), before);
    assert_eq!(create(&server, "next").json()["id"], 3);
    // Also when nobody has told it to stop.
    drop(server);
    assert_eq!(titles(&setup.start(), ""), ["next", "closed", "lasting"]);
}
