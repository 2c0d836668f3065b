//! Keys that are ended by whoever holds them (RFC 7009).

use std::sync::Arc;

use axum::{
    extract::{FromRequest, Request, State},
    response::Response,
};

use super::{
    form::TokenForm,
    form_problem::FormProblem,
    problem::{Problem, empty},
    services::Services,
};
use crate::{
    authn::{Inspected, Refusal, RefusalKind},
    manage::{Keys, ManageError, Presenter},
    middleware::{ClientAddress, Gate, Rejection, household},
    principal::PrincipalKind,
    trace,
};

/// `POST`. There is no layer before it, so that it finds out by itself where a request comes from, and counts failures.
pub(super) async fn revoke(
    State(services): State<Arc<Services>>,
    mut request: Request,
) -> Result<Response, FormProblem> {
    let Services { gate, keys, .. } = &*services;
    gate.locate(&mut request);
    let Some(keys) = keys else {
        let missing = Refusal::because(RefusalKind::Misconfigured, "there is no store of keys to revoke");
        return Err(refused(missing, gate).into());
    };
    let (head, body) = request.into_parts();
    let from = household(&head.extensions);
    let request_id = head.headers.get("x-request-id").and_then(|id| id.to_str().ok());
    let by = Presenter {
        address: ClientAddress::of(&head.extensions),
        request_id: request_id.map(str::to_owned),
        ..Presenter::default()
    };
    let TokenForm(token) = TokenForm::from_request(Request::from_parts(head, body), &()).await?;
    match gate.authenticator.inspect(token.as_bytes(), from).await {
        Inspected::Good(principal) if principal.kind() == PrincipalKind::Key => {
            end(keys, token.as_bytes(), by).await
        }
        Inspected::Good(_) | Inspected::Claimed => Err(FormProblem::UnsupportedTokenType),
        // It could be enabled again.
        Inspected::Refused(refusal) if refusal.kind() == RefusalKind::KeyDisabled => {
            end(keys, token.as_bytes(), by).await
        }
        Inspected::Refused(refusal) if refusal.kind().is_failure() => {
            match gate.judged_of(|| from, refusal) {
                refusal if refusal.kind().is_failure() => Ok(empty()),
                too_many => Err(refused(too_many, gate).into()),
            }
        }
        Inspected::Refused(refusal) => Err(refused(refusal, gate).into()),
    }
}

async fn end(keys: &Keys, token: &[u8], by: Presenter) -> Result<Response, FormProblem> {
    match keys.revoke_presented(token, by).await {
        Ok(_) => Ok(empty()),
        Err(error) => Err(unavailable(&error).into()),
    }
}

fn unavailable(error: &ManageError) -> Problem {
    trace::management_failed(error);
    Problem::Unavailable
}

fn refused(refusal: Refusal, gate: &Gate) -> Problem {
    Rejection::new(refusal, &gate.realm).into()
}
