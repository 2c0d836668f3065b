use std::{
    error::Error,
    fmt,
    fmt::Write as _,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use http::{
    Extensions, HeaderMap, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};

use super::allowance;
use crate::{
    access::Denied,
    authn::{Refusal, RefusalKind},
    key::LastUsed,
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
    /// Where the requests of the key are counted that was let in before this.
    used: Option<Arc<LastUsed>>,
}

impl Rejection {
    pub(crate) fn new(refusal: Refusal, realm: &Arc<Realm>) -> Self {
        Self {
            refusal,
            realm: Some(realm.clone()),
            used: None,
        }
    }

    /// For a route that asks for a principal where there is none: the caller sent no key, or the layer is missing.
    pub(crate) fn no_principal(extensions: &Extensions) -> Self {
        match extensions.get::<Anonymous>() {
            Some(Anonymous(realm)) => Self::new(Refusal::new(RefusalKind::MissingCredentials), realm),
            None => Self {
                refusal: Refusal::new(RefusalKind::LayerMissing),
                realm: None,
                used: None,
            },
        }
    }

    pub(crate) fn denied(denied: Denied, principal: &Principal) -> Self {
        Self {
            used: principal.used().cloned(),
            ..Self::new(Refusal::denied(denied), principal.realm())
        }
    }

    /// Why.
    #[must_use]
    pub fn refusal(&self) -> &Refusal {
        &self.refusal
    }

    /// The response, its body as bytes.
    #[must_use]
    pub fn into_response(self) -> Response<Bytes> {
        let Self { refusal, realm, used } = self;
        if let Some(used) = &used {
            used.refused_inside();
        }
        trace::refused(refusal.kind().code(), &refusal);
        if let Some(realm) = &realm {
            realm.decisions.refused(refusal.kind() as usize);
        }
        let wire = Wire::of(refusal.kind());
        let (body, length) = wire.body(&refusal);
        let mut headers = HeaderMap::with_capacity(6);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CONTENT_LENGTH, length);
        // Also where the contract of the wire asks for none: a stored 400 would be handed to callers who did nothing wrong.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if wire.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Some(wait) = refusal.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(allowance::seconds(wait)));
        }
        if let Some(allowances) = refusal.as_limited() {
            allowance::tell(&mut headers, allowances.iter().map(allowance::Told::of));
        }
        if let Some(left) = refusal.as_used_up() {
            allowance::tell(&mut headers, [allowance::Told::of_credits(left)].into_iter());
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

/// What a kind of refusal says to people.
pub(super) fn detail(kind: RefusalKind) -> &'static str {
    Wire::of(kind).detail
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
            RefusalKind::AddressNotAllowed => (
                StatusCode::FORBIDDEN,
                NoChallenge,
                "The API key may not be used from this address.",
            ),
            RefusalKind::CrossOrigin => (
                StatusCode::FORBIDDEN,
                NoChallenge,
                "A session may ask for changes only from a page of the same origin; a program needs an API key.",
            ),
            RefusalKind::RateLimited => (
                StatusCode::TOO_MANY_REQUESTS,
                NoChallenge,
                "The API key has been used too often; see Retry-After.",
            ),
            RefusalKind::UsedUp => (
                StatusCode::TOO_MANY_REQUESTS,
                NoChallenge,
                "The API key has too few uses left; see RateLimit.",
            ),
            RefusalKind::TooManyFailures => (
                StatusCode::TOO_MANY_REQUESTS,
                NoChallenge,
                "Too many API keys that are not good have come from this address; see Retry-After.",
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

    /// A problem document and its length. Only the scopes of a requirement differ from one refusal of a kind to the next.
    fn body(&self, refusal: &Refusal) -> (Bytes, HeaderValue) {
        static FIXED: [OnceLock<(Bytes, HeaderValue)>; RefusalKind::ALL.len()] =
            [const { OnceLock::new() }; RefusalKind::ALL.len()];
        match (&self.challenge, refusal.as_denied()) {
            (Challenge::Scope, Some(denied)) => self.document(Some(denied)),
            _ => FIXED[self.kind as usize]
                .get_or_init(|| self.document(None))
                .clone(),
        }
    }

    /// Everything in it is ASCII without quotes or backslashes, so nothing needs escaping.
    fn document(&self, missing: Option<&Denied>) -> (Bytes, HeaderValue) {
        let mut json = String::with_capacity(256);
        let title = self.status.canonical_reason().unwrap_or_default();
        let (status, detail, code) = (self.status.as_u16(), self.detail, self.kind.code());
        // Writing to a string cannot fail.
        let _ = write!(
            json,
            r#"{{"type":"about:blank","title":"{title}","status":{status},"detail":"{detail}","code":"{code}""#
        );
        if let Some(denied) = missing {
            let quoted: Vec<String> = denied.required().map(|scope| format!(r#""{scope}""#)).collect();
            let _ = write!(json, r#","required":[{}]"#, quoted.join(","));
        }
        json.push('}');
        let length = HeaderValue::from(json.len());
        (json.into(), length)
    }

    fn challenge(&self, refusal: &Refusal, realm: &Realm, headers: &mut HeaderMap) {
        if let (Challenge::Scope, Some(denied)) = (&self.challenge, refusal.as_denied()) {
            let required: Vec<&str> = denied.required().collect();
            let scopes = format!(r#"error="insufficient_scope", scope="{}""#, required.join(" "));
            headers.extend(field(error_in(realm, &scopes)).map(|value| (WWW_AUTHENTICATE, value)));
            return;
        }
        let all = realm.challenges.get_or_init(|| {
            let kinds = RefusalKind::ALL.into_iter();
            kinds.map(|kind| Self::of(kind).fixed_challenges(realm)).collect()
        });
        for value in &all[self.kind as usize] {
            headers.append(WWW_AUTHENTICATE, value.clone());
        }
    }

    /// The challenges of a kind that are always the same.
    fn fixed_challenges(&self, realm: &Realm) -> Box<[HeaderValue]> {
        let error = match &self.challenge {
            Challenge::None => return Box::default(),
            // Of a key that lost a scope on the way: which one is not known here.
            Challenge::Scope => r#"error="insufficient_scope""#.to_owned(),
            Challenge::Ways => return ways(realm).filter_map(field).collect(),
            Challenge::Error(error, None) => format!(r#"error="{error}""#),
            Challenge::Error(error, Some(description)) => {
                format!(r#"error="{error}", error_description="{description}""#)
            }
        };
        field(error_in(realm, &error)).into_iter().collect()
    }
}

fn error_in(realm: &Realm, error: &str) -> String {
    let scheme = if realm.bearer { "Bearer" } else { "ApiKey" };
    format!(r#"{scheme} realm="{}", {error}"#, realm.name)
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

/// Realm, names and scopes were checked when they were made, so there always is one.
fn field(challenge: String) -> Option<HeaderValue> {
    HeaderValue::try_from(challenge).ok()
}
