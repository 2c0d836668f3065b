//! What somebody would try who wants in.

use std::collections::HashMap;

use axum::{
    Router,
    extract::{Path, Request},
    routing::{any, get},
};
use http::{HeaderValue, Method, header::HeaderName};
use tower_api_key::{
    ApiKeyAuth,
    access::{Grants, Requirement},
    authn::{RefusalKind, StaticKey, Unavailable},
    credential::Sources,
    extract::{Requires, Scoped},
    manage::NewKey,
    middleware::RequireScope,
    principal::{Identity, Principal},
    store::MemoryStore,
};

use crate::answer::{KEY, ask, get as ask_for, is, request};

fn with(mut request: Request, name: HeaderName, value: &'static str) -> Request {
    request
        .headers_mut()
        .append(name, HeaderValue::from_static(value));
    request
}

struct RunAgent;

impl Requires for RunAgent {
    const REQUIREMENT: Requirement = Requirement::all_of(&["run"]).on("agent:{agent}");
}

#[tokio::test]
async fn a_path_parameter_that_comes_twice_measures_nobody() {
    type Names = Path<HashMap<String, String>>;
    let grants = Grants::scopes(["run"]).expect("scopes").on(["agent:alpha"]);
    let auth = ApiKeyAuth::static_keys_only()
        .static_key(StaticKey::new(KEY).grant(grants.expect("a resource")))
        .build()
        .expect("a configuration");
    let by_layer = get(async |Path(names): Names| names["agent"].clone())
        .route_layer(RequireScope::new("run").expect("a scope").on("agent:{agent}"));
    let by_extractor = get(async |_: Scoped<RunAgent>, Path(names): Names| names["agent"].clone());
    let inner: Router = Router::new()
        .route("/layer/{agent}", by_layer)
        .route("/extractor/{agent}", by_extractor);
    let app = Router::new()
        .nest("/nested/{agent}", inner.clone())
        .nest_service("/service/{agent}", inner.clone())
        .nest("/once", inner)
        .layer(auth);
    for outer in ["nested", "service"] {
        for inner in ["layer", "extractor"] {
            let path = format!("/{outer}/alpha/{inner}/beta");
            assert_eq!(
                ask_for(&app, &path, KEY).await,
                is(500, "auth-misconfigured"),
                "{path}"
            );
        }
    }
    assert_eq!(ask_for(&app, "/once/layer/alpha", KEY).await, is(200, "alpha"));
    assert_eq!(
        ask_for(&app, "/once/extractor/beta", KEY).await,
        is(403, "resource-not-allowed")
    );
}

#[tokio::test]
async fn a_space_before_it_hides_no_credential() {
    let auth = ApiKeyAuth::static_keys_only()
        .static_key(StaticKey::new(KEY))
        .sources(Sources::default().cookie("k"))
        .build()
        .expect("a configuration");
    let who =
        get(async |caller: Option<Principal>| caller.map_or("nobody".to_owned(), |who| who.to_string()));
    let app = Router::new().route("/", who).layer(auth.optional());
    let bearer = |key| {
        with(
            request(Method::GET, "/", key),
            http::header::AUTHORIZATION,
            " Bearer wrong",
        )
    };
    assert_eq!(
        ask(app.clone(), bearer("")).await.summary(),
        is(401, "invalid-key")
    );
    assert_eq!(
        ask(app.clone(), bearer(KEY)).await.summary(),
        is(400, "ambiguous-credentials")
    );
    let cookies = with(
        request(Method::GET, "/", ""),
        http::header::COOKIE,
        "k =other; k=the-key-of-this-test",
    );
    assert_eq!(
        ask(app, cookies).await.summary(),
        is(400, "ambiguous-credentials")
    );
}

#[tokio::test]
async fn a_preflight_is_guarded_where_the_application_says_so() {
    let build = || ApiKeyAuth::static_keys_only().static_key(StaticKey::new(KEY));
    let app = |auth: ApiKeyAuth| Router::new().fallback(any(async || "reached")).layer(auth);
    let preflight = || {
        let request = with(
            request(Method::OPTIONS, "/", ""),
            http::header::ORIGIN,
            "https://a.example",
        );
        with(request, http::header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
    };
    let open = app(build().build().expect("a configuration"));
    assert_eq!(ask(open, preflight()).await.summary(), is(200, "reached"));
    let guarded = app(build().guard_preflights().build().expect("a configuration"));
    assert_eq!(
        ask(guarded, preflight()).await.summary(),
        is(401, "missing-credentials")
    );
}

#[tokio::test]
async fn no_refusal_may_be_stored_by_a_cache() {
    let auth = ApiKeyAuth::static_keys_only()
        .static_key(StaticKey::new(KEY))
        .build()
        .expect("a configuration");
    let app = Router::new()
        .route("/", get(async || ()))
        .route(
            "/scoped",
            get(async || ()).route_layer(RequireScope::new("run").expect("a scope")),
        )
        .layer(auth)
        .route("/bare", get(async |_: Principal| ()));
    let twice = with(
        request(Method::GET, "/", KEY),
        HeaderName::from_static("x-key"),
        "other",
    );
    let requests = [
        (400, twice),
        (401, request(Method::GET, "/", "")),
        (401, request(Method::GET, "/", "wrong")),
        (403, request(Method::GET, "/scoped", KEY)),
        (500, request(Method::GET, "/bare", KEY)),
    ];
    for (status, request) in requests {
        let answer = ask(app.clone(), request).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.all("cache-control"), ["no-store"], "{status}");
    }
}

#[tokio::test]
async fn a_dead_key_is_dead_whatever_its_owners_directory_says() {
    let store = MemoryStore::new().expect("a store");
    let down = ApiKeyAuth::builder(store.clone())
        .owners(async |_| Err(Unavailable::new("down")))
        .build()
        .expect("a configuration");
    let other = ApiKeyAuth::builder(store).build().expect("a configuration");
    let keys = other.keys().expect("a store");
    let issued = keys.issue(NewKey::new("alice")).await.expect("a key");
    let app = Router::new().route("/", get(async || ())).layer(down);
    let key = issued.key.expose();
    assert_eq!(ask_for(&app, "/", key).await, is(503, "auth-unavailable"));
    keys.revoke(issued.record.id).await.expect("revoked");
    assert_eq!(ask_for(&app, "/", key).await, is(401, "key-revoked"));
}

#[tokio::test]
async fn a_key_that_is_revoked_and_disabled_is_revoked() {
    let auth = ApiKeyAuth::resolver(async |_| Ok(Some(Identity::new("alice").revoked().disabled())))
        .build()
        .expect("a configuration");
    let app = Router::new().route("/", get(async || ())).layer(auth);
    assert_eq!(
        ask_for(&app, "/", KEY).await,
        is(401, RefusalKind::KeyRevoked.code())
    );
}

#[tokio::test]
async fn a_text_of_another_shape_is_not_looked_up() {
    let auth = ApiKeyAuth::resolver(async |_| Err(Unavailable::new("asked")))
        .key_shape(|text| text.starts_with(b"ours_"))
        .build()
        .expect("a configuration");
    let app = Router::new().route("/", get(async || ())).layer(auth);
    assert_eq!(ask_for(&app, "/", "theirs_1").await, is(401, "invalid-key"));
    assert_eq!(ask_for(&app, "/", "ours_1").await, is(503, "auth-unavailable"));
}
