//! Asking a router, and what it answers.

use std::convert::Infallible;

use axum::{Router, body::Body, extract::Request, response::Response};
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::{Service, ServiceExt};
use tower_api_key::{
    ApiKeyAuth,
    access::Grants,
    authn::{Refusal, StaticKey},
};

/// A static key, for whatever a test grants it.
pub(crate) const KEY: &str = "the-key-of-this-test";

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// What the crate attached for logging layers.
    pub(crate) refusal: Option<Refusal>,
    pub(crate) body: String,
}

impl Answer {
    /// The values of a field, a line each.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let values = self.headers.get_all(name).iter();
        values.map(|value| value.to_str().expect("text")).collect()
    }

    pub(crate) fn problem(&self) -> Value {
        assert_eq!(self.all("content-type"), ["application/problem+json"]);
        serde_json::from_str(&self.body).expect("a problem document")
    }

    /// Status and body, or the status and code of a problem document; the refusal that goes along must say the same.
    pub(crate) fn summary(&self) -> (u16, String) {
        let Some(refusal) = &self.refusal else {
            return (self.status, self.body.clone());
        };
        let problem = self.problem();
        assert_eq!(problem["status"], self.status);
        assert_eq!(problem["code"], refusal.kind().code());
        (self.status, refusal.kind().code().to_owned())
    }
}

pub(crate) async fn ask<S>(service: S, request: Request) -> Answer
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    let Ok(response) = service.oneshot(request).await;
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.expect("a body").to_bytes();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        refusal: parts.extensions.get().cloned(),
        body: String::from_utf8(bytes.into()).expect("text"),
    }
}

/// Asks with a key, or without one where that is empty, for the summary.
pub(crate) async fn get(app: &Router, path: &str, key: &str) -> (u16, String) {
    ask(app.clone(), request(Method::GET, path, key)).await.summary()
}

pub(crate) fn request(method: Method, path: &str, key: &str) -> Request {
    let mut builder = Request::builder().method(method).uri(path);
    if !key.is_empty() {
        builder = builder.header("X-Key", key);
    }
    builder.body(Body::empty()).expect("a request")
}

/// What a summary should be.
pub(crate) fn is(status: u16, text: &str) -> (u16, String) {
    (status, text.to_owned())
}

/// A layer that knows [`KEY`] only.
pub(crate) fn granting(grants: Grants) -> ApiKeyAuth {
    let key = StaticKey::new(KEY).grant(grants);
    ApiKeyAuth::static_keys_only()
        .static_key(key)
        .build()
        .expect("a configuration")
}

pub(crate) fn scopes(scopes: &[&str]) -> Grants {
    Grants::scopes(scopes).expect("scopes")
}

/// Bound to these resources.
pub(crate) fn bound(names: &[&str], resources: &[&str]) -> Grants {
    scopes(names).on(resources).expect("resources")
}
