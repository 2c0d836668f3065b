//! What goes on after its request was let in ends with its key.

use std::{
    convert::Infallible,
    future::{poll_fn, ready},
    pin::Pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::Body,
    extract::Path,
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
    routing::{get, post},
};
use futures_util::{Stream, StreamExt, stream};
use http::{Method, Request, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::time::timeout;
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::{
    ApiKeyAuth,
    access::{Grants, Requirement, Resources, Scopes},
    authn::{OwnerState, Unavailable},
    clock::ManualClock,
    extract::{Requires, Scoped},
    key::KeyDigest,
    manage::{IssuedKey, KeyChange, Keys, NewKey},
    middleware::RequireScope,
    principal::{Ended, Identity, Principal},
    store::MemoryStore,
};

use crate::answer::{ask, bound, request, scopes};

mod bodies;

mod uploads;

/// Only so that a stream that does not end fails the test.
const GUARD: Duration = Duration::from_secs(60);

struct Read;

impl Requires for Read {
    const REQUIREMENT: Requirement = Requirement::all_of(&["topics:read"]).on("topic:{topic}");
}

/// One frame, and then nothing for ever.
fn endless() -> Body {
    Body::from_stream(first_of_all("first"))
}

fn first_of_all<T>(first: T) -> impl Stream<Item = Result<T, Infallible>> {
    stream::once(ready(Ok(first))).chain(stream::pending())
}

async fn events() -> impl IntoResponse {
    Sse::new(first_of_all(Event::default().data("first")))
}

fn app(auth: ApiKeyAuth) -> Router {
    let with_layer = get(async || endless()).route_layer(RequireScope::new("topics:read").expect("a scope"));
    Router::new()
        .route("/plain", get(async || endless()))
        .route("/layer", with_layer)
        .route("/topics/{topic}", get(async |_: Scoped<Read>| endless()))
        .route(
            "/topics/{topic}/events",
            get(async |_: Scoped<Read>, _: Path<String>| events().await),
        )
        .route("/large", get(async || vec![0_u8; 64 * 1024 + 1]))
        .route("/small", get(async || vec![0_u8; 64 * 1024]))
        .route(
            "/upload",
            post(async |body: Body| {
                body.collect().await.expect("a body");
            }),
        )
        .layer(auth)
}

struct World {
    auth: ApiKeyAuth,
    app: Router,
    keys: Keys,
    clock: ManualClock,
}

impl World {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(more: impl FnOnce(tower_api_key::Builder) -> tower_api_key::Builder) -> Self {
        let clock = ManualClock::default();
        let store = MemoryStore::with_clock(clock.clone()).expect("a store");
        let builder = ApiKeyAuth::builder(store).clock(clock.clone());
        let auth = more(builder).build().expect("a configuration");
        Self {
            app: app(auth.clone()),
            keys: auth.keys().expect("there is a store").clone(),
            auth,
            clock,
        }
    }

    async fn issue(&self, grants: Grants) -> IssuedKey {
        self.keys
            .issue(NewKey::new("alice").grants(grants))
            .await
            .expect("a key")
    }

    async fn get(&self, path: &str, key: &IssuedKey) -> Response {
        let request = request(Method::GET, path, key.key.expose());
        let Ok(response) = self.app.clone().oneshot(request).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response
    }

    /// A stream that has begun.
    async fn open(&self, path: &str, key: &IssuedKey) -> Open {
        let mut open = Open(self.get(path, key).await.into_body());
        assert!(
            open.next()
                .await
                .expect("a frame")
                .expect("data")
                .contains("first")
        );
        open
    }
}

struct Open(Body);

impl Open {
    async fn next(&mut self) -> Option<Result<String, Ended>> {
        let frame = timeout(GUARD, self.0.frame()).await.expect("it stays silent");
        Some(frame?.map_err(ended).map(|frame| {
            let data = frame.into_data().expect("data");
            String::from_utf8(data.into()).expect("text")
        }))
    }

    async fn ends(&mut self) -> Ended {
        let ended = self.next().await.expect("an error").expect_err("an error");
        assert_eq!(self.next().await, None);
        ended
    }

    /// Whether it still goes on after everything else has had its turn.
    async fn goes_on(&mut self) -> bool {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        poll_fn(|context| Poll::Ready(Pin::new(&mut self.0).poll_frame(context).is_pending())).await
    }
}

fn ended(error: axum::Error) -> Ended {
    *error
        .into_inner()
        .downcast()
        .unwrap_or_else(|error| panic!("another error: {error}"))
}

/// The time of a paused runtime goes on only when there is nothing left to do.
fn nobody_waited(since: tokio::time::Instant) {
    assert_eq!(
        since.elapsed(),
        Duration::ZERO,
        "it was not woken, but looked again by itself"
    );
}

/// Goes with the timer of a paused runtime.
#[derive(Debug)]
struct Paused(tokio::time::Instant);

impl Paused {
    fn now() -> Self {
        Self(tokio::time::Instant::now())
    }
}

impl tower_api_key::clock::Clock for Paused {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.elapsed()
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
