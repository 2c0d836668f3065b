//! API keys for axum and any tower HTTP stack.
//!
//! [`ApiKeyAuth`] is a [`tower::Layer`](tower_layer::Layer). Each request under it must carry one good key, and goes on with its
//! [`Principal`](principal::Principal) in the extensions; any other is refused as RFC 6750, 9110 and 9457 say.
//!
//! ```text
//! HTTP ── credential ── authn ── principal ── access ── handler
//!         where the     static   who is       may
//!         key is        keys,    calling      they?
//!                       cache,
//!                       store
//!                         ▲
//!                         └── manage: mint and revoke. A revoke is final for every request
//!                             that begins after it has returned.
//! ```
//!
//! # A guarded route
//!
//! With axum, a route asks for its caller with an extractor, and for a scope with a layer or with another extractor:
//!
//! ```
//! use axum::{Router, body::Body, routing::get};
//! use http::{Request, StatusCode};
//! use tower::ServiceExt;
//! use tower_api_key::{
//!     ApiKeyAuth,
//!     access::{Grants, Requirement},
//!     extract::{Requires, Scoped},
//!     manage::NewKey,
//!     middleware::RequireScope,
//!     principal::Principal,
//!     store::MemoryStore,
//! };
//!
//! struct WriteIssues;
//!
//! impl Requires for WriteIssues {
//!     const REQUIREMENT: Requirement = Requirement::all_of(&["issues:write"]);
//! }
//!
//! async fn list() -> &'static str {
//!     "no issues yet"
//! }
//!
//! async fn create(caller: Scoped<WriteIssues>) -> String {
//!     format!("created by {}", *caller)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // `SqliteStore::open("keys.db").await?` keeps them (feature `sqlite`).
//! let auth = ApiKeyAuth::builder(MemoryStore::new()?).build()?;
//! let keys = auth.keys().expect("there is a store").clone();
//! let app = Router::new()
//!     .route("/me", get(async |caller: Principal| caller.to_string()))
//!     .route("/issues", get(list).route_layer(RequireScope::new("issues:read")?).post(create))
//!     .layer(auth);
//!
//! // The key in the clear is in `issued.key`, here and nowhere else.
//! let issued = keys.issue(NewKey::new("alice").grants(Grants::scopes(["issues:read"])?)).await?;
//! let call = async |method: &str, path: &str| {
//!     let request = Request::builder().method(method).uri(path);
//!     let request = request.header("Authorization", format!("Bearer {}", issued.key.expose()));
//!     Ok::<_, Box<dyn std::error::Error>>(app.clone().oneshot(request.body(Body::empty())?).await?.status())
//! };
//! assert_eq!(call("GET", "/me").await?, StatusCode::OK);
//! assert_eq!(call("GET", "/issues").await?, StatusCode::OK);
//! assert_eq!(call("POST", "/issues").await?, StatusCode::FORBIDDEN);
//!
//! keys.revoke(issued.record.id).await?;
//! assert_eq!(call("GET", "/me").await?, StatusCode::UNAUTHORIZED);
//! # Ok(())
//! # }
//! ```
//!
//! # Where to go on
//!
//! | to | see |
//! | --- | --- |
//! | take one key from the configuration, as a value, a variable, a file or a digest | [`authn::StaticKey`] |
//! | check keys in a table of one's own | [`ApiKeyAuth::resolver`], [`authn::Resolver`] |
//! | let anonymous callers pass too | [`ApiKeyAuth::optional`] |
//! | require one scope, all of several, any of them; bind a key to a resource | [`access`], [`extract::Scoped`], [`middleware::RequireScope`] |
//! | have the application's own user type in handlers | [`extract::Owner`], [`Builder::owners`] |
//! | stop all keys of an owner, or keep them within what the owner may do | [`Builder::owners`], [`ApiKeyAuth::change_owner`] |
//! | let users in who are logged in, beside keys | [`Builder::fallback`], [`authn::Fallback`] |
//! | end streams with their key: downloads, events, uploads; WebSockets; anything else | [`middleware::GuardedBody`]; `extract::RevocableUpgrade` (feature `ws`); [`principal::Principal::revoked`] |
//! | bind keys to addresses; know them behind a proxy | [`middleware::ClientAddress`]; [`Builder::trusted_proxies`] |
//! | slow down whoever guesses | [`Builder::failure_limit`] |
//! | read keys from other headers, cookies, a WebSocket handshake | [`credential::Sources`] |
//! | log why a request was refused | [`authn::Refusal`] in the response extensions |
//! | let users mint, rotate and revoke their own keys over HTTP | `ApiKeyAuth::router` (feature `management`) |
//! | let them do so on a page | `ApiKeyAuth::page` (feature `page`) |
//! | give short-lived keys to workflows by the tokens of their issuer | `exchange`, `ApiKeyAuth::token_router` (feature `oidc`) |
//! | see when a key was last used | [`Builder::last_used_every`], [`ApiKeyAuth::close`] |
//! | count decisions, hits, look-ups and failures | the feature `metrics`, for any recorder that is installed before [`Builder::build`] |
//! | have other processes hear of changes in a table of one's own | [`Builder::feed`], `event::RedisFeed` (feature `redis`) |
//! | limit how often each key may be used, and all of an owner together; what a request counts for | [`Builder::rate_limit`], [`Builder::owner_rate_limit`], [`Builder::cost`] |
//! | sell keys by use | [`manage::NewKey::credits`] |
//! | have rate limits hold for all processes together | `Builder::shared_limits`, `limit::RedisLimits` (feature `redis`) |
//! | keep keys elsewhere | [`store::KeyStore`], and its conformance suite (feature `testing`) |
//! | do without axum | [`middleware`] |
//!
//! # Before it goes live
//!
//! - TLS is the server's or a proxy's. A key that crosses a network in the clear is not a secret.
//! - [`ApiKeyAuth`] guards what is inside of it: routes added to the router after `.layer(auth)` are not.
//! - `axum::serve` sets no time-out for the head of a request; the demo server in `examples/server` does.
//! - A revoke is final when it returns, for the [`ApiKeyAuth`] it went through and all clones of it. Others over the same store, in this
//!   process or another, are told by the store, or through a [`Builder::feed`]; where nobody tells, they notice it when their cached verdict runs out
//!   ([`Builder::cache_ttl`], 5 s if not set).
//! - CORS preflights pass without a key ([`Builder::guard_preflights`] says otherwise): handlers for any method, fallbacks and proxies must
//!   ask for a [`Principal`](principal::Principal) themselves. What rewrites methods belongs outside of the layer.

#![cfg_attr(docsrs, feature(doc_cfg))]

// In rank order: a module imports only from those above it. `tests/rank.rs` holds the table.
mod trace;

mod metric;

pub mod clock;

mod budget;

pub mod access;

#[cfg(any(feature = "oidc", feature = "leaks"))]
#[cfg_attr(
    not(feature = "oidc"),
    allow(dead_code, unused_imports, reason = "alerts of leaked keys need less of it")
)]
mod fetch;

pub mod key;

pub mod principal;

pub mod event;

pub mod store;

pub mod authn;

pub mod manage;

pub mod limit;

pub mod credential;

#[cfg(feature = "oidc")]
pub mod exchange;

pub mod middleware;

#[cfg(feature = "axum")]
pub mod extract;

#[cfg(feature = "management")]
pub mod router;

#[cfg(feature = "page")]
pub mod page;

mod setup;

pub use setup::{ApiKeyAuth, BuildError, Builder, Preset};

#[cfg(all(doctest, feature = "page", feature = "sqlite"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// What is Rust in the guides.
#[cfg(all(doctest, feature = "oidc", feature = "postgres", feature = "sqlite"))]
mod guides {
    #[doc = include_str!("../docs/guides/rotating-a-key.md")]
    struct Rotating;

    #[doc = include_str!("../docs/guides/github-actions-oidc.md")]
    struct Secretless;

    #[doc = include_str!("../docs/guides/migrating/README.md")]
    struct Migrating;

    #[doc = include_str!("../docs/guides/migrating/onecli.md")]
    struct OneCli;

    #[doc = include_str!("../docs/guides/migrating/claudemesh.md")]
    struct ClaudeMesh;

    #[doc = include_str!("../docs/guides/migrating/objectstack.md")]
    struct ObjectStack;

    #[doc = include_str!("../docs/guides/migrating/mesa.md")]
    struct Mesa;
}
