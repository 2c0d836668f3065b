//! A real nginx before a site of files and an application, as `docs/forward-auth/nginx.conf` has it.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tower_api_key::access::Grants;

use crate::{
    support::{
        PATIENCE,
        http::{Connection, Response, request, with_body},
        server::{Server, Setup, X_EXTERNAL},
    },
    table,
};

/// One process, with all that it writes in a directory of its own.
const AROUND: &str = "daemon off; master_process off; pid nginx.pid; error_log error.log warn;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    include guarded.conf;
}
";

/// nginx, and what is behind it.
struct Site {
    nginx: Child,
    address: SocketAddr,
    directory: TempDir,
}

#[expect(
    clippy::print_stderr,
    reason = "whoever reads the output of a test has to be told"
)]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.nginx.kill();
        let _ = self.nginx.wait();
        if thread::panicking() {
            let log = fs::read_to_string(self.directory.path().join("error.log"));
            say(&format!("log of nginx:\n{}", log.unwrap_or_default()));
        }
    }
}

impl Site {
    /// `None` where there is no nginx, and then it says so.
    fn before(keys: &Server) -> Option<Self> {
        if Command::new("nginx")
            .arg("-v")
            .stderr(Stdio::null())
            .status()
            .is_err()
        {
            assert_ne!(env::var("CI").as_deref(), Ok("true"), "nginx is not installed");
            say("SKIPPED: nginx is not installed");
            return None;
        }
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        // Its workers have no other user's rights here, and may not look into a directory of their own.
        let root = path("site");
        for file in [
            "index.html",
            "reports/index.html",
            "agents/alpha/index.html",
            "agents/beta/index.html",
        ] {
            let file = root.join(file);
            fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            fs::write(&file, "a page").expect("written");
        }
        let address = free_address();
        let mut guarded = fs::read_to_string("docs/forward-auth/nginx.conf").expect("the example");
        for (example, here) in [
            ("127.0.0.1:3000;", format!("{};", keys.address)),
            ("127.0.0.1:5000;", format!("{};", echo())),
            ("127.0.0.1:8080;", format!("{address};")),
            ("root /srv/site;", format!("root {};", root.display())),
        ] {
            assert_eq!(guarded.matches(example).count(), 1, "{example}");
            guarded = guarded.replace(example, &here);
        }
        fs::write(path("guarded.conf"), guarded).expect("written");
        fs::write(path("nginx.conf"), AROUND).expect("written");
        let nginx = Command::new("nginx")
            .arg("-p")
            .arg(directory.path())
            .args(["-c", "nginx.conf", "-e", "error.log"])
            .stdin(Stdio::null())
            .spawn()
            .expect("started");
        let mut site = Self {
            nginx,
            address,
            directory,
        };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = site.nginx.try_wait().expect("a state");
            assert!(
                ended.is_none() && begun.elapsed() < PATIENCE,
                "nginx does not listen: {ended:?}"
            );
            thread::sleep(Duration::from_millis(20));
        }
        Some(site)
    }

    fn exchange(&self, request: &[u8]) -> Response {
        let mut connection = Connection::open(self.address);
        connection.send(request);
        connection.receive(request.starts_with(b"HEAD "))
    }

    fn get(&self, target: &str, fields: &[&str]) -> Response {
        self.exchange(&request("GET", target, fields))
    }
}

pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address")
}

/// An application that answers with the head of the request that it got.
pub(crate) fn echo() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let head: Vec<String> = BufReader::new(&stream)
                .lines()
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty())
                .collect();
            let body = head.join("\n");
            let length = body.len();
            // Whoever has gone away needs no answer.
            let _ = write!(
                &stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
        }
    });
    address
}

fn assert_refused(answer: &Response, expected: &table::Refusal, code: &str) {
    answer.assert_problem(expected.status, code);
    assert_eq!(challenges(answer), expected.challenges.join(", "), "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
}

/// nginx says them in one line or in several, as its version is.
fn challenges(answer: &Response) -> String {
    answer.all("www-authenticate").join(", ")
}

#[test]
fn a_site_of_files_is_open_to_those_with_a_key_and_closed_in_our_words_to_all_others() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let Some(site) = Site::before(&server) else {
        return;
    };
    let database = setup.database();
    let (reader, none) = (database.mint_scopes(&["issues:read"]), database.mint_scopes(&[]));
    for field in [&reader.bearer(), &none.x_key(), X_EXTERNAL] {
        let page = site.get("/", &[field]);
        assert_eq!((page.status, page.body.as_str()), (200, "a page"), "{page:?}");
        assert_eq!(page.header("cache-control"), Some("private"));
        assert_eq!(page.header("vary"), Some("Authorization, X-Key"));
        assert_eq!(site.exchange(&request("HEAD", "/", &[field])).status, 200);
    }
    assert_eq!(site.get("/healthz", &[]).body, "ok\n");
    assert_refused(&site.get("/", &[]), &table::MISSING, "unauthorized");
    assert_refused(&site.get("/", &["X-Key: wrong"]), &table::INVALID, "unauthorized");
    // As problem documents, whatever the address ends in.
    assert_refused(&site.get("/x.html", &[]), &table::MISSING, "unauthorized");
    assert_refused(
        &site.get("/reports/x.html", &[&none.bearer()]),
        &table::NO_READING,
        "forbidden",
    );
    // What there is, strangers do not learn.
    assert_refused(&site.get("/nothing", &[]), &table::MISSING, "unauthorized");
    assert_eq!(site.get("/nothing", &[X_EXTERNAL]).status, 404);
    let two = site.get("/", &[&reader.bearer(), X_EXTERNAL]);
    assert_refused(&two, &table::AMBIGUOUS, "ambiguous-credentials");
    // Nor is the question itself there to be asked.
    assert_eq!(site.get("/-/verify", &[X_EXTERNAL]).status, 404);

    assert_eq!(site.get("/reports/", &[&reader.bearer()]).body, "a page");
    assert_refused(
        &site.get("/reports/", &[&none.bearer()]),
        &table::NO_READING,
        "forbidden",
    );
    let deleted = server.send("DELETE", &format!("/api/v1/keys/{}", reader.id), &[X_EXTERNAL]);
    assert_eq!(deleted.status, 204);
    assert_refused(
        &site.get("/reports/", &[&reader.bearer()]),
        &table::REVOKED,
        "unauthorized",
    );
}

#[test]
fn a_path_names_the_resource_that_a_key_must_be_bound_to() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let Some(site) = Site::before(&server) else {
        return;
    };
    let grants = Grants::scopes(["agents:run"]).expect("scopes");
    let bound = setup
        .database()
        .mint(grants.on(["agent:alpha"]).expect("resources"));
    assert_eq!(site.get("/agents/alpha/", &[&bound.bearer()]).body, "a page");
    assert_eq!(site.get("/agents/beta/", &[X_EXTERNAL]).body, "a page");
    assert_refused(
        &site.get("/agents/beta/", &[&bound.bearer()]),
        &table::ELSEWHERE,
        "forbidden",
    );
    // What is no plain name leads nowhere.
    for path in [
        "/agents/alpha%26x/",
        "/agents/alpha%23/",
        "/agents/alpha%20/",
        "/agents/alpha;/",
    ] {
        assert_eq!(site.get(path, &[&bound.bearer()]).status, 404, "{path}");
    }
    assert_refused(
        &site.get("/agents/alpha/../beta/", &[&bound.bearer()]),
        &table::ELSEWHERE,
        "forbidden",
    );
}

#[test]
fn an_application_is_told_who_it_is_and_sees_no_key() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let Some(site) = Site::before(&server) else {
        return;
    };
    let key = setup.database().mint_scopes(&["issues:read", "agents:run"]);
    let claims = [
        "X-Auth-Owner: root",
        "X-Auth-Key-Id: 1",
        "x-auth-scopes: keys:admin",
    ];
    let own = key.bearer();
    let fields = [&[own.as_str()], &claims[..]].concat();
    for body in [None, Some("a body that is none of our business")] {
        let seen = site.exchange(&with_body("POST", "/app/x?y=z", &fields, body));
        assert_eq!(seen.status, 200, "{seen:?}");
        let head = Response {
            status: 200,
            head: seen.body.clone(),
            body: String::new(),
        };
        assert!(seen.body.starts_with("POST /app/x?y=z "), "{seen:?}");
        assert_eq!(head.header("x-auth-owner"), Some("alice"));
        assert_eq!(head.header("x-auth-key-id"), Some(key.id.to_string().as_str()));
        assert_eq!(head.header("x-auth-scopes"), Some("agents:run issues:read"));
        assert!(!seen.body.contains(&key.key), "{seen:?}");
    }
    // A key without an id, and claims that are not replaced by anything.
    let seen = site.get("/app/", &[&[X_EXTERNAL], &claims[..]].concat());
    let head = Response {
        status: 200,
        head: seen.body.clone(),
        body: String::new(),
    };
    assert_eq!(
        (head.header("x-auth-owner"), head.header("x-auth-key-id")),
        (Some("external"), None),
        "{seen:?}"
    );
    assert!(!seen.body.contains("external-key"), "{seen:?}");
}

#[test]
fn too_often_and_not_to_be_found_out_come_through_as_what_they_are() {
    let setup = Setup::with_external_key().arguments(&["--rate-limit", "2/1d"]);
    let server = setup.start();
    let Some(site) = Site::before(&server) else {
        return;
    };
    let database = setup.database();
    let (busy, late) = (database.mint_scopes(&[]), database.mint_scopes(&[]));
    let first = site.get("/", &[&busy.bearer()]);
    assert_eq!(
        (first.status, first.header("ratelimit")),
        (200, Some(r#""default";r=1;t=43200"#)),
        "{first:?}"
    );
    assert_eq!(first.header("ratelimit-policy"), Some(r#""default";q=2;w=86400"#));
    assert_eq!(site.get("/", &[&busy.bearer()]).status, 200);
    let refused = site.get("/", &[&busy.bearer()]);
    refused.assert_problem(429, "rate-limited");
    let wait: u64 = refused
        .header("retry-after")
        .expect("how long")
        .parse()
        .expect("seconds");
    assert!((1..=43_200).contains(&wait), "{refused:?}");
    assert!(
        refused
            .header("ratelimit")
            .is_some_and(|left| left.contains("r=0")),
        "{refused:?}"
    );
    assert_eq!(refused.header("cache-control"), Some("no-store"));

    database.sql("ALTER TABLE api_keys RENAME TO gone".into());
    let unavailable = site.get("/", &[&late.bearer()]);
    unavailable.assert_problem(503, "auth-unavailable");
    assert_eq!(unavailable.header("retry-after"), Some("1"));
    database.sql("ALTER TABLE gone RENAME TO api_keys".into());
    assert_eq!(site.get("/", &[&late.bearer()]).status, 200);

    server.stop().assert_success();
    let away = site.get("/", &[X_EXTERNAL]);
    away.assert_problem(503, "auth-unavailable");
    assert_eq!(away.header("cache-control"), Some("no-store"));
    assert_eq!(away.header("retry-after"), Some("1"), "{away:?}");
    let page = site.get("/x.html", &[X_EXTERNAL]);
    page.assert_problem(503, "auth-unavailable");
}

#[test]
fn a_key_that_is_bound_to_addresses_goes_by_the_client_of_nginx() {
    let setup = Setup::with_external_key().arguments(&["--trust-proxy", "127.0.0.1"]);
    let server = setup.start();
    let Some(site) = Site::before(&server) else {
        return;
    };
    let database = setup.database();
    let (here, elsewhere) = (database.mint_scopes(&[]), database.mint_scopes(&[]));
    database.set(&here, "allowed_ips = '127.0.0.1'");
    database.set(&elsewhere, "allowed_ips = '203.0.113.7'");
    assert_eq!(site.get("/", &[&here.bearer()]).status, 200);
    let refused = site.get("/", &[&elsewhere.bearer()]);
    refused.assert_problem(403, "forbidden");
    assert_eq!(refused.all("www-authenticate"), [""; 0], "{refused:?}");
    // Whoever connects from here is a proxy that is trusted, too.
    let behind = site.get("/", &[&elsewhere.bearer(), "X-Forwarded-For: 203.0.113.7"]);
    assert_eq!(behind.status, 200, "{behind:?}");
}
