//! The span around an authenticated request.

use axum::{
    Router,
    body::Body,
    extract::Request,
    routing::{get, post},
};
use tower::{Layer, Service, ServiceExt};
use tower_api_key::{
    ApiKeyAuth, authn::StaticKey, key::KeyDigest, manage::NewKey, principal::Identity, store::MemoryStore,
};
use tracing::{Instrument, Span, field::Empty, info, info_span};

use crate::recorder::{Fields, Line, Recorder};

const STATIC: &str = "the-static-key-of-this-test";

/// Says something inside of the layer.
fn app(auth: ApiKeyAuth) -> Router {
    let handler = async || info!(target: "test", "inside");
    Router::new().route("/", get(handler)).layer(auth)
}

fn request(key: &str) -> Request {
    let request = Request::get("/").header("X-Key", key);
    request.body(Body::empty()).expect("a request")
}

async fn call(app: &Router, key: &str) {
    let Ok(response) = app.clone().oneshot(request(key)).await;
    assert_eq!(response.status(), 200);
}

fn only(recorder: &Recorder) -> Line {
    let mut lines = recorder.take();
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

fn fields<const N: usize>(fields: [(&'static str, &str); N]) -> Fields {
    fields.map(|(name, value)| (name, value.to_owned())).into()
}

#[tokio::test]
async fn a_static_key_is_named_and_has_no_id() {
    let recorder = Recorder::start();
    let key = StaticKey::new(STATIC).named("deploy").owner("ops");
    let auth = ApiKeyAuth::static_keys_only()
        .static_key(key)
        .build()
        .expect("a configuration");
    call(&app(auth), STATIC).await;
    let expected = fields([("auth.kind", "external"), ("auth.owner", "ops")]);
    assert_eq!(only(&recorder).span("api_key"), Some(&expected));
}

#[tokio::test]
async fn a_stored_key_is_named_when_it_is_looked_up_and_when_it_is_cached() {
    let recorder = Recorder::start();
    let auth = ApiKeyAuth::builder(MemoryStore::new().expect("a store"))
        .build()
        .expect("a configuration");
    let issued = auth
        .keys()
        .expect("a store")
        .issue(NewKey::new("alice"))
        .await
        .expect("a key");
    let id = issued.record.id.to_string();
    let expected = fields([
        ("auth.kind", "key"),
        ("auth.owner", "alice"),
        ("auth.key_id", &id),
    ]);
    let app = app(auth);
    for turn in ["looked up", "cached"] {
        call(&app, issued.key.expose()).await;
        assert_eq!(only(&recorder).span("api_key"), Some(&expected), "{turn}");
    }
}

#[tokio::test]
async fn an_identity_of_a_resolver_is_named_by_what_it_says() {
    let recorder = Recorder::start();
    let resolver = |digest: KeyDigest| async move {
        let identity = Identity::new("bob");
        let with_id = digest == KeyDigest::of(b"with-id");
        Ok(Some(if with_id { identity.key_id(42) } else { identity }))
    };
    let app = app(ApiKeyAuth::resolver(resolver).build().expect("a configuration"));
    for _ in 0..2 {
        call(&app, "with-id").await;
        let expected = fields([("auth.kind", "key"), ("auth.owner", "bob"), ("auth.key_id", "42")]);
        assert_eq!(only(&recorder).span("api_key"), Some(&expected));
        call(&app, "without-id").await;
        let expected = fields([("auth.kind", "key"), ("auth.owner", "bob")]);
        assert_eq!(only(&recorder).span("api_key"), Some(&expected));
    }
}

#[tokio::test]
async fn nobody_has_no_span() {
    let recorder = Recorder::start();
    let key = StaticKey::new(STATIC);
    let auth = ApiKeyAuth::static_keys_only()
        .static_key(key)
        .build()
        .expect("a configuration");
    let Ok(response) = app(auth.optional()).oneshot(Request::new(Body::empty())).await;
    assert_eq!(response.status(), 200);
    assert_eq!(only(&recorder).span("api_key"), None);
}

/// Says something when it is called, and each time its future is polled.
#[derive(Clone)]
struct Talkative;

impl Service<Request> for Talkative {
    type Response = axum::response::Response;
    type Error = std::convert::Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request) -> Self::Future {
        info!(target: "test", "called");
        Box::pin(async {
            info!(target: "test", "polled");
            tokio::task::yield_now().await;
            info!(target: "test", "polled again");
            Ok(axum::response::Response::default())
        })
    }
}

#[tokio::test]
async fn the_span_is_entered_whenever_the_service_inside_runs_and_left_after() {
    let recorder = Recorder::start();
    let resolver = |_: KeyDigest| async { Ok(Some(Identity::new("bob"))) };
    let auth = ApiKeyAuth::resolver(resolver)
        .static_key(StaticKey::new(STATIC).owner("bob"))
        .build()
        .expect("a configuration");
    let service = auth.layer(Talkative);
    for key in [STATIC, "looked-up-key", "looked-up-key"] {
        let Ok(response) = service.clone().oneshot(request(key)).await;
        assert_eq!(response.status(), 200);
        info!(target: "test", "outside");
        let lines = recorder.take();
        let told: Vec<_> = lines
            .iter()
            .map(|line| {
                (
                    line.message(),
                    line.span("api_key").map(|fields| fields["auth.owner"].as_str()),
                )
            })
            .collect();
        let bob = Some("bob");
        let expected = [
            ("called", bob),
            ("polled", bob),
            ("polled again", bob),
            ("outside", None),
        ];
        assert_eq!(told, expected, "{key}");
    }
}

#[tokio::test]
async fn the_span_around_is_filled_where_it_has_declared_the_fields() {
    let recorder = Recorder::start();
    let auth = ApiKeyAuth::builder(MemoryStore::new().expect("a store"))
        .static_key(StaticKey::new(STATIC))
        .build()
        .expect("a configuration");
    let issued = auth
        .keys()
        .expect("a store")
        .issue(NewKey::new("alice"))
        .await
        .expect("a key");
    let id = issued.record.id.to_string();
    let app = app(auth);
    let all = || {
        info_span!(
            "request",
            auth.kind = Empty,
            auth.owner = Empty,
            auth.key_id = Empty,
            other = 1
        )
    };
    let some = || info_span!("request", auth.owner = Empty);
    let none = || info_span!("request", other = 1);
    let stored = issued.key.expose();
    let of_stored = [
        ("auth.key_id", id.as_str()),
        ("auth.kind", "key"),
        ("auth.owner", "alice"),
        ("other", "1"),
    ];
    for (key, span, expected) in [
        // Looked up, then cached.
        (stored, all(), fields(of_stored)),
        (stored, all(), fields(of_stored)),
        (stored, some(), fields([("auth.owner", "alice")])),
        (stored, none(), fields([("other", "1")])),
        (
            STATIC,
            all(),
            fields([
                ("auth.kind", "external"),
                ("auth.owner", "external"),
                ("other", "1"),
            ]),
        ),
    ] {
        // The request is over, and the span says who it was: an access log.
        let logged = async {
            call(&app, key).await;
            info!(target: "test", "answered");
        };
        logged.instrument(span).await;
        let lines = recorder.take();
        assert_eq!(lines.len(), 2, "{lines:?}");
        for line in lines {
            assert_eq!(line.span("request"), Some(&expected), "{}", line.message());
        }
    }
    assert!(Span::current().is_none());
}

#[tokio::test]
async fn a_request_that_is_refused_names_nobody() {
    let recorder = Recorder::start();
    let key = StaticKey::new(STATIC);
    let auth = ApiKeyAuth::static_keys_only()
        .static_key(key)
        .build()
        .expect("a configuration");
    let app = Router::new().route("/", post(async || ())).layer(auth);
    let span = info_span!(
        "request",
        auth.kind = Empty,
        auth.owner = Empty,
        auth.key_id = Empty
    );
    let logged = async {
        let Ok(response) = app.oneshot(request("nonsense")).await;
        assert_eq!(response.status(), 401);
        info!(target: "test", "answered");
    };
    logged.instrument(span).await;
    for line in recorder.take() {
        assert_eq!(line.span("request"), Some(&Fields::new()));
        assert_eq!(line.span("api_key"), None);
    }
}
