use std::sync::Arc;

use http::{
    HeaderValue, Method, Request,
    header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN},
    request::Parts,
};

use super::{
    address::{ClientAddress, household},
    cost::CostOf,
    forwarded::Proxies,
    origin,
};
use crate::{
    authn::{Authenticator, Purse, Refusal, RefusalKind, Verdict},
    budget::Household,
    credential::{Presented, Reader},
    limit::{Failures, Limiter},
    principal::{Anonymous, Principal, PrincipalKind, Realm},
};

/// What every request is decided with; shared by all services of one [`ApiKeyAuth`](crate::ApiKeyAuth).
pub(crate) struct Gate {
    pub(crate) reader: Reader,
    pub(crate) authenticator: Authenticator,
    pub(crate) limiter: Limiter,
    /// `None` where failures are not counted.
    pub(crate) failures: Option<Failures>,
    /// `None` where nobody's forwarding headers count.
    pub(crate) proxies: Option<Proxies>,
    /// What a request counts for, where it is not one.
    pub(crate) cost: Option<CostOf>,
    /// What uses of keys are paid from; `None` where there are no accounts.
    pub(crate) purse: Option<Purse>,
    pub(crate) realm: Arc<Realm>,
    pub(crate) vary: Option<HeaderValue>,
    /// Whether a CORS preflight passes without a credential.
    pub(crate) preflights: bool,
}

impl Gate {
    /// Finds out which client a proxy speaks for, for all that looks at the request from here on.
    pub(crate) fn locate<B>(&self, request: &mut Request<B>) {
        let Some(proxies) = &self.proxies else {
            return;
        };
        if let Some(found) = proxies.client(request.headers(), request.extensions()) {
            found.tell(request.extensions_mut());
        }
    }

    /// What the caller is told in place of being let in: of too many failures from the same address no more than that.
    pub(super) fn judged<B>(&self, request: &Request<B>, refusal: Refusal) -> Refusal {
        self.judged_of(|| household(request.extensions()), refusal)
    }

    pub(crate) fn judged_of(&self, from: impl FnOnce() -> Household, refusal: Refusal) -> Refusal {
        match &self.failures {
            Some(failures) if refusal.kind().is_failure() => match failures.count(from()) {
                Ok(()) => refusal,
                Err(wait) => Refusal::too_many_failures(refusal.kind(), wait),
            },
            _ => refusal,
        }
    }

    /// Who is calling, as far as the request says; `None` for somebody who need not say.
    pub(super) fn verdict<B>(&self, request: &Request<B>, optional: bool) -> Option<Verdict> {
        let authenticator = &self.authenticator;
        let from = || household(request.extensions());
        match self.reader.read(request.headers(), request.uri()) {
            // A browser sends no credential with a preflight, and must be answered all the same.
            _ if self.preflights && is_preflight(request) => None,
            Presented::One(token)
                if authenticator.has_fallback() && self.reader.is_bearer(request.headers()) =>
            {
                Some(authenticator.authenticate_bearer(&token, &from))
            }
            Presented::One(key) => Some(authenticator.authenticate(&key, &from)),
            Presented::None if optional && !authenticator.has_fallback() => None,
            Presented::None => Some(authenticator.without_key()),
            Presented::Many => Some(Verdict::Refused(Refusal::new(RefusalKind::AmbiguousCredentials))),
        }
    }

    /// Whether the principal may come in with this request, whatever it asks for, but for how often.
    pub(super) fn check<B>(&self, request: &Request<B>, principal: &Principal) -> Result<(), Refusal> {
        if let Some(allowed) = principal.allowed_ips() {
            let refusal = |reason| {
                principal.refused();
                Err(Refusal::because(RefusalKind::AddressNotAllowed, reason))
            };
            match ClientAddress::of(request.extensions()) {
                Some(address) if allowed.allows(address) => {}
                Some(_) => return refusal("not on the key's list"),
                None => return refusal("the address of the client is not known here"),
            }
        }
        // What a browser sends of itself is a cookie, and no bearer token.
        let sent_by_itself = match principal.kind() {
            PrincipalKind::Session => !self.reader.is_bearer(request.headers()),
            _ => self.reader.is_cookie(request.headers()),
        };
        if sent_by_itself && !origin::is_allowed(request) {
            return Err(Refusal::new(RefusalKind::CrossOrigin));
        }
        Ok(())
    }

    /// Hands the request over: whatever principal somebody else put there is replaced.
    pub(super) fn admit<B>(&self, request: &mut Request<B>, principal: Principal) {
        self.realm.decisions.allowed(principal.kind() as usize);
        if let Some(used) = principal.used() {
            used.admitted();
        }
        self.reader.conceal(request.headers_mut());
        request.extensions_mut().insert(principal);
    }

    /// Hands the request over without a principal.
    pub(super) fn admit_anonymous<B>(&self, request: &mut Request<B>) {
        self.realm.decisions.anonymous();
        self.clear(request);
        request.extensions_mut().insert(Anonymous(self.realm.clone()));
    }

    /// What the fallback gets to see of a request.
    pub(super) fn head_of<B>(&self, request: &mut Request<B>) -> Parts {
        self.clear(request);
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = request.method().clone();
        head.uri = request.uri().clone();
        head.version = request.version();
        head.headers = request.headers().clone();
        head.extensions = request.extensions().clone();
        head
    }

    /// A preflight may carry a key all the same, and another scheme's secret is one, too.
    fn clear<B>(&self, request: &mut Request<B>) {
        self.reader.conceal(request.headers_mut());
        request.extensions_mut().remove::<Principal>();
    }
}

fn is_preflight<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(ORIGIN)
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}
