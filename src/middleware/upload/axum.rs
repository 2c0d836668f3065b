use std::{
    any::Any,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{BoxError, body::Body};
use bytes::Bytes;
use http::Request;
use http_body::{Frame, SizeHint};

use super::Over;

/// `None` for a body that is at its end already. Nothing is known of one that is not axum's: whoever reads it says when that is done.
pub(super) fn see<B: 'static>(request: &mut Request<B>) -> Option<Over> {
    let request: &mut dyn Any = request;
    let over = Over::default();
    if let Some(request) = request.downcast_mut::<Request<Body>>() {
        if http_body::Body::is_end_stream(request.body()) {
            return None;
        }
        let body = mem::take(request.body_mut());
        let over = over.clone();
        *request.body_mut() = Body::new(Seen { body, over });
    }
    Some(over)
}

/// A body that says when nothing more is read of it.
struct Seen {
    body: Body,
    over: Over,
}

impl http_body::Body for Seen {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() || self.body.is_end_stream() {
            self.over.say();
        }
        // Not wrapped a second time: extractors look for what is inside.
        Poll::Ready(frame.map(|frame| frame.map_err(axum::Error::into_inner)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        self.over.say();
    }
}
