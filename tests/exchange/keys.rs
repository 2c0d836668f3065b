//! What a key that was given for a token can do: what the policy says, and nothing that outlives it.

use serde_json::{Value, json};
use tower_api_key::{
    ApiKeyAuth,
    access::Grants,
    exchange::TrustPolicies,
    manage::{Conflict, ManageErrorKind, NewKey, Policy},
    store::{KeyQuery, MemoryStore, SqliteStore},
};

use crate::world::{World, deploy};

fn of_alice(issuer: &str) -> String {
    deploy(issuer).replace("\"deploy\"", "\"deploy\"\nowner = \"alice\"")
}

#[tokio::test]
async fn no_key_takes_over_from_it_whoever_asks() {
    let world = World::with(of_alice, Policy::new());
    world.exchange(&world.token()).await.key();
    let keys = world.keys.list(&KeyQuery::newest(1)).await.expect("a list");
    let exchanged = keys.keys[0].id;
    let grants = Grants::scopes(["keys:*", "issues:*"]).expect("scopes");
    let alice = world
        .keys
        .issue(NewKey::new("alice").grants(grants))
        .await
        .expect("a key");
    let path = format!("/keys/{exchanged}/rotate");
    let refused = world.by_key(alice.key.expose(), "POST", &path, json!({})).await;
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (409, &json!("exchanged-key"))
    );
    let refused = world.keys.rotate(exchanged, std::time::Duration::ZERO).await;
    assert_eq!(
        refused.expect_err("a conflict").kind(),
        ManageErrorKind::Conflict(Conflict::Exchanged)
    );
    // It is alice's: she sees it, narrows it and ends it.
    let path = format!("/keys/{exchanged}");
    let later = json!({"expires_at": "2100-01-01T00:00:00Z"});
    let longer = world.by_key(alice.key.expose(), "PATCH", &path, later).await;
    assert!(matches!(longer.status, 400 | 403), "{longer:?}");
    let wider = world
        .by_key(
            alice.key.expose(),
            "PATCH",
            &path,
            json!({"scopes": ["issues:*"]}),
        )
        .await;
    assert_eq!(wider.status, 403, "{wider:?}");
    let less = world
        .by_key(
            alice.key.expose(),
            "PATCH",
            &path,
            json!({"scopes": ["issues:read"]}),
        )
        .await;
    assert_eq!(less.status, 200, "{less:?}");
    let ended = world
        .by_key(alice.key.expose(), "DELETE", &path, Value::Null)
        .await;
    assert_eq!(ended.status, 204, "{ended:?}");
}

#[tokio::test]
async fn it_makes_no_key_and_ends_itself() {
    let world = World::new();
    let key = world.exchange(&world.token()).await.key();
    let mint = json!({"name": "more", "scopes": ["issues:read"]});
    let refused = world.by_key(&key, "POST", "/keys", mint).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    let own = world.keys.list(&KeyQuery::newest(1)).await.expect("a list").keys[0].id;
    let refused = world
        .by_key(&key, "POST", &format!("/keys/{own}/rotate"), json!({}))
        .await;
    assert_eq!(refused.status, 403, "{refused:?}");
    assert_eq!(world.key_count().await, 1);
    let ended = world.by_key(&key, "DELETE", "/keys/current", Value::Null).await;
    assert_eq!(ended.status, 204, "{ended:?}");
    assert_eq!(world.by_key(&key, "GET", "/keys", Value::Null).await.status, 401);
}

#[tokio::test]
async fn a_policy_is_refused_where_tokens_cannot_be_kept() {
    let policies = || TrustPolicies::from_toml(&deploy("http://127.0.0.1:1")).expect("policies");
    let none = ApiKeyAuth::static_keys_only()
        .static_key(tower_api_key::authn::StaticKey::new("a-static-key-of-the-tests"))
        .build()
        .expect("a configuration");
    let refused = none.exchange(policies()).expect_err("no store").to_string();
    assert!(refused.contains("no store"), "{refused}");
    let store = MemoryStore::new().expect("a store");
    let other = ApiKeyAuth::builder(Forgetful { store })
        .build()
        .expect("a configuration");
    let refused = other
        .token_router(policies())
        .expect_err("a store that forgets")
        .to_string();
    assert!(refused.contains("does not keep tokens"), "{refused}");
    let sqlite = SqliteStore::open("sqlite::memory:").await.expect("a store");
    let sqlite = ApiKeyAuth::builder(sqlite).build().expect("a configuration");
    assert!(sqlite.exchange(policies()).is_ok());
}

/// A store as somebody wrote it before there were tokens.
#[derive(Debug)]
struct Forgetful {
    store: MemoryStore,
}

impl tower_api_key::store::KeyStore for Forgetful {
    passed_on!(store: find, get, transact, list, events, log_after, log_head, expired_before, is_empty, has_imported, ping, check_key);
}
