//! Everything wired together: [`ApiKeyAuth`], and the [`Builder`] that makes it.

use std::{fmt, future::Future, sync::Arc};

use tower_layer::Layer;

use crate::{
    authn::Resolver,
    event::Settled,
    key::KeyDigest,
    manage::{ChangeError, Changes, Keys},
    middleware::{Authenticate, Gate},
    store::KeyStore,
};

mod builder;

pub use builder::{BuildError, Builder};

/// API-key authentication for a service: a [`tower::Layer`](tower_layer::Layer).
///
/// Every request must carry one good key, and goes on with its [`Principal`](crate::principal::Principal) in the extensions; any other
/// is refused. Cheap to clone, and clones share one cache.
#[derive(Clone)]
#[must_use]
pub struct ApiKeyAuth {
    gate: Arc<Gate>,
    optional: bool,
    keys: Option<Keys>,
    changes: Option<Changes>,
}

impl ApiKeyAuth {
    /// Begins with a store of keys minted by this crate.
    pub fn builder(store: impl KeyStore) -> Builder {
        Builder::with_store(store)
    }

    /// Begins with a table of the application's own: one async function or closure that finds a digest in it.
    pub fn resolver(resolver: impl Resolver) -> Builder {
        Builder::with_resolver(resolver)
    }

    /// Begins with nothing but the static keys that will be added.
    pub fn static_keys_only() -> Builder {
        Builder::static_keys_only()
    }

    /// The same, but requests without any credential pass too, without a principal. A bad key is refused here as well.
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Mints and revokes the keys of the store; `None` when there is no store.
    #[must_use]
    pub fn keys(&self) -> Option<&Keys> {
        self.keys.as_ref()
    }

    /// Changes a key in a table of the application's own, so that no verdict from before survives it: the work runs in a task of its own,
    /// which outlives a caller that goes away, and no request that begins after this returns is answered from what was known before.
    ///
    /// Use it for everything that changes what the resolver would say: revoking, disabling, minting, changing rights.
    ///
    /// ```
    /// # use tower_api_key::{ApiKeyAuth, authn::Unavailable, key::KeyDigest};
    /// # async fn example(auth: ApiKeyAuth, digest: KeyDigest) -> Result<(), Box<dyn std::error::Error>> {
    /// # async fn delete(digest: KeyDigest) -> Result<(), std::io::Error> { Ok(()) }
    /// auth.change(digest, async move { delete(digest).await }).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the work fails or panics. The key is then not cached until [`doubt`](Builder::doubt) has passed, since a change that
    /// failed to answer may still happen.
    pub async fn change<T, E>(
        &self,
        digest: KeyDigest,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, ChangeError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        match &self.changes {
            Some(changes) => {
                changes
                    .run(digest, work, |_| Settled::Changed, |_| Settled::Unknown)
                    .await
            }
            None => work.await.map_err(ChangeError::Failed),
        }
    }
}

impl<S> Layer<S> for ApiKeyAuth {
    type Service = Authenticate<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Authenticate::new(inner, self.gate.clone(), self.optional)
    }
}

impl fmt::Debug for ApiKeyAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyAuth")
            .field("optional", &self.optional)
            .finish_non_exhaustive()
    }
}
