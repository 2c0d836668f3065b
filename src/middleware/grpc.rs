//! Refusals in the words of gRPC, which has one status code of HTTP and its own in a field.

use std::{
    error::Error,
    fmt::Write,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response,
    header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER},
};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{body::RefusalBody, origin::TOLD_METHODS, rejection};
use crate::{
    authn::{Refusal, RefusalKind},
    principal::Ended,
};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
const PROBLEM_CODE: HeaderName = HeaderName::from_static("problem-code");

const INVALID_ARGUMENT: u8 = 3;
const PERMISSION_DENIED: u8 = 7;
const RESOURCE_EXHAUSTED: u8 = 8;
const INTERNAL: u8 = 13;
const UNAVAILABLE: u8 = 14;
const UNAUTHENTICATED: u8 = 16;

type BoxError = Box<dyn Error + Send + Sync>;

/// A layer that tells callers of gRPC in its own words why they are refused; others go by as they are.
///
/// Goes outside of [`ApiKeyAuth`](crate::ApiKeyAuth), and outside of whatever requires something of a caller:
/// `ServiceBuilder::new().layer(GrpcStatus).layer(auth).layer(AnyBody)` before the services of `tonic`. Where browsers speak gRPC-Web, what translates that goes outside
/// of both.
///
/// **Not around [forward authentication](crate::router::Services::forward_auth)**: to a proxy 200 means that the request may come in. What has
/// `X-Forwarded-Method` or `X-Original-Method` is no call; but some, such as Envoy, ask by the method of the request and do not say so.
///
/// A refusal of a `POST` whose `Content-Type` is `application/grpc`, or begins with `application/grpc+` or `application/grpc;`, becomes a response of
/// trailers alone, which is 200 in HTTP, with these codes of gRPC:
///
/// | refusal | `grpc-status` |
/// | --- | --- |
/// | no key, or one that is not good (401) | 16, `UNAUTHENTICATED` |
/// | more than one (400) | 3, `INVALID_ARGUMENT` |
/// | not the right to it, nor the address (403) | 7, `PERMISSION_DENIED` |
/// | too often (429) | 8, `RESOURCE_EXHAUSTED` |
/// | it could not be found out (503) | 14, `UNAVAILABLE` |
/// | a mistake in the program (500) | 13, `INTERNAL` |
///
/// `grpc-message` is the `detail` of the problem document, and the metadata `problem-code` its `code`. Where there is something to wait for, `retry-after` has it in seconds
/// and `grpc-retry-pushback-ms`, by which clients with a retry policy go, in milliseconds. Challenges and rate limits stay as they are, as metadata.
///
/// A stream that ends because its key does ends with trailers of the same kind: a client sees a status, not a broken connection. An `Ended` in
/// another error, as bodies of axum wrap it, is found. A call whose key ends while its handler is at work is ended as well, unless the handler has said
/// [`done_reading`](crate::principal::Principal::done_reading): nothing is known here of the bodies of `tonic`.
#[derive(Debug, Clone, Copy, Default)]
#[must_use]
pub struct GrpcStatus;

impl GrpcStatus {
    /// The code of gRPC for a refusal: for handlers that require something of their caller, and answer with a status of their own.
    #[must_use]
    pub fn code(kind: RefusalKind) -> i32 {
        code(kind).into()
    }
}

impl<S> Layer<S> for GrpcStatus {
    type Service = GrpcStatusService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        GrpcStatusService { inner }
    }
}

/// The service of [`GrpcStatus`].
#[derive(Debug, Clone)]
#[must_use]
pub struct GrpcStatusService<S> {
    inner: S,
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for GrpcStatusService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: RefusalBody,
{
    type Response = Response<GrpcBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        // Proxies that ask before they pass a request on copy its fields, and to them 200 would mean yes. Most ask by `GET`, or say the method that they were asked with.
        let headers = request.headers();
        let is_asked = || TOLD_METHODS.iter().any(|name| headers.contains_key(name));
        let kind = headers.get(CONTENT_TYPE).filter(|kind| is_grpc(kind));
        let kind = kind.filter(|_| request.method() == Method::POST && !is_asked());
        ResponseFuture {
            grpc: kind.cloned(),
            inner: self.inner.call(request),
        }
    }
}

pin_project! {
    /// The future of [`GrpcStatusService`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        // The content type of a request that is of gRPC.
        grpc: Option<HeaderValue>,
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: RefusalBody,
{
    type Output = Result<Response<GrpcBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(context))?;
        let is_grpc = this.grpc.is_some();
        let refusal = response.extensions().get::<Refusal>();
        let response = match (this.grpc.take(), refusal.cloned()) {
            (Some(content_type), Some(refusal)) => refused(response, &refusal, content_type),
            _ => response,
        };
        Poll::Ready(Ok(response.map(|body| GrpcBody {
            body,
            watched: is_grpc,
            over: false,
        })))
    }
}

pin_project! {
    /// The body of a response: one of gRPC that is cut short by the end of its key ends with a status.
    #[derive(Debug)]
    pub struct GrpcBody<B> {
        #[pin]
        body: B,
        watched: bool,
        over: bool,
    }
}

impl<B: Body<Error: Into<BoxError>>> Body for GrpcBody<B> {
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let this = self.project();
        if *this.over {
            return Poll::Ready(None);
        }
        let frame = ready!(this.body.poll_frame(context));
        Poll::Ready(match frame {
            Some(Err(error)) => {
                let error = error.into();
                *this.over = true;
                Some(match ended(&*error).filter(|_| *this.watched) {
                    Some(ended) => Ok(Frame::trailers(farewell(ended))),
                    None => Err(error),
                })
            }
            Some(Ok(frame)) => Some(Ok(frame)),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.over {
            true => SizeHint::with_exact(0),
            false => self.body.size_hint(),
        }
    }
}

fn is_grpc(content_type: &HeaderValue) -> bool {
    let rest = content_type.as_bytes().strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// The refusal, with nothing of its problem document.
fn refused<B: RefusalBody>(
    response: Response<B>,
    refusal: &Refusal,
    content_type: HeaderValue,
) -> Response<B> {
    let (mut head, _document) = response.into_parts();
    let mut response = Response::new(B::refusal(Bytes::new()));
    head.headers.remove(CONTENT_LENGTH);
    head.headers.insert(CONTENT_TYPE, content_type);
    say(
        &mut head.headers,
        code(refusal.kind()),
        rejection::detail(refusal.kind()),
        refusal.kind().code(),
    );
    let wait = head.headers.get(RETRY_AFTER).and_then(|wait| wait.to_str().ok());
    let wait = wait.and_then(|wait| wait.parse::<u64>().ok());
    if let Some(ms) = wait.and_then(|seconds| seconds.checked_mul(1000)) {
        head.headers.insert(PUSHBACK, ms.into());
    }
    *response.headers_mut() = head.headers;
    *response.extensions_mut() = head.extensions;
    response
}

/// Where an error says so, in itself or in what it was made of.
fn ended(error: &(dyn Error + 'static)) -> Option<Ended> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(ended) = error.downcast_ref() {
            return Some(*ended);
        }
        cause = error.source();
    }
    None
}

fn farewell(ended: Ended) -> HeaderMap {
    let code = match ended {
        Ended::KeyRevoked | Ended::KeyDisabled | Ended::KeyExpired | Ended::InvalidKey => UNAUTHENTICATED,
        Ended::InsufficientScope | Ended::ResourceNotAllowed | Ended::AddressNotAllowed => PERMISSION_DENIED,
        Ended::Unavailable => UNAVAILABLE,
    };
    let mut trailers = HeaderMap::with_capacity(3);
    say(&mut trailers, code, &ended.to_string(), ended.code());
    trailers
}

fn say(headers: &mut HeaderMap, code: u8, message: &str, problem: &'static str) {
    headers.insert(GRPC_STATUS, HeaderValue::from(u16::from(code)));
    // Visible characters and spaces: it always is one.
    if let Ok(message) = HeaderValue::try_from(percent_encoded(message)) {
        headers.insert(GRPC_MESSAGE, message);
    }
    headers.insert(PROBLEM_CODE, HeaderValue::from_static(problem));
}

/// As gRPC over HTTP/2 has it: what is between a space and a tilde stands for itself, but for the percent sign.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        // Writing to a string cannot fail.
        let _ = match byte {
            b' '..=b'~' if byte != b'%' => write!(encoded, "{}", char::from(byte)),
            _ => write!(encoded, "%{byte:02X}"),
        };
    }
    encoded
}

fn code(kind: RefusalKind) -> u8 {
    match kind {
        RefusalKind::MissingCredentials
        | RefusalKind::InvalidKey
        | RefusalKind::KeyExpired
        | RefusalKind::KeyRevoked
        | RefusalKind::KeyDisabled => UNAUTHENTICATED,
        RefusalKind::AmbiguousCredentials => INVALID_ARGUMENT,
        RefusalKind::InsufficientScope
        | RefusalKind::ResourceNotAllowed
        | RefusalKind::AddressNotAllowed
        | RefusalKind::CrossOrigin => PERMISSION_DENIED,
        RefusalKind::RateLimited | RefusalKind::UsedUp | RefusalKind::TooManyFailures => RESOURCE_EXHAUSTED,
        RefusalKind::AuthUnavailable => UNAVAILABLE,
        RefusalKind::LayerMissing | RefusalKind::Misconfigured => INTERNAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_and_is_not_grpc() {
        for yes in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;x=y",
        ] {
            assert!(is_grpc(&HeaderValue::from_static(yes)), "{yes}");
        }
        for no in [
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpcx",
            "application/json",
            "",
        ] {
            assert!(!is_grpc(&HeaderValue::from_static(no)), "{no}");
        }
    }

    #[test]
    fn a_message_can_be_read_back() {
        assert_eq!(percent_encoded("100% \u{e4}\n~"), "100%25 %C3%A4%0A~");
    }
}
