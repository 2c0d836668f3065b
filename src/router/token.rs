//! `POST`: a token of another issuer for a key (RFC 8693).

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, Request, State},
    response::Response,
    routing::post,
};
use http::{HeaderMap, header::CONTENT_TYPE};
use serde::Serialize;

use super::{
    form_problem::TokenProblem,
    handlers,
    problem::{is_too_large, shown},
};
use crate::{
    exchange::{Exchange, ExchangeErrorKind, TokenRequest},
    key::Secret,
    manage::IssuedKey,
    middleware::ClientAddress,
};

/// The largest body, in bytes: twice the longest token.
const MAX_BODY: usize = 32 * 1024;

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
#[derive(Debug, Clone)]
#[must_use]
pub struct TokenRouter(Exchange);

impl TokenRouter {
    /// A router that gives keys by this.
    pub fn new(exchange: Exchange) -> Self {
        Self(exchange)
    }

    /// The router, for an application with whatever state.
    pub fn into_router<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        Router::new()
            .route("/", post(exchange))
            .method_not_allowed_fallback(handlers::other_method)
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(Arc::new(self.0))
    }
}

impl<S: Clone + Send + Sync + 'static> From<TokenRouter> for Router<S> {
    fn from(router: TokenRouter) -> Self {
        router.into_router()
    }
}

async fn exchange(State(exchange): State<Arc<Exchange>>, request: Request) -> Result<Response, TokenProblem> {
    let address = ClientAddress::of(request.extensions());
    let request_id = request.headers().get("x-request-id");
    let request_id = request_id.and_then(|id| id.to_str().ok()).map(str::to_owned);
    let form = Form::read(request).await?;
    let wanted = form.wanted()?.address(address).request_id(request_id);
    let issued = exchange.redeem(wanted).await.map_err(|error| {
        let after = error.retry_after().unwrap_or_default();
        match error.kind() {
            ExchangeErrorKind::Refused => TokenProblem::Grant,
            ExchangeErrorKind::Scope => TokenProblem::Scope,
            ExchangeErrorKind::Target => TokenProblem::Target,
            ExchangeErrorKind::Unavailable | ExchangeErrorKind::Busy => TokenProblem::Later(after),
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
    async fn read(request: Request) -> Result<Self, TokenProblem> {
        if !is_form(request.headers()) {
            return Err(TokenProblem::NotAForm);
        }
        let body = Bytes::from_request(request, &()).await;
        let body = body.map_err(|rejection| match is_too_large(rejection.status()) {
            true => TokenProblem::TooLarge,
            false => TokenProblem::Request("The body must arrive as a whole."),
        })?;
        let mut fields: Vec<(String, Secret)> = Vec::new();
        for (name, value) in form_urlencoded::parse(&body) {
            // Which of the two was meant, nobody knows.
            if fields.iter().any(|(other, _)| *other == name) {
                return Err(TokenProblem::Request("A field comes twice."));
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

    fn wanted(&self) -> Result<TokenRequest, TokenProblem> {
        match self.field("grant_type") {
            Some(EXCHANGE) => {}
            Some(_) => return Err(TokenProblem::GrantType),
            None => return Err(TokenProblem::Request("grant_type is missing.")),
        }
        if self.field("actor_token").is_some() || self.field("actor_token_type").is_some() {
            return Err(TokenProblem::Request(
                "No key is given for somebody to act as somebody else.",
            ));
        }
        if !matches!(self.field("requested_token_type"), None | Some(ACCESS_TOKEN)) {
            return Err(TokenProblem::Request(
                "requested_token_type must be access_token.",
            ));
        }
        if !matches!(self.field("subject_token_type"), Some(ID_TOKEN | JWT)) {
            return Err(TokenProblem::Request(
                "subject_token_type must be id_token or jwt.",
            ));
        }
        let token = self.field("subject_token");
        let token = token.ok_or(TokenProblem::Request("subject_token is missing."))?;
        Ok(TokenRequest::new(token.to_owned())
            .scope(self.field("scope"))
            .target(self.field("audience"))
            .target(self.field("resource")))
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (types.next(), types.next()) else {
        return false;
    };
    let value = value.to_str().unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default();
    essence
        .trim()
        .eq_ignore_ascii_case("application/x-www-form-urlencoded")
}
