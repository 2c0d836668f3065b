//! Alerts of GitHub about keys that were found where others can read them, signed as GitHub signs them.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tower_api_key::key::KeyDigest;

use crate::{
    support::{
        PATIENCE,
        http::{Connection, Response, request, with_body},
        keys::Minted,
        server::{EXTERNAL, Server, Setup, X_EXTERNAL},
    },
    table::{DISABLED, REVOKED},
};

const ALERTS: &str = "/api/v1/leaks/github";
const URL: &str = "https://github.com/octocat/hello/blob/1/config";

fn pair() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key")
}

static GITHUB: LazyLock<EcdsaKeyPair> = LazyLock::new(pair);

/// Who publishes the keys.
struct Github {
    url: String,
    asked: Arc<AtomicUsize>,
}

impl Github {
    /// With this for an answer, whatever is asked.
    fn answering(answer: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!(
            "http://{}/meta/public_keys/secret_scanning",
            listener.local_addr().expect("an address")
        );
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::Relaxed);
                // What is asked is of no interest, and whoever has gone away needs no answer.
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self { url, asked }
    }

    fn start() -> Self {
        let der: PublicKeyX509Der<'_> = GITHUB.public_key().as_der().expect("DER");
        let key = BASE64_STANDARD.encode(der.as_ref());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n");
        let keys =
            json!({"public_keys": [{"key_identifier": "gh-1", "key": pem, "is_current": true}]}).to_string();
        Self::answering(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{keys}",
            keys.len()
        ))
    }

    fn setup(&self) -> Setup {
        Setup::with_external_key().arguments(&["--github-alerts", &self.url])
    }
}

fn signed(pair: &EcdsaKeyPair, identifier: &str, body: &str) -> [String; 2] {
    let signature = pair.sign(&SystemRandom::new(), body.as_bytes()).expect("signed");
    [
        format!("Github-Public-Key-Identifier: {identifier}"),
        format!(
            "Github-Public-Key-Signature: {}",
            BASE64_STANDARD.encode(signature.as_ref())
        ),
    ]
}

fn send(server: &Server, fields: &[String], body: &str) -> Response {
    let mut fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    fields.push("Content-Type: application/json");
    server.exchange(&with_body("POST", ALERTS, &fields, Some(body)))
}

fn alert(server: &Server, found: &Value) -> Response {
    let body = found.to_string();
    send(server, &signed(&GITHUB, "gh-1", &body), &body)
}

fn found(token: &str) -> Value {
    json!({"token": token, "type": "acme_api_key", "url": URL, "source": "commit"})
}

fn label(token: &str, label: &str) -> Value {
    let hash = KeyDigest::of(token.as_bytes()).to_hex();
    json!({"token_hash": hash, "token_type": "acme_api_key", "label": label})
}

#[test]
fn a_key_that_was_found_is_revoked_and_the_log_says_where() {
    let github = Github::start();
    let setup = github.setup();
    let server = setup.start();
    let database = setup.database();
    let [good, disabled, other] = [(); 3].map(|()| database.mint_scopes(&["issues:read"]));
    database.set(&disabled, "disabled_at = created_at");
    let gone = database.mint_and_forget();
    assert_eq!(server.get("/api/v1/whoami", &[&good.bearer()]).status, 200);
    DISABLED.assert(&server.get("/api/v1/whoami", &[&disabled.bearer()]));

    let mut mistyped = good.key.clone();
    let last = mistyped.pop();
    mistyped.push(if last == Some('x') { 'y' } else { 'x' });
    let tokens = [
        good.key.as_str(),
        "ghp_of_somebody_else",
        &disabled.key,
        &mistyped,
        &gone.key,
        EXTERNAL,
    ];
    let answer = alert(&server, &tokens.map(found).into());
    assert_eq!(answer.status, 200, "{answer:?}");
    let labels = [
        "true_positive",
        "false_positive",
        "true_positive",
        "false_positive",
        "true_positive",
        "true_positive",
    ];
    let expected: Vec<Value> = tokens
        .iter()
        .zip(labels)
        .map(|(token, text)| label(token, text))
        .collect();
    assert_eq!(answer.json(), Value::from(expected));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    for key in [&good, &disabled] {
        REVOKED.assert(&server.get("/api/v1/whoami", &[&key.bearer()]));
    }
    for field in [other.bearer(), X_EXTERNAL.to_owned()] {
        assert_eq!(server.get("/api/v1/whoami", &[&field]).status, 200);
    }

    let events = || {
        server
            .get(&format!("/api/v1/keys/{}/events", good.id), &[X_EXTERNAL])
            .json()["data"]
            .clone()
    };
    let logged = events();
    assert_eq!(
        (&logged[0]["kind"], &logged[0]["reason"]),
        (&json!("revoked"), &json!(format!("leaked: {URL}")))
    );
    assert_eq!(
        logged[0]["actor"],
        json!({"kind": "github", "owner": "", "key_id": null})
    );
    // The same alert again changes nothing, and gets the same answer.
    let again = alert(&server, &tokens.map(found).into());
    assert_eq!(again.json(), answer.json());
    assert_eq!(events(), logged);
    assert_eq!(github.asked.load(Ordering::Relaxed), 1, "the keys are kept");
    let ended = server.stop();
    // Whoever is told, is told once, of what was good until then, and of what cannot be revoked here each time.
    assert_eq!(ended.log.matches(": leaked ").count(), 2 + 2, "{}", ended.log);
    assert!(ended.log.contains(&format!("url=\"{URL}\"")), "{}", ended.log);
    for token in tokens {
        assert!(!ended.log.contains(token));
    }
}

#[test]
fn what_github_has_not_signed_does_nothing() {
    let github = Github::start();
    let setup = github.setup();
    let server = setup.start();
    let key = setup.database().mint_scopes(&[]);
    let body = json!([found(&key.key)]).to_string();
    let good = signed(&GITHUB, "gh-1", &body);
    let other = json!([found("x")]).to_string();
    let tricks: Vec<(Vec<String>, String)> = vec![
        (vec![], body.clone()),
        (vec![good[0].clone()], body.clone()),
        (vec![good[1].clone()], body.clone()),
        (signed(&pair(), "gh-1", &body).to_vec(), body.clone()),
        (signed(&GITHUB, "gh-2", &body).to_vec(), body.clone()),
        (signed(&GITHUB, "gh-1", &other).to_vec(), body.clone()),
        (good.to_vec(), format!("{body} ")),
        (good.to_vec(), body.replace("acme_api_key", "acme_api_keys")),
        ([&good[..], &good[..1]].concat(), body.clone()),
        ([&good[..], &good[1..]].concat(), body.clone()),
        (
            vec![
                good[0].clone(),
                "Github-Public-Key-Signature: MAYCAQECAQE=".to_owned(),
            ],
            body.clone(),
        ),
        (
            vec![
                good[0].clone(),
                "Github-Public-Key-Signature: MAYCAQACAQA=".to_owned(),
            ],
            body.clone(),
        ),
        (
            vec![good[0].clone(), "Github-Public-Key-Signature: !".to_owned()],
            body.clone(),
        ),
        (
            vec!["X-Key: external-key-of-the-tests-0123".to_owned()],
            body.clone(),
        ),
    ];
    for (fields, body) in &tricks {
        send(&server, fields, body).assert_problem(403, "invalid-signature");
    }
    assert_eq!(server.get("/api/v1/whoami", &[&key.bearer()]).status, 200);
    // However many identifiers somebody makes up.
    for i in 0..50 {
        send(&server, &signed(&GITHUB, &format!("made-up-{i}"), &body), &body)
            .assert_problem(403, "invalid-signature");
    }
    assert!(github.asked.load(Ordering::Relaxed) <= 3);
    assert_eq!(send(&server, &good, &body).status, 200);
    REVOKED.assert(&server.get("/api/v1/whoami", &[&key.bearer()]));
}

#[test]
fn what_cannot_be_meant_or_is_too_much_is_said_to_be_so() {
    let github = Github::start();
    let setup = github.setup();
    let server = setup.start();
    for body in [
        "",
        "{}",
        "[1]",
        "[{}]",
        "[{\"token\":1,\"type\":\"x\"}]",
        "[{\"token\":\"x\"}]",
        "[] []",
    ] {
        send(&server, &signed(&GITHUB, "gh-1", body), body).assert_problem(400, "invalid-request");
    }
    let none = alert(&server, &json!([]));
    assert_eq!((none.status, none.body.as_str()), (200, "[]"));
    // An address that is none, and much more than is kept.
    let key = setup.database().mint_scopes(&[]);
    let odd = json!([{"token": key.key, "type": "t", "url": format!("https://x/\r\n\u{202e}{}", "y".repeat(1000)), "more": {}}]);
    assert_eq!(alert(&server, &odd).status, 200);
    let events = server
        .get(&format!("/api/v1/keys/{}/events", key.id), &[X_EXTERNAL])
        .json();
    let reason = events["data"][0]["reason"].as_str().expect("a reason");
    assert!(
        reason.starts_with("leaked: https://x/yyy") && reason.len() == 508,
        "{reason}"
    );
    // Without an address at all.
    let bare = setup.database().mint_scopes(&[]);
    assert_eq!(
        alert(&server, &json!([{"token": bare.key, "type": "t"}])).status,
        200
    );
    let large = json!([{"token": "x".repeat(1 << 20), "type": "t"}]);
    alert(&server, &large).assert_problem(413, "body-too-large");
    // Of what has our form, or could be from another system, a thousand are looked up; what cannot be ours is free.
    let many = |token: &dyn Fn(usize) -> String| {
        Value::from((0..1001).map(|i| found(&token(i))).collect::<Vec<_>>())
    };
    assert_eq!(
        alert(
            &server,
            &many(&|i| format!("ak_{}", "0".repeat(49 - 4) + &format!("{i:04}")))
        )
        .status,
        200
    );
    alert(&server, &many(&|i| format!("foreign-{i}"))).assert_problem(413, "body-too-large");
    server
        .exchange(&request("GET", ALERTS, &[]))
        .assert_problem(405, "method-not-allowed");
}

#[test]
fn where_it_cannot_be_done_it_is_to_be_tried_again() {
    let github = Github::start();
    let setup = github.setup();
    let server = setup.start();
    let database = setup.database();
    let key = database.mint_scopes(&[]);
    let lock = database.lock();
    let refused = alert(&server, &json!([found(&key.key)]));
    refused.assert_problem(503, "unavailable");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    drop(lock);
    assert_eq!(alert(&server, &json!([found(&key.key)])).status, 200);
    REVOKED.assert(&server.get("/api/v1/whoami", &[&key.bearer()]));
}

#[test]
fn one_that_cannot_be_ended_keeps_no_other_from_it_and_its_owner_is_told_once() {
    let github = Github::start();
    let setup = github.setup();
    let server = setup.start();
    let database = setup.database();
    let [broken, good] = [(); 2].map(|()| database.mint_scopes(&[]));
    database.set(&broken, "scopes = '**'");
    let both = json!([found(&broken.key), found(&good.key), found(EXTERNAL)]);
    let refused = alert(&server, &both);
    refused.assert_problem(503, "unavailable");
    REVOKED.assert(&server.get("/api/v1/whoami", &[&good.bearer()]));
    database.set(&broken, "scopes = ''");
    assert_eq!(alert(&server, &both).status, 200);
    REVOKED.assert(&server.get("/api/v1/whoami", &[&broken.bearer()]));
    let told = |key: &Minted, log: &str| {
        let lines = log.lines().filter(|line| line.contains(": leaked "));
        lines.filter(|line| line.contains(&key.id.to_string())).count()
    };
    let log = server.stop().log;
    assert_eq!((told(&good, &log), told(&broken, &log)), (1, 1), "{log}");
}

#[test]
fn whoever_hangs_up_does_not_keep_a_key_good_nor_its_owner_in_the_dark() {
    let github = Github::start();
    let setup = github.setup();
    let server = setup.start();
    let database = setup.database();
    let keys = [(); 3].map(|()| database.mint_scopes(&[]));
    let body = Value::from(keys.iter().map(|key| found(&key.key)).collect::<Vec<_>>()).to_string();
    let [identifier, signature] = signed(&GITHUB, "gh-1", &body);
    // GitHub's keys are there already.
    assert_eq!(alert(&server, &json!([])).status, 200);
    let lock = database.lock();
    let fields = [identifier.as_str(), &signature, "Content-Type: application/json"];
    let mut connection = Connection::open(server.address);
    connection.send(&with_body("POST", ALERTS, &fields, Some(&body)));
    // It is at the lock, or not there yet: either way nobody waits for the answer.
    thread::sleep(Duration::from_millis(300));
    drop(connection);
    thread::sleep(Duration::from_millis(100));
    drop(lock);
    let begun = Instant::now();
    while keys
        .iter()
        .any(|key| server.get("/api/v1/whoami", &[&key.bearer()]).status == 200)
    {
        assert!(begun.elapsed() < PATIENCE, "a key is good");
        thread::sleep(Duration::from_millis(20));
    }
    let log = server.stop().log;
    assert_eq!(log.matches(": leaked ").count(), 3, "{log}");
}

#[test]
fn without_the_keys_of_github_nobody_is_believed() {
    for answer in [
        "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n{}",
            " ".repeat(300_000)
        ),
    ] {
        let github = Github::answering(answer);
        let setup = github.setup();
        let server = setup.start();
        let key = setup.database().mint_scopes(&[]);
        let refused = alert(&server, &json!([found(&key.key)]));
        refused.assert_problem(503, "unavailable");
        assert!(refused.header("retry-after").is_some(), "{refused:?}");
        assert_eq!(server.get("/api/v1/whoami", &[&key.bearer()]).status, 200);
    }
}

#[test]
fn alerts_are_taken_only_where_that_is_asked_for() {
    let server = Setup::with_external_key().start();
    send(&server, &[X_EXTERNAL.to_owned()], "[]").assert_problem(404, "not-found");
    let ended = Setup::with_external_key()
        .arguments(&["--github-alerts", "ftp://x"])
        .run();
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.log.contains("--github-alerts"), "{ended:?}");
    // It is documented where it is.
    let github = Github::start();
    let document = github.setup().start().get("/openapi.json", &[]).json();
    let responses = &document["paths"][ALERTS]["post"]["responses"];
    for status in ["200", "400", "403", "413", "503"] {
        assert!(responses[status].is_object(), "{status} {responses}");
    }
    let reference = &responses["200"]["content"]["application/json"]["schema"]["items"]["$ref"];
    let pointer = reference
        .as_str()
        .and_then(|place| place.strip_prefix('#'))
        .expect("a place");
    assert!(document.pointer(pointer).is_some(), "{pointer}");
}
