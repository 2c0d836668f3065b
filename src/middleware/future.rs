use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response,
    header::{CACHE_CONTROL, Entry, VARY},
};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{authenticate::Gate, body::RefusalBody, rejection::Rejection};
use crate::{
    authn::{Pending, Refusal},
    principal::Principal,
    trace::RequestSpan,
};

pin_project! {
    /// The future of [`Authenticate`](super::Authenticate).
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        gate: Arc<Gate>,
        span: RequestSpan,
        #[pin]
        state: State<S, B>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, B>
    where
        S: Service<Request<B>>,
    {
        /// The service inside is at work.
        Inner {
            #[pin]
            future: S::Future,
            authenticated: bool,
        },
        /// The key is being looked up: the one box there is, and not on the hot path.
        Pending { waiting: Pin<Box<Waiting<S, B>>> },
        Refused { refusal: Option<Refusal>, head: bool },
    }
}

pin_project! {
    struct Waiting<S, B> {
        #[pin]
        verdict: Pending,
        held: Option<(S, Request<B>)>,
    }
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn admitted(
        gate: Arc<Gate>,
        principal: &Principal,
        call: impl FnOnce(&RequestSpan) -> S::Future,
    ) -> Self {
        let span = span_of(principal);
        let future = call(&span);
        let state = State::Inner {
            future,
            authenticated: true,
        };
        Self { gate, span, state }
    }

    pub(super) fn anonymous(gate: Arc<Gate>, future: S::Future) -> Self {
        let state = State::Inner {
            future,
            authenticated: false,
        };
        Self::quiet(gate, state)
    }

    pub(super) fn refused(gate: Arc<Gate>, refusal: Refusal, head: bool) -> Self {
        let refusal = Some(refusal);
        Self::quiet(gate, State::Refused { refusal, head })
    }

    pub(super) fn pending(gate: Arc<Gate>, verdict: Pending, ready: S, request: Request<B>) -> Self {
        let held = Some((ready, request));
        let waiting = Box::pin(Waiting { verdict, held });
        Self::quiet(gate, State::Pending { waiting })
    }

    fn quiet(gate: Arc<Gate>, state: State<S, B>) -> Self {
        Self {
            gate,
            span: RequestSpan::none(),
            state,
        }
    }
}

impl<S, B, ResBody> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    ResBody: RefusalBody,
{
    type Output = Result<Response<ResBody>, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProjection::Inner {
                    future,
                    authenticated,
                } => {
                    let _entered = this.span.enter();
                    let mut response = ready!(future.poll(context))?;
                    mark(response.headers_mut(), this.gate.vary.as_ref(), *authenticated);
                    return Poll::Ready(Ok(response));
                }
                StateProjection::Refused { refusal, head } => {
                    let refusal = refusal
                        .take()
                        .expect("a response future is not polled again after it was ready");
                    let response = Rejection::new(refusal, &this.gate.realm).into_response();
                    let body = |problem| ResBody::refusal(if *head { Bytes::new() } else { problem });
                    return Poll::Ready(Ok(response.map(body)));
                }
                StateProjection::Pending { waiting } => {
                    let waiting = waiting.as_mut().project();
                    let verdict = ready!(waiting.verdict.poll(context));
                    let (mut ready, mut request) = waiting.held.take().expect("a look-up answers once");
                    match verdict {
                        Ok(principal) => {
                            this.gate.admit(&mut request, principal.clone());
                            *this.span = span_of(&principal);
                            let _entered = this.span.enter();
                            let future = ready.call(request);
                            State::Inner {
                                future,
                                authenticated: true,
                            }
                        }
                        Err(refusal) => State::Refused {
                            refusal: Some(refusal),
                            head: request.method() == Method::HEAD,
                        },
                    }
                }
            };
            this.state.set(next);
        }
    }
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

fn span_of(principal: &Principal) -> RequestSpan {
    RequestSpan::authenticated(principal.kind().as_str(), principal.owner(), principal.key_id())
}

/// Tells caches what the answer depends on. They know that `Authorization` is private; of `X-Key` they do not (RFC 9111, section 3.5).
fn mark(headers: &mut HeaderMap, vary: Option<&HeaderValue>, authenticated: bool) {
    if let Some(vary) = vary {
        match headers.entry(VARY) {
            Entry::Vacant(entry) => {
                entry.insert(vary.clone());
            }
            Entry::Occupied(entry) if entry.iter().any(|present| present == vary || present == "*") => {}
            Entry::Occupied(mut entry) => entry.append(vary.clone()),
        }
    }
    if authenticated {
        headers
            .entry(CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("private"));
    }
}
