//! Errors of the application, as `application/problem+json` (RFC 9457): the form in which the library refuses, too.

use axum::{
    Json,
    http::{
        HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// What went wrong, in the server's own words: nothing that the caller sent is repeated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: &'static str,
}

impl Problem {
    pub(crate) const NOT_FOUND: Self = Self {
        status: StatusCode::NOT_FOUND,
        code: "not-found",
        detail: "There is nothing here.",
    };
    pub(crate) const METHOD_NOT_ALLOWED: Self = Self {
        status: StatusCode::METHOD_NOT_ALLOWED,
        code: "method-not-allowed",
        detail: "This address takes other methods; see Allow.",
    };
    pub(crate) const TIMEOUT: Self = Self {
        status: StatusCode::REQUEST_TIMEOUT,
        code: "request-timeout",
        detail: "The request took too long to arrive.",
    };
    pub(crate) const NOT_JSON: Self = Self {
        status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
        code: "unsupported-media-type",
        detail: "The body must be application/json.",
    };
    pub(crate) const TOO_LARGE: Self = Self {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        code: "body-too-large",
        detail: "The body is too large.",
    };
    pub(crate) const UNAVAILABLE: Self = Self {
        status: StatusCode::SERVICE_UNAVAILABLE,
        code: "unavailable",
        detail: "The issues cannot be reached at the moment; try again shortly.",
    };

    pub(crate) const NOT_A_FORM: Self = Self {
        status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
        code: "unsupported-media-type",
        detail: "The body must be application/x-www-form-urlencoded.",
    };
    pub(crate) const WRONG_LOGIN: Self = Self {
        status: StatusCode::UNAUTHORIZED,
        code: "wrong-login",
        detail: "There is no such user, or the password is another.",
    };
    pub(crate) const CROSS_ORIGIN: Self = Self {
        status: StatusCode::FORBIDDEN,
        code: "cross-origin-request",
        detail: "Only a page of the same origin may log somebody in or out; a program may, too.",
    };
    pub(crate) const NO_SESSIONS: Self = Self {
        status: StatusCode::SERVICE_UNAVAILABLE,
        code: "unavailable",
        detail: "Nobody can log in or out at the moment; try again shortly.",
    };

    pub(crate) const fn invalid(detail: &'static str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code: "invalid-request",
            detail,
        }
    }
}

#[derive(Serialize)]
struct Document {
    r#type: &'static str,
    title: Option<&'static str>,
    status: u16,
    detail: &'static str,
    code: &'static str,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = Document {
            r#type: "about:blank",
            title: self.status.canonical_reason(),
            status: self.status.as_u16(),
            detail: self.detail,
            code: self.code,
        };
        let mut response = (self.status, Json(document)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::FORBIDDEN {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 9110 demands a challenge, and no scheme there is stands for a form.
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Form realm=\"demo\""));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        response
    }
}
