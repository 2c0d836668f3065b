//! A resolver of the application's own: three outcomes and no fourth.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, http::Method, routing::get as route};
use tower_api_key::{
    ApiKeyAuth, Builder,
    authn::{Resolver, Unavailable},
    key::KeyDigest,
    principal::{Identity, Principal},
};

use crate::answer::{ask, get, is, request};

/// What becomes of a look-up, by the key that is presented.
async fn outcome(digest: KeyDigest) -> Result<Option<Identity>, Unavailable> {
    let keys = ["found", "error", "panic", "slow"];
    match keys
        .into_iter()
        .find(|key| KeyDigest::of(key.as_bytes()) == digest)
    {
        Some("found") => Ok(Some(Identity::new("alice").name("ci").key_id(7))),
        Some("error") => {
            std::fs::read("/nonexistent/table")?;
            Ok(None)
        }
        Some("panic") => panic!("the resolver has a bug"),
        Some("slow") => std::future::pending().await,
        _ => Ok(None),
    }
}

struct Table;

impl Resolver for Table {
    async fn resolve(&self, digest: KeyDigest) -> Result<Option<Identity>, Unavailable> {
        outcome(digest).await
    }
}

fn app(builder: Builder) -> Router {
    let who = async |caller: Principal| format!("{caller} {} {:?}", caller.name(), caller.key_id());
    let auth = builder.build().expect("a configuration");
    Router::new().route("/", route(who)).layer(auth)
}

// Time is paused: the time-out of the look-up comes when nothing else can happen.
#[tokio::test(start_paused = true)]
async fn found_passes_not_found_is_401_and_everything_else_is_503() {
    for app in [
        app(ApiKeyAuth::resolver(outcome)),
        app(ApiKeyAuth::resolver(Table)),
    ] {
        for (key, expected) in [
            ("found", is(200, "alice ci Some(\"7\")")),
            ("unknown", is(401, "invalid-key")),
            ("error", is(503, "auth-unavailable")),
            ("panic", is(503, "auth-unavailable")),
            ("slow", is(503, "auth-unavailable")),
        ] {
            for _ in 0..2 {
                assert_eq!(get(&app, "/", key).await, expected, "{key}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn unavailable_says_when_to_try_again_and_challenges_nobody() {
    let app = app(ApiKeyAuth::resolver(outcome));
    for key in ["error", "panic", "slow"] {
        let answer = ask(app.clone(), request(Method::GET, "/", key)).await;
        assert_eq!(answer.all("retry-after"), ["1"], "{key}");
        assert_eq!(answer.all("cache-control"), ["no-store"], "{key}");
        assert!(answer.all("www-authenticate").is_empty(), "{key}");
        assert!(!answer.body.contains("nonexistent"), "{}", answer.body);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_not_remembered_and_an_answer_is() {
    for (fails, sees) in [
        ("error", 503),
        ("panic", 503),
        ("slow", 503),
        ("unknown", 401),
        ("found", 200),
    ] {
        let asked = Arc::new(AtomicUsize::new(0));
        let counting = asked.clone();
        let app = app(ApiKeyAuth::resolver(move |_: KeyDigest| {
            let first = counting.fetch_add(1, Ordering::Relaxed) == 0;
            outcome(KeyDigest::of(if first { fails.as_bytes() } else { b"found" }))
        }));
        assert_eq!(get(&app, "/", "a-key").await.0, sees, "{fails}");
        let recovered = if sees == 503 { 200 } else { sees };
        assert_eq!(get(&app, "/", "a-key").await.0, recovered, "{fails}");
        assert_eq!(get(&app, "/", "a-key").await.0, recovered, "{fails}");
        let look_ups = if sees == 503 { 2 } else { 1 };
        assert_eq!(asked.load(Ordering::Relaxed), look_ups, "{fails}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_out_is_the_applications_to_choose() {
    let app = app(ApiKeyAuth::resolver(|_: KeyDigest| async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        Ok(Some(Identity::new("alice")))
    })
    .lookup_timeout(Duration::from_secs(30)));
    assert_eq!(get(&app, "/", "a-key").await.0, 200);
}

#[tokio::test]
async fn an_identity_that_is_not_good_is_refused_with_its_reason() {
    let past = std::time::SystemTime::now() - Duration::from_secs(1);
    let future = past + Duration::from_secs(3600);
    let identities = [
        (
            "past",
            Identity::new("a").expires_at(past),
            is(401, "key-expired"),
        ),
        (
            "future",
            Identity::new("a").expires_at(future),
            is(200, "a  None"),
        ),
        (
            "revoked",
            Identity::new("a").expires_at(past).revoked(),
            is(401, "key-revoked"),
        ),
        ("disabled", Identity::new("a").disabled(), is(401, "key-disabled")),
    ];
    let table: HashMap<[u8; 32], Identity> = identities
        .iter()
        .map(|(key, identity, _)| (*KeyDigest::of(key.as_bytes()).as_bytes(), identity.clone()))
        .collect();
    let app = app(ApiKeyAuth::resolver(move |digest: KeyDigest| {
        std::future::ready(Ok(table.get(digest.as_bytes()).cloned()))
    }));
    for (key, _, expected) in identities {
        for _ in 0..2 {
            assert_eq!(get(&app, "/", key).await, expected, "{key}");
        }
    }
}
