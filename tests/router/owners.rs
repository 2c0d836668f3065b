//! The application's own value for the caller, wherever the caller comes from.

use axum::{Router, routing::get as route};
use tower_api_key::{
    ApiKeyAuth,
    authn::{OwnerState, StaticKey, Unavailable},
    extract::Owner,
    key::KeyDigest,
    manage::NewKey,
    principal::{Identity, Principal},
    store::MemoryStore,
};

use crate::answer::{KEY, get, is};

#[derive(Debug, Clone, PartialEq)]
struct Agent(&'static str);

/// The same handlers for every kind of caller.
fn app(auth: ApiKeyAuth) -> Router {
    Router::new()
        .route("/agent", route(async |agent: Owner<Agent>| agent.0.0))
        .route("/wrong", route(async |_: Owner<String>| "in"))
        .route(
            "/principal",
            route(async |caller: Principal| {
                let same = caller.get::<Agent>() == caller.get_arc::<Agent>().as_deref();
                assert!(same && caller.get::<String>().is_none());
                caller.get::<Agent>().map_or("none", |agent| agent.0)
            }),
        )
        .layer(auth)
}

/// Of a caller without a value of the type asked for.
fn misconfigured() -> (u16, String) {
    is(500, "auth-misconfigured")
}

#[tokio::test]
async fn a_static_key_has_the_value_it_was_given() {
    let key = || StaticKey::new(KEY).user(Agent("external"));
    let build = |key| {
        ApiKeyAuth::static_keys_only()
            .static_key(key)
            .build()
            .expect("a configuration")
    };
    let with = app(build(key()));
    assert_eq!(get(&with, "/agent", KEY).await, is(200, "external"));
    assert_eq!(get(&with, "/principal", KEY).await, is(200, "external"));
    assert_eq!(get(&with, "/wrong", KEY).await, misconfigured());
    let without = app(build(StaticKey::new(KEY)));
    assert_eq!(get(&without, "/agent", KEY).await, misconfigured());
    assert_eq!(get(&without, "/principal", KEY).await, is(200, "none"));
}

#[tokio::test]
async fn a_stored_key_has_the_value_that_was_loaded_for_it() {
    let auth = ApiKeyAuth::builder(MemoryStore::new().expect("a store"))
        .owners(|owner: String| async move {
            match owner.as_str() {
                "alice" => Ok(Some(OwnerState::active().user(Agent("alice's")))),
                "gone" => Ok(None),
                "suspended" => Ok(Some(OwnerState::suspended().user(Agent("idle")))),
                "lost" => panic!("the table of agents has fallen over"),
                "plain" => Ok(Some(OwnerState::active())),
                _ => Err(Unavailable::new("the table of agents is locked")),
            }
        })
        .build()
        .expect("a configuration");
    let keys = auth.keys().expect("there is a store").clone();
    let app = app(auth);
    for (owner, path, expected) in [
        ("alice", "/agent", is(200, "alice's")),
        ("alice", "/principal", is(200, "alice's")),
        ("alice", "/wrong", misconfigured()),
        ("gone", "/agent", is(401, "key-disabled")),
        ("suspended", "/agent", is(401, "key-disabled")),
        ("plain", "/agent", misconfigured()),
        ("plain", "/principal", is(200, "none")),
        ("locked", "/agent", is(503, "auth-unavailable")),
        ("lost", "/agent", is(503, "auth-unavailable")),
    ] {
        let issued = keys.issue(NewKey::new(owner)).await.expect("a key");
        // Looked up, and again from the cache.
        for _ in 0..2 {
            assert_eq!(
                get(&app, path, issued.key.expose()).await,
                expected,
                "{owner} {path}"
            );
        }
    }
}

#[tokio::test]
async fn a_resolved_key_has_the_value_that_the_resolver_gave() {
    let resolver = |digest: KeyDigest| async move {
        let identity = Identity::new("bob");
        let known = digest == KeyDigest::of(KEY.as_bytes());
        Ok(Some(if known {
            identity.user(Agent("bob's"))
        } else {
            identity
        }))
    };
    let app = app(ApiKeyAuth::resolver(resolver).build().expect("a configuration"));
    for _ in 0..2 {
        assert_eq!(get(&app, "/agent", KEY).await, is(200, "bob's"));
        assert_eq!(get(&app, "/principal", KEY).await, is(200, "bob's"));
        assert_eq!(get(&app, "/wrong", KEY).await, misconfigured());
        assert_eq!(get(&app, "/agent", "another-key").await, misconfigured());
        assert_eq!(get(&app, "/principal", "another-key").await, is(200, "none"));
    }
}
