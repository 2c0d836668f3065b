//! Who is it: static keys, then the cache, then the resolver.
//!
//! [`StaticKey`]s come from the configuration and need no store. Everything else is looked up by its digest, with a [`Resolver`] of the
//! application's own or in a [`KeyStore`](crate::store::KeyStore): found, not found, or could not be found out.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use http::{Request, Response, StatusCode};
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_api_key::{ApiKeyAuth, access::Grants, authn::StaticKey};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let auth = ApiKeyAuth::static_keys_only()
//!     .static_key(StaticKey::new("correct-horse-battery").grant(Grants::all()))
//!     .build()?;
//! let service = auth.layer(service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(Vec::new()))));
//!
//! let request = Request::get("/").header("X-Key", "correct-horse-battery").body(String::new())?;
//! assert_eq!(service.clone().oneshot(request).await?.status(), StatusCode::OK);
//! let request = Request::get("/").header("X-Key", "wrong").body(String::new())?;
//! assert_eq!(service.oneshot(request).await?.status(), StatusCode::UNAUTHORIZED);
//! # Ok(())
//! # }
//! ```

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{Sleep, sleep, timeout},
};

mod refusal;

mod static_keys;

mod resolver;

mod cache;

pub use refusal::{Refusal, RefusalKind, Unavailable};
pub use resolver::Resolver;
pub use static_keys::{StaticKey, StaticKeyError};

pub(crate) use cache::{Cache, Limits};
pub(crate) use resolver::{Load, OwnResolver, StoreResolver, UserLoader};
pub(crate) use static_keys::StaticKeys;

use self::{
    cache::{Begin, Found, Lead, Outcome},
    resolver::Resolved,
};
use crate::{
    clock::Clock,
    key::{KeyDigest, KeyFormat, KeyStatus, MAX_PRESENTED_LEN, Pepper},
    principal::{Principal, PrincipalKind, Realm},
    trace,
};

/// How much longer than the look-up itself a request waits for it, in case the task that runs it is starved.
const GRACE: Duration = Duration::from_millis(100);

/// Decides on a key, at once where it can.
pub(crate) struct Authenticator {
    pub(crate) static_keys: StaticKeys,
    pub(crate) lookup: Option<Arc<Lookup>>,
}

/// Everything that a look-up needs, shared with the task it runs in.
pub(crate) struct Lookup {
    /// `None` for keys that were not minted here: then only the table can tell.
    pub(crate) format: Option<KeyFormat>,
    pub(crate) pepper: Option<Pepper>,
    pub(crate) cache: Arc<Cache<Principal>>,
    pub(crate) load: Arc<dyn Load>,
    pub(crate) timeout: Duration,
    pub(crate) realm: Arc<Realm>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// What is known of a presented key without waiting.
pub(crate) enum Verdict {
    Known(Principal),
    Refused(Refusal),
    Pending(Pending),
}

impl Authenticator {
    /// Everything up to a cached verdict happens here, without a query, a lock that is held, or memory of its own.
    pub(crate) fn authenticate(&self, presented: &[u8]) -> Verdict {
        if presented.len() > MAX_PRESENTED_LEN
            || presented.is_empty()
            || !presented.iter().all(u8::is_ascii_graphic)
        {
            return refused("not 1 to 512 visible ASCII characters");
        }
        let digest = KeyDigest::of(presented);
        if let Some(principal) = self.static_keys.find(&digest) {
            return Verdict::Known(principal.clone());
        }
        match &self.lookup {
            Some(lookup) => lookup.authenticate(presented, &digest),
            None => refused("no static key"),
        }
    }
}

impl Lookup {
    fn authenticate(self: &Arc<Self>, presented: &[u8], digest: &KeyDigest) -> Verdict {
        let peppered = self.pepper.as_ref().map(|pepper| pepper.apply(digest));
        let digest = peppered.as_ref().unwrap_or(digest);
        if let Some(principal) = self.cache.hit(digest) {
            return Verdict::Known(principal);
        }
        if let Some(Err(malformed)) = self.format.as_ref().map(|format| format.check(presented)) {
            return Verdict::Refused(Refusal::malformed(malformed));
        }
        if self.cache.is_unknown(digest) {
            return refused("unknown");
        }
        // Without a runtime there is no look-up, and nothing to wait with.
        let Ok(runtime) = Handle::try_current() else {
            let failure = Unavailable::new("there is no tokio runtime to look the key up in");
            return Verdict::Refused(Refusal::unavailable(failure));
        };
        let answer = match self.cache.begin(digest) {
            Begin::Decided(Ok(principal)) => return Verdict::Known(principal),
            Begin::Decided(Err(refusal)) => return Verdict::Refused(refusal),
            Begin::Join(answer) => answer,
            Begin::Lead(lead, answer) => {
                runtime.spawn(self.clone().fly(*digest, lead));
                answer
            }
        };
        Verdict::Pending(Pending {
            answer,
            give_up: sleep(self.timeout + GRACE),
        })
    }

    /// One look-up, in a task of its own: whoever asked first may hang up without harm to the others.
    async fn fly(self: Arc<Self>, digest: KeyDigest, lead: Lead<Principal>) {
        let sent = self.clock.elapsed();
        let found = match timeout(self.timeout, self.load.load(digest)).await {
            Ok(Ok(Some(resolved))) => self.judge(resolved),
            Ok(Ok(None)) => Found::Unknown,
            Ok(Err(failure)) => failed(failure),
            Err(_) => failed(Unavailable::new("the look-up timed out")),
        };
        lead.land(sent, found);
    }

    fn judge(&self, Resolved { identity, now }: Resolved) -> Found<Principal> {
        match identity.status(now) {
            KeyStatus::Active => {
                let good_for = identity
                    .expiry()
                    .map(|expiry| expiry.duration_since(now).unwrap_or_default());
                let principal = Principal::new(PrincipalKind::Key, identity, self.realm.clone());
                Found::Good(principal, good_for)
            }
            KeyStatus::Revoked => Found::Revoked,
            KeyStatus::Expired => Found::NotNow(Refusal::new(RefusalKind::KeyExpired)),
            KeyStatus::Disabled => Found::NotNow(Refusal::new(RefusalKind::KeyDisabled)),
        }
    }
}

pin_project! {
    /// A verdict that has to be waited for.
    pub(crate) struct Pending {
        #[pin]
        answer: oneshot::Receiver<Outcome<Principal>>,
        #[pin]
        give_up: Sleep,
    }
}

impl Future for Pending {
    type Output = Outcome<Principal>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let failure = match this.answer.poll(context) {
            Poll::Ready(Ok(outcome)) => return Poll::Ready(outcome),
            Poll::Ready(Err(_)) => "the look-up ended without an answer",
            Poll::Pending => match this.give_up.poll(context) {
                Poll::Ready(()) => "the look-up did not answer in time",
                Poll::Pending => return Poll::Pending,
            },
        };
        Poll::Ready(Err(Refusal::unavailable(Unavailable::new(failure))))
    }
}

fn refused(reason: &'static str) -> Verdict {
    Verdict::Refused(Refusal::because(RefusalKind::InvalidKey, reason))
}

fn failed(failure: Unavailable) -> Found<Principal> {
    trace::lookup_failed(&failure);
    Found::NotNow(Refusal::unavailable(failure))
}
