use std::{fmt, sync::Arc};

use crate::{access::Scope, manage::Keys, middleware::Gate};

/// Routes for whoever has a key in hand that is not the credential of their own request: services behind this one, proxies before
/// them, and those who found a key. Made by [`ApiKeyAuth::services`](crate::ApiKeyAuth::services).
///
/// ```
/// use axum::Router;
/// use tower_api_key::{ApiKeyAuth, store::MemoryStore};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let auth = ApiKeyAuth::builder(MemoryStore::new()?).build()?;
/// let services = auth.services();
/// let guarded = Router::new()
///     .route("/introspect", services.introspection())
///     .merge(services.forward_auth("/verify"))
///     .layer(auth);
/// let app: Router = Router::new()
///     // Asks for no key but the one that it ends.
///     .route("/revoke", services.revocation())
///     .merge(guarded);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Services {
    pub(super) gate: Arc<Gate>,
    pub(super) keys: Option<Keys>,
    pub(super) scopes: Option<Arc<[Scope]>>,
    #[cfg(feature = "leaks")]
    pub(super) notices: Option<crate::event::Notices>,
}

impl Services {
    pub(crate) fn new(gate: Arc<Gate>, keys: Option<Keys>) -> Self {
        Self {
            gate,
            keys,
            scopes: None,
            #[cfg(feature = "leaks")]
            notices: None,
        }
    }

    /// And with somebody to tell.
    #[cfg(feature = "leaks")]
    pub(crate) fn telling(mut self, notices: Option<crate::event::Notices>) -> Self {
        self.notices = notices;
        self
    }

    /// The scopes of the application, by which a key that was granted [all](crate::access::Scopes::all) of them, or a pattern, is shown: no pattern
    /// is shown then.
    ///
    /// If they are not told, patterns are shown as they are, and nothing of a key that has all.
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = Scope>) -> Self {
        self.scopes = Some(scopes.into_iter().collect());
        self
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services")
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}
