//! Who is it: static keys, then the cache, then the resolver; where there is no key, the application's own login.
//!
//! [`StaticKey`]s come from the configuration and need no store. Everything else is looked up by its digest, with a [`Resolver`] of the
//! application's own or in a [`KeyStore`](crate::store::KeyStore): found, not found, or could not be found out. A [`Fallback`] recognises callers
//! without a key, and an [`OwnerDirectory`] says what the owner of a key may do now.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::Full;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_api_key::{ApiKeyAuth, access::Grants, authn::StaticKey};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let auth = ApiKeyAuth::static_keys_only()
//!     .static_key(StaticKey::new("correct-horse-battery").grant(Grants::all()))
//!     .build()?;
//! let service = auth.layer(service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))));
//!
//! let request = Request::get("/").header("X-Key", "correct-horse-battery").body(String::new())?;
//! assert_eq!(service.clone().oneshot(request).await?.status(), StatusCode::OK);
//! let request = Request::get("/").header("X-Key", "wrong").body(String::new())?;
//! assert_eq!(service.oneshot(request).await?.status(), StatusCode::UNAUTHORIZED);
//! # Ok(())
//! # }
//! ```

use std::{sync::Arc, thread, time::Duration};

use http::request::Parts;
use tokio::{runtime::Handle, time::timeout};

mod refusal;

mod static_keys;

mod resolver;

mod owners;

mod fallback;

mod cache;

mod foreign;

mod breaker;

mod listening;

mod confirm;

mod stale;

mod usage;

mod pending;

mod purse;

mod paying;

mod purpose;

#[cfg(feature = "management")]
mod inspect;

mod streams;

pub use fallback::Fallback;
pub use owners::{OwnerDirectory, OwnerState};
pub use refusal::{Refusal, RefusalKind, Unavailable};
pub use resolver::Resolver;
pub use static_keys::{StaticKey, StaticKeyError};

pub(crate) use breaker::Breaker;
pub(crate) use cache::{Cache, Limits};
pub(crate) use confirm::Confirming;
pub(crate) use fallback::{Claimed, DynFallback, Question, Sessions};
pub(crate) use foreign::Foreign;
#[cfg(feature = "management")]
pub(crate) use inspect::Inspected;
pub(crate) use listening::{Listening, MakeFeed};
pub(crate) use owners::Owners;
pub(crate) use pending::Pending;
pub(crate) use purse::Purse;
pub(crate) use resolver::{Load, OwnResolver, StoreResolver};
pub(crate) use stale::Stale;
pub(crate) use static_keys::StaticKeys;
pub(crate) use streams::Streams;
pub(crate) use usage::Usage;

use self::{
    cache::{Begin, Found, Lead},
    purpose::Purpose,
    resolver::Resolved,
};
use crate::{
    budget::Household,
    clock::Clock,
    key::{KeyDigest, KeyFormat, KeyStatus, MAX_PRESENTED_LEN, Pepper},
    metric,
    principal::{Keeper, Origin, Principal, Realm},
    trace,
};

/// How much longer than the look-up itself a request waits for it, in case the task that runs it is starved.
pub(crate) const GRACE: Duration = Duration::from_millis(100);

/// Decides on a key, at once where it can.
pub(crate) struct Authenticator {
    pub(crate) static_keys: StaticKeys,
    pub(crate) lookup: Option<Arc<Lookup>>,
    /// Asked where no key decides.
    pub(crate) sessions: Option<Arc<Sessions>>,
}

/// Everything that a look-up needs, shared with the task it runs in.
pub(crate) struct Lookup {
    /// `None` for keys that were not minted here: then only the table can tell.
    pub(crate) format: Option<KeyFormat>,
    /// `None` where no text is refused for its looks alone.
    pub(crate) foreign: Option<Arc<Foreign>>,
    /// What the application knows of the text of its keys.
    pub(crate) shape: Option<KeyShape>,
    pub(crate) pepper: Option<Pepper>,
    pub(crate) cache: Arc<Cache<Principal>>,
    pub(crate) load: Arc<dyn Load>,
    pub(crate) owners: Option<Arc<Owners>>,
    pub(crate) streams: Arc<Streams>,
    /// `None` where nothing is written down.
    pub(crate) usage: Option<Usage>,
    pub(crate) timeout: Duration,
    pub(crate) realm: Arc<Realm>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) breaker: Breaker,
    /// What keys are good for that the store cannot confirm; `None` for nothing.
    pub(crate) stale: Option<Stale>,
    /// `None` where nobody tells of changes.
    pub(crate) listening: Option<Listening>,
    pub(crate) confirming: Confirming,
}

/// Whether a text can be one of the application's keys at all.
pub(crate) type KeyShape = Box<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// What is known of a presented key without waiting.
pub(crate) enum Verdict {
    Known(Principal),
    Refused(Refusal),
    Pending(Pending),
    /// No key decides: the fallback is to be asked, about the bearer token if there is one.
    Fallback(Option<Claimed>),
}

impl Authenticator {
    /// Everything up to a cached verdict happens here, without a query, a lock that is held, or memory of its own. Where it comes from is asked only
    /// where that counts.
    pub(crate) fn authenticate(&self, presented: &[u8], from: &dyn Fn() -> Household) -> Verdict {
        self.decide(presented, Purpose::Use, from)
    }

    fn decide(&self, presented: &[u8], purpose: Purpose, from: &dyn Fn() -> Household) -> Verdict {
        if presented.len() > MAX_PRESENTED_LEN || presented.is_empty() || !is_visible(presented) {
            return refused("not 1 to 512 visible ASCII characters");
        }
        let digest = KeyDigest::of(presented);
        if let Some(principal) = self.static_keys.find(&digest) {
            return Verdict::Known(principal.clone());
        }
        match &self.lookup {
            Some(lookup) => lookup.authenticate(presented, &digest, purpose, from),
            None => refused("no static key"),
        }
    }

    /// As [`Self::authenticate`], for a bearer token: one without a prefix of ours may belong to the fallback, if that says so.
    pub(crate) fn authenticate_bearer(&self, token: &[u8], from: &dyn Fn() -> Household) -> Verdict {
        let claimed = self.sessions.as_ref().and_then(|sessions| sessions.claim(token));
        match claimed {
            Some(claimed) => match self.static_keys.find(&KeyDigest::of(token)) {
                Some(principal) => Verdict::Known(principal.clone()),
                None => Verdict::Fallback(Some(claimed)),
            },
            None => self.authenticate(token, from),
        }
    }

    /// The verdict on a request without a key.
    pub(crate) fn without_key(&self) -> Verdict {
        match &self.sessions {
            Some(_) => Verdict::Fallback(None),
            None => Verdict::Refused(Refusal::new(RefusalKind::MissingCredentials)),
        }
    }

    /// Sees to it that changes of keys are heard of.
    pub(crate) fn listen(&self) {
        if let Some(lookup) = &self.lookup {
            lookup.listen();
        }
    }

    /// Whether there is somebody to ask where no key decides.
    pub(crate) fn has_fallback(&self) -> bool {
        self.sessions.is_some()
    }

    /// Asks the fallback.
    pub(crate) fn ask_fallback(&self, request: Parts, bearer: Option<Claimed>) -> Result<Pending, Refusal> {
        let nobody = match &bearer {
            Some(_) => Refusal::because(RefusalKind::InvalidKey, "neither a key nor known to the fallback"),
            None => Refusal::new(RefusalKind::MissingCredentials),
        };
        let Some(sessions) = &self.sessions else {
            return Err(nobody);
        };
        let question = Question { request, bearer };
        match Handle::try_current() {
            Ok(_) => Ok(Pending::Asking {
                answer: Box::pin(sessions.clone().recognise(question, nobody)),
            }),
            // Nor is there anything to limit its time with.
            Err(_) => Err(Refusal::unavailable(Unavailable::new(
                "there is no tokio runtime to ask the fallback in",
            ))),
        }
    }
}

impl Lookup {
    fn authenticate(
        self: &Arc<Self>,
        presented: &[u8],
        digest: &KeyDigest,
        purpose: Purpose,
        from: &dyn Fn() -> Household,
    ) -> Verdict {
        let peppered = self.pepper.as_ref().map(|pepper| pepper.apply(digest));
        let digest = peppered.as_ref().unwrap_or(digest);
        if let Some((principal, now)) = self.cache.hit(digest) {
            self.used(purpose, &principal, now);
            return Verdict::Known(principal);
        }
        match self.format.as_ref().map(|format| format.check(presented)) {
            Some(Err(malformed)) => self.authenticate_foreign(digest, malformed, purpose, from),
            Some(Ok(())) => self.look_up(digest, purpose, &|_| Ok(())),
            None if self.shape.as_ref().is_some_and(|fits| !fits(presented)) => refused("another shape"),
            None => self.look_up(digest, purpose, &|_| Ok(())),
        }
    }

    /// A key that is no hit; where it may be a guess, only if there is room for one.
    fn look_up(
        self: &Arc<Self>,
        digest: &KeyDigest,
        purpose: Purpose,
        room: &dyn Fn(Duration) -> Result<(), &'static str>,
    ) -> Verdict {
        if let Some(refusal) = self.cache.refusal(digest) {
            return Verdict::Refused(refusal);
        }
        // Without a runtime there is no look-up, and nothing to wait with.
        let Ok(runtime) = Handle::try_current() else {
            return no_runtime();
        };
        let answer = match self.cache.begin(digest) {
            Begin::Decided(Ok(principal)) => {
                self.used(purpose, &principal, self.clock.elapsed());
                return Verdict::Known(principal);
            }
            Begin::Decided(Err(refusal)) => return Verdict::Refused(refusal),
            Begin::Join(answer) => return Verdict::Pending(self.joined(answer, purpose)),
            Begin::Lead(lead, answer) => {
                self.listen();
                let now = self.clock.elapsed();
                // One that was good lately is no guess.
                let room = if lead.was_good() { Ok(()) } else { room(now) };
                if let Err(overload) = room {
                    metric::lookup_not_made("budget");
                    let refusal = Refusal::unavailable(Unavailable::new(overload));
                    lead.land(now, Found::NotNow(refusal.clone()));
                    return Verdict::Refused(refusal);
                }
                if !self.breaker.admits(now) {
                    let down =
                        Unavailable::new("the store has failed too often, and is left alone for a moment");
                    let found = self.without_store(digest, Refusal::unavailable(down));
                    if let Found::Stale(principal) = &found {
                        self.used(purpose, principal, now);
                    }
                    lead.land(now, found);
                    return Verdict::Pending(self.pending(answer));
                }
                runtime.spawn(self.clone().fly(*digest, lead, purpose));
                answer
            }
        };
        Verdict::Pending(self.pending(answer))
    }

    /// One look-up, in a task of its own: whoever asked first may hang up without harm to the others.
    async fn fly(self: Arc<Self>, digest: KeyDigest, lead: Lead<Principal>, purpose: Purpose) {
        let _told = TellOfPanic;
        let sent = lead.depart();
        let found = match timeout(self.timeout, self.find(digest)).await {
            Ok(Ok(resolved)) => {
                resolved.map_or(Found::Unknown, |resolved| self.judge(digest, resolved, sent))
            }
            Ok(Err(failure)) => self.failed(&digest, failure),
            Err(_) => {
                if self.breaker.failed(self.clock.elapsed()) {
                    trace::store_down();
                }
                self.failed(&digest, Unavailable::new("the look-up timed out"))
            }
        };
        if let Found::Good(principal, _) | Found::Stale(principal) = &found {
            self.used(purpose, principal, self.clock.elapsed());
        }
        lead.land(sent, found);
    }

    /// The store could not say.
    fn failed(&self, digest: &KeyDigest, failure: Unavailable) -> Found<Principal> {
        trace::lookup_failed(failure.cause());
        self.without_store(digest, Refusal::unavailable(failure))
    }

    async fn find(&self, digest: KeyDigest) -> Result<Option<Resolved>, Unavailable> {
        let loaded = self.load.load(digest).await;
        // In time, whatever it was: and a directory of owners that hangs is not the store.
        self.breaker.answered();
        match loaded? {
            Some(resolved) => Ok(Some(self.bound(resolved).await?)),
            None => Ok(None),
        }
    }

    /// As its owner allows it to be.
    async fn bound(&self, resolved: Resolved) -> Result<Resolved, Unavailable> {
        let Some(owners) = &self.owners else {
            return Ok(resolved);
        };
        let Resolved { identity, now } = resolved;
        let identity = owners.bind(identity, now).await?;
        Ok(Resolved { identity, now })
    }

    /// Sees to it that changes are heard of.
    fn listen(self: &Arc<Self>) {
        if let Some(listening) = &self.listening {
            listening.begin(self);
        }
    }

    fn judge(
        self: &Arc<Self>,
        digest: KeyDigest,
        Resolved { identity, now }: Resolved,
        sent: Duration,
    ) -> Found<Principal> {
        let status = identity.status(now);
        match Refusal::of_status(status) {
            None => {
                let good_for = identity
                    .expiry()
                    .map(|expiry| expiry.duration_since(now).unwrap_or_default());
                let used = identity.stored_key().zip(self.usage.as_ref());
                let used = used.map(|(id, usage)| usage.begin(id, now, self.clock.elapsed()));
                let keeper: Arc<dyn Keeper> = self.clone();
                let origin = Origin {
                    digest,
                    is_confirmed: true,
                    until: good_for.map(|good_for| sent.saturating_add(good_for)),
                    keeper: Arc::downgrade(&keeper),
                };
                let principal = Principal::of_key(identity, self.realm.clone(), used, origin);
                Found::Good(principal, good_for)
            }
            Some(_) if status == KeyStatus::Revoked => Found::Revoked,
            Some(_) if status == KeyStatus::Expired => Found::NotGood(RefusalKind::KeyExpired),
            // Whoever enables a key expects it to work.
            Some(refusal) => Found::NotNow(refusal),
        }
    }
}

/// Nobody waits for the task of a look-up, so that its panic would be told to nobody.
struct TellOfPanic;

impl Drop for TellOfPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            trace::lookup_failed(Unavailable::new("the look-up panicked").cause());
        }
    }
}

/// Looks at all of it rather than stop early: that is vectorized.
fn is_visible(text: &[u8]) -> bool {
    text.iter()
        .fold(true, |visible, byte| visible & byte.is_ascii_graphic())
}

fn refused(reason: &'static str) -> Verdict {
    Verdict::Refused(Refusal::because(RefusalKind::InvalidKey, reason))
}

fn no_runtime() -> Verdict {
    let failure = Unavailable::new("there is no tokio runtime to look the key up in");
    Verdict::Refused(Refusal::unavailable(failure))
}
