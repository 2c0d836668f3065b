//! What the answers of this stage are in HTTP: every status code of it.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER},
};
use serde::Serialize;

use super::view::ReceiptView;
use crate::{
    access::Requirement,
    authn::{Refusal, RefusalKind},
    event::Receipt,
    key::KeyStatus,
    manage::{Conflict, Excess, Invalid, ManageError, ManageErrorKind},
    middleware::Rejection,
    principal::Principal,
    trace,
};

/// Why a call is not answered as its caller wished.
#[derive(Debug)]
pub(super) enum Problem {
    /// What the middleware and the extractors refuse is refused here in the same words.
    Refused(Box<Rejection>),
    NotFound,
    MethodNotAllowed,
    NotJson,
    TooLarge,
    Invalid(Vec<FieldError>),
    Exceeds(Excess),
    Quota,
    CallerExchanged,
    Conflict(Conflict),
    /// An alert that nobody who is believed has signed.
    #[cfg(feature = "leaks")]
    NotSigned,
    Unavailable,
}

/// What is wrong with a field of a body or a query.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct FieldError {
    /// Its name; `body` or `query` for the whole.
    pub(super) field: &'static str,
    /// What it must be.
    pub(super) message: &'static str,
}

impl From<Invalid> for FieldError {
    fn from(Invalid { field, message }: Invalid) -> Self {
        Self { field, message }
    }
}

impl Problem {
    pub(super) fn invalid(field: &'static str, message: &'static str) -> Self {
        Self::Invalid(vec![FieldError { field, message }])
    }

    /// The answer to a caller when their keys could not be managed.
    pub(super) fn of(error: &ManageError, caller: &Principal) -> Self {
        match error.kind() {
            ManageErrorKind::NotFound => Self::NotFound,
            ManageErrorKind::Invalid(invalid) => Self::Invalid(vec![invalid.into()]),
            ManageErrorKind::Exceeds(excess) => Self::Exceeds(excess),
            ManageErrorKind::MissingScope(scope) => Self::missing_scope(scope, caller),
            ManageErrorKind::Quota => Self::Quota,
            ManageErrorKind::CallerExchanged => Self::CallerExchanged,
            ManageErrorKind::Conflict(conflict) => Self::Conflict(conflict),
            ManageErrorKind::CallerNotGood(status) => {
                let kind = match status {
                    KeyStatus::Expired => RefusalKind::KeyExpired,
                    KeyStatus::Disabled => RefusalKind::KeyDisabled,
                    KeyStatus::Active | KeyStatus::Revoked => RefusalKind::KeyRevoked,
                };
                Self::refused(Refusal::new(kind), caller)
            }
            // Of whoever has a token only.
            ManageErrorKind::TokenNotGood(_) => Self::NotFound,
            ManageErrorKind::Unavailable => {
                trace::management_failed(error);
                Self::Unavailable
            }
        }
    }

    pub(super) fn refused(refusal: Refusal, caller: &Principal) -> Self {
        Rejection::new(refusal, caller.realm()).into()
    }

    fn missing_scope(scope: &str, caller: &Principal) -> Self {
        let required = scope.parse().map(|scope| Requirement::all([scope]));
        match required.map(|required| caller.require(&required)) {
            Ok(Err(rejection)) => rejection.into(),
            // The scope is a constant, and the caller lacked it a moment ago.
            Ok(Ok(())) | Err(_) => Self::refused(Refusal::new(RefusalKind::Misconfigured), caller),
        }
    }

    fn wire(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            // It answers for itself.
            Self::Refused(_) | Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "The keys cannot be reached at the moment; try again shortly.",
            ),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is no such key."),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "This address takes other methods; see Allow.",
            ),
            #[cfg(feature = "leaks")]
            Self::NotSigned => (
                StatusCode::FORBIDDEN,
                "invalid-signature",
                "The request is not signed by anybody who is believed here.",
            ),
            Self::NotJson => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "The body must be application/json.",
            ),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "body-too-large",
                "The body is too large.",
            ),
            Self::Invalid(_) => (
                StatusCode::BAD_REQUEST,
                "invalid-request",
                "The request has fields that cannot be meant; see errors.",
            ),
            Self::Exceeds(_) => (
                StatusCode::FORBIDDEN,
                "exceeds-maker",
                "A key cannot be given more than its maker has, or more than it had.",
            ),
            Self::Quota => (
                StatusCode::CONFLICT,
                "too-many-keys",
                "The owner has as many keys as an owner may have; revoke one first.",
            ),
            Self::CallerExchanged => (
                StatusCode::FORBIDDEN,
                "exchanged-key",
                "A key that was given for a token makes no other keys, and changes none.",
            ),
            Self::Conflict(conflict) => {
                let (code, detail) = conflict_wire(*conflict);
                (StatusCode::CONFLICT, code, detail)
            }
        }
    }

    fn errors(self) -> Vec<FieldError> {
        match self {
            Self::Invalid(errors) => errors,
            Self::Exceeds(excess) => vec![FieldError {
                field: excess.field(),
                message: "would be more than the maker of the key has, or than the key had",
            }],
            _ => Vec::new(),
        }
    }
}

fn conflict_wire(conflict: Conflict) -> (&'static str, &'static str) {
    match conflict {
        Conflict::NotActive(KeyStatus::Revoked) => ("key-not-active", "The key has been revoked."),
        Conflict::NotActive(KeyStatus::Expired) => ("key-not-active", "The key has expired."),
        Conflict::NotActive(KeyStatus::Disabled) => ("key-not-active", "The key is disabled."),
        Conflict::NotActive(KeyStatus::Active) => ("key-not-active", "The key is not active."),
        Conflict::AlreadyRotated => (
            "already-rotated",
            "Another key has taken over from this one already.",
        ),
        Conflict::Exchanged => (
            "exchanged-key",
            "The key was given for a token; exchange another one for another key.",
        ),
        Conflict::NoStoredKey => (
            "no-stored-key",
            "The request was not made with a key that can be revoked here.",
        ),
        Conflict::AlreadyMinted => ("already-minted", "The key has been made already."),
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        Self::Refused(Box::new(rejection))
    }
}

/// A problem document (RFC 9457).
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Problem))]
pub(super) struct Document {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'static str,
    /// What went wrong, in one word for programs.
    code: &'static str,
    /// What is wrong with which field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(required = false))]
    errors: Vec<FieldError>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code, detail) = match self {
            Self::Refused(rejection) => return IntoResponse::into_response(*rejection),
            ref other => other.wire(),
        };
        let document = Document {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail,
            code,
            errors: self.errors(),
        };
        let mut response = answer(status, "application/problem+json", &document);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let shortly = HeaderValue::from_static("1");
            response.headers_mut().insert(RETRY_AFTER, shortly);
        }
        response
    }
}

/// 200, and nothing to say.
pub(super) fn empty() -> Response {
    let mut response = Response::new(Body::empty());
    mark(&mut response);
    response
}

/// 200.
pub(super) fn shown(value: &impl Serialize) -> Response {
    answer(StatusCode::OK, "application/json", value)
}

/// 201.
pub(super) fn created(location: &str, value: &impl Serialize) -> Response {
    let mut response = answer(StatusCode::CREATED, "application/json", value);
    // A path that came in as one goes out as one.
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// 204.
pub(super) fn done() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    mark(&mut response);
    response
}

/// 200 and who has heard of it, where that was waited for.
pub(super) fn heard(receipt: Option<Receipt>) -> Response {
    match receipt {
        Some(receipt) => shown(&ReceiptView::from(receipt)),
        None => done(),
    }
}

/// Whether what kept a body from being read is its size.
pub(super) fn is_too_large(status: StatusCode) -> bool {
    status == StatusCode::PAYLOAD_TOO_LARGE
}

pub(super) fn answer(status: StatusCode, content_type: &'static str, value: &impl Serialize) -> Response {
    // Text, numbers and lists: there is nothing in it that JSON could not say.
    let json = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Body::from(json));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    mark(&mut response);
    response
}

/// Whatever is said about keys is for the one who asked, now.
fn mark(response: &mut Response) {
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
}
