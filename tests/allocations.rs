//! How many allocations a request costs.
//!
//! A figure is the difference between two routers that are alike in all but one layer, each taken as `axum::serve` takes it, for one
//! request that was made before. The measured numbers are asserted, so that a change of one is seen, and each stands beside its budget.

#![expect(clippy::print_stdout, reason = "it prints figures")]

#[macro_use]
#[path = "support/passed_on.rs"]
mod passed_on;

use std::{
    hint::black_box,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    routing::{MethodRouter, get},
};
use http::StatusCode;
use tower::{Layer, Service};
use tower_api_key::{
    ApiKeyAuth,
    access::{Grants, Requirement},
    authn::StaticKey,
    clock::Clock,
    extract::{Requires, Scoped},
    key::{KeyDigest, KeyFormat, KeyId},
    manage::NewKey,
    middleware::RequireScope,
    principal::Principal,
    store::{KeyStore, MemoryStore, StoreError, StoredKey},
};

/// Longer than any run, so that only hits are measured.
const AN_HOUR: Duration = Duration::from_secs(3600);

struct ReadIssues;

impl Requires for ReadIssues {
    const REQUIREMENT: Requirement = Requirement::all_of(&["issues:read"]);
}

/// A layer that does nothing, and like any real one is not of size zero: axum copies layers into boxes.
#[derive(Clone)]
struct Nothing<S> {
    inner: S,
    shared: Arc<()>,
}

impl Nothing<()> {
    fn layer() -> Self {
        Self {
            inner: (),
            shared: Arc::new(()),
        }
    }
}

impl<S> Layer<S> for Nothing<()> {
    type Service = Nothing<S>;

    fn layer(&self, inner: S) -> Nothing<S> {
        Nothing {
            inner,
            shared: self.shared.clone(),
        }
    }
}

impl<S: Service<R>, R> Service<R> for Nothing<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.inner.call(request)
    }
}

/// A store that counts what it is asked for.
#[derive(Debug, Clone)]
struct Counting {
    store: MemoryStore,
    reads: Arc<AtomicUsize>,
}

impl KeyStore for Counting {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<StoredKey>, StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.store.find(digest).await
    }

    async fn get(&self, id: KeyId) -> Result<Option<StoredKey>, StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.store.get(id).await
    }

    passed_on!(store: transact, list, events, log_after, log_head, expired_before, is_empty, has_imported, ping, spend, give_back, credits, check_key);
}

/// Stands still, so that whatever is remembered for a second is remembered for the whole of a test.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + AN_HOUR
    }

    fn elapsed(&self) -> Duration {
        AN_HOUR
    }
}

/// A good key, and the layer that knows it.
struct Bench {
    auth: ApiKeyAuth,
    key: String,
    store: Counting,
}

impl Bench {
    async fn new() -> Self {
        let store = Counting {
            store: MemoryStore::new().expect("a store"),
            reads: Arc::default(),
        };
        let auth = ApiKeyAuth::builder(store.clone())
            .clock(Still)
            .cache_ttl(AN_HOUR)
            .unknown_ttl(AN_HOUR)
            .build()
            .expect("a configuration");
        let keys = auth.keys().expect("there is a store");
        let grants = Grants::scopes(["issues:*", "wiki:read"]).expect("scopes");
        let issued = keys
            .issue(NewKey::new("alice").name("deploy").grants(grants))
            .await;
        let key = issued.expect("a key").key.expose().to_owned();
        Self { auth, key, store }
    }

    fn reads(&self) -> usize {
        self.store.reads.load(Ordering::Relaxed)
    }
}

fn route<S>(handler: MethodRouter<S>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    Router::new().route("/", handler)
}

/// Reads the caller, if there is one, and answers an empty 200.
async fn answer(request: Request) {
    let caller = request.extensions().get::<Principal>();
    black_box(caller.map(|caller| caller.owner().len()));
}

/// What one request costs once everything is warm, and it must cost that each time.
async fn cost(app: Router, key: &str, status: StatusCode) -> u64 {
    // As `axum::serve` does, so that handlers and layers are put together once.
    let mut app = app.with_state::<()>(());
    let request = || {
        let request = Request::get("/").header("Authorization", format!("Bearer {key}"));
        request.body(Body::empty()).expect("a request")
    };
    for _ in 0..3 {
        let Ok(response) = app.call(request()).await;
        assert_eq!(response.status(), status);
    }
    let mut costs = (0..100).map(|_| {
        let request = request();
        let measured = allocation_counter::measure(|| {
            let answering = pin!(app.call(request));
            // Nothing here waits for anything.
            let Poll::Ready(Ok(response)) = answering.poll(&mut Context::from_waker(Waker::noop())) else {
                panic!("the answer is not there at once");
            };
            assert_eq!(response.status(), status);
        });
        measured.count_total
    });
    let first = costs.next().expect("a figure");
    assert!(
        costs.all(|cost| cost == first),
        "it does not cost the same each time"
    );
    first
}

#[track_caller]
fn within_budget(what: &str, [cost, reference]: [u64; 2], measured: i64, budget: i64) {
    let over = i64::try_from(cost).expect("a number") - i64::try_from(reference).expect("a number");
    println!("{what}: {cost} allocations, {over} more than {reference}; budget {budget} more");
    assert!(
        over <= budget,
        "{what} costs {over} more, and the budget is {budget}"
    );
    assert_eq!(over, measured, "{what}: say so if it is for the better");
}

#[tokio::test]
async fn a_good_key_costs_three_at_most() {
    let bench = Bench::new().await;
    let nothing = cost(
        route(get(answer)).layer(Nothing::layer()),
        &bench.key,
        StatusCode::OK,
    )
    .await;
    let cached = cost(
        route(get(answer)).layer(bench.auth.clone()),
        &bench.key,
        StatusCode::OK,
    )
    .await;
    // One of them is axum's, which puts the body into a box: it is of a type of this crate's, so that streams end with their key.
    within_budget("a cached key", [cached, nothing], 3, 3);
    assert_eq!(bench.reads(), 1, "all but the first were hits");

    let statics = ApiKeyAuth::static_keys_only()
        .static_key(StaticKey::new(&bench.key))
        .build()
        .expect("a configuration");
    let known = cost(route(get(answer)).layer(statics), &bench.key, StatusCode::OK).await;
    within_budget("one static key", [known, nothing], 3, 3);

    let beside = ApiKeyAuth::static_keys_only()
        .static_key(StaticKey::new(&bench.key))
        .reserved_prefix("oc_")
        .fallback(|_: &http::request::Parts| async { panic!("a key decides alone") })
        .build()
        .expect("a configuration");
    let known = cost(route(get(answer)).layer(beside), &bench.key, StatusCode::OK).await;
    within_budget("one static key beside a fallback", [known, nothing], 3, 3);
}

#[tokio::test]
async fn a_limit_costs_what_it_takes_to_tell_of_it() {
    let key = "correct-horse-battery-staple";
    let limited = |limits: &str| {
        let builder = ApiKeyAuth::static_keys_only()
            .clock(Still)
            .static_key(StaticKey::new(key));
        let builder = match limits {
            "" => builder,
            limits => builder.rate_limit(limits.parse().expect("limits")),
        };
        route(get(answer)).layer(builder.build().expect("a configuration"))
    };
    let free = cost(limited(""), key, StatusCode::OK).await;
    // Two fields with their texts; the counting itself needs none.
    let one = cost(limited("1000/1h"), key, StatusCode::OK).await;
    within_budget("a limit", [one, free], 2, 2);
    let four = cost(
        limited("a=1000/1h,b=1000/1h,c=1000/1h,d=1000/1h"),
        key,
        StatusCode::OK,
    )
    .await;
    within_budget("four limits", [four, free], 2, 2);
}

#[tokio::test]
async fn a_scope_check_costs_none() {
    let bench = Bench::new().await;
    let cost = |handler| {
        cost(
            route(handler).layer(bench.auth.clone()),
            &bench.key,
            StatusCode::OK,
        )
    };

    let nothing = cost(get(answer).route_layer(Nothing::layer())).await;
    let layer = RequireScope::new("issues:read").expect("a scope");
    let checked = cost(get(answer).route_layer(layer)).await;
    within_budget("the scope layer", [checked, nothing], 0, 0);

    let extracted = cost(get(async |caller: Principal| {
        black_box(caller.owner().len());
    }))
    .await;
    let scoped = cost(get(async |caller: Scoped<ReadIssues>| {
        black_box(caller.owner().len());
    }))
    .await;
    within_budget("the extractor Scoped", [scoped, extracted], 0, 0);
}

#[tokio::test]
async fn a_bad_key_costs_four_at_most_and_no_read() {
    let bench = Bench::new().await;
    let Bench { auth, key, store } = &bench;
    // Minted as the store would, but never put into it: only a look-up can tell.
    let format = KeyFormat::new("ak", &store.check_key()).expect("a prefix");
    let unknown = format.generate().expect("random numbers");
    let wrong_check = format!("{}{}", &key[..51], if key.ends_with('x') { 'y' } else { 'x' });

    let nothing = cost(route(get(answer)).layer(Nothing::layer()), key, StatusCode::OK).await;
    for (what, key, reads) in [
        ("a malformed key", "xy_nonsense", 0),
        ("a key with a wrong check", wrong_check.as_str(), 0),
        ("an unknown key", unknown.expose(), 1),
    ] {
        let before = bench.reads();
        let app = route(get(answer)).layer(auth.clone());
        let refused = cost(app, key, StatusCode::UNAUTHORIZED).await;
        // The reference is what the route costs when it answers, handler included.
        within_budget(what, [refused, nothing], 3, 4);
        assert_eq!(bench.reads() - before, reads, "{what}");
    }
}
