use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use axum::extract::{FromRequestParts, RawPathParams, rejection::RawPathParamsRejection};
use http::{Request, request::Parts};

pub(crate) enum Parameters {
    Decoded(RawPathParams),
    /// The path is not UTF-8, which is the caller's doing.
    NoText,
    None,
}

impl Parameters {
    pub(in super::super) fn of<B>(request: Request<B>) -> (Self, Request<B>) {
        let (mut parts, body) = request.into_parts();
        let parameters = Self::of_parts(&mut parts);
        (parameters, Request::from_parts(parts, body))
    }

    pub(crate) fn of_parts(parts: &mut Parts) -> Self {
        // It looks into the extensions and waits for nothing.
        let looked = pin!(RawPathParams::from_request_parts(parts, &()));
        match looked.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(parameters)) => Self::Decoded(parameters),
            Poll::Ready(Err(RawPathParamsRejection::InvalidUtf8InPathParam(_))) => Self::NoText,
            Poll::Ready(Err(_)) | Poll::Pending => Self::None,
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        match self {
            Self::Decoded(parameters) => {
                let mut values = parameters.iter().filter(|(known, _)| *known == name);
                // Nested routers can use a name twice, and nobody knows which of the two the handler will act on.
                match (values.next(), values.next()) {
                    (Some((_, value)), None) => Some(value),
                    _ => None,
                }
            }
            // No resource has this character, so that the key is refused; no parameter at all would be a mistake in the program.
            Self::NoText => Some("\u{fffd}"),
            Self::None => None,
        }
    }
}
