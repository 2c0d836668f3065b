//! The demo server with `--oidc-config`, over HTTP.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::{
    authority::Authority,
    issuer::{Behaviour, Issuer},
    signer::{EC, NEXT, RSA},
    support::{
        http::{Response, json_request, with_body},
        server::{EXTERNAL, Server, Setup, X_EXTERNAL},
    },
    tls::strict,
    transport::Transport,
    workflow::{GRANT, ID_TOKEN, claims, deploy, form, request},
};

fn setup(issuer: &Issuer) -> Setup {
    Setup::with_external_key()
        .file("trust.toml", &deploy(issuer.url()))
        .arguments(&["--oidc-config", "trust.toml"])
}

fn fresh(issuer: &Issuer) -> Value {
    claims(issuer.url(), SystemTime::now())
}

fn exchange(server: &Server, token: &str) -> Response {
    server.exchange(&request(token))
}

fn assert_error(answer: &Response, status: u16, error: &str) {
    assert_eq!(
        (answer.status, &answer.json()["error"]),
        (status, &json!(error)),
        "{answer:?}"
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    assert_eq!(
        answer.header("retry-after").is_some(),
        status == 503,
        "{answer:?}"
    );
}

fn key(answer: &Response) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["access_token"].as_str().expect("a key").to_owned()
}

#[test]
fn a_workflow_gets_a_key_and_uses_it() {
    let issuer = Issuer::start();
    let server = setup(&issuer).start();
    let token = RSA.token(&fresh(&issuer));
    let answer = exchange(&server, &token);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let bearer = format!("Authorization: Bearer {}", key(&answer));
    let who = server.get("/api/v1/whoami", &[&bearer]).json();
    assert_eq!(
        (
            &who["kind"],
            &who["owner"],
            &who["name"],
            &who["scopes"],
            &who["resources"]
        ),
        (
            &json!("key"),
            &json!("oidc:deploy"),
            &json!("deploy"),
            &json!(["issues:read", "issues:write"]),
            &json!(["agent:alpha"])
        )
    );
    let made = json_request("POST", "/api/v1/issues", &[&bearer], r#"{"title": "from CI"}"#);
    assert_eq!(server.exchange(&made).status, 201);
    assert_eq!(
        server
            .send("POST", "/api/v1/agents/alpha/runs", &[&bearer])
            .status,
        403
    );
    // Once.
    let again = exchange(&server, &token);
    assert_error(&again, 400, "invalid_grant");
    assert_eq!(again.without_date(), exchange(&server, "x").without_date());
    // Without a good key in the request, and with a bad one: the token decides.
    let mut with_key = request(&EC.token(&fresh(&issuer)));
    let at = with_key
        .windows(2)
        .position(|two| two == b"\r\n")
        .expect("a line")
        + 2;
    with_key.splice(at..at, *b"X-Key: ak_bad\r\n");
    assert_eq!(server.exchange(&with_key).status, 200);
    // The log says who it was.
    let events = server
        .get("/api/v1/keys/events", &[&format!("X-Key: {EXTERNAL}")])
        .json();
    let mut logged = events["data"].as_array().expect("events").iter();
    let first = logged
        .find(|event| event["kind"] == "minted" && event["actor"]["kind"] == "token")
        .expect("an event");
    assert_eq!(first["address"], "127.0.0.1");
    let reason = first["reason"].as_str().expect("a reason");
    assert!(
        reason.starts_with("exchange: policy deploy, issuer http://127.0.0.1:"),
        "{reason}"
    );
    let log = server.stop().log;
    assert!(
        !log.contains(&token) && !log.contains(token.rsplit('.').next().expect("a signature")),
        "{log}"
    );
}

#[test]
fn whatever_its_row_says_it_makes_no_key() {
    let issuer = Issuer::start();
    let setup = setup(&issuer);
    let server = setup.start();
    let bearer = format!(
        "Authorization: Bearer {}",
        key(&exchange(&server, &RSA.token(&fresh(&issuer))))
    );
    setup.database().sql(
        "UPDATE api_keys SET scopes = 'issues:read keys:admin keys:read keys:write', resources = NULL"
            .to_owned(),
    );
    // Heard of by then, or not: both are refused.
    for _ in 0..20 {
        let mint = json_request(
            "POST",
            "/api/v1/keys",
            &[&bearer],
            r#"{"name": "more", "scopes": ["issues:read"]}"#,
        );
        assert_eq!(server.exchange(&mint).status, 403);
        let who = server.get("/api/v1/whoami", &[&bearer]).json();
        if who["scopes"]
            .as_array()
            .is_some_and(|scopes| scopes.contains(&json!("keys:write")))
        {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let who = server.get("/api/v1/whoami", &[&bearer]).json();
    assert!(
        who["scopes"]
            .as_array()
            .expect("scopes")
            .contains(&json!("keys:write")),
        "{who}"
    );
    let id = who["key_id"].as_str().expect("an id");
    for (method, path, body) in [
        (
            "POST",
            "/api/v1/keys".to_owned(),
            r#"{"name": "more", "scopes": ["issues:read"]}"#,
        ),
        ("POST", format!("/api/v1/keys/{id}/rotate"), "{}"),
        ("PATCH", format!("/api/v1/keys/{id}"), r#"{"name": "other"}"#),
    ] {
        let refused = server.exchange(&json_request(method, &path, &[&bearer], body));
        assert!(matches!(refused.status, 403 | 409), "{method} {path} {refused:?}");
    }
    let all = server
        .get("/api/v1/keys?status=all", &[&format!("X-Key: {EXTERNAL}")])
        .json();
    assert_eq!(all["data"].as_array().map(Vec::len), Some(1), "{all}");
}

#[test]
fn the_log_has_the_client_of_a_proxy() {
    let issuer = Issuer::start();
    let setup = setup(&issuer).arguments(&["--trust-proxy", "127.0.0.1"]);
    let server = setup.start();
    let body = form(&[GRANT, ID_TOKEN, ("subject_token", &RSA.token(&fresh(&issuer)))]);
    let fields = [
        "Content-Type: application/x-www-form-urlencoded",
        "X-Forwarded-For: 203.0.113.7",
    ];
    let request = with_body("POST", "/api/v1/token", &fields, Some(&body));
    let given = key(&server.exchange(&request));
    let whoami = server.get("/api/v1/whoami", &[&format!("X-Key: {given}")]).json();
    let id = whoami["key_id"].as_str().expect("an id");
    let events = server
        .get(&format!("/api/v1/keys/{id}/events"), &[X_EXTERNAL])
        .json();
    assert_eq!(events["data"][0]["address"], "203.0.113.7", "{events}");
}

#[test]
fn an_issuer_that_is_away_is_503_and_what_is_known_goes_on() {
    let mut issuer = Issuer::start();
    let server = setup(&issuer).start();
    for behaviour in [Behaviour::Silent, Behaviour::Oversized, Behaviour::Redirecting] {
        issuer.behave(behaviour);
        assert_error(
            &exchange(&server, &RSA.token(&fresh(&issuer))),
            503,
            "temporarily_unavailable",
        );
        // As the answer says, it is worth trying again.
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
    issuer.behave(Behaviour::Well);
    key(&exchange(&server, &RSA.token(&fresh(&issuer))));
    issuer.stop();
    key(&exchange(&server, &EC.token(&fresh(&issuer))));
    assert_error(
        &exchange(&server, &NEXT.token(&fresh(&issuer))),
        503,
        "temporarily_unavailable",
    );
    issuer.restart();
    key(&exchange(&server, &RSA.token(&fresh(&issuer))));
}

#[test]
fn an_issuer_within_a_company_is_believed_by_its_own_authority_alone() {
    let (authority, other) = (Authority::new("Internal"), Authority::new("Other"));
    let transport = |authority: &Authority| Transport::Tls(authority.server("localhost"));
    let mut issuer = Issuer::start_as("https://localhost", transport(&other));
    // Beside the file that names it, where the server runs.
    let trust = strict(issuer.url(), "allow_private = true\nca_file = \"ca.pem\"");
    let server = Setup::with_external_key()
        .file("ca.pem", &authority.pem())
        .file("trust.toml", &trust)
        .arguments(&["--oidc-config", "trust.toml"])
        .start();
    let token = RSA.token(&fresh(&issuer));
    assert_error(&exchange(&server, &token), 503, "temporarily_unavailable");
    assert_eq!(issuer.reached(), (1, 0));
    issuer.restart_as(transport(&authority));
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let bearer = format!("Authorization: Bearer {}", key(&exchange(&server, &token)));
    let who = server.get("/api/v1/whoami", &[&bearer]).json();
    assert_eq!(who["owner"], "oidc:deploy", "{who}");
    // Whoever runs it is told what was wrong, once, and nothing of the token.
    let log = server.stop().log;
    let failed: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("the keys of an issuer cannot be got"))
        .collect();
    assert_eq!(failed.len(), 1, "{log}");
    assert!(
        failed[0].contains("UnknownIssuer") && failed[0].contains(issuer.url()),
        "{log}"
    );
    assert!(!log.contains(&token), "{log}");
}

#[test]
fn a_body_that_is_none_of_its_is_told_so() {
    let issuer = Issuer::start();
    let server = setup(&issuer).start();
    let json = json_request("POST", "/api/v1/token", &[], "{}");
    assert_error(&server.exchange(&json), 415, "invalid_request");
    let large = request(&"x".repeat(40_000));
    let mut connection = crate::support::http::Connection::open(server.address);
    connection.try_send(&large);
    assert_error(&connection.receive(false), 413, "invalid_request");
    let get = server.get("/api/v1/token", &[]);
    assert_eq!((get.status, get.header("allow")), (405, Some("POST")), "{get:?}");
}

#[test]
fn without_policies_there_is_no_such_address() {
    let server = Setup::with_external_key().start();
    let x_key = format!("X-Key: {EXTERNAL}");
    assert_eq!(server.send("POST", "/api/v1/token", &[&x_key]).status, 404);
    assert!(server.get("/openapi.json", &[]).json()["paths"]["/api/v1/token"].is_null());
}

#[test]
fn it_is_documented_as_it_answers() {
    let issuer = Issuer::start();
    let server = setup(&issuer).start();
    let document = server.get("/openapi.json", &[]).json();
    let paths = document["paths"].as_object().expect("paths");
    let call = &paths["/api/v1/token"];
    assert_eq!(call.as_object().expect("an item").len(), 1);
    let operation = &call["post"];
    assert_eq!(operation["security"], json!([{}]));
    let members = |name: &str| -> Vec<String> {
        let schema = &document["components"]["schemas"][name]["properties"];
        let mut members: Vec<String> = schema.as_object().expect("properties").keys().cloned().collect();
        members.sort();
        members
    };
    let found = |answer: &Response| -> Vec<String> {
        answer
            .json()
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect()
    };
    let given = exchange(&server, &RSA.token(&fresh(&issuer)));
    assert_eq!(found(&given), members("ExchangedKey"));
    let refused = exchange(&server, "x");
    assert_eq!(found(&refused), members("FormError"));
    for status in [200, 400, 413, 415, 503] {
        assert!(operation["responses"][status.to_string()].is_object(), "{status}");
    }
    let body = &operation["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]["$ref"];
    let pointer = body
        .as_str()
        .and_then(|reference| reference.strip_prefix('#'))
        .expect("a reference");
    assert_eq!(
        document.pointer(pointer).expect("a schema")["required"]
            .as_array()
            .map(Vec::len),
        Some(3)
    );
}
