//! Caddy, Traefik and Envoy before an application, as `docs/forward-auth/` has them. They are not packages of every system, so these run when they are asked for:
//! `cargo test --all-features --test server gateways -- --ignored`, with `caddy`, `traefik` and `envoy` among the commands.

use std::{
    fs::{self, File},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    nginx::{echo, free_address, say},
    support::{
        PATIENCE,
        http::{Connection, Response, request},
        server::{Server, Setup, X_EXTERNAL},
    },
    table,
};

struct Gateway {
    process: Child,
    address: SocketAddr,
    directory: TempDir,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            let log = fs::read_to_string(self.directory.path().join("log"));
            say(&format!("log of it:\n{}", log.unwrap_or_default()));
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Caddy,
    Traefik,
    Envoy,
}

impl Kind {
    /// The example, with the addresses of this test, and how it is run.
    fn before(self, keys: &Server) -> Gateway {
        let directory = tempfile::tempdir().expect("a directory");
        let address = free_address();
        let (name, command) = match self {
            Self::Caddy => ("Caddyfile", "caddy"),
            Self::Traefik => ("traefik.yml", "traefik"),
            Self::Envoy => ("envoy.yaml", "envoy"),
        };
        let example = fs::read_to_string(Path::new("docs/forward-auth").join(name)).expect("the example");
        let mut text = example
            .replace("127.0.0.1:3000", &keys.address.to_string())
            .replace("127.0.0.1:5000", &echo().to_string())
            .replace("127.0.0.1:8080", &address.to_string())
            .replace("http://:8080", &format!("http://:{}", address.port()));
        if self == Self::Envoy {
            // It has addresses and ports apart.
            for (port, here) in [
                (3000, keys.address.port()),
                (5000, echo().port()),
                (8080, address.port()),
            ] {
                text = text.replace(&format!("port_value: {port} "), &format!("port_value: {here} "));
            }
        }
        if self == Self::Caddy {
            // Without its own interface, which has one port for all of them.
            text.insert_str(0, "{\n\tadmin off\n}\n");
        }
        // Not `traefik.yml`, which is what Traefik itself would be configured by.
        let file = directory
            .path()
            .join("guarded")
            .with_extension(name.rsplit('.').next().unwrap_or_default());
        fs::write(&file, text).expect("written");
        let mut command = Command::new(command);
        match self {
            Self::Caddy => command
                .args(["run", "--adapter", "caddyfile", "--config"])
                .arg(&file),
            Self::Traefik => command
                .arg(format!("--providers.file.filename={}", file.display()))
                .arg(format!("--entrypoints.web.address={address}")),
            Self::Envoy => command
                .args(["--use-dynamic-base-id", "--concurrency", "1", "--config-path"])
                .arg(&file),
        };
        let log = File::create(directory.path().join("log")).expect("a file");
        let process = command
            .env("HOME", directory.path())
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("the command, which must be installed");
        let mut gateway = Gateway {
            process,
            address,
            directory,
        };
        let begun = Instant::now();
        // It listens before it has read what to do.
        while TcpStream::connect(address).is_err() || gateway.get("/", &[]).status == 404 {
            let ended = gateway.process.try_wait().expect("a state");
            assert!(
                ended.is_none() && begun.elapsed() < PATIENCE,
                "it does not listen: {ended:?}"
            );
            thread::sleep(Duration::from_millis(50));
        }
        gateway
    }
}

impl Kind {
    /// The address of clients on this machine.
    fn says_clients_are(self) -> IpAddr {
        if self == Self::Envoy {
            // It says its own for those of the loopback.
            let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
            socket.connect("192.0.2.1:9").expect("a way out");
            socket.local_addr().expect("an address").ip()
        } else {
            Ipv4Addr::LOCALHOST.into()
        }
    }
}

impl Gateway {
    fn get(&self, target: &str, fields: &[&str]) -> Response {
        let mut connection = Connection::open(self.address);
        connection.send(&request("GET", target, fields));
        connection.receive(false)
    }
}

/// What the application saw, as a head to look things up in.
fn seen(answer: &Response) -> Response {
    assert_eq!(answer.status, 200, "{answer:?}");
    Response {
        status: 200,
        head: answer.body.clone(),
        body: String::new(),
    }
}

/// What must hold, whichever it is.
fn guards(kind: Kind) {
    let setup = Setup::with_external_key().arguments(&["--trust-proxy", "127.0.0.1"]);
    let server = setup.start();
    let gateway = kind.before(&server);
    let database = setup.database();
    let (reader, none) = (database.mint_scopes(&["issues:read"]), database.mint_scopes(&[]));

    // Refusals come through as they are.
    table::MISSING.assert(&gateway.get("/reports/x", &[]));
    table::INVALID.assert(&gateway.get("/reports/x", &["X-Key: wrong"]));
    table::AMBIGUOUS.assert(&gateway.get("/reports/x", &[&reader.bearer(), X_EXTERNAL]));
    table::NO_READING.assert(&gateway.get("/reports/x", &[&none.bearer()]));
    // Nor does another way to write the path, or a query, ask for less.
    for target in [
        "/reports/../reports/x",
        "/%72eports/x",
        "/reports/x?scope=",
        "/reports/x?&uri=",
        "/reports/x#y",
    ] {
        let answer = gateway.get(target, &[&none.bearer()]);
        assert!([400, 403].contains(&answer.status), "{target}: {answer:?}");
    }

    // The application is told who it is, and by nobody else; it sees no key.
    let claims = [
        "X-Auth-Owner: root",
        "x-auth-key-id: 1",
        "X-AUTH-SCOPES: keys:admin",
    ];
    for field in [reader.bearer(), reader.x_key()] {
        let fields = [&[field.as_str()], &claims[..]].concat();
        let answer = gateway.get("/reports/x?y=z", &fields);
        let head = seen(&answer);
        assert!(answer.body.starts_with("GET /reports/x?y=z "), "{answer:?}");
        assert_eq!(answer.header("cache-control"), Some("private"), "{answer:?}");
        assert_eq!(answer.header("vary"), Some("Authorization, X-Key"), "{answer:?}");
        assert_eq!(head.all("x-auth-owner"), ["alice"]);
        assert_eq!(head.all("x-auth-key-id"), [reader.id.to_string()]);
        assert_eq!(head.all("x-auth-scopes"), ["issues:read"]);
        assert!(!answer.body.contains(&reader.key), "{answer:?}");
    }
    // Nor as those write it who cannot tell the two apart.
    for alias in ["X_Auth_Owner: root", "X-Auth_Owner: root"] {
        let answer = gateway.get("/reports/x", &[&reader.bearer(), alias]);
        let is_gone = answer.status == 200 && !answer.body.contains("root");
        assert!(answer.status == 400 || is_gone, "{alias}: {answer:?}");
    }
    // Where the answer has nothing to replace a claim by, the claim is gone, too.
    let answer = gateway.get("/reports/x", &[&[X_EXTERNAL], &claims[..]].concat());
    let head = seen(&answer);
    assert_eq!(head.all("x-auth-owner"), ["external"]);
    assert!(
        head.all("x-auth-key-id").iter().all(|id| id.is_empty()),
        "{answer:?}"
    );
    assert!(!answer.body.contains("external-key"), "{answer:?}");

    // By the address of the client, which it can't claim.
    let (here, elsewhere) = (
        database.mint_scopes(&["issues:read"]),
        database.mint_scopes(&["issues:read"]),
    );
    let own = kind.says_clients_are();
    database.set(&here, &format!("allowed_ips = '{own}'"));
    database.set(&elsewhere, "allowed_ips = '203.0.113.7'");
    assert_eq!(gateway.get("/reports/x", &[&here.bearer()]).status, 200);
    gateway
        .get("/reports/x", &[&elsewhere.bearer()])
        .assert_problem(403, "address-not-allowed");

    let deleted = server.send("DELETE", &format!("/api/v1/keys/{}", reader.id), &[X_EXTERNAL]);
    assert_eq!(deleted.status, 204);
    table::REVOKED.assert(&gateway.get("/reports/x", &[&reader.bearer()]));

    // A database that is gone is neither a refusal of the key nor a reason to let it in.
    let late = database.mint_scopes(&["issues:read"]);
    database.sql("ALTER TABLE api_keys RENAME TO gone".into());
    let unavailable = gateway.get("/reports/x", &[&late.bearer()]);
    if kind == Kind::Envoy {
        // In words of its own, which are none.
        assert_eq!(unavailable.status, 503, "{unavailable:?}");
    } else {
        table::UNAVAILABLE.assert(&unavailable);
    }
    database.sql("ALTER TABLE gone RENAME TO api_keys".into());

    // Without the server of keys nobody gets in, and nobody is told that the key was bad.
    server.stop().assert_success();
    let away = gateway.get("/reports/x", &[X_EXTERNAL]);
    assert!((500..=504).contains(&away.status), "{away:?}");
}

/// Too often is said as what it is.
fn limits(kind: Kind) {
    let setup = Setup::with_external_key().arguments(&["--rate-limit", "2/1d", "--trust-proxy", "127.0.0.1"]);
    let server = setup.start();
    let gateway = kind.before(&server);
    let busy = setup.database().mint_scopes(&["issues:read"]);
    for _ in 0..2 {
        assert_eq!(gateway.get("/reports/x", &[&busy.bearer()]).status, 200);
    }
    let refused = gateway.get("/reports/x", &[&busy.bearer()]);
    refused.assert_problem(429, "rate-limited");
    let wait = refused.header("retry-after").map(str::parse::<u64>);
    assert!(matches!(wait, Some(Ok(1..=43_200))), "{refused:?}");
}

macro_rules! with {
    ($($kind:ident: $guards:ident, $limits:ident;)*) => {
        $(
            #[test]
            #[ignore = "has to be installed"]
            fn $guards() {
                guards(Kind::$kind);
            }

            #[test]
            #[ignore = "has to be installed"]
            fn $limits() {
                limits(Kind::$kind);
            }
        )*
    };
}

with! {
    Caddy: caddy_guards_an_application, caddy_says_how_long_to_wait;
    Traefik: traefik_guards_an_application, traefik_says_how_long_to_wait;
    Envoy: envoy_guards_an_application, envoy_says_how_long_to_wait;
}
