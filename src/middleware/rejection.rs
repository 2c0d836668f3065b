use std::{error::Error, fmt, fmt::Write as _, sync::Arc};

use bytes::Bytes;
use http::{
    Extensions, HeaderMap, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};

use crate::{
    access::Denied,
    authn::{Refusal, RefusalKind},
    principal::{Anonymous, Principal, Realm},
    trace,
};

/// A refusal on its way to the caller. With the feature `axum` it is the rejection of every extractor here, and a handler may
/// return it.
///
/// This is the one place where a [`Refusal`] becomes HTTP: status, challenges (RFC 9110, RFC 6750) and a problem document (RFC 9457).
/// The refusal itself goes along in the extensions of the response, for logging layers.
#[derive(Debug, Clone)]
pub struct Rejection {
    refusal: Refusal,
    /// `None` where no layer has named one: then nothing that needs it is answered.
    realm: Option<Arc<Realm>>,
}

impl Rejection {
    pub(crate) fn new(refusal: Refusal, realm: &Arc<Realm>) -> Self {
        Self {
            refusal,
            realm: Some(realm.clone()),
        }
    }

    /// For a route that asks for a principal where there is none: the caller sent no key, or the layer is missing.
    pub(crate) fn no_principal(extensions: &Extensions) -> Self {
        match extensions.get::<Anonymous>() {
            Some(Anonymous(realm)) => Self::new(Refusal::new(RefusalKind::MissingCredentials), realm),
            None => Self {
                refusal: Refusal::new(RefusalKind::LayerMissing),
                realm: None,
            },
        }
    }

    pub(crate) fn denied(denied: Denied, principal: &Principal) -> Self {
        Self::new(Refusal::denied(denied), principal.realm())
    }

    /// Why.
    #[must_use]
    pub fn refusal(&self) -> &Refusal {
        &self.refusal
    }

    /// The response, its body as bytes.
    #[must_use]
    pub fn into_response(self) -> Response<Bytes> {
        let Self { refusal, realm } = self;
        trace::refused(refusal.kind().code(), &refusal);
        let wire = Wire::of(refusal.kind());
        let body = wire.body(&refusal);
        let mut headers = HeaderMap::with_capacity(6);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        if wire.status != StatusCode::BAD_REQUEST && wire.status != StatusCode::INTERNAL_SERVER_ERROR {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        if wire.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Some(realm) = realm {
            wire.challenge(&refusal, &realm, &mut headers);
        }
        let mut response = Response::new(body);
        *response.status_mut() = wire.status;
        *response.headers_mut() = headers;
        response.extensions_mut().insert(refusal);
        response
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.refusal, f)
    }
}

impl Error for Rejection {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.refusal.source()
    }
}

/// What a kind of refusal looks like.
struct Wire {
    kind: RefusalKind,
    status: StatusCode,
    challenge: Challenge,
    detail: &'static str,
}

enum Challenge {
    /// There is nothing the caller could present to change it.
    None,
    /// Each way to present a key, without an error: nothing was presented.
    Ways,
    /// The error code of RFC 6750, section 3.1, with a description where it says more than the code.
    Error(&'static str, Option<&'static str>),
    /// `insufficient_scope`, naming the scopes.
    Scope,
}

impl Wire {
    /// Every status code of the crate.
    fn of(kind: RefusalKind) -> Self {
        use Challenge::{Error, None as NoChallenge, Scope, Ways};
        let (status, challenge, detail) = match kind {
            RefusalKind::MissingCredentials => {
                (StatusCode::UNAUTHORIZED, Ways, "This request needs an API key.")
            }
            RefusalKind::AmbiguousCredentials => (
                StatusCode::BAD_REQUEST,
                Error("invalid_request", None),
                "The request carries more than one credential; send exactly one.",
            ),
            RefusalKind::InvalidKey => (
                StatusCode::UNAUTHORIZED,
                Error("invalid_token", None),
                "The API key is not valid.",
            ),
            RefusalKind::KeyExpired => described("The API key has expired."),
            RefusalKind::KeyRevoked => described("The API key has been revoked."),
            RefusalKind::KeyDisabled => described("The API key is disabled."),
            RefusalKind::InsufficientScope => (
                StatusCode::FORBIDDEN,
                Scope,
                "The API key lacks a scope that this request needs.",
            ),
            RefusalKind::ResourceNotAllowed => (
                StatusCode::FORBIDDEN,
                Error("insufficient_scope", None),
                "The API key is bound to other resources.",
            ),
            RefusalKind::AuthUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                NoChallenge,
                "API keys cannot be checked at the moment; try again shortly.",
            ),
            RefusalKind::LayerMissing => (
                StatusCode::INTERNAL_SERVER_ERROR,
                NoChallenge,
                "This route asks who is calling, but the ApiKeyAuth layer is not on it.",
            ),
            RefusalKind::Misconfigured => (
                StatusCode::INTERNAL_SERVER_ERROR,
                NoChallenge,
                "This route asks for something that its path or the ApiKeyAuth layer does not provide.",
            ),
        };
        Self {
            kind,
            status,
            challenge,
            detail,
        }
    }

    /// A problem document. Everything in it is ASCII without quotes or backslashes, so nothing needs escaping.
    fn body(&self, refusal: &Refusal) -> Bytes {
        let mut json = String::with_capacity(256);
        let title = self.status.canonical_reason().unwrap_or_default();
        let (status, detail, code) = (self.status.as_u16(), self.detail, self.kind.code());
        // Writing to a string cannot fail.
        let _ = write!(
            json,
            r#"{{"type":"about:blank","title":"{title}","status":{status},"detail":"{detail}","code":"{code}""#
        );
        if let (Challenge::Scope, Some(denied)) = (&self.challenge, refusal.as_denied()) {
            let quoted: Vec<String> = denied.required().map(|scope| format!(r#""{scope}""#)).collect();
            let _ = write!(json, r#","required":[{}]"#, quoted.join(","));
        }
        json.push('}');
        json.into()
    }

    fn challenge(&self, refusal: &Refusal, realm: &Realm, headers: &mut HeaderMap) {
        let scheme = if realm.bearer { "Bearer" } else { "ApiKey" };
        let name = &realm.name;
        let one = match &self.challenge {
            Challenge::None => return,
            Challenge::Ways => return ways(realm).for_each(|way| append_challenge(headers, way)),
            Challenge::Error(error, None) => format!(r#"{scheme} realm="{name}", error="{error}""#),
            Challenge::Error(error, Some(description)) => {
                format!(r#"{scheme} realm="{name}", error="{error}", error_description="{description}""#)
            }
            Challenge::Scope => {
                let required: Vec<&str> = refusal
                    .as_denied()
                    .map(|denied| denied.required().collect())
                    .unwrap_or_default();
                let scope = required.join(" ");
                format!(r#"{scheme} realm="{name}", error="insufficient_scope", scope="{scope}""#)
            }
        };
        append_challenge(headers, one);
    }
}

fn described(text: &'static str) -> (StatusCode, Challenge, &'static str) {
    (
        StatusCode::UNAUTHORIZED,
        Challenge::Error("invalid_token", Some(text)),
        text,
    )
}

/// One challenge for each way to present a key; a scheme of RFC 9110 is the only way to say it of a header or none at all.
fn ways(realm: &Realm) -> impl Iterator<Item = String> {
    let name = &realm.name;
    let bearer = realm.bearer.then(|| format!(r#"Bearer realm="{name}""#));
    let headers = realm
        .header_labels
        .iter()
        .map(move |header| format!(r#"ApiKey realm="{name}", in="header", name="{header}""#));
    let nothing_else = !realm.bearer && realm.header_labels.is_empty();
    let scheme = nothing_else.then(|| format!(r#"ApiKey realm="{name}""#));
    bearer.into_iter().chain(headers).chain(scheme)
}

fn append_challenge(headers: &mut HeaderMap, challenge: String) {
    // Realm, names and scopes were checked when they were made.
    if let Ok(value) = HeaderValue::try_from(challenge) {
        headers.append(WWW_AUTHENTICATE, value);
    }
}
