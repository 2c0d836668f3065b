//! Why a form is not answered as its sender wished, in the words of OAuth.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
#[cfg(feature = "oidc")]
use http::{HeaderValue, header::RETRY_AFTER};
use serde::Serialize;

use super::problem::{Problem, answer};

/// Why a form is not answered as its sender wished (RFC 6749, section 5.2).
#[derive(Debug)]
pub(super) enum FormProblem {
    /// What is wrong with it.
    Invalid(&'static str),
    NotAForm,
    TooLarge,
    /// RFC 7009, section 2.2.1.
    UnsupportedTokenType,
    #[cfg(feature = "oidc")]
    GrantType,
    /// One text for every token that no key is given for, whatever the reason.
    #[cfg(feature = "oidc")]
    Grant,
    #[cfg(feature = "oidc")]
    Scope,
    /// RFC 8693, section 2.2.2.
    #[cfg(feature = "oidc")]
    Target,
    /// When to try again.
    #[cfg(feature = "oidc")]
    Later(std::time::Duration),
    /// What is not about the form is said in the same words as everywhere.
    Other(Problem),
}

/// Its body.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = FormError))]
pub(super) struct FormErrorDocument {
    /// In one word, for programs, such as `invalid_request`.
    error: &'static str,
    /// For people.
    error_description: &'static str,
}

impl IntoResponse for FormProblem {
    fn into_response(self) -> Response {
        let (status, error, error_description) = match self {
            Self::Invalid(what) => (StatusCode::BAD_REQUEST, "invalid_request", what),
            Self::NotAForm => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "invalid_request",
                "The body must be application/x-www-form-urlencoded.",
            ),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "invalid_request",
                "The body is too large.",
            ),
            Self::UnsupportedTokenType => (
                StatusCode::BAD_REQUEST,
                "unsupported_token_type",
                "The token is not one that can be revoked here.",
            ),
            #[cfg(feature = "oidc")]
            Self::GrantType => (
                StatusCode::BAD_REQUEST,
                "unsupported_grant_type",
                "Tokens are exchanged here, and nothing else.",
            ),
            #[cfg(feature = "oidc")]
            Self::Grant => (
                StatusCode::BAD_REQUEST,
                "invalid_grant",
                "The token is not taken.",
            ),
            #[cfg(feature = "oidc")]
            Self::Scope => (
                StatusCode::BAD_REQUEST,
                "invalid_scope",
                "The policy for this token does not give that scope.",
            ),
            #[cfg(feature = "oidc")]
            Self::Target => (
                StatusCode::BAD_REQUEST,
                "invalid_target",
                "The policy for this token is for another audience.",
            ),
            #[cfg(feature = "oidc")]
            Self::Later(after) => return later(after),
            Self::Other(problem) => return problem.into_response(),
        };
        said(status, error, error_description)
    }
}

fn said(status: StatusCode, error: &'static str, error_description: &'static str) -> Response {
    let document = FormErrorDocument {
        error,
        error_description,
    };
    answer(status, "application/json", &document)
}

#[cfg(feature = "oidc")]
fn later(after: std::time::Duration) -> Response {
    let mut response = said(
        StatusCode::SERVICE_UNAVAILABLE,
        "temporarily_unavailable",
        "The token cannot be looked at at the moment; try again shortly.",
    );
    let seconds = HeaderValue::from(after.as_secs().max(1));
    response.headers_mut().insert(RETRY_AFTER, seconds);
    response
}

impl From<Problem> for FormProblem {
    fn from(problem: Problem) -> Self {
        Self::Other(problem)
    }
}
