//! What a caller is told about the key.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use tower_api_key::access::Grants;

use crate::support::server::{EXTERNAL, Server, Setup};

/// Every scope of the demo, sorted.
pub(crate) const EVERY_SCOPE: [&str; 9] = [
    "agents:run",
    "issues:read",
    "issues:write",
    "keys:admin",
    "keys:introspect",
    "keys:read",
    "keys:write",
    "topics:read",
    "topics:send",
];

fn whoami(server: &Server, key: &str) -> Value {
    let answer = server.get("/api/v1/whoami", &[&format!("Authorization: Bearer {key}")]);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("private"));
    assert_eq!(answer.header("vary"), Some("Authorization, X-Key"));
    answer.json()
}

fn external() -> Value {
    json!({
        "kind": "external",
        "owner": "external",
        "key_id": null,
        "name": "external",
        "scopes": EVERY_SCOPE,
        "resources": null,
        "expires_at": null,
    })
}

#[test]
fn the_external_key_holds_every_scope_by_name() {
    let server = Setup::with_external_key().start();
    assert_eq!(whoami(&server, EXTERNAL), external());
}

#[test]
fn an_external_key_from_a_file_or_the_environment_is_the_same() {
    const FILE: &str = "a-key-that-lies-in-a-file";
    const VARIABLE: &str = "a-key-from-the-environment";
    let server = Setup::with_external_key()
        .file("key.txt", &format!("{FILE}\n"))
        .arguments(&["--api-key-file", "key.txt"])
        .variable("API_KEY_EXTERNAL", VARIABLE)
        .start();
    // Each of them is good, so that one can be replaced by another.
    for key in [EXTERNAL, FILE, VARIABLE] {
        assert_eq!(whoami(&server, key), external());
    }
}

#[test]
fn an_external_key_may_be_given_as_its_digest() {
    use tower_api_key::key::KeyDigest;

    let digest = format!("sha256:{}", KeyDigest::of(EXTERNAL.as_bytes()).to_hex());
    let server = Setup::new().arguments(&["--api-key", &digest]).start();
    assert_eq!(whoami(&server, EXTERNAL), external());
    let refused = server.get("/api/v1/whoami", &[&format!("X-Key: {digest}")]);
    refused.assert_problem(401, "invalid-key");
}

#[test]
fn a_stored_key_is_told_all_of_its_own() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let database = setup.database();
    let expiry = UNIX_EPOCH + Duration::from_secs(4_102_444_800);
    let bound = Grants::scopes(["issues:read", "agents:run"]).expect("scopes");
    let bound = bound.on(["topic:deploys", "agent:alpha"]).expect("resources");

    for (key, scopes, resources, expires_at) in [
        (
            database.mint_scopes(&["issues:write"]),
            json!(["issues:write"]),
            json!(null),
            json!(null),
        ),
        (database.mint(Grants::none()), json!([]), json!(null), json!(null)),
        (
            database.mint_expiring(&["issues:read"], expiry),
            json!(["issues:read"]),
            json!(null),
            json!("2100-01-01T00:00:00.000Z"),
        ),
        (
            database.mint(bound),
            json!(["agents:run", "issues:read"]),
            json!(["agent:alpha", "topic:deploys"]),
            json!(null),
        ),
    ] {
        let expected = json!({
            "kind": "key",
            "owner": "alice",
            "key_id": key.id.to_string(),
            "name": "for tests",
            "scopes": scopes,
            "resources": resources,
            "expires_at": expires_at,
        });
        assert_eq!(whoami(&server, &key.key), expected);
        // From the cache, too.
        assert_eq!(whoami(&server, &key.key), expected);
    }
}

#[test]
fn no_wildcard_is_shown_to_a_caller() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let database = setup.database();
    let all = database.mint(Grants::all());
    assert_eq!(whoami(&server, &all.key)["scopes"], json!(EVERY_SCOPE));
    let some = database.mint_scopes(&["issues:*", "keys:read", "made:up"]);
    assert_eq!(
        whoami(&server, &some.key)["scopes"],
        json!(["issues:read", "issues:write", "keys:read", "made:up"])
    );
}
