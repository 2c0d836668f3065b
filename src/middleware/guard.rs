use std::{
    error::Error,
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::{runtime::Handle, sync::oneshot, time::sleep};

use super::{body::RefusalBody, connection::ConnectionHandle};
use crate::principal::{Ended, Watch};

/// What a client gets to read the end before its connection is told to hurry.
const GRACE: Duration = Duration::from_millis(250);

/// The largest body that is no stream: it was made before it is sent, and sending it takes no time worth ending.
pub(super) const LARGEST_AT_ONCE: u64 = 64 * 1024;

type BoxError = Box<dyn Error + Send + Sync>;

pin_project! {
    /// A response body that ends when the key of its request stops being good.
    ///
    /// All bodies that pass through [`ApiKeyAuth`](crate::ApiKeyAuth) are of this type, so that no handler can forget it. One whose length is known and
    /// at most 64 KiB just goes through, and so does one for a caller without a key that can end. Any other ends as soon as its key is revoked or
    /// disabled, has expired, or lost what the route asked for, with an [`Ended`] as its error: a download that was cut short must not look complete, so
    /// that HTTP/1 closes the connection and HTTP/2 resets the stream. Server-sent events are told by an event `auth-revoked`, with data such
    /// as `{"reason":"key-revoked"}`, and end well.
    ///
    /// A client that does not read is not told anything; [`ConnectionHandle`] is for those.
    ///
    /// What is given to `axum::serve` must answer with axum's own body. A router does, inside of which is the layer; around a router goes another:
    /// `ServiceBuilder::new().map_response(|response: Response<_>| response.map(Body::new)).layer(auth)`.
    pub struct GuardedBody<B> {
        #[pin]
        body: B,
        guard: Guard,
    }
}

enum Guard {
    /// Nothing ends it but itself.
    None,
    Watching {
        end: oneshot::Receiver<Ended>,
        is_events: bool,
    },
    /// It was ended by an error.
    Over,
}

impl<B: Body> GuardedBody<B> {
    pub(super) fn unguarded(body: B) -> Self {
        Self {
            body,
            guard: Guard::None,
        }
    }

    /// With a task that ends it in time, since the body itself is not asked while the client does not read. Without a runtime
    /// nothing can be watched, and it ends before it began.
    pub(super) fn guarded(
        body: B,
        headers: &HeaderMap,
        watch: Watch,
        connection: Option<ConnectionHandle>,
    ) -> Self {
        let (told, end) = oneshot::channel();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(keep(watch, told, connection));
        }
        let guard = Guard::Watching {
            end,
            is_events: is_events(headers),
        };
        Self { body, guard }
    }
}

/// Whether a body is sent bit by bit.
pub(super) fn is_stream<B: Body>(body: &B) -> bool {
    let length = body.size_hint().exact();
    length.is_none_or(|length| length > LARGEST_AT_ONCE) && !body.is_end_stream()
}

async fn keep(mut watch: Watch, mut told: oneshot::Sender<Ended>, connection: Option<ConnectionHandle>) {
    let ended = poll_fn(|context| match told.poll_closed(context) {
        // It came to its own end.
        Poll::Ready(()) => Poll::Ready(None),
        Poll::Pending => watch.as_mut().poll(context).map(Some),
    });
    let Some(ended) = pin!(ended).await else {
        return;
    };
    // Its place is free for another.
    drop(watch);
    let _came_to_its_own_end = told.send(ended);
    if let Some(connection) = connection {
        sleep(GRACE).await;
        connection.hurry();
    }
}

/// Events that were compressed cannot be added to.
fn is_events(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("text/event-stream") && !headers.contains_key(CONTENT_ENCODING)
}

impl<B> Body for GuardedBody<B>
where
    B: Body<Error: Into<BoxError>> + RefusalBody,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let mut this = self.project();
        match this.guard {
            Guard::None => {}
            Guard::Over => return Poll::Ready(None),
            Guard::Watching { end, is_events } => {
                if let Poll::Ready(ended) = Pin::new(end).poll(context) {
                    // Whoever was to tell is gone with its runtime.
                    let ended = ended.unwrap_or(Ended::Unavailable);
                    if !*is_events {
                        *this.guard = Guard::Over;
                        return Poll::Ready(Some(Err(Box::new(ended))));
                    }
                    *this.guard = Guard::None;
                    this.body.set(B::refusal(farewell(ended)));
                }
            }
        }
        let frame = ready!(this.body.poll_frame(context));
        if frame.is_none() {
            *this.guard = Guard::Over;
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.guard, Guard::Over) || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.guard {
            Guard::Over => SizeHint::with_exact(0),
            Guard::None | Guard::Watching { .. } => self.body.size_hint(),
        }
    }
}

fn farewell(ended: Ended) -> Bytes {
    format!(
        "event: auth-revoked\ndata: {{\"reason\":\"{}\"}}\n\n",
        ended.code()
    )
    .into()
}

/// So that it can be the body of a refusal, too, where one `ApiKeyAuth` is around another.
impl<B: RefusalBody + Body> From<Bytes> for GuardedBody<B> {
    fn from(problem: Bytes) -> Self {
        Self::unguarded(B::refusal(problem))
    }
}

impl<B: Default + Body> Default for GuardedBody<B> {
    fn default() -> Self {
        Self::unguarded(B::default())
    }
}

impl<B: fmt::Debug> fmt::Debug for GuardedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedBody")
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}
