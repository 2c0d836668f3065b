use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Method, Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{
    body::RefusalBody, charge::Charged, future::ResponseFuture, gate::Gate, guard::GuardedBody, held::Held,
};
use crate::authn::{Pending, Verdict};

/// The service of [`ApiKeyAuth`](crate::ApiKeyAuth): lets a request in with its [`Principal`](crate::principal::Principal), or refuses it.
#[derive(Clone)]
#[must_use]
pub struct Authenticate<S> {
    inner: S,
    gate: Arc<Gate>,
    optional: bool,
}

impl<S> Authenticate<S> {
    pub(crate) fn new(inner: S, gate: Arc<Gate>, optional: bool) -> Self {
        Self {
            inner,
            gate,
            optional,
        }
    }

    fn wait_for<B>(&mut self, verdict: Pending, request: Request<B>) -> ResponseFuture<S, B>
    where
        S: Service<Request<B>> + Clone,
    {
        self.wait(request, |gate, held| ResponseFuture::pending(gate, verdict, held))
    }

    fn wait<B>(
        &mut self,
        request: Request<B>,
        future: impl FnOnce(Arc<Gate>, Held<S, B>) -> ResponseFuture<S, B>,
    ) -> ResponseFuture<S, B>
    where
        S: Service<Request<B>> + Clone,
    {
        // The service that was polled ready goes along; the clone that stays was not, and will be polled first.
        let inner = self.inner.clone();
        let ready = mem::replace(&mut self.inner, inner);
        future(self.gate.clone(), Held::new(ready, request, self.optional))
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Authenticate<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    ReqBody: 'static,
    ResBody: Body + RefusalBody,
{
    type Response = Response<GuardedBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, ReqBody>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let gate = &self.gate;
        let refused = |refusal, head| ResponseFuture::refused(gate.clone(), refusal, head);
        gate.locate(&mut request);
        let head = request.method() == Method::HEAD;
        match gate.verdict(&request, self.optional) {
            Some(Verdict::Known(principal)) => {
                if let Err(refusal) = gate.check(&request, &principal) {
                    return refused(refusal, head);
                }
                match gate.charge(&request, &principal) {
                    Charged::Done(bill) => {
                        ResponseFuture::admitted(gate.clone(), &mut self.inner, request, principal, bill)
                    }
                    Charged::Refused(refusal) => refused(refusal, head),
                    Charged::Ask(order) => self.wait(request, |gate, held| {
                        ResponseFuture::charging(gate, order, principal, held)
                    }),
                }
            }
            Some(Verdict::Refused(refusal)) => refused(gate.judged(&request, refusal), head),
            Some(Verdict::Pending(verdict)) => self.wait_for(verdict, request),
            Some(Verdict::Fallback(bearer)) => {
                let parts = gate.head_of(&mut request);
                match gate.authenticator.ask_fallback(parts, bearer) {
                    Ok(verdict) => self.wait_for(verdict, request),
                    Err(refusal) => refused(gate.judged(&request, refusal), head),
                }
            }
            None => {
                gate.admit_anonymous(&mut request);
                ResponseFuture::anonymous(gate.clone(), self.inner.call(request))
            }
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Authenticate<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticate")
            .field("inner", &self.inner)
            .field("optional", &self.optional)
            .finish_non_exhaustive()
    }
}
