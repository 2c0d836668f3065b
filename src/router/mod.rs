//! Keys managed by their owners, over HTTP and in JSON.
//!
//! [`ApiKeyAuth::router`](crate::ApiKeyAuth::router) is an axum [`Router`] of relative paths, to be nested wherever the application likes. It
//! does not authenticate: it takes the [`Principal`] of the request, whoever has put it there, and refuses a request without
//! one. What a caller may do is decided by [`CallerKeys`](crate::manage::CallerKeys).
//!
//! | call | needs | answer |
//! | --- | --- | --- |
//! | `POST /` | `keys:write` | 201: the new key, the one answer that holds it in the clear |
//! | `GET /` | `keys:read` | the caller's keys, the newest first; with `keys:admin` those of all owners |
//! | `GET /{id}` | `keys:read` | one |
//! | `PATCH /{id}` | `keys:write` | the key renamed, narrowed, switched off or on; by an administrator, with all of its `credits` again |
//! | `POST /{id}/rotate` | `keys:write` | 201: a key that takes over |
//! | `DELETE /{id}` | `keys:write` | 204: revoked for good |
//! | `DELETE /current` | the key itself | 204: revoked by whoever holds it |
//! | `GET /{id}/events` | `keys:read` | who did what to it, from where, when |
//! | `GET /events` | `keys:admin` | the log of all owners |
//!
//! [`Services`] are routes for others than the owners of keys: introspection (RFC 7662), revocation (RFC 7009), and forward authentication
//! for proxies.
//!
//! Refusals are problem documents (RFC 9457), with `errors` that name the fields where a body or a query is to blame. Nothing that was
//! sent is repeated in them.
//!
//! ```
//! use axum::{Router, body::Body};
//! use http::{Request, StatusCode};
//! use tower::ServiceExt;
//! use tower_api_key::{ApiKeyAuth, access::Grants, manage::NewKey, store::MemoryStore};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let auth = ApiKeyAuth::builder(MemoryStore::new()?).build()?;
//! let keys = auth.keys().expect("there is a store").clone();
//! let app: Router = Router::new().nest("/keys", auth.router()).layer(auth);
//!
//! let alice = keys.issue(NewKey::new("alice").grants(Grants::scopes(["keys:write", "issues:read"])?)).await?;
//! let mint = async |body: &'static str| {
//!     let request = Request::post("/keys")
//!         .header("Authorization", format!("Bearer {}", alice.key.expose()))
//!         .header("Content-Type", "application/json")
//!         .body(Body::from(body))?;
//!     Ok::<_, Box<dyn std::error::Error>>(app.clone().oneshot(request).await?.status())
//! };
//! assert_eq!(mint(r#"{"name": "ci", "scopes": ["issues:read"]}"#).await?, StatusCode::CREATED);
//! // Nobody gives away more than they have.
//! assert_eq!(mint(r#"{"name": "ci", "scopes": ["issues:write"]}"#).await?, StatusCode::FORBIDDEN);
//! # Ok(())
//! # }
//! ```

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{delete, get, post},
};

use crate::{access::Scope, manage::Keys};

#[expect(unused_imports, reason = "for the documentation")]
use crate::principal::Principal;

mod problem;

mod body;

mod wish;

mod query;

mod view;

mod call;

mod handlers;

mod form_problem;

mod form;

mod introspect;

mod revoke;

mod verify;

mod services;

mod routes;

#[cfg(feature = "leaks")]
mod leaks;

#[cfg(feature = "oidc")]
mod token;

#[cfg(feature = "openapi")]
mod openapi;

#[cfg(feature = "page")]
pub(crate) use self::form::is_form;
#[cfg(feature = "leaks")]
pub use self::leaks::{AlertsUrlError, GithubAlerts};

#[cfg(feature = "oidc")]
pub use self::token::TokenRouter;

#[cfg(all(feature = "openapi", feature = "leaks"))]
pub use self::openapi::github_alerts_openapi;
#[cfg(all(feature = "openapi", feature = "oidc"))]
pub use self::openapi::token_openapi;
#[cfg(feature = "openapi")]
pub use self::openapi::{
    SecuritySchemes, forward_auth_openapi, introspection_openapi, openapi, revocation_openapi,
};
pub use self::services::Services;

/// The largest body of a call.
const MAX_BODY: usize = 64 * 1024;

/// A router by which callers manage their own keys, to be configured; see the [module](self).
#[derive(Debug, Clone)]
#[must_use]
pub struct KeysRouter(Shared);

/// What every call needs to know.
#[derive(Debug, Clone)]
struct Shared {
    keys: Option<Keys>,
    scopes: Option<Arc<[Scope]>>,
}

impl KeysRouter {
    pub(crate) fn new(keys: Option<Keys>) -> Self {
        Self(Shared { keys, scopes: None })
    }

    /// The scopes of the application, by which a key that was granted [all](crate::access::Scopes::all) of them, or a pattern, is
    /// shown.
    ///
    /// If they are not told, a pattern is shown as it is, and the scopes of a key that has all of them as `null`: no caller is ever shown
    /// a text that stands for everything.
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = Scope>) -> Self {
        self.0.scopes = Some(scopes.into_iter().collect());
        self
    }

    /// The router, for an application with whatever state.
    pub fn into_router<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        Router::new()
            .route("/", get(handlers::list).post(handlers::mint))
            .route("/events", get(handlers::all_events))
            .route("/current", delete(handlers::revoke_current))
            .route(
                "/{id}",
                get(handlers::show)
                    .patch(handlers::change)
                    .delete(handlers::revoke),
            )
            .route("/{id}/rotate", post(handlers::rotate))
            .route("/{id}/events", get(handlers::events))
            .method_not_allowed_fallback(handlers::other_method)
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(Arc::new(self.0))
    }
}

impl<S: Clone + Send + Sync + 'static> From<KeysRouter> for Router<S> {
    fn from(router: KeysRouter) -> Self {
        router.into_router()
    }
}
