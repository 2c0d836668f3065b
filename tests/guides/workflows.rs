//! Steps of workflows, run as the runners of GitHub do, which are not here: a directory stands for the secrets of the repository, and a thread for the server
//! that gives tokens.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    thread,
};

use serde_json::json;

use crate::{
    blocks::steps,
    issuer::Issuer,
    place::{Place, lacks},
    tokens::{self, token},
};

const STORED: &str = include_str!("../../docs/guides/github-actions-stored-key.md");
const SECRETLESS: &str = include_str!("../../docs/guides/github-actions-oidc.md");

/// Keeps a secret in a file, and takes no options that are not in the guide.
const GH: &str = r#"#!/bin/sh
case "$*" in
"secret list --repo acme/site --env production") ;;
"secret set API_KEY --repo acme/site --env production") cat >"$HOME/API_KEY" ;;
*) echo "gh was called with $*" >&2; exit 1 ;;
esac
"#;

/// With the secret as it is now.
fn step(place: &Place, script: &str, key: &str) -> (bool, String) {
    place.try_sh(&format!("API_KEY={key} GITHUB_REPOSITORY=acme/site\n{script}"))
}

#[test]
fn a_stored_key_is_made_used_rotated_and_revoked_as_its_guide_says() {
    if lacks(&["curl", "jq"]) {
        return;
    }
    let (before, leaked) = STORED.split_once("## If it has leaked").expect("its parts");
    let place = Place::new();
    place.program("gh", GH);
    place.run(before);
    let steps = steps(STORED);
    let [deploy, rotate] = &steps[..] else {
        panic!("two workflows: {steps:?}")
    };

    let key = place.read("API_KEY");
    let (ended_well, printed) = step(&place, deploy, &key);
    assert!(ended_well && printed.contains("deployed"), "{printed}");
    assert!(!printed.contains(&key), "{printed}");
    let (ended_well, printed) = step(&place, deploy, "''");
    assert!(
        !ended_well && printed.contains("the secret is not set"),
        "{printed}"
    );

    // It has no keys:write, and says so before anything is stored.
    let (ended_well, printed) = step(&place, rotate, &key);
    assert!(!ended_well && printed.contains("insufficient-scope"), "{printed}");
    assert_eq!(place.read("API_KEY"), key);

    let mint = "apikey mint --owner ci --scope issues:write --scope keys:write --expires 365d";
    let old = place.sh(&format!("{mint} 2>/dev/null"));
    let (ended_well, printed) = step(&place, rotate, old.trim());
    assert!(ended_well, "{printed}");
    let new = place.read("API_KEY");
    // For the runner, which takes such a line as an order; and nowhere else.
    let masked = printed.replace(&format!("::add-mask::{new}\n"), "");
    assert!(
        !masked.contains(&new) && !masked.contains(old.trim()),
        "{printed}"
    );
    for key in [old.trim(), &new] {
        let (ended_well, printed) = step(&place, deploy, key);
        assert!(ended_well, "{printed}");
    }

    place.write("leaked.key", &format!("{new}\n"));
    let operator = before
        .split_once("operator() ")
        .and_then(|(_, rest)| rest.split_once('\n'));
    let (operator, _) = operator.expect("how the operator calls");
    place.run_after(&format!("operator() {operator}"), leaked);
}

#[test]
fn a_workflow_has_a_key_for_its_token_as_its_guide_says() {
    if lacks(&["curl", "jq"]) {
        return;
    }
    let issuer = Issuer::start();
    let named = "https://token.actions.githubusercontent.com";
    let claims = json!({
        "jti": "4c1f0d6b", "sub": "repo:acme/site:environment:production", "event_name": "push",
        "repository_id": "1001", "repository_owner_id": "2002", "environment": "production",
    });
    let runner = give_tokens(token(&issuer, claims));
    let place = tokens::place(SECRETLESS, named, &issuer)
        .variable("AUDIENCE", tokens::AUDIENCE)
        .variable("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-the-runner")
        .variable("ACTIONS_ID_TOKEN_REQUEST_URL", &runner);
    let [deploy] = &steps(SECRETLESS)[..] else {
        panic!("one workflow")
    };
    let printed = place.sh(deploy);
    assert!(
        printed.contains(r#"{"scope":"issues:write","expires_in":600}"#) && printed.contains("deployed"),
        "{printed}"
    );
    let key = printed
        .split_once("::add-mask::")
        .and_then(|(_, rest)| rest.split_once('\n'));
    let (key, rest) = key.expect("it is masked");
    assert!(!rest.contains(key), "{printed}");
    let answer = place.server.get("/api/v1/whoami", &[&format!("X-Key: {key}")]);
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (401, &json!("key-revoked"))
    );

    // The same token again.
    let (ended_well, printed) = place.try_sh(deploy);
    assert!(!ended_well && printed.contains("invalid_grant"), "{printed}");
    let (ended_well, printed) = place.try_sh(&format!("unset ACTIONS_ID_TOKEN_REQUEST_TOKEN\n{deploy}"));
    assert!(!ended_well && printed.contains("id-token: write"), "{printed}");
}

/// Gives the token to whoever asks as a job may, at this address.
fn give_tokens(token: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.expect("a connection");
            let lines = BufReader::new(connection.try_clone().expect("cloned")).lines();
            let head: Vec<String> = lines
                .map(|line| line.expect("a line"))
                .take_while(|line| !line.is_empty())
                .collect();
            assert!(
                head[0].starts_with("GET /token?api-version=2.0&audience=https%3A%2F%2Fapi.example.com ")
                    || head[0]
                        .starts_with("GET /token?api-version=2.0&audience=https%3a%2f%2fapi.example.com "),
                "{head:?}"
            );
            assert!(
                head.iter()
                    .any(|line| line == "Authorization: Bearer of-the-runner"),
                "{head:?}"
            );
            let body = json!({"count": 1, "value": token}).to_string();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            connection.write_all(answer.as_bytes()).expect("answered");
        }
    });
    format!("http://{address}/token?api-version=2.0")
}
