use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use http::{
    HeaderValue, Method, Request, Response,
    header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN},
};
use tower_service::Service;

use super::{body::RefusalBody, future::ResponseFuture};
use crate::{
    authn::{Authenticator, Refusal, RefusalKind, Verdict},
    credential::{Presented, Reader},
    principal::{Anonymous, Principal, Realm},
};

/// What every request is decided with; shared by all services of one [`ApiKeyAuth`](crate::ApiKeyAuth).
pub(crate) struct Gate {
    pub(crate) reader: Reader,
    pub(crate) authenticator: Authenticator,
    pub(crate) realm: Arc<Realm>,
    pub(crate) vary: Option<HeaderValue>,
}

/// The service of [`ApiKeyAuth`](crate::ApiKeyAuth): lets a request in with its [`Principal`], or refuses it.
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
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Authenticate<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    ResBody: RefusalBody,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, ReqBody>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let gate = &self.gate;
        let verdict = match gate.reader.read(request.headers(), request.uri()) {
            // A browser sends no credential with a preflight, and must be answered all the same.
            _ if is_preflight(&request) => None,
            Presented::One(key) => Some(gate.authenticator.authenticate(&key)),
            Presented::None if self.optional => None,
            Presented::None => Some(Verdict::Refused(Refusal::new(RefusalKind::MissingCredentials))),
            Presented::Many => Some(Verdict::Refused(Refusal::new(RefusalKind::AmbiguousCredentials))),
        };
        match verdict {
            Some(Verdict::Known(principal)) => {
                gate.admit(&mut request, principal.clone());
                ResponseFuture::admitted(gate.clone(), &principal, |span| {
                    let _entered = span.enter();
                    self.inner.call(request)
                })
            }
            Some(Verdict::Refused(refusal)) => {
                ResponseFuture::refused(gate.clone(), refusal, request.method() == Method::HEAD)
            }
            Some(Verdict::Pending(verdict)) => {
                // The service that was polled ready goes along; the clone that stays was not, and will be polled first.
                let inner = self.inner.clone();
                let ready = mem::replace(&mut self.inner, inner);
                ResponseFuture::pending(gate.clone(), verdict, ready, request)
            }
            None => {
                let extensions = request.extensions_mut();
                extensions.remove::<Principal>();
                extensions.insert(Anonymous(gate.realm.clone()));
                ResponseFuture::anonymous(gate.clone(), self.inner.call(request))
            }
        }
    }
}

impl Gate {
    /// Hands the request over: whatever principal somebody else put there is replaced.
    pub(super) fn admit<B>(&self, request: &mut Request<B>, principal: Principal) {
        self.reader.conceal(request.headers_mut());
        request.extensions_mut().insert(principal);
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

fn is_preflight<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(ORIGIN)
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}
