//! What the guides to migration take over, out of tables such as the five systems have, and that it works.

use axum::{Router, body::Body, routing::get};
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_api_key::{
    ApiKeyAuth,
    key::KeyDigest,
    manage::{ImportedKey, NewKey},
    principal::Principal,
    store::MemoryStore,
};

use crate::{
    place::{Place, lacks},
    postgres::Database,
};

/// Keys as the other systems make them.
const WORKSPACE: &str = "oc_00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const ORGANISATION: &str = "oc_org_00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const DEPLOY_BOT: &str = "cm_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const ADMIN: &str = "cm_admin-wQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh";
const NOWHERE: &str = "cm_nowhereBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const SELF_MADE: &str = "osk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const OF_A_RUN: &str = "so_0123456789abcdef0123456789abcdef";

fn sha256(key: &str) -> String {
    KeyDigest::of(key.as_bytes()).to_hex()
}

/// A place beside a database with these tables; `None` where there is no PostgreSQL.
fn beside(tables: &str) -> Option<(Place, Database)> {
    if lacks(&["psql"]) {
        return None;
    }
    let old = Database::create()?;
    old.sql(tables);
    let place = Place::new().variable("OLD_DATABASE_URL", &old.url());
    Some((place, old))
}

/// What the server says of whoever has this key: the owner, what they may do, on what; or the code of the refusal.
fn who(place: &Place, key: &str) -> Value {
    let answer = place
        .server
        .get("/api/v1/whoami", &[&format!("Authorization: Bearer {key}")]);
    let who = answer.json();
    match answer.status {
        200 => json!([who["owner"], who["name"], who["scopes"], who["resources"]]),
        _ => who["code"].clone(),
    }
}

#[test]
fn keys_of_onecli_are_hashed_on_the_way() {
    let Some((place, _old)) = beside(&format!(
        "CREATE TABLE api_keys (
            id text PRIMARY KEY, scope text NOT NULL, workspace_id text, organization_id text, user_id text NOT NULL, key text NOT NULL UNIQUE,
            name text, created_at timestamp(3) NOT NULL DEFAULT now());
        INSERT INTO api_keys VALUES ('1', 'workspace', 'w-1', NULL, 'u-1', '{WORKSPACE}', 'laptop'),
            ('2', 'organization', NULL, 'o-1', 'u-1', '{ORGANISATION}', NULL);"
    )) else {
        return;
    };
    place.run(include_str!("../../docs/guides/migrating/onecli.md"));
    let scopes = json!(["keys:read", "keys:write", "secrets:read"]);
    assert_eq!(
        who(&place, WORKSPACE),
        json!(["u-1", "laptop", scopes, ["workspace:w-1"]])
    );
    assert_eq!(who(&place, ORGANISATION), "invalid-key");
}

#[test]
fn keys_of_claudemesh_have_the_topics_that_they_had() {
    let digests = [DEPLOY_BOT, ADMIN, NOWHERE].map(sha256);
    let Some((place, _old)) = beside(&format!(
        "CREATE SCHEMA mesh;
        CREATE TABLE mesh.api_key (
            id text PRIMARY KEY, mesh_id text NOT NULL, label text NOT NULL, secret_hash text NOT NULL, secret_prefix text NOT NULL,
            capabilities jsonb NOT NULL DEFAULT '[]', topic_scopes jsonb, created_at timestamp NOT NULL DEFAULT now(),
            revoked_at timestamp, expires_at timestamp);
        INSERT INTO mesh.api_key VALUES
            ('1', 'm-1', 'deploy bot', '{}', 'cm_AAECAwQF', '[\"send\", \"read\"]', '[\"deploys\"]', now(), NULL, now() + interval '9 days'),
            ('2', 'm-1', 'admin', '{}', 'cm_admin-wQ', '[\"admin\"]', NULL, now(), NULL, NULL),
            ('3', 'm-1', 'nowhere', '{}', 'cm_nowhereB', '[\"read\"]', '[]', now(), NULL, NULL),
            ('4', 'm-1', 'old', '$argon2id$v=19', 'cm_older', '[\"read\"]', NULL, now(), NULL, NULL),
            ('5', 'm-1', 'gone', '{}', 'cm_gone', '[\"read\"]', NULL, now(), now(), NULL);",
        digests[0],
        digests[1],
        digests[2],
        sha256("cm_gone"),
    )) else {
        return;
    };
    place.run(include_str!("../../docs/guides/migrating/claudemesh.md"));
    let bot = json!(["m-1", "deploy bot", ["read", "send"], ["topic:deploys"]]);
    assert_eq!(who(&place, DEPLOY_BOT), bot);
    let admin = json!(["m-1", "admin", ["admin", "read", "send", "state_write"], null]);
    assert_eq!(who(&place, ADMIN), admin);
    assert_eq!(who(&place, NOWHERE), "invalid-key");
}

#[test]
fn keys_of_objectstack_are_as_good_as_their_owners() {
    let Some((place, _old)) = beside(&format!(
        "CREATE TABLE sys_api_key (
            id text PRIMARY KEY, key text NOT NULL, prefix text, name text, user_id text NOT NULL, scopes text, revoked boolean NOT NULL DEFAULT false,
            expires_at timestamp, created_at timestamp NOT NULL DEFAULT now());
        INSERT INTO sys_api_key VALUES ('1', '{}', 'osk_AAECAwQF', 'import', 'alice', NULL, false),
            ('2', '{}', 'osk_gone', 'gone', 'alice', NULL, true);",
        sha256(SELF_MADE),
        sha256("osk_gone"),
    )) else {
        return;
    };
    place.run(include_str!("../../docs/guides/migrating/objectstack.md"));
    let who = who(&place, SELF_MADE);
    assert_eq!(json!([who[0], who[1], who[3]]), json!(["alice", "import", null]));
    assert!(who[2].as_array().is_some_and(|scopes| scopes.len() == 9), "{who}");
}

#[test]
fn runs_of_mesa_that_are_under_way_have_an_hour() {
    if lacks(&["sqlite3"]) {
        return;
    }
    let place = Place::new();
    place.write(
        "so.sql",
        &format!(
            "CREATE TABLE agents (id TEXT PRIMARY KEY, slug TEXT NOT NULL);
            CREATE TABLE api_keys (id TEXT, agent_id TEXT, run_id TEXT, key_hash TEXT, prefix TEXT, created_at DATETIME, expires_at DATETIME, revoked_at DATETIME);
            INSERT INTO agents VALUES ('a-1', 'alpha');
            INSERT INTO api_keys VALUES ('1', 'a-1', 'r-1', '{}', 'so_0123', '2027-01-01', '2027-01-01', NULL),
                ('2', 'a-1', 'r-0', 'x', 'so_4567', '2027-01-01', '2027-01-01', '2027-01-01');",
            sha256(OF_A_RUN)
        ),
    );
    place.sh("sqlite3 so.db <so.sql");
    place.run(include_str!("../../docs/guides/migrating/mesa.md"));
    assert_eq!(who(&place, OF_A_RUN), json!(["alpha", "run r-1", [], null]));
}

#[test]
fn an_agent_of_gofannon_is_asked_about_as_its_guide_says() {
    if !lacks(&["curl", "jq"]) {
        Place::new().run(include_str!("../../docs/guides/migrating/gofannon.md"));
    }
}

/// Why the guide to OneCLI gives each kind of key a store of its own.
#[tokio::test]
async fn imported_keys_are_let_in_by_every_layer_over_their_store() {
    let store = MemoryStore::new().expect("a store");
    let layers = ["oc", "oc_org"].map(|prefix| {
        let auth = ApiKeyAuth::builder(store.clone()).prefix(prefix).build();
        auth.expect("a configuration")
    });
    let keys = layers[0].keys().expect("there is a store").clone();
    let digest = KeyDigest::of(ORGANISATION.as_bytes());
    let imported = keys
        .import(vec![ImportedKey::new(digest, NewKey::new("u-1"))])
        .await;
    assert_eq!(imported.expect("imported").len(), 1);
    for auth in layers {
        let app: Router = Router::new().route("/", get(async |_: Principal| "")).layer(auth);
        let request = Request::get("/").header("Authorization", format!("Bearer {ORGANISATION}"));
        let request = request.body(Body::empty()).expect("a request");
        let answer = app.oneshot(request).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
    }
}
