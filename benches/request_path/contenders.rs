//! Routes that differ in one thing only: what stands between the router and the handler.

use std::{
    convert::Infallible,
    hint::black_box,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use dashmap::DashMap;
use http::{HeaderValue, StatusCode, header::AUTHORIZATION};
use sha2::{Digest, Sha256};
use tower::{Layer, Service};
use tower_api_key::{
    ApiKeyAuth,
    access::{Grants, Requirement},
    authn::StaticKey,
    extract::{Requires, Scoped},
    key::KeyFormat,
    manage::NewKey,
    middleware::{Authenticate, RequireScope},
    principal::Principal,
    store::{KeyStore, MemoryStore},
};

/// Longer than any run, so that only hits are measured.
const AN_HOUR: Duration = Duration::from_secs(3600);

/// A service, and the request it is asked again and again.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    /// The contender that does nothing in the same place.
    pub(crate) against: &'static str,
    status: StatusCode,
    authorization: HeaderValue,
    app: App,
}

enum App {
    Router(Router),
    NothingAround(Nothing<Router>),
    AuthAround(Authenticate<Router>),
}

impl Contender {
    /// The same request so many times.
    ///
    /// # Panics
    ///
    /// When the answer is not the one that is expected: then the figures would be of something else.
    pub(crate) async fn run(&mut self, count: u32) {
        let Self {
            app,
            status,
            authorization,
            ..
        } = self;
        match app {
            App::Router(app) => run(app, authorization, *status, count).await,
            App::NothingAround(app) => run(app, authorization, *status, count).await,
            App::AuthAround(app) => run(app, authorization, *status, count).await,
        }
    }
}

async fn run<S, B>(app: &mut S, authorization: &HeaderValue, status: StatusCode, count: u32)
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
{
    for _ in 0..count {
        let mut request = Request::new(Body::empty());
        request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        // A router, and whatever is around one here, is always ready.
        let Ok(response) = app.call(request).await;
        assert_eq!(response.status(), status);
        black_box(response);
    }
}

/// All of them. The first request looks the key up, the others are hits.
pub(crate) async fn contenders() -> Vec<Contender> {
    let store = MemoryStore::new().expect("random numbers");
    let auth = ApiKeyAuth::builder(store.clone())
        .cache_ttl(AN_HOUR)
        .unknown_ttl(AN_HOUR)
        .build()
        .expect("a good configuration");
    let keys = auth.keys().expect("there is a store");
    let grants = Grants::scopes(["issues:*", "wiki:read"]).expect("scopes");
    let issued = keys
        .issue(NewKey::new("alice").name("deploy").grants(grants))
        .await;
    let key = issued.expect("a key").key.expose().to_owned();

    // Minted as the store would, but never put into it: only a look-up can tell.
    let format = KeyFormat::new("ak", &store.check_key()).expect("a prefix");
    let unknown = format.generate().expect("random numbers").expose().to_owned();
    let mistyped = format!("{}{}", &key[..51], if key.ends_with('x') { 'y' } else { 'x' });
    let malformed = format!("xy{}", &key[2..]);

    let good = |name, against, app| contender(name, against, StatusCode::OK, &key, app);
    let refused = |name, key: &str| {
        let app = App::Router(route().layer(auth.clone()));
        contender(name, "nothing", StatusCode::UNAUTHORIZED, key, app)
    };
    let limited = |limits: &str| {
        let auth = ApiKeyAuth::builder(store.clone())
            .cache_ttl(AN_HOUR)
            .rate_limit(limits.parse().expect("limits"))
            .build()
            .expect("a good configuration");
        App::Router(route().layer(auth))
    };
    let scope = || RequireScope::new("issues:read").expect("a scope");
    let scoped = get(async |caller: Scoped<ReadIssues>| {
        black_box(caller.owner().len());
    });
    let extracted = get(async |caller: Principal| {
        black_box(caller.owner().len());
    });

    vec![
        good("floor", "floor", App::Router(route())),
        good("nothing", "floor", App::Router(route().layer(NothingLayer))),
        good(
            "nothing-around",
            "floor",
            App::NothingAround(NothingLayer.layer(route())),
        ),
        good(
            "nothing-from-fn",
            "floor",
            App::Router(route().layer(from_fn(async |request: Request, next: Next| {
                next.run(request).await
            }))),
        ),
        #[expect(deprecated, reason = "compared with because it is what people have")]
        good(
            "tower-http-bearer",
            "nothing",
            App::Router(
                route().layer(tower_http::validate_request::ValidateRequestHeaderLayer::bearer(
                    &key,
                )),
            ),
        ),
        good("by-hand", "nothing-from-fn", App::Router(by_hand(&key))),
        good(
            "static-1",
            "nothing",
            App::Router(route().layer(static_keys(&key, 1))),
        ),
        good(
            "static-8",
            "nothing",
            App::Router(route().layer(static_keys(&key, 8))),
        ),
        good("cached", "nothing", App::Router(route().layer(auth.clone()))),
        good(
            "cached-around",
            "nothing-around",
            App::AuthAround(auth.layer(route())),
        ),
        good(
            "cached-nothing-inside",
            "cached",
            App::Router(route().route_layer(NothingLayer).layer(auth.clone())),
        ),
        good(
            "cached-scope-layer",
            "cached-nothing-inside",
            App::Router(route().route_layer(scope()).layer(auth.clone())),
        ),
        good(
            "cached-extractor",
            "cached",
            App::Router(Router::new().route("/", extracted).layer(auth.clone())),
        ),
        good(
            "cached-scoped",
            "cached-extractor",
            App::Router(Router::new().route("/", scoped).layer(auth.clone())),
        ),
        // Never used up.
        good("cached-limited", "cached", limited("1000000/1s")),
        good(
            "cached-limited-4",
            "cached",
            limited("a=1000000/1s,b=1000000/1s,c=1000000/1s,d=1000000/1s"),
        ),
        // Each request is counted, for the page to show.
        #[cfg(feature = "page")]
        good("cached-counted", "cached", {
            let counted = ApiKeyAuth::builder(store.clone()).cache_ttl(AN_HOUR);
            let auth = counted.build().expect("a good configuration");
            drop(auth.page());
            App::Router(route().layer(auth))
        }),
        refused("unknown", &unknown),
        refused("malformed", &malformed),
        refused("wrong-check", &mistyped),
    ]
}

fn contender(
    name: &'static str,
    against: &'static str,
    status: StatusCode,
    key: &str,
    app: App,
) -> Contender {
    Contender {
        name,
        against,
        status,
        authorization: format!("Bearer {key}").try_into().expect("a header value"),
        app,
    }
}

fn route() -> Router {
    Router::new().route("/", get(answer))
}

/// Reads the caller, if there is one, and answers an empty 200.
async fn answer(request: Request) {
    let principal = request.extensions().get::<Principal>();
    black_box(principal.map(|principal| principal.owner().len()));
}

struct ReadIssues;

impl Requires for ReadIssues {
    const REQUIREMENT: Requirement = Requirement::all_of(&["issues:read"]);
}

/// The last of so many static keys is the one that will be presented.
fn static_keys(key: &str, count: usize) -> ApiKeyAuth {
    let others = (1..count).map(|i| StaticKey::new(format!("another-static-key-{i}")));
    ApiKeyAuth::static_keys_only()
        .static_keys(others)
        .static_key(StaticKey::new(key))
        .build()
        .expect("a good configuration")
}

/// What an application writes for itself.
fn by_hand(key: &str) -> Router {
    struct Caller {
        owner: String,
    }

    type Callers = Arc<DashMap<[u8; 32], Arc<Caller>>>;

    async fn authenticate(State(callers): State<Callers>, mut request: Request, next: Next) -> Response {
        let authorization = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let key = authorization.and_then(|value| value.strip_prefix(b"Bearer "));
        let digest: Option<[u8; 32]> = key.map(|key| Sha256::digest(key).into());
        let caller = digest.and_then(|digest| callers.get(&digest).map(|caller| caller.clone()));
        match caller {
            Some(caller) => {
                request.extensions_mut().insert(caller);
                next.run(request).await
            }
            None => StatusCode::UNAUTHORIZED.into_response(),
        }
    }

    async fn answer(request: Request) {
        let caller = request.extensions().get::<Arc<Caller>>();
        black_box(caller.map(|caller| caller.owner.len()));
    }

    let owner = "alice".to_owned();
    let callers: Callers = Arc::default();
    callers.insert(Sha256::digest(key).into(), Arc::new(Caller { owner }));
    Router::new()
        .route("/", get(answer))
        .layer(from_fn_with_state(callers, authenticate))
}

#[derive(Clone)]
struct NothingLayer;

impl<S> Layer<S> for NothingLayer {
    type Service = Nothing<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Nothing { inner }
    }
}

#[derive(Clone)]
struct Nothing<S> {
    inner: S,
}

impl<S, R> Service<R> for Nothing<S>
where
    S: Service<R>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        self.inner.call(request)
    }
}
