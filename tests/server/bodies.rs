//! `HEAD`, and bodies that are not read.

use std::{thread, time::Duration};

use crate::{
    support::{
        http::{Connection, request},
        server::{Server, Setup, X_EXTERNAL},
    },
    table::{AMBIGUOUS, INVALID, MISSING, NO_WRITING, Refusal},
};

const EXPECT: &str = "Expect: 100-continue";

fn assert_head_is_as_get(server: &Server, target: &str, fields: &[&str]) -> u16 {
    let mut connection = Connection::open(server.address);
    connection.send(&request("GET", target, fields));
    let get = connection.receive(false);
    assert!(!get.body.is_empty(), "{get:?}");
    connection.send(&request("HEAD", target, fields));
    let mut head = connection.receive(true);
    // What follows at once shows that there was no body in between.
    connection.send(&request("GET", target, fields));
    assert_eq!(connection.receive(false).without_date(), get.without_date());

    let announced = head.header("content-length").map(str::to_owned);
    assert_eq!(announced, Some(get.body.len().to_string()), "{head:?}");
    head.body = get.body.clone();
    assert_eq!(head.without_date(), get.without_date());
    get.status
}

#[test]
fn head_is_as_get_without_a_body_whether_it_is_answered_or_refused() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let database = setup.database();
    let poor = database.mint_scopes(&["topics:read"]).bearer();
    let revoked = database.mint_scopes(&["topics:read"]);
    database.revoke(&revoked);
    let unavailable = database.mint_scopes(&["topics:read"]);
    database.set(&unavailable, "created_at = -1");

    for (target, fields, status) in [
        ("/healthz", vec![], 200),
        ("/api/v1/greeting", vec![], 200),
        ("/api/v1/whoami", vec![X_EXTERNAL], 200),
        ("/api/v1/issues", vec![X_EXTERNAL], 200),
        ("/api/v1/issues?limit=0", vec![X_EXTERNAL], 400),
        ("/api/v1/nothing", vec![X_EXTERNAL], 404),
        ("/nothing", vec![], 404),
        ("/api/v1/issues/1", vec![X_EXTERNAL], 405),
        ("/api/v1/whoami", vec![], 401),
        ("/api/v1/whoami", vec!["X-Key: wrong"], 401),
        ("/api/v1/whoami", vec![&revoked.bearer()], 401),
        ("/api/v1/whoami", vec![X_EXTERNAL, X_EXTERNAL], 400),
        ("/api/v1/issues", vec![&poor], 403),
        ("/api/v1/whoami", vec![&unavailable.bearer()], 503),
    ] {
        let found = assert_head_is_as_get(&server, target, &fields);
        assert_eq!(found, status, "{target} {fields:?}");
    }
}

/// Who is refused before their body is read, and why.
fn refused(poor: &str) -> Vec<(Vec<&str>, Refusal)> {
    vec![
        (vec![], MISSING),
        (vec!["X-Key: wrong"], INVALID),
        (vec![X_EXTERNAL, X_EXTERNAL], AMBIGUOUS),
        (vec![poor], NO_WRITING),
    ]
}

#[test]
fn a_refusal_does_not_wait_for_the_body() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let poor = setup.database().mint_scopes(&["issues:read"]).bearer();
    for (mut fields, row) in refused(&poor) {
        for announced in ["Content-Length: 1000000", "Transfer-Encoding: chunked"] {
            fields.push("Content-Type: application/json");
            fields.push(announced);
            let mut connection = Connection::open(server.address);
            // No body follows.
            connection.send(&request("POST", "/api/v1/issues", &fields));
            row.assert(&connection.receive(false));
            fields.truncate(fields.len() - 2);
        }
    }
}

#[test]
fn a_refusal_arrives_although_a_large_body_was_sent_and_not_read() {
    const LARGE: usize = 1 << 20;
    let setup = Setup::with_external_key();
    let server = setup.start();
    let poor = setup.database().mint_scopes(&["issues:read"]).bearer();
    let length = format!("Content-Length: {LARGE}");
    for (mut fields, row) in refused(&poor) {
        fields.extend(["Content-Type: application/json", length.as_str()]);
        let head = request("POST", "/api/v1/issues", &fields);
        let mut whole = head.clone();
        whole.resize(whole.len() + LARGE, b' ');
        let mut connection = Connection::open(server.address);
        // It may have had enough before everything is sent.
        let _ = connection.try_send(&whole);
        row.assert(&connection.receive(false));
        assert_eq!(connection.until_closed(), "");

        // A client that sends first and reads then must not find the connection broken. The server stays for a moment only, which a
        // busy machine may miss.
        let sent_after_all = (0..5).any(|_| {
            let mut connection = Connection::open(server.address);
            connection.send(&head);
            row.assert(&connection.receive(false));
            assert_eq!(connection.until_closed(), "");
            (0..16).all(|_| {
                thread::sleep(Duration::from_millis(5));
                connection.try_send(&[b' '; LARGE / 16])
            })
        });
        assert!(sent_after_all, "{row:?}");
    }
    assert_eq!(server.get("/api/v1/issues", &[X_EXTERNAL]).body, "[]");
}

#[test]
fn who_expects_100_continue_gets_the_refusal_and_only_who_is_let_in_gets_100() {
    const BODY: &str = r#"{"title":"expected"}"#;
    let setup = Setup::with_external_key();
    let server = setup.start();
    let poor = setup.database().mint_scopes(&["issues:read"]).bearer();
    let length = format!("Content-Length: {}", BODY.len());
    let open = |fields: &[&str]| {
        let content = ["Content-Type: application/json", EXPECT, length.as_str()];
        let mut connection = Connection::open(server.address);
        connection.send(&request("POST", "/api/v1/issues", &[fields, &content].concat()));
        connection
    };

    for (fields, row) in refused(&poor) {
        row.assert(&open(&fields).receive(false));
    }
    let mut connection = open(&[X_EXTERNAL]);
    assert_eq!(connection.receive(false).status, 100);
    connection.send(BODY.as_bytes());
    let created = connection.receive(false);
    assert_eq!(
        (created.status, &created.json()["title"]),
        (201, &"expected".into())
    );
}
