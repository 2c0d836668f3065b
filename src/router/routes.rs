//! Where the routes of [`Services`] are put together.

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{MethodRouter, any, post},
};

use super::{handlers::other_method, introspect::introspect, revoke::revoke, services::Services, verify};

#[expect(unused_imports, reason = "for the documentation")]
use crate::manage::Keys;

/// A key, percent-encoded, with room for fields that are ignored.
const MAX_FORM: usize = 8 * 1024;

impl Services {
    /// Token introspection (RFC 7662), a route for `POST`, to be put inside of the layer: what is known of the key in the form field `token`. Takes
    /// the scope `keys:introspect`.
    ///
    /// 200 is `{"active":true, ...}` with `scope`, `sub` (the owner), `exp` and `iat` where there are any (whole seconds since 1970, rounded
    /// down), `token_type`, `key_id`, `name` and, of a key that is bound, `resources` and `allowed_ips`, which whoever asks is to see to. Of anything
    /// that is not good, for whatever reason, it is `{"active":false}` and no more. A static key is active, without a `key_id`; what a
    /// [`Fallback`](crate::authn::Fallback) would recognise is no key, and is not.
    ///
    /// The answer is as fresh as that of the layer, and comes from the same cache. Asking is no use of the key: nothing is written down, and no limit
    /// of it is charged. What cannot be found out is 503, a missing `token` 400 `invalid_request`.
    pub fn introspection<S: Clone + Send + Sync + 'static>(&self) -> MethodRouter<S> {
        self.form(post(introspect))
    }

    /// Token revocation (RFC 7009), a route for `POST`, to be put outside of the layer: ends the key in the form field `token`. Whoever holds a
    /// key may end it, and needs no other.
    ///
    /// 200 without a body: no request that begins after it is let in by this key, as after [`Keys::revoke`]; so it is for a text that is
    /// no key, or no longer one. A static key, or a bearer token that the [`Fallback`](crate::authn::Fallback) claims, is 400 `unsupported_token_type`.
    /// Where it cannot be done it is 503, and is to be tried again.
    ///
    /// The log says that the key did it, and from where. What strangers send costs what it costs before the layer: texts that were not minted here
    /// do not reach the store, or within the same budgets, and each counts towards [`failure_limit`](crate::Builder::failure_limit). Of
    /// one key four are ended at a time.
    ///
    /// Without a store every call is answered 500.
    pub fn revocation<S: Clone + Send + Sync + 'static>(&self) -> MethodRouter<S> {
        self.form(post(revoke))
    }

    /// Forward authentication: a route that says of any request to it, whatever its method, whether its caller may come in, to be put inside
    /// of the layer. For nginx `auth_request`, Traefik `ForwardAuth`, Caddy `forward_auth`, and the HTTP `ext_authz` of Envoy.
    ///
    /// Answers at `path`, and at whatever is below it. The query says what is needed: `scope`, which may come more than once and hold several
    /// with a space between, all of which are needed, and one `resource`. What follows a field `uri` is not looked at: it is for the address
    /// of the request that the proxy asks about. At `path` itself other fields are refused, since a misspelt one would ask for nothing; below it,
    /// where Envoy appends the whole address of the request, they are passed over.
    ///
    /// 200 without a body has `X-Auth-Owner`, percent-encoded but for visible ASCII characters other than `%`; `X-Auth-Key-Id`, empty for a static key;
    /// and `X-Auth-Scopes`, with a space between. Anything else is the refusal of the layer, or of the requirement: 401 with its challenges, 403, 429, 503; a query
    /// that cannot be meant is 400. A request that was let in has used the key, and counts against its limits.
    ///
    /// Callers whom the [`Fallback`](crate::authn::Fallback) recognises, by a cookie or the like, are let in only where their request comes from a page of the
    /// same origin or the proxy says, in `X-Forwarded-Method` or `X-Original-Method`, that it asks for no change. CORS preflights are answered 401:
    /// let the proxy pass them without asking.
    pub fn forward_auth<S: Clone + Send + Sync + 'static>(&self, path: &str) -> Router<S> {
        let base = path.trim_end_matches('/');
        let at_the_path = match base {
            "" => Router::new(),
            base => Router::new().route(base, any(verify::at_the_path)),
        };
        at_the_path
            .route(&format!("{base}/"), any(verify::below))
            .route(&format!("{base}/{{*original}}"), any(verify::below))
            .with_state(Arc::new(self.clone()))
    }

    fn form<S>(&self, route: MethodRouter<Arc<Self>>) -> MethodRouter<S> {
        route
            .fallback(other_method)
            .layer(DefaultBodyLimit::max(MAX_FORM))
            .with_state(Arc::new(self.clone()))
    }
}
