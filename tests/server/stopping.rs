//! Being told to stop.

use std::{io::ErrorKind, net::TcpStream, thread, time::Duration};

use rustix::process::Signal;

use crate::support::{
    http::{Connection, json_request, request},
    server::{Server, Setup, X_EXTERNAL},
};

const BODY: &str = r#"{"title":"in flight"}"#;

/// A request whose handler is at work, and waits for the body.
fn in_flight(server: &Server) -> Connection {
    let length = format!("Content-Length: {}", BODY.len());
    let fields = [
        X_EXTERNAL,
        "Content-Type: application/json",
        "Expect: 100-continue",
        &length,
    ];
    let mut connection = Connection::open(server.address);
    connection.send(&request("POST", "/api/v1/issues", &fields));
    assert_eq!(connection.receive(false).status, 100);
    connection
}

fn wait_until_it_stops_accepting(server: &Server) {
    loop {
        match TcpStream::connect(server.address) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return,
            _ => thread::sleep(Duration::from_millis(5)),
        }
    }
}

#[test]
fn a_request_in_flight_is_finished_and_lasts() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let mut waiting = in_flight(&server);
    let mut half = in_flight(&server);
    half.send(&BODY.as_bytes()[..9]);

    server.signal(Signal::TERM);
    wait_until_it_stops_accepting(&server);
    waiting.send(BODY.as_bytes());
    half.send(&BODY.as_bytes()[9..]);
    for mut connection in [waiting, half] {
        let created = connection.receive(false);
        assert_eq!(created.status, 201, "{created:?}");
        assert_eq!(created.header("connection"), Some("close"), "{created:?}");
        assert_eq!(connection.until_closed(), "");
    }
    let ended = server.ended();
    ended.assert_success();
    assert!(!ended.log.contains("in time"), "{}", ended.log);
    let issues = setup.start().get("/api/v1/issues", &[X_EXTERNAL]).json();
    assert_eq!(
        (&issues[0]["title"], &issues[1]["title"]),
        (&"in flight".into(), &"in flight".into())
    );
}

#[test]
fn an_idle_server_ends_at_once_and_well() {
    let setup = Setup::new();
    for signal in [Signal::TERM, Signal::INT] {
        let server = setup.start();
        server.signal(signal);
        server.ended().assert_success();
    }
}

#[test]
fn connections_that_wait_or_never_come_to_an_end_do_not_keep_it() {
    let server = Setup::with_external_key().start();
    let whole = request("GET", "/api/v1/whoami", &[X_EXTERNAL]);
    let mut kept_alive = Connection::open(server.address);
    kept_alive.send(&whole);
    assert_eq!(kept_alive.receive(false).status, 200);
    let mut silent = Connection::open(server.address);
    let mut half = Connection::open(server.address);
    half.send(&whole[..whole.len() - 2]);
    let mut next = Connection::open(server.address);
    next.send(&[&whole[..], b"GET /api"].concat());
    assert_eq!(next.receive(false).status, 200);

    server.stop().assert_success();
    for connection in [&mut kept_alive, &mut silent, &mut half, &mut next] {
        assert_eq!(connection.until_closed(), "");
    }
}

#[test]
fn a_body_that_never_comes_does_not_keep_it() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let mut stalled = in_flight(&server);
    let ended = server.stop();
    ended.assert_success();
    assert!(
        ended.log.contains("in time"),
        "it says whom it cut off: {}",
        ended.log
    );
    stalled.until_closed();
    assert_eq!(setup.start().get("/api/v1/issues", &[X_EXTERNAL]).body, "[]");
}

#[test]
fn what_was_answered_lasts_when_it_is_killed() {
    let setup = Setup::with_external_key();
    for count in 1..=3 {
        let server = setup.start();
        let create = json_request("POST", "/api/v1/issues", &[X_EXTERNAL], BODY);
        assert_eq!(server.exchange(&create).status, 201);
        server.signal(Signal::KILL);
        assert_eq!(server.ended().code, None);
        let issues = setup.start().get("/api/v1/issues", &[X_EXTERNAL]).json();
        assert_eq!(issues.as_array().map(Vec::len), Some(count));
    }
}
