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
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    body::RefusalBody,
    charge::{Bill, Order},
    gate::Gate,
    guard::GuardedBody,
    held::{Held, Next, Wait},
    rejection::Rejection,
    stream::Stream,
};
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
            bill: Option<Bill>,
            stream: Option<Stream>,
        },
        /// Something has to be waited for: the one box there is, and not on the hot path.
        Waiting { waiting: Pin<Box<Waiting<S, B>>> },
        Refused { refusal: Option<Refusal>, head: bool },
    }
}

pin_project! {
    struct Waiting<S, B> {
        #[pin]
        wait: Wait,
        held: Option<Held<S, B>>,
    }
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn admitted(
        gate: Arc<Gate>,
        service: &mut S,
        request: Request<B>,
        principal: Principal,
        bill: Bill,
    ) -> Self
    where
        B: 'static,
    {
        let (span, state) = State::inside(&gate, service, request, principal, bill);
        Self { gate, span, state }
    }

    pub(super) fn anonymous(gate: Arc<Gate>, future: S::Future) -> Self {
        Self::quiet(gate, State::anonymous(future))
    }

    pub(super) fn refused(gate: Arc<Gate>, refusal: Refusal, head: bool) -> Self {
        let refusal = Some(refusal);
        Self::quiet(gate, State::Refused { refusal, head })
    }

    pub(super) fn pending(gate: Arc<Gate>, verdict: Pending, held: Held<S, B>) -> Self {
        Self::quiet(gate, State::waiting(Wait::Verdict { verdict }, held))
    }

    pub(super) fn charging(gate: Arc<Gate>, order: Order, principal: Principal, held: Held<S, B>) -> Self {
        let wait = Wait::charging(&gate, order, principal);
        Self::quiet(gate, State::waiting(wait, held))
    }

    fn quiet(gate: Arc<Gate>, state: State<S, B>) -> Self {
        Self {
            gate,
            span: RequestSpan::none(),
            state,
        }
    }
}

impl<S, B> State<S, B>
where
    S: Service<Request<B>>,
{
    fn inside(
        gate: &Gate,
        service: &mut S,
        mut request: Request<B>,
        principal: Principal,
        bill: Bill,
    ) -> (RequestSpan, Self)
    where
        B: 'static,
    {
        let span = span_of(&principal);
        let mut stream = Stream::of(&principal, &mut request);
        gate.admit(&mut request, principal);
        let future = {
            let _entered = span.enter();
            Stream::within(&mut stream, || service.call(request))
        };
        let state = Self::Inner {
            future,
            authenticated: true,
            bill: Some(bill),
            stream,
        };
        (span, state)
    }

    fn anonymous(future: S::Future) -> Self {
        Self::Inner {
            future,
            authenticated: false,
            bill: None,
            stream: None,
        }
    }

    fn waiting(wait: Wait, held: Held<S, B>) -> Self {
        let waiting = Waiting {
            wait,
            held: Some(held),
        };
        Self::Waiting {
            waiting: Box::pin(waiting),
        }
    }
}

impl<S, B, ResBody> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    B: 'static,
    ResBody: Body + RefusalBody,
{
    type Output = Result<Response<GuardedBody<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProjection::Inner {
                    future,
                    authenticated,
                    bill,
                    stream,
                } => {
                    let _entered = this.span.enter();
                    let polled = Stream::within(stream, || future.poll(context))?;
                    let refusal = match (polled, stream) {
                        (Poll::Pending, None) => return Poll::Pending,
                        (Poll::Pending, Some(stream)) => ready!(stream.poll_ended(context)),
                        (Poll::Ready(mut response), stream) => {
                            mark(response.headers_mut(), this.gate.vary.as_ref(), *authenticated);
                            if let Some(bill) = bill.take() {
                                this.gate.account(bill, &mut response);
                            }
                            match guarded(response, stream.take()) {
                                Ok(response) => return Poll::Ready(Ok(response)),
                                Err(refusal) => refusal,
                            }
                        }
                    };
                    State::Refused {
                        refusal: Some(refusal),
                        head: false,
                    }
                }
                StateProjection::Refused { refusal, head } => {
                    let refusal = refusal
                        .take()
                        .expect("a response future is not polled again after it was ready");
                    let response = Rejection::new(refusal, &this.gate.realm).into_response();
                    let body = |problem| if *head { Bytes::new() } else { problem };
                    return Poll::Ready(Ok(response.map(|problem| body(problem).into())));
                }
                StateProjection::Waiting { waiting } => {
                    let mut waiting = waiting.as_mut().project();
                    let next = ready!(waiting.wait.as_mut().poll(context, this.gate, waiting.held));
                    let mut held = waiting.held.take().expect("what is waited for comes once");
                    match next {
                        Next::Wait(wait) => State::waiting(wait, held),
                        Next::Known(principal, bill) => {
                            let (span, state) =
                                State::inside(this.gate, &mut held.ready, held.request, principal, bill);
                            *this.span = span;
                            state
                        }
                        Next::Anonymous => {
                            this.gate.admit_anonymous(&mut held.request);
                            State::anonymous(held.ready.call(held.request))
                        }
                        Next::Refused(refusal) => State::Refused {
                            refusal: Some(refusal),
                            head: held.request.method() == Method::HEAD,
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

/// The answer with its body watched, if it is a stream.
fn guarded<B: Body>(
    response: Response<B>,
    stream: Option<Stream>,
) -> Result<Response<GuardedBody<B>>, Refusal> {
    let (head, body) = response.into_parts();
    let body = match stream {
        Some(stream) => stream.guard(body, &head.headers)?,
        None => GuardedBody::unguarded(body),
    };
    Ok(Response::from_parts(head, body))
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
