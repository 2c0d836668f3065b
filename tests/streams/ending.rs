//! Each way in which a key ends, or loses what a stream needs, for each kind of stream.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    client::{Key, Kind, Listener, say},
    support::{
        http::{Connection, request},
        server::{Server, Setup},
    },
};

const BOTH: [&str; 2] = ["topics:read", "topics:send"];

/// Opens one of each kind, sees that they work, does something to the key, and hears why they end.
fn ends_when(server: &Server, topics: Option<&[&str]>, happens: impl Fn(&Key), reason: &str) {
    for kind in Kind::BOTH {
        let key = Key::mint(server, &BOTH, topics);
        let other = Key::mint(server, &BOTH, topics);
        let mut ending = Listener::open(server, kind, "news", &key);
        let mut going_on = Listener::open(server, kind, "news", &other);
        say(server, "news", "first");
        assert_eq!(
            (ending.message(), going_on.message()),
            ("first".into(), "first".into())
        );
        happens(&key);
        assert_eq!(ending.ends(), reason, "{kind:?}");
        say(server, "news", "second");
        assert_eq!(going_on.message(), "second", "that is another key");
    }
}

fn soon() -> Value {
    let soon = Timestamp::try_from(SystemTime::now() + Duration::from_millis(500)).expect("a date");
    json!(format!("{soon:.3}"))
}

#[test]
fn a_stream_ends_when_its_key_is_revoked() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    ends_when(&server, None, |key| key.revoke(&server), "key-revoked");
}

#[test]
fn a_stream_ends_when_its_key_is_disabled() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let disable = |key: &Key| key.change(&server, &json!({"disabled": true}));
    ends_when(&server, None, disable, "key-disabled");
}

#[test]
fn a_stream_ends_when_its_key_expires_and_when_its_overlap_is_over() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let expire = |key: &Key| key.change(&server, &json!({"expires_at": soon()}));
    ends_when(&server, None, expire, "key-expired");
    ends_when(&server, None, |key| key.rotate(&server, 1), "key-expired");
    ends_when(&server, None, |key| key.rotate(&server, 0), "key-expired");
}

#[test]
fn a_stream_ends_when_its_key_loses_what_the_route_asks_for() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let lose = |key: &Key| key.change(&server, &json!({"scopes": ["topics:send"]}));
    ends_when(&server, None, lose, "insufficient-scope");
    let topics: &[&str] = &["topic:news", "topic:sports"];
    let lose = |key: &Key| key.change(&server, &json!({"resources": ["topic:sports"]}));
    ends_when(&server, Some(topics), lose, "resource-not-allowed");
}

#[test]
fn a_stream_goes_on_when_its_key_loses_what_nobody_asked_for() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    for kind in Kind::BOTH {
        let key = Key::mint(&server, &BOTH, Some(&["topic:news", "topic:sports"]));
        let mut listener = Listener::open(&server, kind, "news", &key);
        key.change(
            &server,
            &json!({"scopes": ["topics:read"], "resources": ["topic:news"]}),
        );
        say(&server, "news", "still here");
        assert_eq!(listener.message(), "still here");
        key.revoke(&server);
        // And not what it lost before.
        assert_eq!(listener.ends(), "key-revoked", "{kind:?}");
    }
}

#[test]
fn an_upload_is_answered_when_its_key_is_revoked() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let key = Key::mint(&server, &["issues:write"], None);
    let mut upload = Connection::open(server.address);
    let fields = [
        &key.field(),
        "Content-Type: application/json",
        "Transfer-Encoding: chunked",
        "Expect: 100-continue",
    ];
    upload.send(&request("POST", "/api/v1/issues", &fields));
    // The handler has begun to read.
    assert_eq!(upload.receive(false).status, 100);
    upload.send(b"a\r\n{\"title\": \r\n");
    key.revoke(&server);
    upload.receive(false).assert_problem(401, "key-revoked");
    upload.until_closed();
    let issues = server.get("/api/v1/issues", &[crate::support::server::X_EXTERNAL]);
    assert_eq!(issues.body, "[]");
}
