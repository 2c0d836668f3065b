//! Tower stacks without axum, and bodies of every kind.

use std::{
    cell::Cell,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_api_key::{
    access::Grants,
    middleware::{AnyBody, GuardedBody, RequireScope, ResponseBody},
    principal::Principal,
};

use crate::answer::{KEY, granting};

fn with_key<B>(method: Method, key: &str, body: B) -> Request<B> {
    let request = Request::builder().method(method).uri("/").header("X-Key", key);
    request.body(body).expect("a request")
}

#[tokio::test]
async fn any_request_body_goes_through_untouched() {
    // Neither `Sync` nor a body in the sense of HTTP.
    struct Odd(Cell<u8>);

    let service = service_fn(async |request: Request<Odd>| {
        assert!(request.extensions().get::<Principal>().is_some());
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(vec![request.body().0.get()])))
    });
    let service = granting(Grants::none()).layer(service);
    let asking = service
        .clone()
        .oneshot(with_key(Method::GET, KEY, Odd(Cell::new(7))));
    let Ok(response) = tokio::spawn(asking).await.expect("a future that can be sent");
    let body = response.into_body().collect().await.expect("a body");
    assert_eq!(body.to_bytes(), [7][..]);
    let Ok(refused) = service
        .oneshot(with_key(Method::GET, "nonsense", Odd(Cell::new(7))))
        .await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_refusal_becomes_the_body_of_the_service() {
    let stack = || {
        ServiceBuilder::new()
            .layer(granting(Grants::none()))
            .layer(RequireScope::new("issues:read").expect("a scope"))
    };
    let full = stack()
        .service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())));
    for (key, status, code) in [
        (KEY, StatusCode::FORBIDDEN, "insufficient-scope"),
        ("nonsense", StatusCode::UNAUTHORIZED, "invalid-key"),
    ] {
        for method in [Method::GET, Method::HEAD] {
            let empty = method == Method::HEAD;
            let request = with_key(method.clone(), key, "a body".to_owned());
            let Ok(response) = full.clone().oneshot(request).await;
            assert_eq!(response.status(), status);
            let bytes = response.into_body().collect().await.expect("a body").to_bytes();
            let text = String::from_utf8(bytes.into()).expect("text");
            assert!(
                if empty {
                    text.is_empty()
                } else {
                    text.contains(code)
                },
                "{text}"
            );
        }
    }
}

/// A body that no bytes can be made into: two frames and a trailer, none of it `Sync`.
struct Frames(Cell<usize>);

impl Body for Frames {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = match self.0.replace(self.0.get() + 1) {
            0 => Ok(Frame::data(Bytes::from_static(b"one "))),
            1 => Ok(Frame::data(Bytes::from_static(b"two"))),
            2 => {
                let mut trailers = HeaderMap::new();
                trailers.insert("x-trailer", http::HeaderValue::from_static("three"));
                Ok(Frame::trailers(trailers))
            }
            3 => Err("broken off"),
            _ => return Poll::Ready(None),
        };
        Poll::Ready(Some(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.0.get() > 3
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(7)
    }
}

#[tokio::test]
async fn any_body_carries_a_body_that_cannot_be_made_of_bytes() {
    let service = ServiceBuilder::new()
        .layer(granting(Grants::none()))
        .layer(AnyBody)
        .service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(Frames(Cell::new(0)))));

    let asking = service.clone().oneshot(with_key(Method::GET, KEY, ()));
    let Ok(response) = tokio::spawn(asking).await.expect("a future that can be sent");
    assert_eq!(response.headers()["cache-control"], "private");
    let mut body: GuardedBody<ResponseBody<Frames>> = response.into_body();
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(7), false));
    let mut data = async || body.frame().await.expect("a frame");
    assert_eq!(data().await.expect("data").into_data().expect("data"), "one ");
    assert_eq!(data().await.expect("data").into_data().expect("data"), "two");
    let trailers = data().await.expect("trailers").into_trailers().expect("trailers");
    assert_eq!(trailers["x-trailer"], "three");
    let error = data().await.expect_err("the error of the body");
    assert_eq!(error.to_string(), "broken off");
    assert!(body.is_end_stream());

    let Ok(refused) = service
        .clone()
        .oneshot(with_key(Method::GET, "nonsense", ()))
        .await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let length = refused.headers()["content-length"]
        .to_str()
        .expect("text")
        .parse()
        .ok();
    let body = refused.into_body();
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (length, false));
    let text = body.collect().await.expect("a body").to_bytes();
    assert_eq!(Some(text.len() as u64), length);

    let Ok(refused) = service.oneshot(with_key(Method::HEAD, "nonsense", ())).await;
    let body = refused.into_body();
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(0), true));
}
