//! What is known of a key, for those who were shown it (RFC 7662).

use std::{sync::Arc, time::SystemTime};

use axum::{extract::State, response::Response};
use serde::Serialize;

use super::{
    form::TokenForm,
    form_problem::FormProblem,
    problem::{Problem, shown},
    services::Services,
    view,
};
use crate::{
    access::{AddressList, Requirement, Scope},
    authn::{Inspected, RefusalKind},
    budget::Household,
    clock::to_unix_ms,
    extract::{Requires, Scoped},
    principal::Principal,
};

/// What is known of a token.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = TokenState))]
pub(super) struct TokenView {
    /// Whether it is a key that is good; if not, there is nothing else.
    active: bool,
    /// What it may do, with a space between; not there where it may do everything, and the application has not said what there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// Whom it acts for.
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    /// The first second in which it is no longer good.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    /// When it was minted here, or taken over.
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    /// Always `Bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// What it is bound to, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<Vec<String>>,
    /// From where alone it may be used, if it is bound to that: addresses and CIDR blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_ips: Option<Vec<String>>,
}

/// May ask about keys that are not the caller's.
pub(super) struct MayAsk;

impl Requires for MayAsk {
    const REQUIREMENT: Requirement = Requirement::all_of(&["keys:introspect"]);
}

/// `POST`
pub(super) async fn introspect(
    caller: Scoped<MayAsk>,
    State(services): State<Arc<Services>>,
    TokenForm(token): TokenForm,
) -> Result<Response, FormProblem> {
    caller.done_reading();
    let authenticator = &services.gate.authenticator;
    match authenticator.inspect(token.as_bytes(), Household::Service).await {
        Inspected::Good(principal) => Ok(shown(&TokenView::of(&principal, services.scopes.as_deref()))),
        // That it is not good would be a verdict, and there is none.
        Inspected::Refused(refusal) if refusal.kind() == RefusalKind::AuthUnavailable => {
            Err(Problem::refused(refusal, &caller).into())
        }
        Inspected::Refused(_) | Inspected::Claimed => Ok(shown(&TokenView::default())),
    }
}

impl TokenView {
    fn of(principal: &Principal, known: Option<&[Scope]>) -> Self {
        let grants = principal.grants();
        let made_at = principal.stored_key().and_then(|id| id.made_at());
        Self {
            active: true,
            scope: view::scope_tokens(grants.granted_scopes(), known),
            sub: Some(principal.owner().to_owned()),
            exp: principal.expires_at().map(seconds),
            iat: made_at.map(seconds),
            token_type: Some("Bearer"),
            key_id: principal.key_id().map(str::to_owned),
            name: Some(principal.name().to_owned()),
            resources: view::resources(grants),
            allowed_ips: principal
                .allowed_ips()
                .map(|listed| AddressList::iter(listed).collect()),
        }
    }
}

/// Whole ones, since 1970: rounded down, so that nothing is said to last longer than it does.
fn seconds(moment: SystemTime) -> i64 {
    to_unix_ms(moment).div_euclid(1000)
}
