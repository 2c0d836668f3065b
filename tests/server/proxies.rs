//! Keys that are bound to addresses, and the log, behind a proxy.

use serde_json::Value;

use crate::support::{
    http::json_request,
    keys::Minted,
    server::{EXTERNAL, Server, Setup},
};

const WHOAMI: &str = "/api/v1/whoami";
const KEYS: &str = "/api/v1/keys";

fn behind_a_proxy() -> Setup {
    // The client of a test is on this machine, and so its proxy.
    Setup::with_external_key().arguments(&["--trust-proxy", "127.0.0.0/8", "--trust-proxy", "2001:db8::/32"])
}

/// A key that is bound to the address 203.0.113.7.
fn bound(setup: &Setup) -> Minted {
    let database = setup.database();
    let key = database.mint_scopes(&["issues:read"]);
    database.set(&key, "allowed_ips = '203.0.113.7'");
    key
}

const ALLOWED: &[&[&str]] = &[
    &["X-Forwarded-For: 203.0.113.7"],
    &["X-Forwarded-For: 203.0.113.7:4711"],
    &["X-Forwarded-For: ::ffff:203.0.113.7"],
    &["X-Forwarded-For: 192.0.2.1, 203.0.113.7, 127.0.0.9 ,[2001:db8::1]:80"],
    &[
        "X-Forwarded-For: unknown",
        "X-Forwarded-For: 203.0.113.7",
        "X-Forwarded-For: 127.0.0.9",
    ],
    &["Forwarded: for=203.0.113.7;proto=https"],
    &["Forwarded: for=\"203.0.113.7:4711\", For=\"[2001:db8::1]\";by=\"x, for=192.0.2.1\""],
    &["Forwarded: for=203.0.113.7", "X-Forwarded-For: 203.0.113.7"],
];

const REFUSED: &[&[&str]] = &[
    &[],
    &["X-Forwarded-For: 203.0.113.8"],
    &["X-Forwarded-For: 203.0.113.7, unknown"],
    &["X-Forwarded-For: 203.0.113.7,"],
    &["X-Forwarded-For: 203.0.113.7, 192.0.2.1"],
    &["X-Forwarded-For: 203.0.113.7", "X-Forwarded-For: 192.0.2.1"],
    &["X-Forwarded-For: 203.0.113.7, _hidden, 127.0.0.9"],
    &["X-Forwarded-For: for=203.0.113.7"],
    &["Forwarded: for=203.0.113.7, for=192.0.2.1"],
    &["Forwarded: for=203.0.113.7, for=_hidden"],
    &["Forwarded: by=203.0.113.7"],
    &["Forwarded: for=203.0.113.7", "X-Forwarded-For: 192.0.2.1"],
    &["Forwarded: for=192.0.2.1", "X-Forwarded-For: 203.0.113.7"],
    &["X-Real-IP: 203.0.113.7"],
    &["Client-IP: 203.0.113.7"],
];

fn get(server: &Server, key: &Minted, fields: &[&str]) -> crate::support::http::Response {
    server.get(WHOAMI, &[&[key.x_key().as_str()], fields].concat())
}

#[test]
fn a_bound_key_works_for_the_client_that_a_trusted_proxy_names() {
    let setup = behind_a_proxy();
    let server = setup.start();
    let key = bound(&setup);
    // Looked up, and from the cache.
    for _ in 0..2 {
        for fields in ALLOWED {
            assert_eq!(get(&server, &key, fields).status, 200, "{fields:?}");
        }
        for fields in REFUSED {
            let refused = get(&server, &key, fields);
            refused.assert_problem(403, "address-not-allowed");
            assert!(!refused.body.contains("203.0.113"), "{refused:?}");
        }
    }
}

#[test]
fn nobody_is_believed_who_is_not_trusted() {
    for arguments in [
        &[][..],
        &["--trust-proxy", "192.0.2.1", "--trust-proxy", "128.0.0.0/8"],
    ] {
        let setup = Setup::with_external_key().arguments(arguments);
        let server = setup.start();
        let key = bound(&setup);
        for fields in ALLOWED.iter().chain(REFUSED) {
            get(&server, &key, fields).assert_problem(403, "address-not-allowed");
        }
        setup.database().set(&key, "allowed_ips = '127.0.0.1'");
        let again = bound(&setup);
        setup.database().set(&again, "allowed_ips = '127.0.0.1'");
        for fields in ALLOWED.iter().chain(REFUSED) {
            assert_eq!(get(&server, &again, fields).status, 200, "{fields:?}");
        }
    }
}

#[test]
fn the_log_says_which_client_it_was_and_nothing_where_that_is_not_known() {
    let setup = behind_a_proxy();
    let server = setup.start();
    let external = format!("X-Key: {EXTERNAL}");
    let cases: &[(&[&str], Value)] = &[
        (&["X-Forwarded-For: 192.0.2.9, 203.0.113.7"], "203.0.113.7".into()),
        (&["Forwarded: for=\"[2001:db9::1]:80\""], "2001:db9::1".into()),
        (&[], "127.0.0.1".into()),
        (&["X-Forwarded-For: 203.0.113.7, unknown"], Value::Null),
        (
            &["X-Forwarded-For: 203.0.113.7", "Forwarded: for=192.0.2.9"],
            Value::Null,
        ),
    ];
    for (fields, address) in cases {
        let fields = [&[external.as_str()], *fields].concat();
        let minted = server.exchange(&json_request("POST", KEYS, &fields, r#"{"name":"ci"}"#));
        assert_eq!(minted.status, 201, "{minted:?}");
        let id = minted.json()["id"].as_str().expect("an id").to_owned();
        let events = server.get(&format!("{KEYS}/{id}/events"), &[&external]).json();
        assert_eq!(&events["data"][0]["address"], address, "{fields:?}");
    }
}
