//! `POST`: a token of another issuer for a key (RFC 8693).

use std::{fmt, sync::Arc};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    response::Response,
    routing::post,
};
use serde::Serialize;

use super::{form, form_problem::FormProblem, handlers, problem::shown};
use crate::{
    exchange::{Exchange, ExchangeErrorKind, TokenRequest},
    key::Secret,
    manage::IssuedKey,
    middleware::{ClientAddress, Gate},
};

/// The largest body, in bytes: twice the longest token.
const MAX_BODY: usize = 32 * 1024;

/// How many fields a form may have. RFC 8693 has nine; each is compared with all others.
const MAX_FIELDS: usize = 32;

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// A router of one call, by which the tokens of workflows become keys; see [`exchange`](crate::exchange).
///
/// It asks for no key and reads none: nest it outside of an [`ApiKeyAuth`](crate::ApiKeyAuth). How long a body may take to come is for the server
/// to say.
///
/// The body is a form with `grant_type` (`urn:ietf:params:oauth:grant-type:token-exchange`), `subject_token`, and `subject_token_type`
/// (`urn:ietf:params:oauth:token-type:id_token` or `:jwt`). With `scope` less can be asked for than the policy gives; `audience` and `resource`, if they are there,
/// must be the audience of the policy.
///
/// | answer | when |
/// | --- | --- |
/// | 200 | `{"access_token","issued_token_type","token_type":"Bearer","expires_in","scope"}` |
/// | 400 `invalid_request`, `unsupported_grant_type` | the form cannot be meant: a field is missing, or comes twice, or there is an `actor_token` |
/// | 400 `invalid_grant` | the token is not taken, for whatever reason |
/// | 400 `invalid_scope`, `invalid_target` | the policy does not give that |
/// | 413, 415 `invalid_request` | more than 32 KiB; not `application/x-www-form-urlencoded` |
/// | 503 `temporarily_unavailable`, with `Retry-After` | the issuer or the store cannot be reached, or there are too many at a time |
#[derive(Clone)]
#[must_use]
pub struct TokenRouter(Arc<Redeemer>);

struct Redeemer {
    exchange: Exchange,
    /// By which the client behind a proxy is found.
    gate: Option<Arc<Gate>>,
}

impl fmt::Debug for TokenRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exchange = &self.0.exchange;
        f.debug_tuple("TokenRouter").field(exchange).finish()
    }
}

impl TokenRouter {
    /// A router that gives keys by this. The log has the address of whoever connects, unless something outside has put a
    /// [`ClientAddress`] into the extensions of the request: [`ApiKeyAuth::token_router`](crate::ApiKeyAuth::token_router) goes by its `trusted_proxies`.
    pub fn new(exchange: Exchange) -> Self {
        Self(Arc::new(Redeemer { exchange, gate: None }))
    }

    pub(crate) fn behind(exchange: Exchange, gate: Arc<Gate>) -> Self {
        let gate = Some(gate);
        Self(Arc::new(Redeemer { exchange, gate }))
    }

    /// The router, for an application with whatever state.
    pub fn into_router<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        Router::new()
            .route("/", post(exchange))
            .method_not_allowed_fallback(handlers::other_method)
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(self.0)
    }
}

impl<S: Clone + Send + Sync + 'static> From<TokenRouter> for Router<S> {
    fn from(router: TokenRouter) -> Self {
        router.into_router()
    }
}

async fn exchange(
    State(redeemer): State<Arc<Redeemer>>,
    mut request: Request,
) -> Result<Response, FormProblem> {
    if let Some(gate) = &redeemer.gate {
        gate.locate(&mut request);
    }
    let address = ClientAddress::of(request.extensions());
    let request_id = request.headers().get("x-request-id");
    let request_id = request_id.and_then(|id| id.to_str().ok()).map(str::to_owned);
    let form = Form::read(request).await?;
    let wanted = form.wanted()?.address(address).request_id(request_id);
    let issued = redeemer.exchange.redeem(wanted).await.map_err(|error| {
        let after = error.retry_after().unwrap_or_default();
        match error.kind() {
            ExchangeErrorKind::Refused => FormProblem::Grant,
            ExchangeErrorKind::Scope => FormProblem::Scope,
            ExchangeErrorKind::Target => FormProblem::Target,
            ExchangeErrorKind::Unavailable | ExchangeErrorKind::Busy => FormProblem::Later(after),
        }
    })?;
    Ok(shown(&TokenView::of(&issued)))
}

/// A key that was given for a token (RFC 8693, section 2.2.1).
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ExchangedKey))]
pub(super) struct TokenView<'a> {
    /// The key.
    access_token: &'a str,
    /// `urn:ietf:params:oauth:token-type:access_token`
    issued_token_type: &'static str,
    /// `Bearer`
    token_type: &'static str,
    /// For how many seconds it is good.
    expires_in: u64,
    /// What it may do, with spaces between.
    scope: String,
}

impl<'a> TokenView<'a> {
    fn of(issued: &'a IssuedKey) -> Self {
        let record = &issued.record;
        let life = record
            .expires_at
            .and_then(|expiry| expiry.duration_since(record.created_at).ok());
        let scopes = record.grants.granted_scopes().iter();
        let scopes: Vec<String> = scopes.map(ToString::to_string).collect();
        Self {
            access_token: issued.key.expose(),
            issued_token_type: ACCESS_TOKEN,
            token_type: "Bearer",
            expires_in: life.unwrap_or_default().as_secs(),
            scope: scopes.join(" "),
        }
    }
}

/// The fields of a form, each once. One without a value counts as not there (RFC 6749, section 3.2).
struct Form(Vec<(String, Secret)>);

impl Form {
    async fn read(request: Request) -> Result<Self, FormProblem> {
        let body = form::body(request).await?;
        let mut fields: Vec<(String, Secret)> = Vec::new();
        for (name, value) in form_urlencoded::parse(&body) {
            if fields.len() == MAX_FIELDS {
                return Err(FormProblem::Invalid("There are too many fields."));
            }
            // Which of the two was meant, nobody knows.
            if fields.iter().any(|(other, _)| *other == name) {
                return Err(FormProblem::Invalid("A field comes twice."));
            }
            fields.push((name.into_owned(), Secret::new(value.into_owned())));
        }
        fields.retain(|(_, value)| !value.expose().is_empty());
        Ok(Self(fields))
    }

    fn field(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.expose())
    }

    fn wanted(&self) -> Result<TokenRequest, FormProblem> {
        match self.field("grant_type") {
            Some(EXCHANGE) => {}
            Some(_) => return Err(FormProblem::GrantType),
            None => return Err(FormProblem::Invalid("grant_type is missing.")),
        }
        if self.field("actor_token").is_some() || self.field("actor_token_type").is_some() {
            return Err(FormProblem::Invalid(
                "No key is given for somebody to act as somebody else.",
            ));
        }
        if !matches!(self.field("requested_token_type"), None | Some(ACCESS_TOKEN)) {
            return Err(FormProblem::Invalid("requested_token_type must be access_token."));
        }
        if !matches!(self.field("subject_token_type"), Some(ID_TOKEN | JWT)) {
            return Err(FormProblem::Invalid(
                "subject_token_type must be id_token or jwt.",
            ));
        }
        let token = self.field("subject_token");
        let token = token.ok_or(FormProblem::Invalid("subject_token is missing."))?;
        Ok(TokenRequest::new(token.to_owned())
            .scope(self.field("scope"))
            .target(self.field("audience"))
            .target(self.field("resource")))
    }
}
