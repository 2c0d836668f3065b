//! The router of keys in applications of other shapes than the demo: nested elsewhere, beside another login, and where something is missing.

use axum::{Router, body::Body, extract::Request};
use http::Method;
use serde_json::{Value, json};
use tower_api_key::{
    ApiKeyAuth,
    access::{Grants, Scope},
    authn::{RefusalKind, StaticKey},
    store::MemoryStore,
};

use crate::answer::{Answer, KEY, ask, granting, request, scopes};

fn managed() -> ApiKeyAuth {
    let store = MemoryStore::new().expect("a store");
    ApiKeyAuth::builder(store).build().expect("a configuration")
}

/// Somebody else's login, that knows [`KEY`] as a manager of keys.
fn login() -> ApiKeyAuth {
    granting(scopes(&["keys:read", "keys:write", "issues:read"]))
}

fn post(path: &str, body: &Value) -> Request {
    let (mut parts, _) = request(Method::POST, path, KEY).into_parts();
    parts
        .headers
        .insert("content-type", "application/json".parse().expect("a value"));
    Request::from_parts(parts, Body::from(body.to_string()))
}

async fn mint(app: &Router, path: &str) -> Answer {
    let answer = ask(
        app.clone(),
        post(path, &json!({"name": "ci", "scopes": ["issues:read"]})),
    )
    .await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer
}

fn json(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).expect("JSON")
}

#[tokio::test]
async fn a_new_key_is_where_its_location_says_wherever_the_router_is_nested() {
    let keys = managed();
    for (nested, path) in [
        ("/keys", "/keys"),
        ("/api/v1/keys", "/api/v1/keys"),
        ("/tenants/{id}/keys", "/tenants/acme%20corp/keys"),
    ] {
        let app = Router::new().nest(nested, keys.router()).layer(login());
        let outer = Router::new().nest("/outer", app.clone());
        for (app, path) in [(app, path.to_owned()), (outer, format!("/outer{path}"))] {
            let minted = mint(&app, &path).await;
            let id = json(&minted)["id"].as_str().expect("an id").to_owned();
            let [location] = minted.all("location")[..] else {
                panic!("one place")
            };
            assert_eq!(location, format!("{path}/{id}"));
            let shown = ask(app.clone(), request(Method::GET, location, KEY)).await;
            assert_eq!(
                (shown.status, &json(&shown)["id"]),
                (200, &json!(id)),
                "{}",
                shown.body
            );

            let rotated = ask(app.clone(), post(&format!("{location}/rotate"), &json!({}))).await;
            let successor = json(&rotated)["id"].as_str().expect("an id").to_owned();
            assert_eq!(rotated.all("location"), [format!("{path}/{successor}")]);
        }
    }
}

#[tokio::test]
async fn a_router_at_the_root_needs_no_nest() {
    let app: Router = Router::new().merge(managed().router()).layer(login());
    let minted = mint(&app, "/").await;
    let id = json(&minted)["id"].as_str().expect("an id").to_owned();
    assert_eq!(minted.all("location"), [format!("/{id}")]);
    // Two slashes would name another host.
    let elsewhere = ask(app, post("//evil.example", &json!({"name": "ci"}))).await;
    assert_eq!(elsewhere.status, 404);
}

#[tokio::test]
async fn the_caller_is_whoever_the_application_says() {
    let keys = managed();
    let app = Router::new().nest("/keys", keys.router()).layer(login());
    let minted = json(&mint(&app, "/keys").await);
    assert_eq!(minted["owner"], "external");
    // It is a key of the store: the login that minted it does not know it, the layer over the store does.
    let key = minted["key"].as_str().expect("a key");
    let whoami = async |auth: ApiKeyAuth| {
        let app = Router::new()
            .route(
                "/",
                axum::routing::get(async |caller: tower_api_key::principal::Principal| caller.to_string()),
            )
            .layer(auth);
        ask(app, request(Method::GET, "/", key)).await.status
    };
    assert_eq!((whoami(login()).await, whoami(keys).await), (401, 200));
}

#[tokio::test]
async fn without_a_caller_nothing_is_managed() {
    let keys = managed();
    let bare: Router = Router::new().nest("/keys", keys.router());
    let optional: Router = Router::new()
        .nest("/keys", keys.router())
        .layer(keys.clone().optional());
    for (app, expected) in [
        (bare, (500, RefusalKind::LayerMissing)),
        (optional, (401, RefusalKind::MissingCredentials)),
    ] {
        for (method, path) in [
            (Method::GET, "/keys"),
            (Method::POST, "/keys"),
            (Method::DELETE, "/keys/current"),
            (Method::GET, "/keys/events"),
            (Method::GET, "/keys/x"),
        ] {
            let answer = ask(app.clone(), request(method, path, "")).await;
            let kind = answer.refusal.as_ref().expect("a refusal").kind();
            assert_eq!((answer.status, kind), expected, "{path}");
        }
    }
}

#[tokio::test]
async fn without_a_store_there_are_no_keys_to_manage() {
    let auth = login();
    let app: Router = Router::new().nest("/keys", auth.router()).layer(auth);
    for request in [
        request(Method::GET, "/keys", KEY),
        post("/keys", &json!({"name": "ci"})),
    ] {
        let answer = ask(app.clone(), request).await;
        assert_eq!(
            (answer.status, &answer.problem()["code"]),
            (500, &json!("auth-misconfigured"))
        );
    }
}

#[tokio::test]
async fn a_maker_of_everything_is_never_shown_a_text_that_stands_for_it() {
    let keys = managed();
    let store = keys.keys().expect("a store").clone();
    let issued = store
        .issue(tower_api_key::manage::NewKey::new("root").grants(Grants::all()))
        .await
        .expect("a key");
    let all = || {
        let key = StaticKey::new(KEY).grant(Grants::all());
        ApiKeyAuth::static_keys_only()
            .static_key(key)
            .build()
            .expect("a configuration")
    };
    let told: Router = keys
        .keys_router()
        .scopes([Scope::from_static("issues:read"), Scope::from_static("keys:read")])
        .into();
    for (router, shown) in [
        (keys.router(), Value::Null),
        (told, json!(["issues:read", "keys:read"])),
    ] {
        let app: Router = Router::new().nest("/keys", router).layer(all());
        for path in [
            "/keys".to_owned(),
            format!("/keys/{}", issued.record.id),
            "/keys/events".to_owned(),
        ] {
            let answer = ask(app.clone(), request(Method::GET, &path, KEY)).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            assert!(!answer.body.contains('*'), "{}", answer.body);
        }
        let one = ask(
            app,
            request(Method::GET, &format!("/keys/{}", issued.record.id), KEY),
        )
        .await;
        assert_eq!(json(&one)["scopes"], shown);
    }
}

#[tokio::test]
async fn an_application_with_a_state_and_fallbacks_of_its_own_takes_the_router() {
    #[derive(Clone)]
    struct State;
    let app: Router = Router::new()
        .nest("/keys", managed().router())
        .fallback(async || "nothing here")
        .method_not_allowed_fallback(async || "not like this")
        .layer(login())
        .with_state(State);
    mint(&app, "/keys").await;
    let other = ask(app.clone(), request(Method::GET, "/elsewhere", KEY)).await;
    assert_eq!(other.body, "nothing here");
    let method = ask(app, request(Method::PUT, "/keys", KEY)).await;
    assert_eq!(
        (method.status, method.problem()["code"].as_str()),
        (405, Some("method-not-allowed"))
    );
}
