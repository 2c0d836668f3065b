use std::{thread, time::Duration};

use serde_json::json;
use tower_api_key::{ApiKeyAuth, store::SqliteStore};

use crate::process::{Answer, Example, Server, refused};

fn start(example: &Example) -> Server {
    example.start(&["127.0.0.1:0", "gateway.db"])
}

/// The cookie of a user who is logged in.
fn session(server: &Server, user: &str, password: &str) -> String {
    let body = json!({"user": user, "password": password}).to_string();
    let answer = server.send_body("POST", "/login", &[("Content-Type", "application/json")], &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    let cookie = answer.header("set-cookie").expect("a cookie");
    cookie.split(';').next().expect("its value").to_owned()
}

/// A call by a page.
fn page(server: &Server, cookie: &str, method: &str, path: &str, body: &serde_json::Value) -> Answer {
    let headers = [
        ("Cookie", cookie),
        ("Sec-Fetch-Site", "same-origin"),
        ("Content-Type", "application/json"),
    ];
    server.send_body(method, path, &headers, &body.to_string())
}

/// The id and the key.
fn mint(server: &Server, cookie: &str, path: &str, body: &serde_json::Value) -> (String, String) {
    let answer = page(server, cookie, "POST", path, body);
    assert_eq!(answer.status, 201, "{answer:?}");
    let part = |name: &str| answer.json()[name].as_str().expect(name).to_owned();
    (part("id"), part("key"))
}

fn of_blue() -> serde_json::Value {
    json!({"name": "ci", "scopes": ["secrets:read"], "resources": ["workspace:blue"]})
}

fn of_all() -> serde_json::Value {
    json!({"name": "audit", "scopes": ["secrets:read"]})
}

fn ask(server: &Server, key: &str, workspace: Option<&str>, cookie: Option<&str>) -> Answer {
    let bearer = format!("Bearer {key}");
    let mut headers = vec![("Authorization", bearer.as_str())];
    headers.extend(workspace.map(|workspace| ("X-Workspace", workspace)));
    headers.extend(cookie.map(|cookie| ("Cookie", cookie)));
    server.send("GET", "/secret", &headers)
}

#[test]
fn a_key_decides_alone_and_without_one_the_session_does() {
    let example = Example::new("gateway");
    let server = start(&example);
    let alice = session(&server, "alice", "wonderland");
    let by_session = server.send("GET", "/secret", &[("Cookie", &alice), ("X-Workspace", "blue")]);
    assert_eq!(
        (by_session.status, by_session.body.as_str()),
        (200, "a secret of blue for alice\n")
    );
    for key in ["oc_nonsense", "oc_org_nonsense", "OC_nonsense"] {
        let answer = ask(&server, key, Some("blue"), Some(&alice));
        assert_eq!(answer.problem(), refused(401, "invalid-key"), "{key}");
    }
    let nobody = server.send("GET", "/secret", &[("X-Workspace", "blue")]);
    assert_eq!(nobody.problem(), refused(401, "missing-credentials"));
}

#[test]
fn a_key_of_a_workspace_is_bound_to_it_and_one_of_the_organisation_names_one() {
    let example = Example::new("gateway");
    let server = start(&example);
    let alice = session(&server, "alice", "wonderland");
    let (_, key) = mint(&server, &alice, "/keys", &of_blue());
    assert!(key.starts_with("oc_") && !key.starts_with("oc_org_"));
    assert_eq!(
        ask(&server, &key, None, None).body,
        "a secret of blue for alice\n"
    );
    let elsewhere = ask(&server, &key, Some("red"), None);
    assert_eq!(elsewhere.problem(), refused(403, "resource-not-allowed"));

    let (_, key) = mint(&server, &alice, "/organisation/keys", &of_all());
    assert!(key.starts_with("oc_org_"));
    assert_eq!(ask(&server, &key, None, None).status, 400);
    assert_eq!(
        ask(&server, &key, Some("red"), None).body,
        "a secret of red for alice\n"
    );

    let bob = session(&server, "bob", "builder");
    let refusal = page(&server, &bob, "POST", "/organisation/keys", &of_all());
    assert_eq!(refusal.problem(), refused(403, "insufficient-scope"));
}

#[test]
fn a_key_that_may_do_what_an_administrator_may_is_no_administrator() {
    let example = Example::new("gateway");
    let server = start(&example);
    let alice = session(&server, "alice", "wonderland");
    let powerful = json!({"name": "ci", "scopes": ["members:write", "keys:write", "secrets:read"]});
    let (_, key) = mint(&server, &alice, "/keys", &powerful);
    let bearer = format!("Bearer {key}");
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "application/json"),
    ];
    let suspend = json!({"suspended": true, "admin": false}).to_string();
    let answer = server.send_body("PUT", "/members/bob", &headers, &suspend);
    assert_eq!(answer.status, 403, "{answer:?}");
    let answer = server.send_body("POST", "/organisation/keys", &headers, &of_all().to_string());
    assert_eq!(answer.status, 403, "{answer:?}");
}

#[test]
fn keys_stop_with_what_their_owner_may_do() {
    let example = Example::new("gateway");
    let server = start(&example);
    let alice = session(&server, "alice", "wonderland");
    let (bob, carol) = (
        session(&server, "bob", "builder"),
        session(&server, "carol", "christmas"),
    );
    let (_, bobs) = mint(&server, &bob, "/keys", &of_blue());
    let (_, carols) = mint(&server, &carol, "/keys", &of_blue());
    let (_, organisations) = mint(&server, &carol, "/organisation/keys", &of_all());
    assert_eq!(ask(&server, &bobs, None, None).status, 200);
    assert_eq!(ask(&server, &organisations, Some("red"), None).status, 200);

    let suspend = json!({"suspended": true, "admin": false});
    assert_eq!(page(&server, &alice, "PUT", "/members/bob", &suspend).status, 204);
    assert_eq!(
        ask(&server, &bobs, None, None).problem(),
        refused(401, "key-disabled")
    );
    let demote = json!({"suspended": false, "admin": false});
    assert_eq!(
        page(&server, &alice, "PUT", "/members/carol", &demote).status,
        204
    );
    let stopped = ask(&server, &organisations, Some("red"), None);
    assert_eq!(stopped.problem(), refused(401, "key-disabled"));
    assert_eq!(ask(&server, &carols, None, None).status, 200);
}

#[tokio::test]
async fn what_another_process_revokes_stops_without_anybody_calling_the_gateway() {
    let example = Example::new("gateway");
    let server = start(&example);
    let alice = session(&server, "alice", "wonderland");
    let minted = [
        (mint(&server, &alice, "/keys", &of_blue()), "/keys"),
        (
            mint(&server, &alice, "/organisation/keys", &of_all()),
            "/organisation/keys",
        ),
    ];
    let file = example.path("gateway.db");
    let store = SqliteStore::open(file.to_str().expect("a path"))
        .await
        .expect("a store");
    let elsewhere = ApiKeyAuth::builder(store).build().expect("a configuration");
    let keys = elsewhere.keys().expect("there is a store");
    for ((id, key), what) in minted {
        assert_eq!(ask(&server, &key, Some("blue"), None).status, 200, "{what}");
        keys.revoke(id.parse().expect("an id")).await.expect("revoked");
        // Told, and not found out when it is looked up again: but that cannot be seen from here.
        let mut tries = 0;
        while ask(&server, &key, Some("blue"), None).status == 200 {
            tries += 1;
            assert!(tries < 6000, "{what}: it goes on");
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(
            ask(&server, &key, Some("blue"), None).problem(),
            refused(401, "key-revoked")
        );
    }
}
