use std::{future::Future, pin::Pin, sync::Arc, time::SystemTime};

use super::refusal::Unavailable;
use crate::{
    clock::Clock,
    key::{KeyDigest, KeyFormat},
    principal::Identity,
    store::{DynStore, StoredKey},
};

/// Finds whose key it is, in a table of the application's own.
///
/// There are three answers. `Ok(Some(identity))`: the key is known, and the [`Identity`] says whether it is still good. `Ok(None)`: there is no
/// such key. `Err(Unavailable)`: it could not be found out, and the caller gets 503; `?` makes one from any error. There is no way to
/// say "an error, so let it in", nor "an error, so it is a bad key". Taking longer than
/// [`lookup_timeout`](crate::Builder::lookup_timeout), and panicking, count as unavailable.
///
/// Any async closure from a [`KeyDigest`] is a resolver:
///
/// ```
/// use tower_api_key::{ApiKeyAuth, access::Grants, authn::Unavailable, key::KeyDigest, principal::Identity};
///
/// # async fn query(digest: String) -> Result<Option<String>, std::io::Error> { Ok(None) }
/// let auth = ApiKeyAuth::resolver(|digest: KeyDigest| async move {
///     let owner = query(digest.to_hex()).await?;
///     Ok::<_, Unavailable>(owner.map(|owner| Identity::new(owner).grants(Grants::none())))
/// })
/// .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Read from the primary database: a replica that lags can say "good" of a key that was revoked a moment ago.
pub trait Resolver: Send + Sync + 'static {
    /// Whose key has this digest.
    ///
    /// # Errors
    ///
    /// When it cannot be found out.
    fn resolve(
        &self,
        digest: KeyDigest,
    ) -> impl Future<Output = Result<Option<Identity>, Unavailable>> + Send;
}

impl<F, Fut> Resolver for F
where
    F: Fn(KeyDigest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Option<Identity>, Unavailable>> + Send,
{
    fn resolve(
        &self,
        digest: KeyDigest,
    ) -> impl Future<Output = Result<Option<Identity>, Unavailable>> + Send {
        self(digest)
    }
}

/// An answer, and the time by which its expiry is judged.
pub(crate) struct Resolved {
    pub(crate) identity: Identity,
    pub(crate) now: SystemTime,
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Option<Resolved>, Unavailable>> + Send + 'a>>;
type Answers<'a> = Pin<Box<dyn Future<Output = Result<Vec<(KeyDigest, Resolved)>, Unavailable>> + Send + 'a>>;

/// A [`Resolver`] or a store without its type. Boxes once a look-up, which is never on the hot path.
pub(crate) trait Load: Send + Sync {
    fn load(&self, digest: KeyDigest) -> Answer<'_>;

    /// Whether [`Load::load_many`] costs less than asking for each.
    fn answers_many(&self) -> bool {
        false
    }

    /// As many of them as there are.
    fn load_many<'a>(&'a self, digests: &'a [KeyDigest]) -> Answers<'a> {
        let _none = digests;
        Box::pin(async { Err(Unavailable::new("one at a time only")) })
    }
}

/// A resolver of the application's own, judged by the system's clock.
pub(crate) struct OwnResolver<R> {
    pub(crate) resolver: R,
    pub(crate) clock: Arc<dyn Clock>,
}

impl<R: Resolver> Load for OwnResolver<R> {
    fn load(&self, digest: KeyDigest) -> Answer<'_> {
        Box::pin(async move {
            let now = self.clock.now();
            let identity = self.resolver.resolve(digest).await?;
            Ok(identity.map(|identity| Resolved { identity, now }))
        })
    }
}

/// A store, judged by its own clock.
pub(crate) struct StoreResolver {
    pub(crate) store: Arc<dyn DynStore>,
    pub(crate) format: KeyFormat,
}

impl StoreResolver {
    /// A key that was minted under another prefix is another layer's, also where texts of other forms are looked up because keys were imported.
    fn is_ours(&self, found: &StoredKey) -> bool {
        found.record.imported || self.format.has_shown(&found.record.prefix)
    }
}

impl Load for StoreResolver {
    fn load(&self, digest: KeyDigest) -> Answer<'_> {
        Box::pin(async move {
            let Some(found) = self.store.find(&digest).await? else {
                return Ok(None);
            };
            if found.record.digest != digest {
                return Err(Unavailable::new("the store answered with another key"));
            }
            Ok(self.is_ours(&found).then(|| resolved(&found)))
        })
    }

    fn answers_many(&self) -> bool {
        true
    }

    fn load_many<'a>(&'a self, digests: &'a [KeyDigest]) -> Answers<'a> {
        Box::pin(async {
            let found = self.store.find_many(digests).await?;
            Ok(found
                .iter()
                .filter(|found| self.is_ours(found))
                .map(|found| (found.record.digest, resolved(found)))
                .collect())
        })
    }
}

fn resolved(found: &StoredKey) -> Resolved {
    Resolved {
        identity: Identity::from_record(&found.record, found.now),
        now: found.now,
    }
}
