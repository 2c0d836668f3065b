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
            Self::Other(problem) => return problem.into_response(),
        };
        let document = FormErrorDocument {
            error,
            error_description,
        };
        answer(status, "application/json", &document)
    }
}

impl From<Problem> for FormProblem {
    fn from(problem: Problem) -> Self {
        Self::Other(problem)
    }
}

/// Why there is no key for a token, in the words of RFC 6749 (section 5.2) and RFC 8693 (section 2.2.2).
#[cfg(feature = "oidc")]
#[derive(Debug)]
pub(super) enum TokenProblem {
    /// The form cannot be meant.
    Request(&'static str),
    NotAForm,
    TooLarge,
    GrantType,
    /// One text for every token that is not taken, whatever the reason.
    Grant,
    Scope,
    Target,
    Later(std::time::Duration),
}

#[cfg(feature = "oidc")]
impl TokenProblem {
    fn wire(&self) -> (StatusCode, &'static str, &'static str) {
        match *self {
            Self::Request(why) => (StatusCode::BAD_REQUEST, "invalid_request", why),
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
            Self::GrantType => (
                StatusCode::BAD_REQUEST,
                "unsupported_grant_type",
                "Tokens are exchanged here, and nothing else.",
            ),
            Self::Grant => (
                StatusCode::BAD_REQUEST,
                "invalid_grant",
                "The token is not taken.",
            ),
            Self::Scope => (
                StatusCode::BAD_REQUEST,
                "invalid_scope",
                "The policy for this token does not give that scope.",
            ),
            Self::Target => (
                StatusCode::BAD_REQUEST,
                "invalid_target",
                "The policy for this token is for another audience.",
            ),
            Self::Later(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "The token cannot be looked at at the moment; try again shortly.",
            ),
        }
    }
}

#[cfg(feature = "oidc")]
impl IntoResponse for TokenProblem {
    fn into_response(self) -> Response {
        let (status, error, error_description) = self.wire();
        let refused = FormErrorDocument {
            error,
            error_description,
        };
        let mut response = answer(status, "application/json", &refused);
        if let Self::Later(after) = self {
            let seconds = HeaderValue::from(after.as_secs().max(1));
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        response
    }
}
