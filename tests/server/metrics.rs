//! What is counted, as Prometheus reads it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{SocketAddr, TcpListener},
};

use crate::support::{
    http::{Connection, request},
    server::{EXTERNAL, Server, Setup, X_EXTERNAL},
};

/// A server, and where it says what it counts.
fn counting() -> (Setup, Server, SocketAddr) {
    // Free a moment ago; nobody else listens at this address.
    let free = TcpListener::bind("127.88.0.1:0").expect("a port");
    let address = free.local_addr().expect("an address");
    drop(free);
    let setup = Setup::with_external_key().arguments(&["--metrics-listen", &address.to_string()]);
    let server = setup.start();
    (setup, server, address)
}

/// Each series and its value.
fn scrape(address: SocketAddr) -> (String, BTreeMap<String, f64>) {
    let mut connection = Connection::open(address);
    connection.send(&request("GET", "/metrics", &[]));
    let response = connection.receive(false);
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(
        response.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let text = response.body;
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let series = lines.map(|line| {
        let (name, value) = line.rsplit_once(' ').expect("a series and a value");
        (name.to_owned(), value.parse().expect("a number"))
    });
    (text.clone(), series.collect())
}

fn decided(outcome: &str, kind: &str) -> String {
    format!("api_key_decisions_total{{outcome=\"{outcome}\",kind=\"{kind}\"}}")
}

#[test]
fn what_was_decided_is_counted_and_no_secret_is_told() {
    let (setup, server, address) = counting();
    let minted = setup.database().mint_scopes(&["issues:read"]);
    for (path, fields, status) in [
        ("/api/v1/whoami", vec![minted.x_key()], 200),
        ("/api/v1/whoami", vec![minted.x_key()], 200),
        ("/api/v1/whoami", vec![minted.bearer()], 200),
        ("/api/v1/whoami", vec![X_EXTERNAL.to_owned()], 200),
        ("/api/v1/greeting", vec![], 200),
        ("/api/v1/whoami", vec![], 401),
        ("/api/v1/whoami", vec!["X-Key: canary-0123456789".to_owned()], 401),
        (
            "/api/v1/agents/alpha/runs",
            vec![minted.x_key(), minted.bearer()],
            400,
        ),
    ] {
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let method = if path.ends_with("runs") { "POST" } else { "GET" };
        assert_eq!(
            server.send(method, path, &fields).status,
            status,
            "{path} {fields:?}"
        );
    }
    assert_eq!(
        server
            .send("POST", "/api/v1/agents/alpha/runs", &[&minted.x_key()])
            .status,
        403
    );

    let (text, series) = scrape(address);
    for (outcome, kind, count) in [
        ("allowed", "key", 4.0),
        ("allowed", "external", 1.0),
        ("allowed", "none", 1.0),
        ("missing-credentials", "none", 1.0),
        ("invalid-key", "none", 1.0),
        ("ambiguous-credentials", "none", 1.0),
        ("insufficient-scope", "none", 1.0),
        ("key-revoked", "none", 0.0),
    ] {
        assert_eq!(
            series.get(&decided(outcome, kind)),
            Some(&count),
            "{outcome} {kind}: {text}"
        );
    }
    let cached = |result| series[&format!("api_key_cache_requests_total{{result=\"{result}\"}}")];
    assert_eq!(cached("hit") + cached("miss"), 4.0, "{text}");
    assert_eq!(series.get("api_key_cache_entries{of=\"good\"}"), Some(&1.0));
    assert_eq!(series.get("api_key_lookups_in_flight"), Some(&0.0));
    let found = "api_key_store_seconds_count{operation=\"find\",outcome=\"ok\"}";
    assert_eq!(series.get(found), Some(&cached("miss")), "{text}");

    let parts = [
        &minted.key[..],
        &minted.key[3..15],
        &minted.key[20..32],
        EXTERNAL,
        "canary",
        "alpha",
    ];
    for secret in parts.into_iter().chain([minted.id.to_string().as_str()]) {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[test]
fn more_callers_make_no_more_series() {
    let (setup, server, address) = counting();
    let round = |number: u32| {
        let minted = setup.database().mint_scopes(&["issues:read"]);
        assert_eq!(server.get("/api/v1/whoami", &[&minted.x_key()]).status, 200);
        let wrong = format!("X-Key: wrong-{number}");
        assert_eq!(server.get("/api/v1/whoami", &[&wrong]).status, 401);
        assert_eq!(server.get(&format!("/api/v1/whoami?{number}"), &[]).status, 401);
    };
    let names = || scrape(address).1.into_keys().collect::<BTreeSet<String>>();
    round(0);
    let before = names();
    assert!(
        before.iter().all(|name| name.starts_with("api_key_")),
        "{before:?}"
    );
    (1..10).for_each(round);
    assert_eq!(names(), before);
}

#[test]
fn nothing_listens_unless_it_is_asked_to() {
    let server = Setup::with_external_key().start();
    assert_eq!(server.get("/metrics", &[]).status, 404);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let ended = Setup::with_external_key()
        .arguments(&["--metrics-listen", &address])
        .run();
    assert_eq!(ended.code, Some(1), "{ended:?}");
}
