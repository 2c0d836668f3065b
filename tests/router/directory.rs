//! The owners of keys: what they may do now bounds what their keys can do.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, http::Method, routing::get as route};
use http::request::Parts;
use tower_api_key::{
    ApiKeyAuth, Builder,
    access::Grants,
    authn::{OwnerDirectory, OwnerState, StaticKey, Unavailable},
    extract::Owner,
    key::KeyDigest,
    manage::{Caller, ChangeError, ManageErrorKind, NewKey},
    middleware::RequireScope,
    principal::{Identity, Principal},
    store::MemoryStore,
};

use crate::answer::{KEY, ask, get, is, request, scopes};

#[derive(Debug)]
struct Agent(&'static str);

/// A directory whose answers can be changed, and a count of the questions.
#[derive(Clone, Default)]
struct Directory(Arc<Mutex<(HashMap<&'static str, OwnerState>, usize)>>);

impl Directory {
    fn set(&self, owner: &'static str, state: Option<OwnerState>) {
        let owners = &mut self.0.lock().expect("the lock").0;
        match state {
            Some(state) => owners.insert(owner, state),
            None => owners.remove(owner),
        };
    }

    fn asked(&self) -> usize {
        self.0.lock().expect("the lock").1
    }
}

impl OwnerDirectory for Directory {
    async fn find(&self, owner: &str) -> Result<Option<OwnerState>, Unavailable> {
        let mut directory = self.0.lock().expect("the lock");
        directory.1 += 1;
        Ok(directory.0.get(owner).cloned())
    }
}

fn kept_for_an_hour(builder: Builder) -> Builder {
    let hour = Duration::from_secs(3600);
    builder.cache_ttl(hour).unknown_ttl(hour)
}

fn routes(auth: &ApiKeyAuth) -> Router {
    let read = RequireScope::new("issues:read").expect("a scope");
    let write = RequireScope::new("issues:write").expect("a scope");
    Router::new()
        .route("/read", route(async || "in").route_layer(read))
        .route("/write", route(async || "in").route_layer(write))
        .layer(auth.clone())
}

#[tokio::test]
async fn a_key_can_do_what_both_it_and_its_owner_may() {
    let directory = Directory::default();
    let auth = kept_for_an_hour(ApiKeyAuth::builder(MemoryStore::new().expect("a store")))
        .owners(directory.clone())
        .build()
        .expect("a configuration");
    let keys = auth.keys().expect("there is a store");
    let app = routes(&auth);
    let denied = || is(403, "insufficient-scope");
    let allowed = || is(200, "in");
    for (ceiling, granted, reads, writes) in [
        (
            Some(scopes(&["issues:*"])),
            scopes(&["issues:*"]),
            allowed(),
            allowed(),
        ),
        (
            Some(scopes(&["issues:read"])),
            scopes(&["issues:*"]),
            allowed(),
            denied(),
        ),
        (
            Some(scopes(&["issues:*"])),
            scopes(&["issues:read"]),
            allowed(),
            denied(),
        ),
        (Some(scopes(&["issues:read"])), Grants::all(), allowed(), denied()),
        (
            Some(scopes(&["issues:read"])),
            scopes(&["issues:write"]),
            denied(),
            denied(),
        ),
        (Some(Grants::none()), Grants::all(), denied(), denied()),
        (None, scopes(&["issues:read"]), allowed(), denied()),
        (None, Grants::all(), allowed(), allowed()),
    ] {
        let state = match ceiling {
            Some(ceiling) => OwnerState::active().grants(ceiling),
            None => OwnerState::active(),
        };
        directory.set("alice", Some(state));
        let issued = keys
            .issue(NewKey::new("alice").grants(granted))
            .await
            .expect("a key");
        for _ in 0..2 {
            assert_eq!(get(&app, "/read", issued.key.expose()).await, reads);
            assert_eq!(get(&app, "/write", issued.key.expose()).await, writes);
        }
    }
    assert_eq!(directory.asked(), 8, "what it said is kept with the key");
}

#[tokio::test]
async fn suspending_an_owner_stops_all_of_their_keys_and_no_other() {
    let directory = Directory::default();
    let reader = OwnerState::active().grants(scopes(&["issues:read"]));
    directory.set("alice", Some(reader.clone()));
    directory.set("bob", Some(reader.clone()));
    let auth = kept_for_an_hour(ApiKeyAuth::builder(MemoryStore::new().expect("a store")))
        .owners(directory.clone())
        .build()
        .expect("a configuration");
    let keys = auth.keys().expect("there is a store");
    let mut issued = Vec::new();
    for owner in ["alice", "alice", "alice", "bob"] {
        issued.push(
            keys.issue(NewKey::new(owner).grants(Grants::all()))
                .await
                .expect("a key"),
        );
    }
    let app = routes(&auth);
    let allowed = || is(200, "in");
    let disabled = || is(401, "key-disabled");
    for (state, expected) in [
        (Some(reader.clone()), allowed()),
        (Some(OwnerState::suspended()), disabled()),
        (Some(reader.clone()), allowed()),
        (None, disabled()),
        (
            Some(OwnerState::active().grants(Grants::none())),
            is(403, "insufficient-scope"),
        ),
        (Some(reader), allowed()),
    ] {
        let writing = directory.clone();
        let change = async move {
            writing.set("alice", state);
            Ok::<_, Infallible>("done")
        };
        assert_eq!(auth.change_owner("alice", change).await.expect("changed"), "done");
        for _ in 0..2 {
            for key in &issued[..3] {
                assert_eq!(get(&app, "/read", key.key.expose()).await, expected);
            }
            assert_eq!(get(&app, "/read", issued[3].key.expose()).await, allowed());
        }
    }
    // A key that is worse off than its owner says so, also when nobody knows the owner.
    keys.revoke(issued[0].record.id).await.expect("revoked");
    let asked = directory.asked();
    assert_eq!(
        get(&app, "/read", issued[0].key.expose()).await,
        is(401, "key-revoked")
    );
    assert_eq!(directory.asked(), asked);
}

#[tokio::test]
async fn resolved_keys_and_sessions_have_owners_too_and_static_keys_have_none() {
    let directory = Directory::default();
    directory.set(
        "bob",
        Some(
            OwnerState::active()
                .grants(scopes(&["issues:read"]))
                .user(Agent("bob's")),
        ),
    );
    directory.set("eve", Some(OwnerState::suspended()));
    let resolver = |digest: KeyDigest| {
        let owners = ["bob", "eve", "gone"];
        let owner = owners
            .into_iter()
            .find(|owner| KeyDigest::of(owner.as_bytes()) == digest);
        std::future::ready(Ok(owner.map(|owner| Identity::new(owner).grants(Grants::all()))))
    };
    let auth = kept_for_an_hour(ApiKeyAuth::resolver(resolver))
        .static_key(StaticKey::new(KEY).owner("eve").grant(Grants::all()))
        .owners(directory)
        .fallback(|request: &Parts| {
            let user = request
                .headers
                .get("cookie")
                .and_then(|user| user.to_str().ok())
                .map(str::to_owned);
            async move { Ok(user.map(|user| Identity::new(user).grants(Grants::all()))) }
        })
        .build()
        .expect("a configuration");
    let agents = Router::new()
        .route("/agent", route(async |agent: Owner<Agent>| agent.0.0))
        .layer(auth.clone());
    let app = routes(&auth);
    for (owner, reads, writes) in [
        ("bob", is(200, "in"), is(403, "insufficient-scope")),
        ("eve", is(401, "key-disabled"), is(401, "key-disabled")),
        ("gone", is(401, "key-disabled"), is(401, "key-disabled")),
    ] {
        for field in ["x-key", "cookie"] {
            for (path, expected) in [("/read", &reads), ("/write", &writes)] {
                let mut request = request(Method::GET, path, "");
                request
                    .headers_mut()
                    .insert(field, owner.parse().expect("a value"));
                assert_eq!(
                    &ask(app.clone(), request).await.summary(),
                    expected,
                    "{owner} {field} {path}"
                );
            }
        }
    }
    assert_eq!(get(&agents, "/agent", "bob").await, is(200, "bob's"));
    assert_eq!(get(&app, "/write", KEY).await, is(200, "in"));
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_cannot_say_is_unavailable_and_nothing_is_kept_of_it() {
    let broken = Arc::new(AtomicBool::new(true));
    let failing = broken.clone();
    let auth = kept_for_an_hour(ApiKeyAuth::builder(MemoryStore::new().expect("a store")))
        .owners(move |owner: String| {
            let broken = failing.load(Ordering::Relaxed);
            async move {
                match (broken, owner.as_str()) {
                    (false, _) => Ok(Some(OwnerState::active())),
                    (true, "slow") => std::future::pending().await,
                    (true, "panic") => panic!("the directory has a bug"),
                    (true, _) => Err(Unavailable::new("the directory is down")),
                }
            }
        })
        .build()
        .expect("a configuration");
    let keys = auth.keys().expect("there is a store");
    let app = routes(&auth);
    for owner in ["down", "slow", "panic"] {
        broken.store(true, Ordering::Relaxed);
        let issued = keys
            .issue(NewKey::new(owner).grants(Grants::all()))
            .await
            .expect("a key");
        assert_eq!(
            get(&app, "/read", issued.key.expose()).await,
            is(503, "auth-unavailable"),
            "{owner}"
        );
        broken.store(false, Ordering::Relaxed);
        assert_eq!(
            get(&app, "/read", issued.key.expose()).await,
            is(200, "in"),
            "{owner}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_change_of_an_owner_that_failed_nothing_is_kept_until_doubt_ends() {
    let directory = Directory::default();
    directory.set("alice", Some(OwnerState::active()));
    let auth = kept_for_an_hour(ApiKeyAuth::builder(MemoryStore::new().expect("a store")))
        .owners(directory.clone())
        .doubt(Duration::from_secs(60))
        .build()
        .expect("a configuration");
    let keys = auth.keys().expect("there is a store");
    let issued = keys
        .issue(NewKey::new("alice").grants(Grants::all()))
        .await
        .expect("a key");
    let app = routes(&auth);
    let failed = auth
        .change_owner("alice", async { Err::<(), _>("the connection was lost") })
        .await;
    assert!(
        matches!(failed, Err(ChangeError::Failed("the connection was lost"))),
        "{failed:?}"
    );
    assert_eq!(get(&app, "/read", issued.key.expose()).await, is(200, "in"));
    // It happens after all.
    directory.set("alice", None);
    assert_eq!(
        get(&app, "/read", issued.key.expose()).await,
        is(401, "key-disabled")
    );
    directory.set("alice", Some(OwnerState::active()));
    tokio::time::sleep(Duration::from_secs(61)).await;
    let before = directory.asked();
    for _ in 0..3 {
        assert_eq!(get(&app, "/read", issued.key.expose()).await, is(200, "in"));
    }
    assert_eq!(directory.asked(), before + 1, "it is kept again");
}

#[tokio::test]
async fn a_caller_can_manage_keys_only_as_far_as_their_owner_may() {
    let directory = Directory::default();
    let manager = |scopes_of: &[&str]| OwnerState::active().grants(scopes(scopes_of));
    directory.set(
        "alice",
        Some(manager(&["keys:write", "keys:read", "issues:read"])),
    );
    directory.set("bob", Some(OwnerState::active()));
    let auth = ApiKeyAuth::builder(MemoryStore::new().expect("a store"))
        .owners(directory)
        .build()
        .expect("a configuration");
    let keys = auth.keys().expect("there is a store").clone();
    let admins = keys
        .issue(NewKey::new("alice").grants(Grants::all()))
        .await
        .expect("a key");
    let of_bob = keys.issue(NewKey::new("bob")).await.expect("a key").record.id;
    let principal = Router::new()
        .route(
            "/",
            route(async move |caller: Principal| {
                let mine = keys.by(Caller::new(caller));
                assert!(matches!(
                    mine.get(of_bob)
                        .await
                        .expect_err("an owner who is no administrator")
                        .kind(),
                    ManageErrorKind::NotFound
                ));
                assert!(mine.revoke(of_bob).await.is_err());
                let writes = NewKey::new("alice").name("ci").grants(scopes(&["issues:write"]));
                let error = mine.issue(writes).await.expect_err("more than the owner may");
                assert!(matches!(error.kind(), ManageErrorKind::Exceeds(_)), "{error:?}");
                let reads = NewKey::new("alice").name("ci").grants(scopes(&["issues:read"]));
                mine.issue(reads).await.expect("a key");
                "done"
            }),
        )
        .layer(auth);
    assert_eq!(get(&principal, "/", admins.key.expose()).await, is(200, "done"));
}
