//! Nothing the server says, logs or keeps gives a key away, however it was sent, and whatever became of it.

use std::{fs, panic::catch_unwind, time::UNIX_EPOCH};

use tower_api_key::key::KeyDigest;

use crate::support::{
    http::{Connection, request, with_body},
    keys::Database,
    server::{Server, Setup},
};

const EXTERNAL: &str = "canaryQ7xZ9tVb3NmK5pLw1RsHj8Yd";

/// A key, and everything that would give it away.
struct Canary {
    key: String,
    /// Parts of the key, which nothing may hold.
    parts: Vec<String>,
    /// Parts of its digest in every form, which nothing may hold but the column that is for it.
    digests: Vec<String>,
}

impl Canary {
    const PART: usize = 12;

    fn new(key: &str) -> Self {
        let digest = KeyDigest::of(key.as_bytes());
        let bytes = digest.as_bytes();
        let standard = base64(bytes);
        let numbers: Vec<String> = bytes.iter().map(ToString::to_string).collect();
        let digests = [
            digest.to_hex(),
            digest.to_hex().to_uppercase(),
            standard.replace('+', "-").replace('/', "_"),
            standard,
        ];
        let parts = |text: &str| {
            let starts = 0..=text.len() - Self::PART;
            let parts = starts.map(|start| text[start..start + Self::PART].to_owned());
            parts.collect::<Vec<_>>()
        };
        let mut digests: Vec<String> = digests.iter().flat_map(|form| parts(form)).collect();
        digests.push(numbers[..8].join(", "));
        Self {
            key: key.to_owned(),
            parts: parts(key),
            digests,
        }
    }

    fn assert_not_in(&self, text: &str, place: &str) {
        for part in self.parts.iter().chain(&self.digests) {
            if let Some(at) = text.find(part.as_str()) {
                let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
                let line = text[line..].lines().next().unwrap_or_default();
                panic!("{part} in {place}: {line}");
            }
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number = (0..3).fold(0, |number, i| {
            number << 8 | usize::from(*chunk.get(i).unwrap_or(&0))
        });
        // The padding says nothing.
        for i in 0..=chunk.len() {
            text.push(char::from(LETTERS[number >> (18 - 6 * i) & 63]));
        }
    }
    text
}

/// Every way to send the key, and to send it wrongly.
fn ways(key: &str) -> Vec<Vec<u8>> {
    const WHOAMI: &str = "/api/v1/whoami";
    let bearer = &format!("Authorization: Bearer {key}");
    let x_key = &format!("X-Key: {key}");
    let get = |target: &str, fields: &[&str]| request("GET", target, fields);
    let one = |field: String| get(WHOAMI, &[&field]);
    let query = &format!("{WHOAMI}?key={key}&access_token={key}&X-Key={key}");
    let filter = &format!("/api/v1/issues?status={key}&limit={key}");
    let json = "Content-Type: application/json";
    let mut ways = vec![
        get(WHOAMI, &[bearer]),
        get(WHOAMI, &[x_key]),
        one(format!("Authorization: ApiKey {key}")),
        // In the cache by now.
        get(WHOAMI, &[x_key]),
        get("/api/v1/greeting", &[bearer]),
        get(query, &[]),
        get(query, &[x_key]),
        get(filter, &[x_key]),
        get(WHOAMI, &[x_key, bearer]),
        get(WHOAMI, &[x_key, x_key]),
        get(WHOAMI, &[bearer, bearer]),
        one(format!("X-Key: {key}, {key}")),
        one(format!("Authorization: Basic dTpw, Bearer {key}")),
        one(format!("Authorization: Basic {key}")),
        one(format!("Authorization: DPoP {key}")),
        one(format!("Authorization: Bearer {key} {key}")),
        one(format!("Authorization: {key}")),
        one(format!("Cookie: session={key}")),
        one(format!("Referer: https://demo.example/?key={key}")),
        one(format!("X-Key: {}", key.to_uppercase())),
        one(format!("X-Key: {}{}", key[..3].to_uppercase(), &key[3..])),
        one(format!("X-Key: {key}{}", "x".repeat(600))),
        one(format!("X-Key: {key}x")),
        one(format!("X-Key: {}", &key[1..])),
        one(format!("X-Key: {}", &key[..key.len() - 1])),
        one(format!("X-Key: {key}\u{e9}")),
        one(format!("X-Key : {key}")),
        one(format!("X-Key {key}")),
        one(format!("X-Key: {key}\0")),
        one(format!("X-Key: {key}{}", "x".repeat(33 * 1024))),
        request("OPTIONS", WHOAMI, &[x_key]),
        request(
            "OPTIONS",
            WHOAMI,
            &[
                x_key,
                "Origin: https://a.example",
                "Access-Control-Request-Method: GET",
            ],
        ),
        request("POST", "/api/v1/agents/alpha/runs", &[x_key]),
        request("DELETE", WHOAMI, &[x_key]),
        get("/nothing", &[x_key]),
        with_body(
            "POST",
            "/api/v1/issues",
            &[x_key, json],
            Some(&format!("{{\"title\":\"a\",\"key\":\"{key}\"}}")),
        ),
        with_body(
            "POST",
            "/api/v1/issues",
            &[x_key, json],
            Some(&format!("{{\"title\":{key}")),
        ),
        with_body(
            "PATCH",
            "/api/v1/issues/1",
            &[x_key, json],
            Some(&format!("{{\"status\":\"{key}\"}}")),
        ),
        with_body(
            "POST",
            "/api/v1/issues",
            &[x_key, json],
            Some("{\"title\":\"by the canary\"}"),
        ),
    ];
    for at in 0..key.len() {
        let other = if key.as_bytes()[at] == b'x' { "y" } else { "x" };
        ways.push(one(format!("X-Key: {}{other}{}", &key[..at], &key[at + 1..])));
    }
    ways
}

/// Sends the key in every way; returns every byte of the answers.
fn send_in_every_way(server: &Server, key: &str) -> String {
    let mut said = String::new();
    for way in ways(key) {
        let mut connection = Connection::open(server.address);
        let _ = connection.try_send(&way);
        let answer = connection.receive(false);
        said.push_str(&format!("{}\n\n{}\n", answer.head, answer.body));
    }
    said
}

fn assert_not_kept(database: &Database, setup: &Setup, canary: &Canary) {
    for value in database.contents("digest") {
        let digest = KeyDigest::of(canary.key.as_bytes());
        assert!(
            !value.windows(32).any(|bytes| bytes == digest.as_bytes()),
            "the digest is kept twice"
        );
        canary.assert_not_in(&String::from_utf8_lossy(&value), "a column");
    }
    let mut files = 0;
    for name in ["demo.db", "demo.db-wal"] {
        let bytes = fs::read(setup.path(name)).unwrap_or_default();
        files += usize::from(!bytes.is_empty());
        let text = String::from_utf8_lossy(&bytes);
        for part in &canary.parts {
            assert!(!text.contains(part), "{part} in {name}");
        }
    }
    assert!(files > 0, "there is a database");
}

#[test]
fn an_external_key_and_stored_ones_stay_secret_at_the_most_talkative_level() {
    let setup = Setup::new()
        .arguments(&["--api-key", EXTERNAL])
        .variable("RUST_LOG", "trace")
        .variable("RUST_BACKTRACE", "full");
    let server = setup.start();
    let database = setup.database();
    let scopes = ["issues:read", "issues:write"];
    let good = database.mint_scopes(&scopes);
    let poor = database.mint_scopes(&[]);
    let revoked = database.mint_scopes(&scopes);
    database.revoke(&revoked);
    let expired = database.mint_expiring(&scopes, UNIX_EPOCH);
    let unreadable = database.mint_scopes(&scopes);
    database.set(&unreadable, "created_at = -1");
    let forgotten = database.mint_and_forget();
    let late = database.mint_scopes(&scopes);

    let mut keys = vec![EXTERNAL.to_owned()];
    keys.extend([good, poor, revoked, expired, unreadable, forgotten].map(|minted| minted.key));
    let mut said: String = keys.iter().map(|key| send_in_every_way(&server, key)).collect();
    database.sql("ALTER TABLE api_keys RENAME TO gone".into());
    for key in [EXTERNAL, &late.key] {
        said += &send_in_every_way(&server, key);
    }
    keys.push(late.key);
    database.sql("ALTER TABLE gone RENAME TO api_keys".into());
    for status in [
        "200 OK",
        "201 Created",
        "400 Bad",
        "401 Un",
        "403 Forb",
        "404 Not",
        "405 Meth",
        "431 Req",
        "503 Serv",
    ] {
        assert!(
            said.contains(&format!("HTTP/1.1 {status}")),
            "{status} does not come up"
        );
    }

    let ended = server.stop();
    ended.assert_success();
    for level in ["DEBUG", "INFO", "WARN"] {
        assert!(ended.log.contains(level), "{level} does not come up");
    }
    for key in &keys {
        let canary = Canary::new(key);
        canary.assert_not_in(&said, "an answer");
        canary.assert_not_in(&ended.log, "the log");
        canary.assert_not_in(&ended.printed.join("\n"), "what it printed");
        assert_not_kept(&database, &setup, &canary);
    }
}

#[test]
fn the_first_key_is_seen_in_the_one_line_that_shows_it_and_nowhere_else() {
    let setup = Setup::new().variable("RUST_LOG", "trace");
    let server = setup.start();
    let shown = server
        .printed
        .iter()
        .find_map(|line| line.trim().strip_prefix("export KEY="));
    let canary = Canary::new(shown.expect("a key"));
    let said = send_in_every_way(&server, &canary.key);

    let ended = server.stop();
    ended.assert_success();
    canary.assert_not_in(&said, "an answer");
    canary.assert_not_in(&ended.log, "the log");
    let printed = ended.printed.join("\n");
    let beside = printed.replacen(&canary.key, "", 1);
    assert_ne!(beside, printed, "the one line shows it");
    canary.assert_not_in(&beside, "what else it printed");
    assert_not_kept(&setup.database(), &setup, &canary);
}

#[test]
fn a_part_of_a_key_or_of_its_digest_would_be_noticed() {
    let canary = Canary::new("canary-of-the-mine");
    // Made with other programs: `printf canary-of-the-mine | sha256sum`, and the same bytes with `base64`.
    let hex = "5b793edc65dc0a1bff02af5fa4c6c887fa84d524716754e3db71d350cdd8fed1";
    for leak in [
        "ary-of-the-m",
        hex,
        &hex.to_uppercase()[20..],
        "W3k+3GXcChv/Aq9fpMbIh/qE1SRxZ1Tj23HTUM3Y/tE=",
        "W3k-3GXcChv_Aq9fpMbIh_qE1SRxZ1Tj23HTUM3Y_tE=",
        "91, 121, 62, 220, 101, 220, 10, 27, 255, 2, 175, 95, 164, 198, 200, 135, 250, 132, 213, 36, 113, 103, 84, 227, 219, 113, 211, 80, 205, 216, 254, 209",
    ] {
        let found = catch_unwind(|| canary.assert_not_in(&format!("key={leak}."), "a line"));
        assert!(found.is_err(), "{leak}");
    }
    canary.assert_not_in("canary-of-t, he-mine", "a line");
}
