//! The first key: printed once, and only where nobody could get in otherwise.

use serde_json::json;

use crate::{
    support::{
        http::{json_request, request, with_body},
        server::{Server, Setup, X_EXTERNAL},
    },
    whoami::EVERY_SCOPE,
};

fn printed_key(server: &Server) -> String {
    let lines = server.printed.iter();
    let keys: Vec<&str> = lines
        .filter_map(|line| line.trim().strip_prefix("export KEY="))
        .collect();
    assert_eq!(keys.len(), 1, "{:?}", server.printed);
    assert!(keys[0].starts_with("ak_"), "{keys:?}");
    let everything = server.printed.join("\n");
    assert_eq!(everything.matches(keys[0]).count(), 1, "repeated: {everything}");
    keys[0].to_owned()
}

#[test]
fn the_first_key_is_printed_once_and_holds_every_scope_by_name() {
    let setup = Setup::new();
    let server = setup.start();
    let key = printed_key(&server);
    let field = format!("X-Key: {key}");

    let mut told = server.get("/api/v1/whoami", &[&field]).json();
    let id = told["key_id"].take();
    assert!(id.as_str().is_some_and(|id| !id.is_empty()), "{id}");
    assert_eq!(
        told,
        json!({
            "kind": "key",
            "owner": "admin",
            "key_id": null,
            "name": "first administrator key",
            "scopes": EVERY_SCOPE,
            "resources": null,
            "expires_at": null,
        })
    );
    for _ in 0..2 {
        let again = setup.start();
        assert_eq!(again.printed, [""; 0]);
        assert_eq!(again.get("/api/v1/whoami", &[&field]).json()["key_id"], id);
        let log = again.stop().log;
        assert!(log.contains("There are keys already"), "{log}");
    }
    let ended = server.stop();
    ended.assert_success();
    assert!(!ended.log.contains(&key), "only stdout shows it: {}", ended.log);
}

#[test]
fn the_lines_to_try_work_as_they_are() {
    let server = Setup::new().start();
    let key = printed_key(&server);
    let lines = server
        .printed
        .iter()
        .map(|line| words(&line.replace("$KEY", &key)));
    let lines: Vec<Vec<String>> = lines
        .filter(|words| words.first().is_some_and(|word| word == "curl"))
        .collect();
    assert!(lines.len() >= 3, "{:?}", server.printed);
    let base = format!("http://{}", server.address);
    for line in lines {
        let target = line
            .iter()
            .find_map(|word| word.strip_prefix(&base))
            .expect("an address");
        let after = |flag: &str| {
            let pairs = line.windows(2).filter(|pair| pair[0] == flag);
            pairs.map(|pair| pair[1].as_str()).collect::<Vec<_>>()
        };
        let mut fields = after("-H");
        // As curl does.
        if !after("-d").is_empty() && !fields.iter().any(|field| field.starts_with("Content-Type:")) {
            fields.push("Content-Type: application/x-www-form-urlencoded");
        }
        let answer = server.exchange(&match after("-d")[..] {
            [] => request("GET", target, &fields),
            [body] => with_body("POST", target, &fields, Some(body)),
            _ => panic!("two bodies: {line:?}"),
        });
        assert!((200..300).contains(&answer.status), "{line:?}: {answer:?}");
    }
}

/// A line as a shell takes it apart, as far as it is needed here.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for letter in line.trim().chars() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (None, '"' | '\'') => quote = Some(letter),
            (None, ' ') => words.push(String::new()),
            _ => words.last_mut().expect("a word").push(letter),
        }
    }
    words
}

#[test]
fn no_key_is_minted_where_there_is_an_external_one() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    assert_eq!(server.printed, [""; 0]);
    assert_eq!(server.get("/api/v1/whoami", &[X_EXTERNAL]).status, 200);
    server.stop().assert_success();

    // Without it the store is as empty as on the first day, and somebody must get in.
    let setup = setup.without_arguments();
    let server = setup.start();
    let key = printed_key(&server);
    server
        .get("/api/v1/whoami", &[X_EXTERNAL])
        .assert_problem(401, "invalid-key");
    assert_eq!(
        server.get("/api/v1/whoami", &[&format!("X-Key: {key}")]).status,
        200
    );
}

#[test]
fn a_revoked_key_is_a_key_and_no_reason_to_mint_another() {
    let setup = Setup::with_external_key();
    setup.start().stop().assert_success();
    let database = setup.database();
    database.revoke(&database.mint_scopes(&["issues:read"]));
    assert_eq!(setup.without_arguments().start().printed, [""; 0]);
}

#[test]
fn a_database_in_memory_begins_anew_each_time() {
    let setup = Setup::new().arguments(&["--database-url", "sqlite::memory:"]);
    let mut keys = Vec::new();
    for _ in 0..2 {
        let server = setup.start();
        let key = printed_key(&server);
        let field = format!("X-Key: {key}");
        let create = json_request("POST", "/api/v1/issues", &[&field], r#"{"title":"kept for now"}"#);
        assert_eq!(server.exchange(&create).json()["id"], 1);
        assert_eq!(
            server.get("/api/v1/issues", &[&field]).json()[0]["title"],
            "kept for now"
        );
        assert_eq!(server.get("/healthz", &[]).status, 200);
        keys.push(key);
        server.stop().assert_success();
    }
    assert_ne!(keys[0], keys[1]);
    let left = std::fs::read_dir(setup.path(".")).expect("a directory").count();
    assert_eq!(left, 0, "nothing is left behind");
}
