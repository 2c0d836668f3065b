use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{body::RefusalBody, parameters::Parameters, rejection::Rejection};
use crate::{
    access::{ParseScopeError, Requirement},
    principal::Principal,
};

/// A layer that lets only those callers pass who meet a [`Requirement`].
///
/// Goes inside of [`ApiKeyAuth`](crate::ApiKeyAuth). In axum, on a route: `.route_layer(RequireScope::new("issues:read")?)`. A requirement with a
/// path parameter (`agent:{agent}`) needs axum, and must be on a route, where the parameters are known; anywhere else a bound key gets 500.
#[derive(Debug, Clone)]
#[must_use]
pub struct RequireScope {
    requirement: Arc<Requirement>,
}

impl RequireScope {
    /// Requires one scope.
    ///
    /// # Errors
    ///
    /// When it is not a valid scope.
    pub fn new(scope: &str) -> Result<Self, ParseScopeError> {
        Ok(Self::meeting(Requirement::all([scope.parse()?])))
    }

    /// Requires every one of the scopes.
    ///
    /// # Errors
    ///
    /// When one of them is not a valid scope.
    pub fn all_of<I>(scopes: I) -> Result<Self, ParseScopeError>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let scopes: Result<Vec<_>, _> = scopes.into_iter().map(|scope| scope.as_ref().parse()).collect();
        Ok(Self::meeting(Requirement::all(scopes?)))
    }

    /// Requires at least one of the scopes.
    ///
    /// # Errors
    ///
    /// When one of them is not a valid scope.
    pub fn any_of<I>(scopes: I) -> Result<Self, ParseScopeError>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let scopes: Result<Vec<_>, _> = scopes.into_iter().map(|scope| scope.as_ref().parse()).collect();
        Ok(Self::meeting(Requirement::any(scopes?)))
    }

    /// Requires what the requirement says.
    pub fn meeting(requirement: Requirement) -> Self {
        Self {
            requirement: Arc::new(requirement),
        }
    }

    /// Also requires a resource, as text in which `{name}` stands for a path parameter: `agent:{agent}`.
    ///
    /// # Panics
    ///
    /// When a brace is not closed or not opened.
    pub fn on(self, template: &'static str) -> Self {
        Self::meeting(Arc::unwrap_or_clone(self.requirement).on(template))
    }
}

impl<S> Layer<S> for RequireScope {
    type Service = Require<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Require {
            inner,
            requirement: self.requirement.clone(),
        }
    }
}

/// The service of [`RequireScope`].
#[derive(Debug, Clone)]
#[must_use]
pub struct Require<S> {
    inner: S,
    requirement: Arc<Requirement>,
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Require<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: RefusalBody,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let head = request.method() == Method::HEAD;
        let (checked, request) = check(&self.requirement, request);
        let state = match checked {
            Ok(()) => State::Inner {
                future: self.inner.call(request),
            },
            Err(rejection) => State::Refused {
                rejection: Some(Box::new(rejection)),
                head,
            },
        };
        ResponseFuture { state }
    }
}

pin_project! {
    /// The future of [`Require`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = StateProjection]
    enum State<F> {
        Inner {
            #[pin]
            future: F,
        },
        Refused { rejection: Option<Box<Rejection>>, head: bool },
    }
}

impl<F, ResBody, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
    ResBody: RefusalBody,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Inner { future } => future.poll(context),
            StateProjection::Refused { rejection, head } => {
                let rejection = rejection
                    .take()
                    .expect("a response future is not polled again after it was ready");
                let body = |problem| ResBody::refusal(if *head { Bytes::new() } else { problem });
                Poll::Ready(Ok(rejection.into_response().map(body)))
            }
        }
    }
}

fn check<B>(requirement: &Requirement, request: Request<B>) -> (Result<(), Rejection>, Request<B>) {
    let Some(principal) = request.extensions().get::<Principal>() else {
        return (Err(Rejection::no_principal(request.extensions())), request);
    };
    // Only a bound key has to be measured against the path, and only by a requirement that names a resource.
    if requirement.resource().is_none() || !principal.grants().resources().is_bound() {
        let checked = principal.meets(requirement, |_| None);
        let checked = checked.map_err(|denied| Rejection::denied(denied, principal));
        return (checked, request);
    }
    let principal = principal.clone();
    let (parameters, request) = Parameters::of(request);
    let checked = principal.meets(requirement, |name| parameters.get(name));
    (
        checked.map_err(|denied| Rejection::denied(denied, &principal)),
        request,
    )
}
