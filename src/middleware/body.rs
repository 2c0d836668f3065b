use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

/// A response body that a refusal can be put into: anything made from [`Bytes`], such as `axum::body::Body` and `Full<Bytes>`.
#[diagnostic::on_unimplemented(
    message = "a refusal cannot be put into the response body `{Self}`",
    label = "this body cannot be made from `Bytes`",
    note = "put the layer `tower_api_key::middleware::AnyBody` between `ApiKeyAuth` and the service"
)]
pub trait RefusalBody {
    /// The body of a refusal.
    fn refusal(problem: Bytes) -> Self;
}

impl<T: From<Bytes>> RefusalBody for T {
    fn refusal(problem: Bytes) -> Self {
        problem.into()
    }
}

/// A layer for services whose response body cannot be made from bytes: it wraps the body into one that can.
///
/// Goes inside of [`ApiKeyAuth`](crate::ApiKeyAuth): `ServiceBuilder::new().layer(auth).layer(AnyBody)`.
#[derive(Debug, Clone, Copy, Default)]
#[must_use]
pub struct AnyBody;

impl<S> Layer<S> for AnyBody {
    type Service = AnyBodyService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AnyBodyService { inner }
    }
}

/// The service of [`AnyBody`].
#[derive(Debug, Clone)]
#[must_use]
pub struct AnyBodyService<S> {
    inner: S,
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for AnyBodyService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        ResponseFuture {
            inner: self.inner.call(request),
        }
    }
}

pin_project! {
    /// The future of [`AnyBodyService`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(self.project().inner.poll(context))?;
        Poll::Ready(Ok(response.map(ResponseBody::inner)))
    }
}

pin_project! {
    /// The body of the service inside, or of a refusal.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = KindProjection]
    enum Kind<B> {
        Inner {
            #[pin]
            body: B,
        },
        Refusal { problem: Option<Bytes> },
    }
}

impl<B> ResponseBody<B> {
    fn inner(body: B) -> Self {
        Self {
            kind: Kind::Inner { body },
        }
    }
}

impl<B> From<Bytes> for ResponseBody<B> {
    fn from(problem: Bytes) -> Self {
        let problem = (!problem.is_empty()).then_some(problem);
        Self {
            kind: Kind::Refusal { problem },
        }
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match self.project().kind.project() {
            KindProjection::Inner { body } => body.poll_frame(context),
            KindProjection::Refusal { problem } => {
                Poll::Ready(problem.take().map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Refusal { problem } => problem.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => body.size_hint(),
            Kind::Refusal { problem } => SizeHint::with_exact(problem.as_ref().map_or(0, Bytes::len) as u64),
        }
    }
}
