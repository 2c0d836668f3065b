//! What people see: their keys, and where they log in.

use axum::{
    Router,
    http::{
        HeaderMap, HeaderValue, Method,
        header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY},
    },
    response::{Html, IntoResponse, Redirect, Response},
    routing::any,
};
use tower_api_key::{
    ApiKeyAuth,
    access::Scope,
    page::{OfferedScope, Page},
};

use crate::{app::other_method, problem::Problem};

const ISSUES: &str = "Issues";
const TOPICS: &str = "Topics";
const KEYS: &str = "Keys";

/// `/keys`: whoever is not logged in is shown the way.
pub(crate) fn routes(auth: &ApiKeyAuth) -> Router {
    let page = configured(auth.page()).into_router();
    Router::new()
        .nest("/keys", page)
        .layer(auth.clone().optional())
        .route("/", any(typed))
        .route("/keys/", any(typed))
}

/// What people type. For programs there is nothing.
async fn typed(method: Method, headers: HeaderMap) -> Response {
    match is_visit(&method, &headers) {
        true => Redirect::temporary("/keys").into_response(),
        false => Problem::NOT_FOUND.into_response(),
    }
}

fn configured(page: Page) -> Page {
    page.title("Issue tracker")
        .sign_in("/login")
        .sign_out("/logout")
        .example("/api/v1/whoami")
        .variable("TRACKER_KEY")
        .scopes([
            offered("issues:read", ISSUES, "Read all issues"),
            offered("issues:write", ISSUES, "Open and close issues"),
            offered(
                "agents:run",
                "Agents",
                "Start the agents that the key is bound to, or any",
            ),
            offered("topics:read", TOPICS, "Follow topics"),
            offered("topics:send", TOPICS, "Send messages to topics"),
            offered("keys:read", KEYS, "List your keys"),
            offered("keys:write", KEYS, "Create, change and revoke your keys"),
            offered("keys:admin", KEYS, "Manage the keys of everybody"),
            offered("keys:introspect", KEYS, "Ask whether a key is good"),
        ])
}

fn offered(scope: &'static str, group: &'static str, description: &'static str) -> OfferedScope {
    OfferedScope::new(Scope::from_static(scope))
        .group(group)
        .description(description)
}

/// `GET /login`: for people. A program has no use for a form, and gets what it gets for any other method.
pub(crate) async fn login(method: Method, headers: HeaderMap) -> Response {
    match is_visit(&method, &headers) {
        true => form(""),
        false => other_method(method).await,
    }
}

/// On to a page for whoever asked with a browser; a program has what it asked for.
pub(crate) fn and_on_to(page: &str, headers: &HeaderMap, done: impl IntoResponse) -> Response {
    match is_browser(headers) {
        true => ([(CACHE_CONTROL, "no-store")], Redirect::to(page)).into_response(),
        false => done.into_response(),
    }
}

/// The form once more, with the status and the fields that a program gets.
pub(crate) fn wrong_login(headers: &HeaderMap, refused: impl IntoResponse) -> Response {
    let refused = refused.into_response();
    if !is_browser(headers) {
        return refused;
    }
    let mut page =
        form(r#"<p class="note bad" role="alert">There is no such user, or the password is another.</p>"#);
    *page.status_mut() = refused.status();
    let fields = refused
        .headers()
        .iter()
        .filter(|(name, _)| *name != "content-type" && *name != "content-length");
    page.headers_mut()
        .extend(fields.map(|(name, value)| (name.clone(), value.clone())));
    page
}

fn is_visit(method: &Method, headers: &HeaderMap) -> bool {
    [Method::GET, Method::HEAD].contains(method) && is_browser(headers)
}

fn is_browser(headers: &HeaderMap) -> bool {
    let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("text/html"))
}

/// In the clothes of the page.
fn form(note: &str) -> Response {
    let html = format!(
        r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in · Issue tracker</title><link rel="icon" href="/keys/assets/icon.svg"><link rel="stylesheet" href="/keys/assets/page.css"></head>
<body><header class="bar"><div class="wrap"><a class="brand" href="/keys"><span class="mark"><span class="i i-key" aria-hidden="true"></span></span>Issue tracker</a></div></header>
<main class="wrap"><h1>Sign in</h1><form class="card form narrow" method="post" action="/login">{note}
<div class="field"><label for="user">User</label><input id="user" name="user" autocomplete="username" required autofocus></div>
<div class="field"><label for="password">Password</label><input id="password" name="password" type="password" autocomplete="current-password" required></div>
<div class="actions"><button class="button primary">Sign in</button></div></form></main></body></html>
"#
    );
    const POLICY: HeaderValue = HeaderValue::from_static(
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    );
    let fields = [
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (CONTENT_SECURITY_POLICY, POLICY),
    ];
    (fields, Html(html)).into_response()
}
