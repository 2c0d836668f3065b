//! One address for people and programs: a browser gets a page, anybody else JSON.

use std::convert::Infallible;

use axum::{Router, extract::Request, response::Response, routing::any};
use http::{HeaderMap, Method, header::ACCEPT};
use tower_service::Service;

use super::answer;
use crate::router::is_form;

/// Where there is a page and something in JSON. Nothing else is taken from the application that has the router, which has its own answer for it.
const SHARED: [(&str, Pick); 4] = [
    ("/", is_look),
    ("/new", is_visit),
    ("/{id}", is_look),
    ("/{id}/rotate", is_visit),
];
const PAGE: [&str; 5] = [
    "/assets/{name}",
    "/{id}/revoke",
    "/{id}/disable",
    "/{id}/enable",
    "/{id}/rename",
];
const KEYS: [&str; 3] = ["/events", "/current", "/{id}/events"];

/// Whether a request is for the page.
type Pick = fn(&Request) -> bool;

/// Both under the same paths.
pub(super) fn both<S: Clone + Send + Sync + 'static>(page: &Router, keys: &Router) -> Router<S> {
    let on = |router: Router<S>, path: &str, pick: Pick, both: bool| {
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
    let router = SHARED.iter().fold(Router::new(), |router, (path, pick)| {
        on(router, path, *pick, true)
    });
    let router = PAGE
        .iter()
        .fold(router, |router, path| on(router, path, |_| true, false));
    KEYS.iter()
        .fold(router, |router, path| on(router, path, |_| false, false))
}

/// Somebody looks at a page. Nothing can be sent to it.
fn is_look(request: &Request) -> bool {
    [Method::GET, Method::HEAD].contains(request.method()) && prefers_html(request.headers())
}

/// The same, or the form on it is sent: what is sent in JSON, or by no browser, is not for the page.
fn is_visit(request: &Request) -> bool {
    let sends_form = request.method() == Method::POST && is_form(request.headers());
    is_look(request) || sends_form && prefers_html(request.headers())
}

/// Browsers prefer HTML to everything else when they go to an address or send a form. Who likes JSON as much gets that, as does who takes anything.
fn prefers_html(headers: &HeaderMap) -> bool {
    let lines = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|line| line.to_str().ok());
    let ranges: Vec<Range<'_>> = lines
        .flat_map(|line| line.split(','))
        .filter_map(Range::of)
        .collect();
    let liked = |kind: &str, subtype: &str| -> (u16, u8) {
        let fitting = ranges
            .iter()
            .filter_map(|range| Some((range.fits(kind, subtype)?, range.quality)));
        // The one that says most of it decides (RFC 9110, section 12.5.1).
        let decisive = fitting.max().unwrap_or_default();
        (decisive.1, decisive.0)
    };
    let (html, json) = (liked("text", "html"), liked("application", "json"));
    // What is named is preferred to what is only taken with everything else.
    html.0 > 0 && html > json
}

/// A part of `Accept`: what is taken, and how gladly, in thousandths.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    quality: u16,
}

impl<'a> Range<'a> {
    /// `None` for what cannot be read.
    fn of(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let mut parameters = parts.filter_map(|parameter| parameter.split_once('='));
        let quality = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
        Some(Self {
            kind,
            subtype,
            quality: match quality {
                None => 1000,
                Some((_, value)) => thousandths(value.trim())?,
            },
        })
    }

    /// How much it says of what it takes; `None` for what it does not.
    fn fits(&self, kind: &str, subtype: &str) -> Option<u8> {
        match (self.kind, self.subtype) {
            ("*", "*") => Some(1),
            (ours, "*") if ours.eq_ignore_ascii_case(kind) => Some(2),
            (ours, own) if ours.eq_ignore_ascii_case(kind) && own.eq_ignore_ascii_case(subtype) => Some(3),
            _ => None,
        }
    }
}

/// A number between 0 and 1 with three digits at most behind the point. Old clients leave out the digit before it.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let are_digits = fraction.bytes().all(|byte| byte.is_ascii_digit());
    let fraction: u16 = match fraction.len() {
        0 if whole.is_empty() => return None,
        0..=3 if are_digits => format!("{fraction:0<3}").parse().ok()?,
        _ => return None,
    };
    match (whole, fraction) {
        ("" | "0", fraction) => Some(fraction),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quality_is_a_number_between_0_and_1() {
        for (text, quality) in [
            ("1", Some(1000)),
            ("1.000", Some(1000)),
            ("1.", Some(1000)),
            ("0", Some(0)),
            ("0.0", Some(0)),
            (".2", Some(200)),
            ("0.25", Some(250)),
            ("0.999", Some(999)),
            ("1.1", None),
            ("0.9999", None),
            ("2", None),
            ("-1", None),
            ("0.+1", None),
            ("", None),
            (".", None),
            ("nan", None),
        ] {
            assert_eq!(thousandths(text), quality, "{text}");
        }
    }
}
