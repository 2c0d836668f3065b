//! Keys that are sold by use: what a request costs, and who cannot pay.

use axum::{Router, routing::get as route};
use http::Method;
use tower_api_key::{
    ApiKeyAuth, Builder,
    authn::Unavailable,
    clock::ManualClock,
    key::{CreditAccount, KeyDigest, KeyId, KeyRecord},
    manage::NewKey,
    middleware::RequireScope,
    principal::Identity,
    store::MemoryStore,
};

use crate::answer::{Answer, KEY, ask, is, request};

fn priced(builder: Builder) -> ApiKeyAuth {
    let builder = builder.cost(|request| match request.route() {
        Some("/exports" | "/guarded") => 4,
        Some("/everything") => 11,
        Some("/status") => 0,
        _ => 1,
    });
    builder.build().expect("a configuration")
}

fn routed(auth: ApiKeyAuth) -> Router {
    let guarded = route(async || "in").route_layer(RequireScope::new("issues:write").expect("a scope"));
    Router::new()
        .route("/", route(async || "in"))
        .route("/exports", route(async || "in"))
        .route("/everything", route(async || "in"))
        .route("/status", route(async || "in"))
        .route("/guarded", guarded)
        .layer(auth)
}

async fn get(app: &Router, path: &str, key: &str) -> Answer {
    ask(app.clone(), request(Method::GET, path, key)).await
}

#[tokio::test]
async fn a_route_can_cost_more_than_another_or_nothing() {
    let clock = ManualClock::default();
    let store = MemoryStore::with_clock(clock.clone()).expect("a store");
    let auth = priced(ApiKeyAuth::builder(store).clock(clock.clone()));
    let app = routed(auth.clone());
    let new = NewKey::new("alice").credits("10/1h".parse().expect("credits"));
    let issued = auth.keys().expect("there is a store").issue(new).await;
    let key = issued.expect("a key").key.expose().to_owned();
    let told = async |path: &str| {
        let answer = get(&app, path, &key).await;
        let field = |name| answer.all(name).join("|");
        (answer.status, field("ratelimit"), field("retry-after"))
    };
    let is = |status: u16, limit: &str, wait: &str| (status, limit.to_owned(), wait.to_owned());
    assert_eq!(told("/exports").await, is(200, r#""credits";r=6;t=3600"#, ""));
    // It lacks the scope, so it gets back what it paid.
    assert_eq!(told("/guarded").await, is(403, r#""credits";r=6;t=3600"#, ""));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(told("/exports").await, is(200, r#""credits";r=2;t=3600"#, ""));
    // All or nothing.
    assert_eq!(told("/exports").await, is(429, r#""credits";r=2;t=3600"#, "3600"));
    assert_eq!(told("/").await, is(200, r#""credits";r=1;t=3600"#, ""));
    assert_eq!(told("/").await, is(200, r#""credits";r=0;t=3600"#, ""));
    // What costs nothing asks nobody.
    assert_eq!(told("/status").await, is(200, "", ""));
    // What costs more than there ever is does not come through later, either.
    assert_eq!(told("/everything").await, is(429, r#""credits";r=0;t=3600"#, ""));
}

#[tokio::test]
async fn a_key_that_nobody_keeps_an_account_for_is_not_let_in() {
    let resolver = async move |digest: KeyDigest| {
        let id = KeyId::generate();
        let mut record = KeyRecord::new(id, digest, "alice", std::time::SystemTime::UNIX_EPOCH);
        record.credits = Some(CreditAccount::new(id, "5".parse().expect("credits")));
        Ok::<_, Unavailable>(Some(Identity::from_record(&record, std::time::SystemTime::now())))
    };
    let app = routed(priced(ApiKeyAuth::resolver(resolver)));
    assert_eq!(get(&app, "/", KEY).await.summary(), is(503, "auth-unavailable"));
    assert_eq!(get(&app, "/status", KEY).await.status, 200);
}
