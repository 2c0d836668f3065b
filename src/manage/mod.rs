//! The life of a key: minting, narrowing, rotating, revoking, and the log of it all.
//!
//! Every change goes the same way: in a task of its own, so that a caller who hangs up leaves nothing half done, it fences the key in
//! the cache; then, in one transaction, it reads what it needs, decides by the [`Policy`], and writes the change with its line of the audit
//! log; it makes the cache forget the key, tells other processes where the store does not, and only then answers.
//!
//! [`Keys`] is the application acting for itself: nobody stands between it and the store. [`Keys::by`] is somebody who was let
//! in acting for themselves: what they make is theirs, can never do more, or longer, than they can, and their own key is looked at again inside
//! of the transaction.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::Full;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_api_key::{ApiKeyAuth, access::Grants, manage::NewKey, store::MemoryStore};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let auth = ApiKeyAuth::builder(MemoryStore::new()?).build()?;
//! let keys = auth.keys().expect("there is a store");
//! let service = auth.layer(service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))));
//! let call = async |key: &str| {
//!     let request = Request::get("/").header("Authorization", format!("Bearer {key}")).body(String::new())?;
//!     Ok::<_, Box<dyn std::error::Error>>(service.clone().oneshot(request).await?.status())
//! };
//!
//! let issued = keys.issue(NewKey::new("alice").grants(Grants::scopes(["issues:read"])?)).await?;
//! assert_eq!(call(issued.key.expose()).await?, StatusCode::OK);
//! keys.revoke(issued.record.id).await?;
//! assert_eq!(call(issued.key.expose()).await?, StatusCode::UNAUTHORIZED);
//! # Ok(())
//! # }
//! ```

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    clock::Clock,
    event::{Actor, Break, ChainHead, LoggedEvent},
    key::{KeyFormat, KeyId, Pepper},
    store::{DynStore, EventQuery, ImportedKeys, KeyPage, KeyQuery, StoredKey},
};

mod change;

mod policy;

mod error;

mod label;

mod request;

mod credits;

mod turns;

mod verb;

mod mint;

mod reserve;

mod alter;

mod batch;

mod verify;

mod everywhere;

mod herald;

mod caller;

mod expiring;

#[cfg(feature = "management")]
mod presented;

#[cfg(feature = "oidc")]
mod trust;

#[cfg(feature = "oidc")]
mod redeem;

#[cfg(test)]
mod tests;

pub use batch::ImportOutcome;
pub use caller::CallerKeys;
pub use change::ChangeError;
pub use error::{Conflict, Invalid, ManageError, ManageErrorKind, TokenFault};
pub use policy::{Excess, Policy};
pub use request::{Caller, DEFAULT_OVERLAP, ImportedKey, IssuedKey, KeyChange, NewKey, RevokedKey};

pub(crate) use change::{Changes, Scope};
pub(crate) use everywhere::Everywhere;
pub(crate) use expiring::Expiring;
pub(crate) use herald::Herald;
#[cfg(feature = "management")]
pub(crate) use label::check_name;
#[cfg(feature = "management")]
pub(crate) use presented::Presenter;

#[cfg(feature = "oidc")]
pub(crate) use request::shown_request_id;
#[cfg(feature = "oidc")]
pub(crate) use trust::Redemption;
use turns::Turns;
#[cfg(feature = "management")]
pub(crate) use verb::Verb;
use verb::{Maker, Refusals};

/// The keys of a store, for the application itself. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Keys(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<dyn DynStore>,
    format: KeyFormat,
    pepper: Option<Pepper>,
    changes: Changes,
    imported: Arc<ImportedKeys>,
    policy: Policy,
    refusals: Arc<Refusals>,
    turns: Arc<Turns>,
    /// Who the log says it was.
    actor: Actor,
}

impl Keys {
    pub(crate) fn new(
        store: Arc<dyn DynStore>,
        format: KeyFormat,
        pepper: Option<Pepper>,
        changes: Changes,
        imported: Arc<ImportedKeys>,
        policy: Policy,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self(Arc::new(Inner {
            store,
            format,
            pepper,
            changes,
            imported,
            policy,
            refusals: Arc::new(Refusals::new(clock)),
            turns: Arc::new(Turns::new()),
            actor: Actor::application(),
        }))
    }

    /// The same, but the log will say that it was this one.
    #[must_use]
    pub fn acting_as(&self, actor: Actor) -> Self {
        let Inner {
            store,
            format,
            pepper,
            changes,
            imported,
            policy,
            refusals,
            turns,
            ..
        } = &*self.0;
        Self(Arc::new(Inner {
            store: store.clone(),
            format: format.clone(),
            pepper: pepper.clone(),
            changes: changes.clone(),
            imported: imported.clone(),
            policy: policy.clone(),
            refusals: refusals.clone(),
            turns: turns.clone(),
            actor,
        }))
    }

    /// The keys as a caller may see and change them.
    #[must_use]
    pub fn by(&self, caller: Caller) -> CallerKeys {
        CallerKeys::new(self.clone(), caller)
    }

    /// Mints a key. It works from the moment this returns.
    ///
    /// # Errors
    ///
    /// When its name cannot be shown, when the store cannot keep it, or when there are no random numbers to make it of. No key is lost
    /// by trying again.
    pub async fn issue(&self, new: NewKey) -> Result<IssuedKey, ManageError> {
        self.mint(self.maker(), new).await
    }

    /// Renames, narrows, disables or enables a key. It can become less than it was, and never more.
    ///
    /// # Errors
    ///
    /// When there is no such key, it is revoked, it would become more than it was, or the store cannot do it.
    pub async fn change(&self, id: KeyId, change: KeyChange) -> Result<StoredKey, ManageError> {
        self.alter(self.maker(), id, change).await
    }

    /// Mints a key that takes over from another, which stays good for the `overlap`, and never for longer than it would have. With
    /// [`Preset::Strict`](crate::Preset::Strict) that holds for all processes on the same store when this returns.
    ///
    /// The new key has the same owner, name, rights and limits. One with an expiry is good for as long as the old one was from its making.
    ///
    /// # Errors
    ///
    /// When there is no such key, it is not good, another has taken over from it already, or the store cannot do it.
    pub async fn rotate(&self, id: KeyId, overlap: Duration) -> Result<IssuedKey, ManageError> {
        self.take_over(self.maker(), id, overlap).await
    }

    /// Revokes a key for good. No request that begins after this returns is let in with it by this process. Others on the same store learn
    /// of it as fast as the store, or a [`feed`](crate::Builder::feed), tells them, and with [`Preset::Strict`](crate::Preset::Strict) have
    /// done so when this returns; where nobody tells,
    /// within [`cache_ttl`](crate::Builder::cache_ttl). Revoking twice is the same as once.
    ///
    /// # Errors
    ///
    /// [`ManageErrorKind::NotFound`] when there is no such key; [`ManageErrorKind::Unavailable`] when the store could not say that it is
    /// revoked, and then it must be tried again. That the store cannot say who has heard of it is no error: it is then waited until nobody can use
    /// what they had cached.
    pub async fn revoke(&self, id: KeyId) -> Result<RevokedKey, ManageError> {
        self.end(self.maker(), id).await
    }

    /// Takes over keys of another system, of which only the SHA-256 is known, all in one transaction. A digest that is kept already is
    /// left as it is. Other processes let them in as soon as they hear of it, and with [`Preset::Strict`](crate::Preset::Strict) when this returns.
    ///
    /// # Errors
    ///
    /// When a name cannot be shown, a digest is of a text that everybody knows, or the store cannot keep them: then none of them is.
    pub async fn import(&self, keys: Vec<ImportedKey>) -> Result<Vec<ImportOutcome>, ManageError> {
        self.take_in(self.maker(), keys).await
    }

    /// How many of these keys [`Keys::import`] would leave alone, because their digest is kept already or comes twice. Changes nothing.
    ///
    /// # Errors
    ///
    /// As [`Keys::import`] when a name cannot be shown or a digest is of a text that everybody knows, or when the store cannot say.
    pub async fn known_among(&self, keys: Vec<ImportedKey>) -> Result<usize, ManageError> {
        self.count_known(keys).await
    }

    /// Removes keys that expired longer ago than `retention`, revoked or not; their lines in the log stay. A key without expiry is
    /// never removed, nor is an imported one, which could otherwise come back by being imported again. Answers with how many there were.
    /// Tokens that keys were given for are forgotten, too, once they have expired: those are not counted, nor does the log mention them.
    ///
    /// # Errors
    ///
    /// When the store cannot do it; what was removed until then stays removed.
    pub async fn prune(&self, retention: Duration) -> Result<u64, ManageError> {
        self.remove_expired(retention).await
    }

    /// The record of a key; `None` when there is no such key.
    ///
    /// # Errors
    ///
    /// When the store cannot say.
    pub async fn get(&self, id: KeyId) -> Result<Option<StoredKey>, ManageError> {
        Ok(self.0.store.get(id).await?)
    }

    /// A page of keys, the newest first.
    ///
    /// # Errors
    ///
    /// When the store cannot say.
    pub async fn list(&self, query: &KeyQuery) -> Result<KeyPage, ManageError> {
        Ok(self.0.store.list(query).await?)
    }

    /// A page of the log, the newest event first.
    ///
    /// # Errors
    ///
    /// When the store cannot say.
    pub async fn events(&self, query: &EventQuery) -> Result<Vec<LoggedEvent>, ManageError> {
        Ok(self.0.store.events(query).await?)
    }

    /// Reads the log from its beginning, and says where it is broken, if it is; else where it ended when this was called.
    ///
    /// # Errors
    ///
    /// When the store cannot say.
    pub async fn verify_log(&self) -> Result<Result<ChainHead, Break>, ManageError> {
        self.check_log().await
    }

    /// Whether the store holds no key at all, as on a first start.
    ///
    /// # Errors
    ///
    /// When the store cannot say.
    pub async fn is_empty(&self) -> Result<bool, ManageError> {
        Ok(self.0.store.is_empty().await?)
    }

    /// Whether the store can answer a look-up now: for a health check.
    ///
    /// # Errors
    ///
    /// When it cannot.
    pub async fn ping(&self) -> Result<(), ManageError> {
        Ok(self.0.store.ping().await?)
    }

    fn maker(&self) -> Maker {
        Maker::Application(self.0.actor.clone())
    }
}

/// Stores keep milliseconds; what was issued must equal what is read back.
fn to_the_millisecond(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + since - Duration::from_nanos(u64::from(since.subsec_nanos() % 1_000_000))
}
