//! Heads that are too slow, too large, or no heads.

use std::{thread, time::Duration};

use crate::support::{
    PATIENCE,
    http::{Connection, Response, request},
    server::{Server, Setup, X_EXTERNAL},
};

const WHOAMI: &str = "/api/v1/whoami";

#[test]
fn a_head_that_does_not_come_to_an_end_closes_the_connection() {
    let server = Setup::with_external_key().start();
    let whole = request("GET", WHOAMI, &[X_EXTERNAL]);
    let half = |length: usize| whole[..length].to_vec();
    let beginnings = [
        vec![],
        half(1),
        half(20),
        half(whole.len() - 2),
        request("POST", "/api/v1/issues", &["Expect: 100-continue"])[..40].to_vec(),
        // A whole request is answered; it is the next one that does not come.
        [&whole[..], b"GET /api"].concat(),
        [&whole[..], &whole].concat(),
    ];
    thread::scope(|scope| {
        for beginning in &beginnings {
            scope.spawn(|| {
                let mut connection = Connection::open(server.address);
                connection.send(beginning);
                let said = connection.until_closed();
                let good = said.matches("HTTP/1.1 200 OK").count();
                let asked = beginning.windows(4).filter(|end| end == b"\r\n\r\n").count();
                assert_eq!(good, asked, "{said}");
                let last = said.rsplit("HTTP/1.1 ").next().unwrap_or_default();
                assert!(
                    ["", "200", "408"].iter().any(|status| last.starts_with(status)),
                    "{said}"
                );
            });
        }
        // Nor is it enough to send something now and then.
        scope.spawn(|| {
            let mut connection = Connection::open(server.address);
            connection.send(b"GET / HTTP/1.1\r\nX: ");
            let pause = Duration::from_millis(250);
            let mut left = PATIENCE.as_millis() / pause.as_millis();
            while !connection.is_closed() && connection.try_send(b"x") {
                left -= 1;
                assert!(left > 0, "it stays open");
                thread::sleep(pause);
            }
        });
        // Who goes on asking is not closed meanwhile, and others are served.
        scope.spawn(|| {
            let mut connection = Connection::open(server.address);
            for _ in 0..12 {
                connection.send(&whole);
                assert_eq!(connection.receive(false).status, 200);
                thread::sleep(Duration::from_secs(1));
            }
        });
    });
}

/// The answer to a head that may be more than the server reads.
fn answer(server: &Server, head: &[u8]) -> Response {
    let mut connection = Connection::open(server.address);
    let _ = connection.try_send(head);
    connection.receive(false)
}

#[test]
fn a_head_has_at_most_32_kib() {
    let server = Setup::with_external_key().start();
    let padded = |size: usize| {
        let field = |length: usize| format!("X-Padding: {}", "p".repeat(length));
        let empty = request("GET", WHOAMI, &[X_EXTERNAL, &field(0)]).len();
        let head = request("GET", WHOAMI, &[X_EXTERNAL, &field(size - empty)]);
        assert_eq!(head.len(), size);
        head
    };
    for fits in [1024, 31 * 1024, 32 * 1024] {
        assert_eq!(answer(&server, &padded(fits)).status, 200, "{fits}");
    }
    for too_large in [33 * 1024, 64 * 1024, 1 << 20] {
        assert_eq!(answer(&server, &padded(too_large)).status, 431, "{too_large}");
    }
    // The request line is part of it.
    let target = format!("{WHOAMI}?{}", "q".repeat(33 * 1024));
    let status = answer(&server, &request("GET", &target, &[X_EXTERNAL])).status;
    assert!([414, 431].contains(&status), "{status}");
    let target = format!("{WHOAMI}?{}", "q".repeat(8 * 1024));
    assert_eq!(
        answer(&server, &request("GET", &target, &[X_EXTERNAL])).status,
        200
    );
}

#[test]
fn a_head_has_at_most_100_fields() {
    let server = Setup::with_external_key().start();
    let with_fields = |count: usize| {
        // `Host` and the key are two of them.
        let more: Vec<String> = (2..count).map(|number| format!("X-{number}: x")).collect();
        let more = more.iter().map(String::as_str);
        request(
            "GET",
            WHOAMI,
            &[X_EXTERNAL].into_iter().chain(more).collect::<Vec<_>>(),
        )
    };
    for (count, status) in [(2, 200), (100, 200), (101, 431), (1000, 431)] {
        assert_eq!(answer(&server, &with_fields(count)).status, status, "{count}");
    }
}

#[test]
fn what_is_no_request_is_refused_and_harms_nobody() {
    let server = Setup::with_external_key().start();
    for nonsense in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"nonsense\r\n\r\n",
        b"GET /api/v1/whoami\r\n\r\n",
        b"GET /api/v1/whoami HTTP/9.9\r\n\r\n",
        b"GET /api/v1/whoami HTTP/1.1\r\nX-Key external\r\n\r\n",
        b"GET /api/v1/whoami HTTP/1.1\r\nX-Key : external-key-of-the-tests-0123\r\n\r\n",
        b"POST /api/v1/issues HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /api/v1/issues HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut connection = Connection::open(server.address);
        let _ = connection.try_send(nonsense);
        let said = connection.until_closed();
        assert!(
            said.is_empty() || said.starts_with("HTTP/1.1 4"),
            "{nonsense:?}: {said}"
        );
    }
    assert_eq!(server.get(WHOAMI, &[X_EXTERNAL]).status, 200);
}
