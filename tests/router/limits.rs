//! How often a key may be used: what comes through, what is told, and what uses nothing.

use std::time::Duration;

use axum::{Router, routing::get as route};
use http::{Method, header::AUTHORIZATION};
use tokio::task::JoinSet;
use tower_api_key::{
    ApiKeyAuth, Builder,
    access::{AddressList, RateLimits},
    authn::StaticKey,
    clock::ManualClock,
    key::KeyDigest,
    manage::{Caller, KeyChange, ManageErrorKind, NewKey},
    middleware::RequireScope,
    principal::{Identity, Principal},
    store::MemoryStore,
};

use crate::answer::{Answer, KEY, ask, is, request, scopes};

fn rate(text: &str) -> RateLimits {
    text.parse().expect("limits")
}

/// A layer that goes by a clock that stands still, and the clock.
fn limited(default: Option<&str>) -> (Builder, ManualClock) {
    let clock = ManualClock::default();
    let store = MemoryStore::with_clock(clock.clone()).expect("a store");
    let builder = ApiKeyAuth::builder(store)
        .clock(clock.clone())
        .static_key(StaticKey::new(KEY));
    let builder = match default {
        Some(default) => builder.rate_limit(rate(default)),
        None => builder,
    };
    (builder, clock)
}

fn routed(auth: ApiKeyAuth) -> Router {
    let guarded = route(async || "in").route_layer(RequireScope::new("issues:write").expect("a scope"));
    Router::new()
        .route("/", route(async || "in"))
        .route("/guarded", guarded)
        .layer(auth)
}

async fn get(app: &Router, path: &str, key: &str) -> Answer {
    ask(app.clone(), request(Method::GET, path, key)).await
}

/// How many of so many tries come through.
async fn through(app: &Router, key: &str, tries: usize) -> usize {
    let mut count = 0;
    for _ in 0..tries {
        let answer = get(app, "/", key).await;
        match answer.status {
            200 => count += 1,
            _ => assert_eq!(answer.summary(), is(429, "rate-limited")),
        }
    }
    count
}

async fn minted(auth: &ApiKeyAuth, new: NewKey) -> String {
    let keys = auth.keys().expect("there is a store");
    keys.issue(new).await.expect("a key").key.expose().to_owned()
}

#[tokio::test]
async fn a_key_comes_through_as_often_as_its_limit_says_and_is_told_when_it_may_again() {
    let (builder, clock) = limited(None);
    let auth = builder.build().expect("a configuration");
    let app = routed(auth.clone());
    let key = minted(&auth, NewKey::new("alice").rate_limit(rate("4/1m"))).await;
    let fields = |answer: &Answer| {
        assert_eq!(answer.all("ratelimit-policy"), [r#""default";q=4;w=60"#]);
        (answer.status, answer.all("ratelimit").join("|"))
    };
    for left in [
        r#""default";r=3;t=15"#,
        r#""default";r=2;t=30"#,
        r#""default";r=1;t=45"#,
    ] {
        let answer = get(&app, "/", &key).await;
        assert_eq!(fields(&answer), (200, left.to_owned()));
        assert!(answer.all("retry-after").is_empty());
    }
    let head = ask(app.clone(), request(Method::HEAD, "/", &key)).await;
    assert_eq!(fields(&head), (200, r#""default";r=0;t=60"#.to_owned()));
    for _ in 0..10 {
        let refused = get(&app, "/", &key).await;
        assert_eq!(refused.summary(), is(429, "rate-limited"));
        assert_eq!(fields(&refused), (429, r#""default";r=0;t=60"#.to_owned()));
        assert_eq!(refused.all("retry-after"), ["15"]);
        assert_eq!(refused.all("cache-control"), ["no-store"]);
        assert!(refused.all("www-authenticate").is_empty());
        for secret in ["alice", key.as_str(), &KeyDigest::of(key.as_bytes()).to_hex()] {
            assert!(!refused.body.contains(secret));
        }
    }
    // Rounded up: whoever waits for as long as they are told comes through.
    clock.advance(Duration::from_millis(14_500));
    assert_eq!(get(&app, "/", &key).await.all("retry-after"), ["1"]);
    clock.advance(Duration::from_secs(1));
    assert_eq!(through(&app, &key, 5).await, 1);
    // Others have nothing to do with it.
    assert_eq!(get(&app, "/", KEY).await.all("ratelimit"), [""; 0]);
}

/// The fields as a client reads them that knows nothing of who made them: each name, and its parameters.
fn parsed(answer: &Answer, field: &str) -> Vec<(String, Vec<(String, i64)>)> {
    let text = answer.all(field).join(", ");
    let list: sfv::List = sfv::Parser::new(&text).parse().expect("a structured list");
    let entries = list.into_iter().map(|entry| match entry {
        sfv::ListEntry::Item(item) => item,
        sfv::ListEntry::InnerList(_) => panic!("an item"),
    });
    let read = |item: sfv::Item| {
        let name = item.bare_item.as_string().expect("a string").as_str().to_owned();
        let number = |value: &sfv::BareItem| i64::from(value.as_integer().expect("a number"));
        let parameters = item
            .params
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), number(value)));
        (name, parameters.collect())
    };
    entries.map(read).collect()
}

#[tokio::test]
async fn every_limit_that_holds_is_told_by_its_name_in_structured_fields() {
    let (builder, clock) = limited(None);
    let builder = builder.owner_rate_limit(rate("6/1h,per-day=1000/1d"));
    let auth = builder.build().expect("a configuration");
    let app = routed(auth.clone());
    let limits = rate("per-second=2/1s,per-minute=5/1m;burst=3");
    let key = minted(&auth, NewKey::new("alice").rate_limit(limits.clone())).await;
    let other = minted(&auth, NewKey::new("alice").rate_limit(limits)).await;
    let named = |name: &str, parameters: [(&str, i64); 2]| {
        let parameters = parameters.map(|(name, number)| (name.to_owned(), number));
        (name.to_owned(), parameters.to_vec())
    };
    let policies = [
        named("per-second", [("q", 2), ("w", 1)]),
        named("per-minute", [("q", 5), ("w", 60)]),
        named("owner", [("q", 6), ("w", 3600)]),
        named("owner-per-day", [("q", 1000), ("w", 86_400)]),
    ];
    let left = |second, minute, owner, day| {
        [
            named("per-second", second),
            named("per-minute", minute),
            named("owner", owner),
            named("owner-per-day", day),
        ]
    };
    let expected = [
        (
            200,
            left(
                [("r", 1), ("t", 1)],
                [("r", 2), ("t", 12)],
                [("r", 5), ("t", 600)],
                [("r", 999), ("t", 87)],
            ),
        ),
        (
            200,
            left(
                [("r", 0), ("t", 1)],
                [("r", 1), ("t", 24)],
                [("r", 4), ("t", 1200)],
                [("r", 998), ("t", 173)],
            ),
        ),
        (
            429,
            left(
                [("r", 0), ("t", 1)],
                [("r", 1), ("t", 24)],
                [("r", 4), ("t", 1200)],
                [("r", 998), ("t", 173)],
            ),
        ),
    ];
    for (status, left) in expected {
        let answer = get(&app, "/", &key).await;
        assert_eq!(answer.status, status);
        assert_eq!(parsed(&answer, "ratelimit-policy"), policies);
        assert_eq!(parsed(&answer, "ratelimit"), left);
        assert_eq!(answer.all("retry-after").len(), usize::from(status == 429));
    }
    clock.advance(Duration::from_secs(1));
    assert_eq!(through(&app, &key, 5).await, 1, "of a minute's three");
    assert_eq!(get(&app, "/", &key).await.all("retry-after"), ["11"]);
    assert_eq!(through(&app, &other, 5).await, 2, "in this second");
    clock.advance(Duration::from_secs(12));
    // The owner has one left, whichever key it is used with.
    assert_eq!(through(&app, &other, 5).await + through(&app, &key, 5).await, 1);
    assert_eq!(get(&app, "/", &key).await.all("retry-after"), ["587"]);
}

#[tokio::test]
async fn a_route_can_cost_more_than_another_or_nothing() {
    let (builder, _) = limited(Some("10/1h"));
    let auth = builder
        .cost(|request| match (request.method().as_str(), request.route()) {
            ("GET", Some("/exports/{id}")) => 4,
            (_, Some("/status")) => 0,
            _ => 1,
        })
        .build()
        .expect("a configuration");
    let guarded = route(async || "in").route_layer(RequireScope::new("issues:write").expect("a scope"));
    let app = Router::new()
        .route("/", route(async || "in"))
        .route("/exports/{id}", route(async || "in").post(async || "in"))
        .route("/imports/{id}", guarded)
        .route("/status", route(async || "in"))
        .layer(auth.clone());
    let key = minted(&auth, NewKey::new("alice")).await;
    let left = async |path: &str| {
        let answer = get(&app, path, &key).await;
        let fields = answer.all("ratelimit").join("");
        (
            answer.status,
            fields.split(';').nth(1).unwrap_or_default().to_owned(),
        )
    };
    let is = |status: u16, left: &str| (status, left.to_owned());
    assert_eq!(left("/exports/1").await, is(200, "r=6"));
    assert_eq!(left("/imports/1").await, is(403, "r=6"));
    assert_eq!(left("/").await, is(200, "r=5"));
    assert_eq!(left("/exports/2").await, is(200, "r=1"));
    assert_eq!(left("/exports/3").await, is(429, "r=1"));
    assert_eq!(
        get(&app, "/exports/3", &key).await.all("retry-after"),
        ["1080"],
        "until there are four"
    );
    let post = ask(app.clone(), request(Method::POST, "/exports/3", &key)).await;
    assert_eq!(post.status, 200);
    assert_eq!(left("/").await, is(429, "r=0"));
    assert_eq!(left("/status").await, is(200, ""));
}

#[tokio::test]
async fn what_is_refused_uses_nothing() {
    let (builder, _) = limited(Some("3/1m"));
    let auth = builder.build().expect("a configuration");
    let app = routed(auth.clone());
    let key = minted(&auth, NewKey::new("alice").grants(scopes(&["issues:read"]))).await;
    let id = auth
        .keys()
        .expect("a store")
        .list(&tower_api_key::store::KeyQuery::newest(1))
        .await;
    let id = id.expect("a page").keys[0].id.to_string();
    let wrong_check = format!("{}{}", &key[..50], if key.ends_with('x') { "yy" } else { "xx" });
    for _ in 0..20 {
        // 403 further inside, 401 for a key that is nearly this one, 400 for two of it.
        let denied = get(&app, "/guarded", &key).await;
        assert_eq!(denied.summary(), is(403, "insufficient-scope"));
        assert_eq!(denied.all("ratelimit"), [r#""default";r=3;t=0"#]);
        for guess in [wrong_check.as_str(), &id, &key[..12]] {
            assert_eq!(get(&app, "/", guess).await.status, 401);
        }
        let mut twice = request(Method::GET, "/", &key);
        let bearer = format!("Bearer {key}").parse().expect("a field");
        twice.headers_mut().insert(AUTHORIZATION, bearer);
        assert_eq!(ask(app.clone(), twice).await.status, 400);
    }
    assert_eq!(through(&app, &key, 10).await, 3);

    // Nor does one from an address that is not on the list, which nobody here knows.
    let new = NewKey::new("alice").allowed_ips(AddressList::new(["192.0.2.1"]).expect("a list"));
    let bound = minted(&auth, new).await;
    for _ in 0..10 {
        let refused = get(&app, "/", &bound).await;
        assert_eq!(refused.summary(), is(403, "address-not-allowed"));
        assert!(refused.all("ratelimit").is_empty());
    }
}

#[tokio::test]
async fn the_limit_of_all_keys_holds_for_those_without_their_own_and_for_static_ones() {
    let (builder, _) = limited(Some("3/1m"));
    let auth = builder.build().expect("a configuration");
    let app = routed(auth.clone());
    let own = minted(&auth, NewKey::new("alice").rate_limit(rate("5/1m"))).await;
    let none = minted(&auth, NewKey::new("alice")).await;
    for (key, expected) in [(own.as_str(), 5), (&none, 3), (KEY, 3)] {
        assert_eq!(through(&app, key, 10).await, expected);
    }
    let optional = routed(auth.optional());
    for _ in 0..10 {
        let anonymous = get(&optional, "/", "").await;
        assert_eq!((anonymous.status, anonymous.all("ratelimit").len()), (200, 0));
    }
    assert_eq!(
        get(&optional, "/", KEY).await.status,
        429,
        "it is the same budget"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_clients_at_once_as_many_come_through_as_the_limit_says() {
    for _ in 0..10 {
        let (builder, _) = limited(None);
        let auth = builder.build().expect("a configuration");
        let app = routed(auth.clone());
        let key = minted(&auth, NewKey::new("alice").rate_limit(rate("100/1m"))).await;
        let mut clients = JoinSet::new();
        for _ in 0..64 {
            let (app, key) = (app.clone(), key.clone());
            clients.spawn(async move { through(&app, &key, 5).await });
        }
        assert_eq!(clients.join_all().await.iter().sum::<usize>(), 100);
    }
}

#[tokio::test]
async fn a_key_of_a_resolver_is_counted_by_its_id() {
    let resolver = |digest: KeyDigest| {
        let known = ["one", "two"]
            .into_iter()
            .find(|key| digest == KeyDigest::of(key.as_bytes()));
        std::future::ready(Ok(
            known.map(|key| Identity::new("alice").key_id(key).rate_limit(rate("2/1m")))
        ))
    };
    let clock = ManualClock::default();
    let builder = ApiKeyAuth::resolver(resolver)
        .clock(clock)
        .cache_ttl(Duration::ZERO);
    let app = routed(builder.build().expect("a configuration"));
    for key in ["one", "two"] {
        assert_eq!(through(&app, key, 5).await, 2, "{key}");
    }
}

#[tokio::test]
async fn nobody_gives_out_a_looser_limit_than_the_one_that_holds_for_them() {
    let (builder, _) = limited(Some("10/1m"));
    let auth = builder.build().expect("a configuration");
    let keys = auth.keys().expect("there is a store");
    let maker = NewKey::new("alice").name("maker").grants(scopes(&["keys:write"]));
    let (free, own) = (
        minted(&auth, maker.clone()).await,
        minted(&auth, maker.rate_limit(rate("5/1m"))).await,
    );
    for (maker, limit, expected) in [
        (&free, None, Ok(None)),
        (&free, Some("10/1m"), Ok(Some("10/1m"))),
        (&free, Some("11/1m"), Err(())),
        (&own, None, Ok(Some("5/1m"))),
        (&own, Some("4/1m"), Ok(Some("4/1m"))),
        (&own, Some("6/1m"), Err(())),
    ] {
        let app = Router::new()
            .route("/", route(async |who: Principal| axum::Extension(who)))
            .layer(auth.clone());
        let response = tower::ServiceExt::oneshot(app, request(Method::GET, "/", maker)).await;
        let who = response
            .expect("an answer")
            .extensions()
            .get::<Principal>()
            .cloned()
            .expect("a principal");
        let mut new = NewKey::new("alice").name("child");
        if let Some(limit) = limit {
            new = new.rate_limit(rate(limit));
        }
        let minted = keys.by(Caller::new(who.clone())).issue(new).await;
        let got = minted
            .map(|issued| issued.record.rate_limit)
            .map_err(|error| error.kind());
        let exceeds = ManageErrorKind::Exceeds(tower_api_key::manage::Excess::RateLimit);
        assert_eq!(
            got,
            expected.map(|limit| limit.map(rate)).map_err(|()| exceeds),
            "{limit:?}"
        );
    }
    // Nor does a key without a limit of its own get a looser one than all have.
    let child = keys
        .issue(NewKey::new("alice").name("child"))
        .await
        .expect("a key")
        .record
        .id;
    let looser = KeyChange::new().rate_limit(Some(rate("100/1m")));
    keys.change(child, looser)
        .await
        .expect("by the application, which may");
}
