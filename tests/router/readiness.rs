//! The service that was polled ready is the one that is called.

use std::{
    future::{Ready, ready},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt};
use tower_api_key::{
    ApiKeyAuth,
    access::Grants,
    key::KeyDigest,
    middleware::RequireScope,
    principal::{Identity, Principal},
};

use crate::answer::{KEY, granting};

/// Ready for one call, at the second time it is polled; a clone of it is not.
#[derive(Debug, Default)]
struct Picky {
    polled: u8,
}

impl Clone for Picky {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Service<Request<()>> for Picky {
    type Response = Response<Full<Bytes>>;
    type Error = &'static str;
    type Future = Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.polled += 1;
        if self.polled < 2 {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        assert!(self.polled >= 2, "called without being ready");
        self.polled = 0;
        if request.uri().path() == "/error" {
            return ready(Err("an error of the service"));
        }
        let caller = request.extensions().get::<Principal>();
        let owner = caller.map_or_else(String::new, |caller| caller.owner().to_owned());
        ready(Ok(Response::new(owner.into())))
    }
}

fn call(path: &str, key: &str) -> Request<()> {
    let request = Request::get(path).header("X-Key", key);
    request.body(()).expect("a request")
}

async fn text<B: http_body::Body<Error: std::fmt::Debug>>(response: Response<B>) -> Bytes {
    response.into_body().collect().await.expect("a body").to_bytes()
}

/// Several calls of one service and its clones.
async fn several<S, B>(mut service: S, owner: &str)
where
    S: Service<Request<()>, Response = Response<B>, Error = &'static str> + Clone,
    B: http_body::Body<Error: std::fmt::Debug> + std::fmt::Debug,
{
    for _ in 0..3 {
        for mut service in [service.clone(), service.clone()] {
            let called = service.ready().await.expect("ready").call(call("/", KEY));
            assert_eq!(text(called.await.expect("an answer")).await, owner);
        }
        let first = service.ready().await.expect("ready").call(call("/", KEY));
        let second = service.ready().await.expect("ready").call(call("/", KEY));
        assert_eq!(text(second.await.expect("an answer")).await, owner);
        assert_eq!(text(first.await.expect("an answer")).await, owner);
        let failed = service.ready().await.expect("ready").call(call("/error", KEY));
        assert_eq!(
            failed.await.expect_err("the error of the service"),
            "an error of the service"
        );
    }
}

#[tokio::test]
async fn a_hit_calls_the_service_that_was_readied() {
    several(granting(Grants::none()).layer(Picky::default()), "external").await;
}

#[tokio::test]
async fn a_look_up_takes_the_service_that_was_readied_along() {
    let resolver = |_: KeyDigest| async {
        tokio::task::yield_now().await;
        Ok(Some(Identity::new("bob")))
    };
    let auth = ApiKeyAuth::resolver(resolver)
        .cache_ttl(std::time::Duration::ZERO)
        .build();
    several(auth.expect("a configuration").layer(Picky::default()), "bob").await;
}

#[tokio::test]
async fn a_scope_check_calls_the_service_that_was_readied() {
    let layer = RequireScope::new("issues:read").expect("a scope");
    let service = granting(Grants::all()).layer(layer.layer(Picky::default()));
    several(service, "external").await;
}

#[tokio::test]
async fn a_request_without_a_key_calls_the_service_that_was_readied() {
    let mut service = granting(Grants::none()).optional().layer(Picky::default());
    for _ in 0..3 {
        let mut request = call("/", KEY);
        request.headers_mut().clear();
        let called = service.ready().await.expect("ready").call(request);
        assert_eq!(text(called.await.expect("an answer")).await, "");
    }
}

#[tokio::test]
async fn a_refusal_does_not_call_the_service_at_all() {
    let service = tower::service_fn(
        async |_: Request<()>| -> Result<Response<Full<Bytes>>, &'static str> {
            panic!("called for a request that is refused");
        },
    );
    let guarded =
        granting(Grants::none()).layer(RequireScope::new("issues:read").expect("a scope").layer(service));
    for (key, status) in [(KEY, 403), ("nonsense", 401), ("a,b", 400)] {
        let response = guarded.clone().oneshot(call("/", key)).await.expect("an answer");
        assert_eq!(response.status(), status);
    }
}
