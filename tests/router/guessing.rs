//! How many credentials that are not good may come from one client.

use std::time::Duration;

use axum::{Router, extract::Request, routing::get as route};
use http::{Method, header::AUTHORIZATION, request::Parts};
use tower_api_key::{
    ApiKeyAuth, Builder,
    authn::{Fallback, RefusalKind, StaticKey, Unavailable},
    clock::ManualClock,
    key::KeyDigest,
    manage::{KeyChange, NewKey},
    middleware::{ClientAddress, RequireScope},
    principal::Identity,
    store::MemoryStore,
};

use crate::answer::{Answer, KEY, ask, is, request};

/// Three at once, and then one each twenty seconds.
fn limited() -> (Builder, ManualClock) {
    let clock = ManualClock::default();
    let store = MemoryStore::with_clock(clock.clone()).expect("a store");
    let builder = ApiKeyAuth::builder(store)
        .clock(clock.clone())
        .static_key(StaticKey::new(KEY))
        .failure_limit("3/1m".parse().expect("a rate"));
    (builder, clock)
}

fn routed(auth: ApiKeyAuth) -> Router {
    let guarded = route(async || "in").route_layer(RequireScope::new("issues:write").expect("a scope"));
    Router::new()
        .route("/", route(async || "in"))
        .route("/guarded", guarded)
        .layer(auth)
}

fn from(client: &str, mut request: Request) -> Request {
    if !client.is_empty() {
        let address = client.parse().expect("an address");
        request.extensions_mut().insert(ClientAddress(address));
    }
    request
}

async fn get(app: &Router, client: &str, key: &str) -> Answer {
    ask(app.clone(), from(client, request(Method::GET, "/", key))).await
}

fn rate_limited() -> (u16, String) {
    is(429, "rate-limited")
}

#[tokio::test]
async fn all_that_is_wrong_with_a_key_is_told_until_there_was_too_much_of_it() {
    let (builder, clock) = limited();
    let auth = builder.build().expect("a configuration");
    let keys = auth.keys().expect("there is a store");
    let issue = async |new| keys.issue(new).await.expect("a key");
    let good = issue(NewKey::new("alice")).await;
    let (revoked, disabled) = (
        issue(NewKey::new("alice")).await,
        issue(NewKey::new("alice")).await,
    );
    let soon = tower_api_key::clock::Clock::now(&clock) + Duration::from_secs(1);
    let expired = issue(NewKey::new("alice").expires_at(soon)).await;
    keys.revoke(revoked.record.id).await.expect("revoked");
    let disable = KeyChange::new().disabled(true);
    keys.change(disabled.record.id, disable).await.expect("disabled");
    clock.advance(Duration::from_secs(2));
    let app = routed(auth.clone());

    let bad = [
        ("wrong", "invalid-key"),
        (revoked.key.expose(), "key-revoked"),
        (disabled.key.expose(), "key-disabled"),
        (expired.key.expose(), "key-expired"),
    ];
    // Each is counted, and each is told alike once there were three.
    for (i, (key, code)) in bad.into_iter().enumerate() {
        let client = format!("192.0.2.{i}");
        for _ in 0..3 {
            assert_eq!(get(&app, &client, key).await.summary(), is(401, code));
        }
        let first = get(&app, &client, "wrong").await;
        for (key, code) in bad {
            let refused = get(&app, &client, key).await;
            assert_eq!(refused.summary(), rate_limited());
            assert_eq!((&refused.body, &refused.headers), (&first.body, &first.headers));
            assert_eq!(refused.all("retry-after"), ["20"]);
            for absent in ["www-authenticate", "ratelimit", "ratelimit-policy"] {
                assert_eq!(refused.all(absent), [""; 0]);
            }
            // The log learns more.
            let refusal = refused.refusal.expect("a refusal");
            assert_eq!(refusal.kind(), RefusalKind::TooManyFailures);
            assert!(
                refusal.as_limited().is_none() && refusal.to_string().ends_with(code),
                "{refusal}"
            );
        }
        assert_eq!(
            get(&app, &client, good.key.expose()).await.summary(),
            is(200, "in")
        );
        assert_eq!(get(&app, &client, KEY).await.summary(), is(200, "in"));
        let head = from(&client, request(Method::HEAD, "/", "wrong"));
        let head = ask(app.clone(), head).await;
        assert_eq!((head.status, head.body.as_str()), (429, ""));
    }
    // What was refused so has not been counted.
    clock.advance(Duration::from_secs(20));
    assert_eq!(
        get(&app, "192.0.2.0", "wrong").await.summary(),
        is(401, "invalid-key")
    );
    assert_eq!(get(&app, "192.0.2.0", "wrong").await.summary(), rate_limited());
}

#[tokio::test]
async fn what_is_no_bad_credential_is_not_counted() {
    let (builder, _) = limited();
    let app = routed(builder.build().expect("a configuration"));
    let client = "192.0.2.1";
    for _ in 0..10 {
        assert_eq!(
            get(&app, client, "").await.summary(),
            is(401, "missing-credentials")
        );
        let mut twice = request(Method::GET, "/", "wrong");
        twice
            .headers_mut()
            .append("x-key", "wrong".parse().expect("a value"));
        let twice = ask(app.clone(), from(client, twice)).await;
        assert_eq!(twice.summary(), is(400, "ambiguous-credentials"));
        let denied = from(client, request(Method::GET, "/guarded", KEY));
        assert_eq!(
            ask(app.clone(), denied).await.summary(),
            is(403, "insufficient-scope")
        );
    }
    let down = ApiKeyAuth::resolver(|_: KeyDigest| std::future::ready(Err(Unavailable::new("down"))))
        .failure_limit("3/1m".parse().expect("a rate"));
    let down = routed(down.build().expect("a configuration"));
    for _ in 0..10 {
        assert_eq!(
            get(&down, client, "any").await.summary(),
            is(503, "auth-unavailable")
        );
    }
    for _ in 0..3 {
        assert_eq!(get(&app, client, "wrong").await.summary(), is(401, "invalid-key"));
    }
    assert_eq!(get(&app, client, "wrong").await.summary(), rate_limited());
}

#[tokio::test]
async fn clients_that_cannot_be_told_apart_are_one_and_others_are_not() {
    let (builder, _) = limited();
    let auth = builder.trusted_proxies(["10.0.0.0/8"]);
    let app = routed(auth.build().expect("a configuration"));
    let behind = |list: &str| {
        let mut request = from("10.0.0.1", request(Method::GET, "/", "wrong"));
        let value = list.parse().expect("a value");
        request.headers_mut().insert("x-forwarded-for", value);
        request
    };
    let direct = |client: &str| from(client, request(Method::GET, "/", "wrong"));
    // Four of each, all of which are one.
    let same = [
        vec![direct(""), direct(""), direct(""), direct("")],
        vec![
            direct("192.0.2.1"),
            direct("::ffff:192.0.2.1"),
            behind("192.0.2.1"),
            behind("198.51.100.1, 192.0.2.1:80"),
        ],
        vec![
            direct("2001:db8::1"),
            behind("2001:db8::2"),
            direct("2001:db8:0:0:ffff::"),
            behind("[2001:db8::3]:80"),
        ],
        vec![
            direct("2001:db8:0:1::1"),
            direct("2001:db8:0:1::2"),
            direct("2001:db8:0:1::3"),
            direct("2001:db8:0:1::4"),
        ],
        // The last that can be told.
        vec![
            behind("unknown"),
            behind("192.0.2.9, _x"),
            behind(""),
            direct("10.0.0.1"),
        ],
        vec![
            behind("unknown, 10.0.0.2"),
            behind("192.0.2.9, , 10.0.0.2"),
            behind("_x, 10.0.0.2"),
            direct("10.0.0.2"),
        ],
    ];
    for requests in same {
        let mut statuses = Vec::new();
        for request in requests {
            statuses.push(ask(app.clone(), request).await.status);
        }
        assert_eq!(statuses, [401, 401, 401, 429]);
    }
}

/// Claims every bearer token, and knows one; without one it knows nobody.
struct Tokens;

impl Fallback for Tokens {
    async fn authenticate(&self, _: &Parts) -> Result<Option<Identity>, Unavailable> {
        Ok(None)
    }

    fn claims_bearer(&self, _: &str) -> bool {
        true
    }

    async fn authenticate_bearer(&self, token: &str, _: &Parts) -> Result<Option<Identity>, Unavailable> {
        Ok((token == "session").then(|| Identity::new("alice")))
    }
}

#[tokio::test]
async fn a_bearer_token_that_the_fallback_does_not_know_is_a_guess_like_any_other() {
    let (builder, _) = limited();
    let app = routed(builder.fallback(Tokens).build().expect("a configuration"));
    let bearer = async |token: &str| {
        let mut request = request(Method::GET, "/", "");
        let value = format!("Bearer {token}").parse().expect("a value");
        request.headers_mut().insert(AUTHORIZATION, value);
        ask(app.clone(), from("192.0.2.1", request)).await.summary()
    };
    for _ in 0..10 {
        assert_eq!(
            get(&app, "192.0.2.1", "").await.summary(),
            is(401, "missing-credentials")
        );
    }
    assert_eq!(bearer("guess").await, is(401, "invalid-key"));
    assert_eq!(
        get(&app, "192.0.2.1", "guess").await.summary(),
        is(401, "invalid-key")
    );
    assert_eq!(bearer("guess").await, is(401, "invalid-key"));
    for _ in 0..3 {
        assert_eq!(bearer("guess").await, rate_limited());
        assert_eq!(bearer("session").await, is(200, "in"));
    }
}

#[tokio::test]
async fn more_addresses_than_there_is_room_for_share_one_budget() {
    let (builder, _) = limited();
    let app = routed(builder.build().expect("a configuration"));
    let mut told = 0;
    for i in 0..50_010_u32 {
        let client = std::net::Ipv4Addr::from(i);
        told += usize::from(get(&app, &client.to_string(), "wrong").await.status == 401);
    }
    // Those that came too late share one budget.
    assert_eq!(told, 50_003);
    assert_eq!(
        get(&app, "0.0.0.1", "wrong").await.summary(),
        is(401, "invalid-key")
    );
    assert_eq!(get(&app, "1.0.0.1", KEY).await.summary(), is(200, "in"));
}
