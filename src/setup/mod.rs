//! Everything wired together: [`ApiKeyAuth`], and the [`Builder`] that makes it.

use std::{fmt, future::Future, sync::Arc};

use tower_layer::Layer;

#[cfg(feature = "page")]
use crate::page::Page;
#[cfg(feature = "management")]
use crate::router::{KeysRouter, Services};
use crate::{
    authn::Resolver,
    event::Settled,
    key::KeyDigest,
    manage::{ChangeError, Changes, Keys, Scope},
    middleware::{Authenticate, Gate},
    store::KeyStore,
    trace,
};
#[cfg(feature = "oidc")]
use crate::{
    exchange::{Exchange, TrustPolicies},
    router::TokenRouter,
};

mod error;

mod preset;

mod builder;

mod limits;

mod wiring;

mod closing;

mod notices;

use notices::Told;

pub use builder::Builder;
pub use error::BuildError;
pub use preset::Preset;

/// API-key authentication for a service: a [`tower::Layer`](tower_layer::Layer).
///
/// Every request must carry one good key, and goes on with its [`Principal`](crate::principal::Principal) in the extensions; any other
/// is refused. Cheap to clone, and clones share one cache: a revoke through one of them is final for all of them. Another `ApiKeyAuth` that was
/// built over the same store has a cache of its own, and hears of it as another process does.
///
/// A CORS preflight (`OPTIONS` with `Origin` and `Access-Control-Request-Method`) passes without a principal, because browsers
/// send no credential with one. A handler for any method, a fallback or a proxy inside of the layer must therefore ask for a
/// [`Principal`](crate::principal::Principal) itself, or the builder be told [`Builder::guard_preflights`]. A layer that rewrites methods belongs
/// outside.
///
/// Looking keys up takes a tokio runtime with its time driver.
#[derive(Clone)]
#[must_use]
pub struct ApiKeyAuth {
    gate: Arc<Gate>,
    optional: bool,
    managed: Arc<Managed>,
}

/// The other half. Behind one pointer, because a router clones the layer, in places once a request.
struct Managed {
    keys: Option<Keys>,
    changes: Option<Changes>,
    told: Told,
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
        self.managed.keys.as_ref()
    }

    /// A router by which callers manage their own keys; see [`router`](crate::router). It can be nested anywhere, inside of this layer or of
    /// any other that puts a [`Principal`](crate::principal::Principal) into the request: it does not authenticate.
    ///
    /// Without a store every call is answered 500.
    ///
    /// With the feature `page` browsers are answered with a page, under the same paths: whoever prefers `text/html` in `Accept`.
    #[cfg(feature = "management")]
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> axum::Router<S> {
        self.both_routers()
    }

    #[cfg(all(feature = "management", not(feature = "page")))]
    fn both_routers<S: Clone + Send + Sync + 'static>(&self) -> axum::Router<S> {
        self.keys_router().into_router()
    }

    #[cfg(feature = "page")]
    fn both_routers<S: Clone + Send + Sync + 'static>(&self) -> axum::Router<S> {
        self.page().beside(self.keys_router())
    }

    /// A page on which people manage their keys, to be configured; see [`page`](crate::page). As [`ApiKeyAuth::router`] it does not authenticate.
    #[cfg(feature = "page")]
    pub fn page(&self) -> Page {
        let usage = self
            .gate
            .authenticator
            .lookup
            .as_ref()
            .and_then(|lookup| lookup.usage.as_ref());
        Page::new(
            self.managed.keys.clone(),
            usage.map(|usage| (usage.tallies().clone(), usage.every())),
        )
    }

    /// The same, to be configured.
    #[cfg(feature = "management")]
    pub fn keys_router(&self) -> KeysRouter {
        KeysRouter::new(self.managed.keys.clone())
    }

    /// Routes by which others ask about keys, and end them: introspection, revocation, forward authentication.
    #[cfg(feature = "management")]
    pub fn services(&self) -> Services {
        let services = Services::new(self.gate.clone(), self.managed.keys.clone());
        #[cfg(feature = "leaks")]
        let services = services.telling(self.managed.told.notices.clone());
        services
    }

    /// Gives short-lived keys for tokens of other issuers, such as those of workflows, by trust policies; see [`exchange`](crate::exchange).
    ///
    /// # Errors
    ///
    /// When there is no store, or one that does not [keep tokens](crate::store::KeyStore::keeps_tokens): a token could then be exchanged again and again.
    #[cfg(feature = "oidc")]
    pub fn exchange(&self, policies: TrustPolicies) -> Result<Exchange, BuildError> {
        let complaint = |text: &str| BuildError(vec![text.into()]);
        let keys = self.keys().cloned();
        let keys = keys.ok_or_else(|| complaint("there is no store for keys that are given for tokens"))?;
        Exchange::new(keys, policies).ok_or_else(|| {
            complaint("the store does not keep tokens, so one could be exchanged for keys again and again")
        })
    }

    /// A router by which workflows exchange their tokens, to be nested outside of this layer: it asks for no key.
    ///
    /// # Errors
    ///
    /// As [`ApiKeyAuth::exchange`].
    #[cfg(feature = "oidc")]
    pub fn token_router(&self, policies: TrustPolicies) -> Result<TokenRouter, BuildError> {
        Ok(TokenRouter::behind(self.exchange(policies)?, self.gate.clone()))
    }

    /// Changes a key in a table of the application's own, so that no verdict from before survives it: the work runs in a task of its own,
    /// which outlives a caller that goes away, and no request that begins after this returns is answered from what was known before.
    ///
    /// Use it for everything that changes what the resolver would say: revoking, disabling, minting, changing rights. `digest` is the one
    /// that the resolver is given: with a pepper, what [`Pepper::apply`](crate::key::Pepper::apply) makes of the SHA-256. Other processes are told
    /// through a [`feed`](Builder::feed) before this returns, if there is one.
    ///
    /// With [`Preset::Strict`] other processes on the same store have heard of it, too, when this returns, if the work told them.
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
        self.change_scope(digest.into(), work).await
    }

    /// Changes what the [`owners`](Builder::owners) directory says of somebody, such as that they are suspended, so that no verdict from
    /// before survives it: the work runs in a task of its own, and no request that begins after this returns is answered from what was
    /// known before, whichever key it carries.
    ///
    /// Which keys the owner has nobody here knows, so that all are looked up anew.
    ///
    /// With [`Preset::Strict`] other processes on the same store have heard of it, too, when this returns, if the work told them: in PostgreSQL, by
    /// the trigger function `api_key_owner_changed()` on the table of owners.
    ///
    /// # Errors
    ///
    /// When the work fails or panics. Nothing is then cached until [`doubt`](Builder::doubt) has passed, since a change that failed to answer may still
    /// happen.
    pub async fn change_owner<T, E>(
        &self,
        owner: &str,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, ChangeError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        trace::owner_changes(owner);
        self.change_scope(Scope::Everything, work).await
    }

    async fn change_scope<T, E>(
        &self,
        scope: Scope,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, ChangeError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        match &self.managed.changes {
            Some(changes) => {
                let done = changes
                    .run(scope, work, |_| Settled::Changed, |_| Settled::Unknown)
                    .await?;
                changes.receipt().await;
                Ok(done)
            }
            // Static keys only: nothing to forget, but the promise of a task of its own holds.
            None => match tokio::spawn(work).await {
                Ok(done) => done.map_err(ChangeError::Failed),
                Err(_) => Err(ChangeError::Lost),
            },
        }
    }
}

impl<S> Layer<S> for ApiKeyAuth {
    type Service = Authenticate<S>;

    fn layer(&self, inner: S) -> Self::Service {
        // Not when it is built: whoever only manages keys need not hear of changes.
        self.gate.authenticator.listen();
        if let Some(expiring) = &self.managed.told.expiring {
            expiring.begin();
        }
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
