//! One address for people and programs: a browser gets a page, anybody else JSON.

use std::convert::Infallible;

use axum::{Router, extract::Request, response::Response, routing::any};
use http::{Method, header::ACCEPT};
use tower_service::Service;

use super::answer;

/// Where there is a page and something in JSON. Nothing else is taken from the application that has the router, which has its own answer for it.
const SHARED: [&str; 4] = ["/", "/new", "/{id}", "/{id}/rotate"];
const PAGE: [&str; 5] = [
    "/assets/{name}",
    "/{id}/revoke",
    "/{id}/disable",
    "/{id}/enable",
    "/{id}/rename",
];
const KEYS: [&str; 3] = ["/events", "/current", "/{id}/events"];

/// Both under the same paths.
pub(super) fn both<S: Clone + Send + Sync + 'static>(page: &Router, keys: &Router) -> Router<S> {
    let on = |router: Router<S>, path: &str, pick: fn(&Request) -> bool, both: bool| {
        let (page, keys) = (page.clone(), keys.clone());
        let answer = async move |request: Request| {
            let mut chosen = if pick(&request) { page } else { keys };
            let answered: Result<Response, Infallible> = chosen.call(request).await;
            let Ok(mut response) = answered;
            if both {
                answer::depends_on_accept(&mut response);
            }
            response
        };
        router.route(path, any(answer))
    };
    let router = SHARED
        .iter()
        .fold(Router::new(), |router, path| on(router, path, is_visit, true));
    let router = PAGE
        .iter()
        .fold(router, |router, path| on(router, path, |_| true, false));
    KEYS.iter()
        .fold(router, |router, path| on(router, path, |_| false, false))
}

/// Browsers name HTML when they go to an address or send a form; `*/*` does not ask for it.
fn is_visit(request: &Request) -> bool {
    let types = request.headers().get_all(ACCEPT).iter();
    let types = types
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let mut names = types.map(|listed| listed.split(';').next().unwrap_or_default().trim());
    [Method::GET, Method::HEAD, Method::POST].contains(request.method())
        && names.any(|name| name.eq_ignore_ascii_case("text/html"))
}
