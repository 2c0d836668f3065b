//! The router in an application of its own, without a server: requests go in, answers come out.

use axum::{Router, body::Body};
use http::{Request, request::Parts};
use http_body_util::BodyExt;
use tower::ServiceExt;
use tower_api_key::{ApiKeyAuth, Builder, access::Grants, principal::Identity, store::MemoryStore};

use crate::place::between;

/// What a browser says that it takes, when it goes to an address or sends a form.
pub(crate) const HTML: &str = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8";

/// Alice is known by whatever she sends, and may manage keys.
pub(crate) fn of(store: MemoryStore) -> Builder {
    ApiKeyAuth::builder(store).fallback(|_: &Parts| async {
        let grants = Grants::scopes(["keys:read", "keys:write", "issues:read"])?;
        Ok(Some(Identity::new("alice").grants(grants)))
    })
}

pub(crate) fn auth() -> ApiKeyAuth {
    let builder = of(MemoryStore::new().expect("a store"));
    builder.build().expect("a configuration")
}

/// The page alone, at `/keys`, and beside it a route that anybody may use.
pub(crate) fn site(auth: &ApiKeyAuth) -> Router {
    Router::new()
        .nest("/keys", auth.page().into_router())
        .route("/work", axum::routing::get(async || "done"))
        .layer(auth.clone())
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) kind: String,
    pub(crate) vary: Vec<String>,
    pub(crate) location: String,
    pub(crate) body: String,
}

/// Asks as a browser does that is on a page of the same origin.
pub(crate) async fn ask(app: &Router, method: &str, path: &str, accept: &str, form: Option<&str>) -> Answer {
    let accept = Some(("accept", accept)).filter(|(_, accept)| !accept.is_empty());
    let kind = form.map(|_| ("content-type", "application/x-www-form-urlencoded"));
    let fields = [("sec-fetch-site", "same-origin")].into_iter();
    let fields: Vec<_> = fields.chain(accept).chain(kind).collect();
    send(app, method, path, &fields, form.unwrap_or_default()).await
}

pub(crate) async fn send(
    app: &Router,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
    body: &str,
) -> Answer {
    let request = Request::builder().method(method).uri(path);
    let request = fields
        .iter()
        .fold(request, |request, (name, value)| request.header(*name, *value));
    let response = app
        .clone()
        .oneshot(request.body(Body::from(body.to_owned())).expect("a request"))
        .await
        .expect("an answer");
    let text = |name: &str| {
        let value = response.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let vary = response.headers().get_all("vary").iter();
    Answer {
        status: response.status().as_u16(),
        kind: text("content-type"),
        vary: vary
            .filter_map(|value| Some(value.to_str().ok()?.to_ascii_lowercase()))
            .collect(),
        location: text("location"),
        body: {
            let body = response.into_body().collect().await.expect("a body");
            String::from_utf8(body.to_bytes().to_vec()).expect("text")
        },
    }
}

/// The reservation in a form for a new key.
pub(crate) fn token_in(html: &str) -> &str {
    between(html, "name=\"token\" value=\"", "\"")
}
