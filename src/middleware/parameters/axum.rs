use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use axum::extract::{FromRequestParts, RawPathParams};
use http::{Request, request::Parts};

pub(in super::super) struct Parameters(Option<RawPathParams>);

impl Parameters {
    pub(in super::super) fn of<B>(request: Request<B>) -> (Self, Request<B>) {
        let (mut parts, body) = request.into_parts();
        let parameters = Self::of_parts(&mut parts);
        (parameters, Request::from_parts(parts, body))
    }

    pub(in super::super) fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.0.as_ref()?.iter();
        pairs.find_map(|(known, value)| (known == name).then_some(value))
    }

    fn of_parts(parts: &mut Parts) -> Self {
        // It looks into the extensions and waits for nothing.
        let looked = pin!(RawPathParams::from_request_parts(parts, &()));
        match looked.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(parameters)) => Self(Some(parameters)),
            Poll::Ready(Err(_)) | Poll::Pending => Self(None),
        }
    }
}
