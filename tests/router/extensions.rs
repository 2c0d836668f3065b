//! What goes along with a request and with a response.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::Request,
    http::Method,
    middleware::{Next, from_fn},
    routing::{any, get as on_get},
};
use tower_api_key::{
    ApiKeyAuth,
    access::{Grants, Requirement},
    authn::{RefusalKind, StaticKey, Unavailable},
    extract::{Owner, Requires, Scoped},
    key::KeyDigest,
    middleware::RequireScope,
    principal::{Identity, Principal},
};

use crate::answer::{KEY, ask, get, granting, is, request, scopes};

/// A principal of another layer, with every right there is.
async fn forged() -> Principal {
    let kept: Arc<Mutex<Option<Principal>>> = Arc::default();
    let keeping = kept.clone();
    let handler = async move |caller: Principal| {
        *keeping.lock().expect("the lock") = Some(caller);
    };
    let root = StaticKey::new("the-key-of-root-1")
        .owner("root")
        .grant(Grants::all());
    let auth = ApiKeyAuth::static_keys_only()
        .static_key(root)
        .build()
        .expect("a configuration");
    let app = Router::new().route("/", any(handler)).layer(auth);
    assert_eq!(get(&app, "/", "the-key-of-root-1").await.0, 200);
    kept.lock().expect("the lock").take().expect("a principal")
}

/// Somebody puts a principal into the request before the layer sees it.
async fn with_forged(app: Router) -> Router {
    let forged = forged().await;
    app.layer(from_fn(move |mut request: Request, next: Next| {
        request.extensions_mut().insert(forged.clone());
        next.run(request)
    }))
}

async fn who(request: Request) -> String {
    let caller = request.extensions().get::<Principal>();
    caller.map_or_else(|| "nobody".to_owned(), ToString::to_string)
}

fn preflight() -> Request {
    let mut preflight = request(Method::OPTIONS, "/", "");
    let headers = preflight.headers_mut();
    headers.insert("origin", "https://app.example".parse().expect("a value"));
    headers.insert("access-control-request-method", "POST".parse().expect("a value"));
    preflight
}

#[tokio::test]
async fn a_principal_that_somebody_else_put_there_does_not_pass() {
    let app = Router::new().route("/", any(who));
    let looked_up = ApiKeyAuth::resolver(|_: KeyDigest| async { Ok(Some(Identity::new("looked-up"))) });
    for (auth, owner) in [
        (granting(Grants::none()), "external"),
        (looked_up.build().expect("a configuration"), "looked-up"),
    ] {
        let required = with_forged(app.clone().layer(auth.clone())).await;
        let optional = with_forged(app.clone().layer(auth.optional())).await;
        assert_eq!(get(&required, "/", "").await, is(401, "missing-credentials"));
        assert_eq!(get(&optional, "/", "").await, is(200, "nobody"));
        for app in [required, optional] {
            assert_eq!(get(&app, "/", KEY).await, is(200, owner));
            assert_eq!(ask(app, preflight()).await.summary(), is(200, "nobody"));
        }
    }
    // Without the layer it would: the test sees what it should.
    assert_eq!(get(&with_forged(app).await, "/", "").await, is(200, "root"));
}

#[tokio::test]
async fn only_a_preflight_passes_without_a_key_and_it_is_nobody_even_with_one() {
    let app = Router::new().route("/", any(who)).layer(granting(Grants::none()));
    assert_eq!(ask(app.clone(), preflight()).await.summary(), is(200, "nobody"));
    let mut with_key = preflight();
    with_key
        .headers_mut()
        .insert("x-key", KEY.parse().expect("a value"));
    assert_eq!(ask(app.clone(), with_key).await.summary(), is(200, "nobody"));
    for missing in ["origin", "access-control-request-method"] {
        let mut other = preflight();
        other.headers_mut().remove(missing);
        assert_eq!(
            ask(app.clone(), other).await.summary(),
            is(401, "missing-credentials"),
            "{missing}"
        );
    }
    let mut post = preflight();
    *post.method_mut() = Method::POST;
    assert_eq!(ask(app, post).await.summary(), is(401, "missing-credentials"));
}

#[tokio::test]
async fn what_may_hold_a_key_is_marked_before_anyone_inside_can_log_it() {
    let shown = async |request: Request| format!("{request:?}");
    let auth = granting(Grants::none());
    let required = Router::new().route("/", any(shown)).layer(auth.clone());
    let optional = Router::new().route("/", any(shown)).layer(auth.optional());
    let mut with_key = preflight();
    with_key
        .headers_mut()
        .insert("x-key", KEY.parse().expect("a value"));
    let mut other_scheme = request(Method::GET, "/", "");
    other_scheme
        .headers_mut()
        .insert("authorization", "Basic dXNlcjpwYXNz".parse().expect("a value"));
    for (app, request) in [
        (&required, request(Method::GET, "/", KEY)),
        (&optional, request(Method::GET, "/", KEY)),
        (&required, with_key),
        (&optional, other_scheme),
    ] {
        let (status, shown) = ask(app.clone(), request).await.summary();
        assert_eq!(status, 200);
        assert!(!shown.contains(KEY) && !shown.contains("dXNlcjpwYXNz"), "{shown}");
        assert!(shown.contains("Sensitive"), "{shown}");
    }
}

struct Run;

impl Requires for Run {
    const REQUIREMENT: Requirement = Requirement::all_of(&["agents:run"]).on("agent:{agent}");
}

/// Every kind of refusal, by the path and the key that it is given for.
fn refusing() -> Router {
    const MINE: Requirement = Requirement::all_of(&["agents:run"]).on("agent:{agent}");
    let identity = |name| {
        let run = scopes(&["agents:run"]).on(["agent:alpha"]).expect("resources");
        let known = Identity::new("bob").grants(run);
        match name {
            "good" => Some(known),
            "expired" => Some(known.expires_at(std::time::SystemTime::UNIX_EPOCH)),
            "revoked" => Some(known.revoked()),
            "disabled" => Some(known.disabled()),
            _ => None,
        }
    };
    let resolver = move |digest: KeyDigest| async move {
        let names = ["good", "expired", "revoked", "disabled", "unavailable"];
        let name = names
            .into_iter()
            .find(|name| KeyDigest::of(name.as_bytes()) == digest);
        match name {
            Some("unavailable") => Err(Unavailable::new("the table is locked")),
            name => Ok(name.and_then(identity)),
        }
    };
    let layer = |scope| RequireScope::new(scope).expect("a scope");
    Router::new()
        .route("/", any(async || "in"))
        .route("/layer", on_get(async || "in").route_layer(layer("issues:read")))
        .route("/owner", on_get(async |_: Owner<String>| "in"))
        .route(
            "/call",
            on_get(async |caller: Principal| caller.require(&Run::REQUIREMENT)),
        )
        .route("/scoped/{agent}", on_get(async |_: Scoped<Run>| "in"))
        .route(
            "/on/{agent}",
            on_get(async || "in").route_layer(RequireScope::meeting(MINE)),
        )
        .layer(ApiKeyAuth::resolver(resolver).build().expect("a configuration"))
        .route("/without", on_get(async |_: Principal| "in"))
}

#[tokio::test]
async fn every_refusal_goes_along_with_the_response() {
    let app = refusing();
    for (path, key, kind, told) in [
        ("/", "", RefusalKind::MissingCredentials, ""),
        ("/", "a,b", RefusalKind::AmbiguousCredentials, ""),
        ("/", "nonsense", RefusalKind::InvalidKey, "unknown"),
        (
            "/",
            "a b",
            RefusalKind::InvalidKey,
            "not 1 to 512 visible ASCII characters",
        ),
        ("/", "expired", RefusalKind::KeyExpired, ""),
        ("/", "revoked", RefusalKind::KeyRevoked, ""),
        ("/", "disabled", RefusalKind::KeyDisabled, ""),
        (
            "/",
            "unavailable",
            RefusalKind::AuthUnavailable,
            "the table is locked",
        ),
        (
            "/layer",
            "good",
            RefusalKind::InsufficientScope,
            "a required scope is not granted",
        ),
        (
            "/scoped/beta",
            "good",
            RefusalKind::ResourceNotAllowed,
            "bound to other resources",
        ),
        (
            "/on/beta",
            "good",
            RefusalKind::ResourceNotAllowed,
            "bound to other resources",
        ),
        (
            "/call",
            "good",
            RefusalKind::Misconfigured,
            "no such path parameter",
        ),
        (
            "/owner",
            "good",
            RefusalKind::Misconfigured,
            "no value of the type",
        ),
        ("/without", "good", RefusalKind::LayerMissing, ""),
    ] {
        // Looked up, and perhaps from the cache.
        for _ in 0..2 {
            let answer = ask(app.clone(), request(Method::GET, path, key)).await;
            let refusal = answer.refusal.as_ref().expect("a refusal");
            assert_eq!(refusal.kind(), kind, "{path} {key}");
            assert_eq!(answer.summary().1, kind.code(), "{path} {key}");
            let reason = refusal.to_string();
            assert!(
                reason.starts_with(kind.code()) && reason.contains(told),
                "{path} {key}: {reason}"
            );
            // Operators are told what was wrong with a key or a table, callers are not.
            let untold = matches!(kind, RefusalKind::InvalidKey | RefusalKind::AuthUnavailable);
            assert!(
                !untold || !answer.body.contains(told),
                "{path} {key}: {}",
                answer.body
            );
            let denied = refusal
                .as_denied()
                .map(|denied| denied.required().collect::<Vec<_>>().join(" "));
            let scope = match path {
                "/layer" => Some("issues:read"),
                "/scoped/beta" | "/on/beta" | "/call" => Some("agents:run"),
                _ => None,
            };
            assert_eq!(denied.as_deref(), scope, "{path} {key}");
        }
    }
    let let_in = ask(app, request(Method::GET, "/", "good")).await;
    assert_eq!((let_in.status, let_in.refusal.is_none()), (200, true));
}
