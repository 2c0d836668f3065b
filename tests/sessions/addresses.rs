//! Keys that are bound to addresses, where the client's is that of its connection.

use std::net::{TcpListener, TcpStream};

use tower_api_key::access::Grants;

use crate::{
    people::setup,
    support::http::{Connection, request},
};

#[test]
fn a_key_bound_to_addresses_works_from_there_only() {
    let setup = setup();
    let server = setup.start();
    let database = setup.database();
    for (list, allowed) in [
        ("127.0.0.1", true),
        ("127.0.0.0/8", true),
        ("192.0.2.0/24 127.0.0.1", true),
        ("192.0.2.0/24", false),
        ("127.0.0.2", false),
        ("::1", false),
    ] {
        let key = database.mint(Grants::scopes(["issues:read"]).expect("scopes"));
        database.set(&key, &format!("allowed_ips = '{list}'"));
        // Looked up, and from the cache; and nothing that a client says of itself counts.
        for fields in [
            &[key.x_key().as_str()][..],
            &[&key.bearer()],
            &[
                &key.x_key(),
                "X-Forwarded-For: 192.0.2.1",
                "Forwarded: for=192.0.2.1",
                "X-Real-IP: 192.0.2.1",
            ],
        ] {
            for target in ["/api/v1/whoami", "/api/v1/greeting", "/api/v1/issues"] {
                let answer = server.get(target, fields);
                if allowed {
                    assert_eq!(answer.status, 200, "{list}: {answer:?}");
                } else {
                    answer.assert_problem(403, "address-not-allowed");
                    assert_eq!(answer.header("cache-control"), Some("no-store"));
                    assert_eq!(answer.all("www-authenticate"), [""; 0]);
                    assert!(!answer.body.contains("127.0.0.1") && !answer.body.contains("192.0.2"));
                }
            }
        }
        let head = server.exchange(&request("HEAD", "/api/v1/whoami", &[&key.x_key()]));
        assert_eq!(
            (head.status, head.body.as_str()),
            (if allowed { 200 } else { 403 }, "")
        );
    }
}

#[test]
fn a_client_over_ipv6_that_is_one_of_ipv4_is_the_same_client() {
    // Listens on both, so that an IPv4 client comes as `::ffff:127.0.0.1`.
    let reachable = |ip: &str| {
        let both = TcpListener::bind("[::]:0").ok()?;
        let port = both.local_addr().ok()?.port();
        TcpStream::connect((ip, port)).ok()
    };
    if reachable("127.0.0.1").is_none() || reachable("::1").is_none() {
        #[expect(clippy::print_stderr, reason = "a test that is skipped must say so")]
        {
            eprintln!("SKIPPED: nothing here can listen on IPv4 and IPv6 at once");
        }
        return;
    }
    let setup = setup().listen("[::]:0");
    let server = setup.start();
    let database = setup.database();
    let key = database.mint(Grants::none());
    database.set(&key, "allowed_ips = '127.0.0.1'");
    let mut over_ipv4 = server.address;
    over_ipv4.set_ip("127.0.0.1".parse().expect("an address"));
    let mut connection = Connection::open(over_ipv4);
    connection.send(&request("GET", "/api/v1/whoami", &[&key.x_key()]));
    assert_eq!(connection.receive(false).status, 200);
    let mut over_ipv6 = server.address;
    over_ipv6.set_ip("::1".parse().expect("an address"));
    let mut connection = Connection::open(over_ipv6);
    connection.send(&request("GET", "/api/v1/whoami", &[&key.x_key()]));
    connection
        .receive(false)
        .assert_problem(403, "address-not-allowed");
}
