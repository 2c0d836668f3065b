use std::{
    fmt,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use http::request::Parts;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{
    owners::Owners,
    refusal::{Refusal, Unavailable},
};
use crate::{
    clock::Clock,
    principal::{Identity, Principal, PrincipalKind, Realm},
    trace,
};

/// Recognises callers that have no key, such as users who are logged in: a scheme after the keys, set with
/// [`Builder::fallback`](crate::Builder::fallback).
///
/// It is asked when a request carries no key at all. A key decides alone: a bad one is never made up for by a session. That goes for every
/// `Authorization: Bearer`, too, unless the scheme has tokens of its own and [claims](Fallback::claims_bearer) the one there is, which
/// then decides alone in the same way.
///
/// There are three answers. `Ok(Some(identity))`: this is who calls. `Ok(None)`: it is nobody this scheme knows, and the request is
/// refused as if there were no fallback. `Err(Unavailable)`: it could not be found out, and the caller gets 503; so does one whose answer takes
/// longer than [`lookup_timeout`](crate::Builder::lookup_timeout), or panics. Nothing is cached: it is asked for every such request.
///
/// The [`Principal`] is of the kind [`Session`](PrincipalKind::Session). Browsers send cookies along with whatever another site makes
/// them send, so its requests with a method other than `GET`, `HEAD`, `OPTIONS` and `TRACE`, and its WebSocket handshakes from other
/// sites, are refused unless they come from a page of the same origin. A bearer token is nothing that a browser sends of itself, so that
/// whoever was recognised by one is exempt.
///
/// Any closure from the head of a request is a fallback that claims no bearer token. It takes what it needs before it waits:
///
/// ```
/// use http::request::Parts;
/// use tower_api_key::{ApiKeyAuth, access::Grants, authn::StaticKey, principal::Identity};
///
/// #[derive(Clone)]
/// struct LoggedIn(String); // as some layer outside of this one found it
///
/// let auth = ApiKeyAuth::static_keys_only()
///     .static_key(StaticKey::new("correct-horse-battery"))
///     .fallback(|request: &Parts| {
///         let user = request.extensions.get::<LoggedIn>().cloned();
///         async move { Ok(user.map(|LoggedIn(name)| Identity::new(name).grants(Grants::none()))) }
///     })
///     .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Fallback: Send + Sync + 'static {
    /// Who is calling with a request that carries no key, judged by its head.
    ///
    /// # Errors
    ///
    /// When it cannot be found out.
    fn authenticate(
        &self,
        request: &Parts,
    ) -> impl Future<Output = Result<Option<Identity>, Unavailable>> + Send;

    /// Whether a bearer token that is no static key, and does not begin with a [prefix](crate::Builder::prefix) of this application, is for
    /// this scheme to decide on. By its looks alone: it is asked for every such request, and must not block. No, if not said otherwise,
    /// and the token is then looked up as a key.
    fn claims_bearer(&self, token: &str) -> bool {
        let _unclaimed = token;
        false
    }

    /// Who is calling with a bearer token that this scheme has [claimed](Fallback::claims_bearer). Nobody, if not said otherwise: then the request
    /// is refused as one with a bad key.
    ///
    /// The token is what was presented, so judge by it and leave the cookies of the request alone: a token that is not good must not make
    /// its bearer somebody who happens to be logged in.
    ///
    /// # Errors
    ///
    /// When it cannot be found out.
    fn authenticate_bearer(
        &self,
        token: &str,
        request: &Parts,
    ) -> impl Future<Output = Result<Option<Identity>, Unavailable>> + Send {
        let _nobody = (token, request);
        async { Ok(None) }
    }
}

impl<F, Fut> Fallback for F
where
    F: Fn(&Parts) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Option<Identity>, Unavailable>> + Send,
{
    fn authenticate(
        &self,
        request: &Parts,
    ) -> impl Future<Output = Result<Option<Identity>, Unavailable>> + Send {
        self(request)
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Option<Identity>, Unavailable>> + Send>>;

/// A [`Fallback`] without its type.
pub(crate) trait DynFallback: Send + Sync {
    fn claims(&self, token: &str) -> bool;

    fn ask(self: Arc<Self>, question: Question) -> Answer;
}

impl<F: Fallback> DynFallback for F {
    fn claims(&self, token: &str) -> bool {
        self.claims_bearer(token)
    }

    fn ask(self: Arc<Self>, Question { request, bearer }: Question) -> Answer {
        Box::pin(async move {
            match &bearer {
                Some(token) => self.authenticate_bearer(token, &request).await,
                None => self.authenticate(&request).await,
            }
        })
    }
}

/// What the fallback is to judge by.
pub(crate) struct Question {
    pub(crate) request: Parts,
    /// The token that it has claimed; the rest of the request then has no say.
    pub(crate) bearer: Option<Claimed>,
}

/// A bearer token that the fallback has claimed. It is a secret.
pub(crate) type Claimed = Zeroizing<String>;

/// The scheme after the keys, with all that it takes to ask it.
pub(crate) struct Sessions {
    pub(crate) fallback: Arc<dyn DynFallback>,
    /// What the keys of this application begin with. `None` where nobody has said: then every bearer token may be a key.
    pub(crate) prefixes: Option<Box<[String]>>,
    pub(crate) owners: Option<Arc<Owners>>,
    pub(crate) timeout: Duration,
    pub(crate) realm: Arc<Realm>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Sessions {
    /// The bearer token, if the fallback says that it is one of its own. Whether it may have it is not asked of it.
    pub(super) fn claim(&self, token: &[u8]) -> Option<Claimed> {
        if token.is_empty() || !super::is_visible(token) || !self.may_claim(token) {
            return None;
        }
        let token = std::str::from_utf8(token).ok()?;
        // A panic is no claim.
        let claimed = catch_unwind(AssertUnwindSafe(|| self.fallback.claims(token)));
        claimed.unwrap_or(false).then(|| token.to_owned().into())
    }

    /// Whether a bearer token is none of our keys, as far as its beginning shows. A prefix counts in any case: mistyped, it is no session.
    fn may_claim(&self, token: &[u8]) -> bool {
        let begins_with = |prefix: &String| {
            let start = token.get(..prefix.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
        };
        match &self.prefixes {
            Some(prefixes) => !prefixes.iter().any(begins_with),
            None => false,
        }
    }

    /// Whom the fallback recognises; `nobody` when it does not.
    pub(super) async fn recognise(
        self: Arc<Self>,
        question: Question,
        nobody: Refusal,
    ) -> Result<Principal, Refusal> {
        match timeout(self.timeout, told_of_panic(self.identify(question))).await {
            Ok(Ok(Some(identity))) => self.judge(identity),
            Ok(Ok(None)) => Err(nobody),
            Ok(Err(failure)) => Err(failed(failure)),
            Err(_) => Err(failed(Unavailable::new("the fallback timed out"))),
        }
    }

    async fn identify(&self, question: Question) -> Result<Option<Identity>, Unavailable> {
        let identity = self.fallback.clone().ask(question).await?;
        match (identity, &self.owners) {
            (Some(identity), Some(owners)) => owners.bind(identity, self.clock.now()).await.map(Some),
            (identity, _) => Ok(identity),
        }
    }

    fn judge(&self, identity: Identity) -> Result<Principal, Refusal> {
        match Refusal::of_status(identity.status(self.clock.now())) {
            Some(refusal) => Err(refusal),
            None => Ok(Principal::new(
                PrincipalKind::Session,
                identity,
                self.realm.clone(),
            )),
        }
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("prefixes", &self.prefixes)
            .finish_non_exhaustive()
    }
}

/// A panic is a bug of the application's, of which nobody knows whom it would have let in.
async fn told_of_panic<T>(work: impl Future<Output = Result<T, Unavailable>>) -> Result<T, Unavailable> {
    let mut work = pin!(work);
    poll_fn(|context| {
        // Nothing looks at the work again after a panic.
        catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)))
            .unwrap_or_else(|_| Poll::Ready(Err(Unavailable::new("the fallback panicked"))))
    })
    .await
}

fn failed(failure: Unavailable) -> Refusal {
    trace::fallback_failed(failure.cause());
    Refusal::unavailable(failure)
}
