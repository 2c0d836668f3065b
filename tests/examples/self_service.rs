use std::fs;

use serde_json::{Value, json};
use sqlx::SqlitePool;
use tower_api_key::key::KeyDigest;

use crate::process::{Answer, Example, Server, refused};

const JSON: (&str, &str) = ("Content-Type", "application/json");

fn start(example: &Example) -> Server {
    example.start(&["127.0.0.1:0", "platform.db"])
}

fn log_in(server: &Server, user: &str, password: &str) -> Answer {
    let body = json!({"user": user, "password": password});
    server.send_body("POST", "/api/v1/login", &[JSON], &body.to_string())
}

/// A session token of somebody who may read and write records.
fn alice(server: &Server) -> String {
    let answer = log_in(server, "alice", "wonderland");
    assert_eq!(answer.status, 200);
    answer.body
}

/// What a page sends.
fn page(server: &Server, method: &str, path: &str, session: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {session}");
    let headers = [("Authorization", bearer.as_str()), JSON];
    server.send_body(method, path, &headers, body)
}

fn mint(server: &Server, session: &str, new: &Value) -> Answer {
    page(server, "POST", "/api/v1/keys", session, &new.to_string())
}

fn minted(server: &Server, session: &str, new: &Value) -> Value {
    let answer = mint(server, session, new);
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json()
}

fn key_of(minted: &Value) -> &str {
    minted["key"].as_str().expect("a key")
}

fn me(server: &Server, headers: &[(&str, &str)]) -> Answer {
    server.send("GET", "/api/v1/me", headers)
}

fn keys(server: &Server, session: &str) -> Vec<Value> {
    let answer = server.get("/api/v1/keys?status=all", session).json();
    answer["data"].as_array().expect("a list").clone()
}

async fn count(database: &SqlitePool) -> i64 {
    let count = sqlx::query_scalar("SELECT count(*) FROM api_keys");
    count.fetch_one(database).await.expect("a number")
}

#[tokio::test]
async fn a_minted_key_is_shown_once_and_only_its_digest_is_kept() {
    let example = Example::new("self_service");
    let server = start(&example);
    let session = alice(&server);
    let new = minted(
        &server,
        &session,
        &json!({"name": "import", "scopes": ["records:write"]}),
    );
    let key = key_of(&new);
    let prefix = new["prefix"].as_str().expect("a prefix");
    assert!(key.starts_with("osk_") && key.starts_with(prefix) && key.len() > prefix.len() + 32);
    assert_eq!((&new["name"], &new["owner"]), (&json!("import"), &json!("alice")));

    let secret = &key[prefix.len()..];
    let id = new["id"].as_str().expect("an id");
    for path in [
        "/api/v1/keys",
        &format!("/api/v1/keys/{id}"),
        &format!("/api/v1/keys/{id}/events"),
    ] {
        let answer = server.get(path, &session);
        assert_eq!(answer.status, 200);
        assert!(
            answer.body.contains(id) && !answer.body.contains(secret),
            "{path}"
        );
    }
    let database = example.database("platform.db").await;
    let digest: Vec<u8> = sqlx::query_scalar("SELECT digest FROM api_keys WHERE id = ?1")
        .bind(id)
        .fetch_one(&database)
        .await
        .expect("a digest");
    assert_eq!(digest, KeyDigest::of(key.as_bytes()).as_bytes());
    for file in fs::read_dir(example.path("")).expect("a directory") {
        let path = file.expect("a file").path();
        let bytes = fs::read(&path).expect("its contents");
        let found = bytes
            .windows(secret.len())
            .any(|bytes| bytes == secret.as_bytes());
        assert!(!found, "{}", path.display());
    }
}

#[test]
fn a_key_works_however_it_is_presented_and_any_other_bearer_is_a_session() {
    let example = Example::new("self_service");
    let server = start(&example);
    let session = alice(&server);
    let new = minted(
        &server,
        &session,
        &json!({"name": "import", "scopes": ["records:write"]}),
    );
    let key = key_of(&new);
    let by_key = json!({"user": "alice", "by": "key", "name": "import"});
    for header in [
        ("X-API-Key", key),
        ("Authorization", &format!("ApiKey {key}")),
        ("Authorization", &format!("Bearer {key}")),
    ] {
        let answer = me(&server, &[header]);
        assert_eq!(
            (answer.status, answer.json()),
            (200, by_key.clone()),
            "{header:?}"
        );
        let written = server.send("POST", "/api/v1/records", &[header]);
        assert_eq!(written.status, 201, "{header:?}");
        let read = server.send("GET", "/api/v1/records", &[header]);
        assert_eq!(read.problem(), refused(403, "insufficient-scope"), "{header:?}");
    }
    let by_session = json!({"user": "alice", "by": "session", "name": "session"});
    assert_eq!(server.get("/api/v1/me", &session).json(), by_session);
    let nobody = server.get("/api/v1/me", "0123456789abcdef");
    assert_eq!(nobody.problem(), refused(401, "invalid-key"));

    // Neither place is one for sessions, and a scheme of somebody else's is no credential.
    for header in [
        ("X-API-Key", session.as_str()),
        ("Authorization", &format!("ApiKey {session}")),
    ] {
        assert_eq!(
            me(&server, &[header]).problem(),
            refused(401, "invalid-key"),
            "{header:?}"
        );
    }
    let digest = format!("Digest {session}");
    assert_eq!(
        me(&server, &[("Authorization", &digest)]).problem(),
        refused(401, "missing-credentials")
    );
    // What begins like a key is judged as one.
    let bad = server.get("/api/v1/me", &format!("osk_{session}"));
    assert_eq!(bad.problem(), refused(401, "invalid-key"));
    let both = me(
        &server,
        &[
            ("X-API-Key", "osk_bad"),
            ("Authorization", &format!("Bearer {session}")),
        ],
    );
    assert_eq!(both.problem(), refused(400, "ambiguous-credentials"));
}

#[tokio::test]
async fn what_a_body_forges_is_refused_before_there_is_a_key() {
    let example = Example::new("self_service");
    let server = start(&example);
    let session = alice(&server);
    let database = example.database("platform.db").await;
    for (field, value) in [
        ("key", json!("osk_mine")),
        ("id", json!("01890000-0000-7000-8000-000000000000")),
        ("user_id", json!("bob")),
        ("owner", json!("bob")),
        ("revoked", json!(false)),
        ("prefix", json!("osk_mine")),
        ("expires_at", json!("tomorrow")),
        ("expires_at", json!("2020-01-01T00:00:00Z")),
        ("expires_at", json!(4_102_444_800_i64)),
        ("name", json!("")),
        ("name", json!(7)),
    ] {
        let mut body = json!({"name": "x", "scopes": ["records:read"]});
        body[field] = value;
        let answer = mint(&server, &session, &body);
        assert_eq!(answer.problem(), refused(400, "invalid-request"), "{body}");
        assert_eq!(answer.json()["errors"][0]["field"], field, "{body}");
    }
    assert_eq!(count(&database).await, 0);

    let new = minted(
        &server,
        &session,
        &json!({"name": "x", "expires_at": "2099-01-01T00:00:00Z"}),
    );
    assert_eq!(
        (&new["owner"], &new["scopes"], &new["expires_at"]),
        (&json!("alice"), &json!([]), &json!("2099-01-01T00:00:00.000Z"))
    );
}

#[test]
fn nobody_mints_more_than_they_may_do_themselves() {
    let example = Example::new("self_service");
    let server = start(&example);
    let bob = log_in(&server, "bob", "builder").body;
    for more in ["records:write", "records:*", "*", "keys:admin"] {
        let answer = mint(&server, &bob, &json!({"name": "x", "scopes": [more]}));
        let expected = if more == "*" { 400 } else { 403 };
        assert_eq!(answer.status, expected, "{more}: {answer:?}");
    }
    // Nor by way of a key.
    let scopes = json!(["keys:write", "keys:read"]);
    let lesser = minted(&server, &bob, &json!({"name": "x", "scopes": scopes}));
    let more = mint(
        &server,
        key_of(&lesser),
        &json!({"name": "y", "scopes": ["records:read"]}),
    );
    assert_eq!(more.problem(), refused(403, "exceeds-maker"));
    assert_eq!(keys(&server, &bob).len(), 1);
    // Users see their own keys only.
    assert_eq!(keys(&server, &alice(&server)), Vec::<Value>::new());
}

#[test]
fn the_route_is_there_and_takes_no_other_method_and_nobody_unknown() {
    let example = Example::new("self_service");
    let server = start(&example);
    let session = alice(&server);
    let body = json!({"name": "x", "scopes": []}).to_string();
    let anonymous = server.send_body("POST", "/api/v1/keys", &[JSON], &body);
    assert_eq!(anonymous.problem(), refused(401, "missing-credentials"));
    for method in ["PUT", "PATCH", "DELETE"] {
        let answer = page(&server, method, "/api/v1/keys", &session, &body);
        assert_eq!(answer.problem(), refused(405, "method-not-allowed"), "{method}");
        assert_eq!(answer.header("allow"), Some("GET,HEAD,POST"), "{method}");
    }
    // Another site can make a browser send cookies, but no token.
    let cookie = format!("session={session}");
    let foreign = server.send_body("POST", "/api/v1/keys", &[("Cookie", &cookie), JSON], &body);
    assert_eq!(foreign.problem(), refused(401, "missing-credentials"));
    assert_eq!(log_in(&server, "alice", "builder").status, 401);
    assert_eq!(log_in(&server, "mallory", "").status, 401);
    assert_eq!(keys(&server, &session), Vec::<Value>::new());
}

#[tokio::test]
async fn a_key_that_expired_or_was_revoked_is_refused() {
    let example = Example::new("self_service");
    let server = start(&example);
    let session = alice(&server);
    let new = json!({"name": "x", "expires_at": "2099-01-01T00:00:00Z"});
    let expired = minted(&server, &session, &new);
    let revoked = minted(&server, &session, &new);

    // As if it had been so long: nobody has used the key yet, so no verdict is in the way.
    let database = example.database("platform.db").await;
    sqlx::query("UPDATE api_keys SET expires_at = 1 WHERE id = ?1")
        .bind(expired["id"].as_str())
        .execute(&database)
        .await
        .expect("an expiry in the past");
    let answer = server.get("/api/v1/me", key_of(&expired));
    assert_eq!(answer.problem(), refused(401, "key-expired"));

    assert_eq!(server.get("/api/v1/me", key_of(&revoked)).status, 200);
    let path = format!("/api/v1/keys/{}", revoked["id"].as_str().expect("an id"));
    assert_eq!(page(&server, "DELETE", &path, &session, "").status, 204);
    let answer = server.get("/api/v1/me", key_of(&revoked));
    assert_eq!(answer.problem(), refused(401, "key-revoked"));
}
