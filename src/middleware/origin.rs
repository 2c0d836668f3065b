//! Whether a request comes from a page of the same origin, as its browser says (Fetch Metadata, and RFC 6454 for older ones).

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri,
    header::{HOST, ORIGIN, SEC_WEBSOCKET_KEY, UPGRADE},
    uri::Authority,
};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// In which a proxy that asks about a request says which method that has.
pub(crate) static TOLD_METHODS: [HeaderName; 2] = [
    HeaderName::from_static("x-forwarded-method"),
    HeaderName::from_static("x-original-method"),
];

/// Whether a caller that is recognised by what a browser sends of itself may ask for this.
pub(super) fn is_allowed<B>(request: &Request<B>) -> bool {
    may_ask(request.method(), request.headers(), request.uri())
}

/// The same of a request that is only told of.
pub(crate) fn may_ask(method: &Method, headers: &HeaderMap, uri: &Uri) -> bool {
    let safe = [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE].contains(method);
    if !safe {
        return comes_from_here(headers, uri);
    }
    // A handshake that any page may make, and no rule of the browser keeps from reading: but a program sends neither field.
    // Proxies that ask before they pass it on keep `Upgrade` to themselves.
    let is_handshake = headers.contains_key(UPGRADE) || headers.contains_key(SEC_WEBSOCKET_KEY);
    !is_handshake || same_origin(headers, uri).unwrap_or(true)
}

/// Whether a request comes from a page of the same origin, as its browser says in `Sec-Fetch-Site`, or else in `Origin`; `None` where it
/// says neither, as programs do.
///
/// The layer goes by it for callers whom the [`Fallback`](crate::authn::Fallback) recognised. It is here for what an application answers
/// outside of the layer: a log-in to which another site may post a form logs its user in as somebody else. Refuse `Some(false)` there.
///
/// The answer is `Some(false)` for whatever cannot be meant, such as a field that comes twice. The scheme of an origin is not compared:
/// behind a proxy nobody here knows which it is.
///
/// ```
/// use http::{HeaderMap, HeaderValue, Uri};
/// use tower_api_key::middleware::same_origin;
///
/// let mut headers = HeaderMap::new();
/// headers.insert("host", HeaderValue::from_static("app.example"));
/// assert_eq!(same_origin(&headers, &Uri::from_static("/login")), None);
/// headers.insert("origin", HeaderValue::from_static("https://evil.example"));
/// assert_eq!(same_origin(&headers, &Uri::from_static("/login")), Some(false));
/// headers.insert("origin", HeaderValue::from_static("https://app.example"));
/// assert_eq!(same_origin(&headers, &Uri::from_static("/login")), Some(true));
/// ```
#[must_use]
pub fn same_origin(headers: &HeaderMap, uri: &Uri) -> Option<bool> {
    let says_from_where = headers.contains_key(SEC_FETCH_SITE) || headers.contains_key(ORIGIN);
    says_from_where.then(|| comes_from_here(headers, uri))
}

fn comes_from_here(headers: &HeaderMap, uri: &Uri) -> bool {
    match only(headers, &SEC_FETCH_SITE) {
        Field::One(site) => site == "same-origin",
        Field::Many => false,
        Field::None => match only(headers, &ORIGIN) {
            Field::One(origin) => origin.to_str().is_ok_and(|origin| is_here(origin, headers, uri)),
            Field::None | Field::Many => false,
        },
    }
}

/// Whether an origin is this host. Its scheme cannot be compared: behind a proxy nobody here knows it.
fn is_here(origin: &str, headers: &HeaderMap, uri: &Uri) -> bool {
    let (origin, default_port) = if let Some(rest) = origin.strip_prefix("https://") {
        (rest, 443)
    } else if let Some(rest) = origin.strip_prefix("http://") {
        (rest, 80)
    } else {
        return false;
    };
    let host = match only(headers, &HOST) {
        Field::One(host) => host.to_str().ok(),
        // HTTP/2 names it in `:authority`.
        Field::None => uri.authority().map(Authority::as_str),
        Field::Many => None,
    };
    let here = host.and_then(|host| host_and_port(host, default_port));
    here.is_some() && here == host_and_port(origin, default_port)
}

fn host_and_port(text: &str, default_port: u16) -> Option<(String, u16)> {
    let authority = Authority::try_from(text).ok()?;
    let host = authority.host();
    // User information, if there is any, stands before the host.
    let rest = text.strip_prefix(host)?;
    let port = match rest.strip_prefix(':') {
        None => default_port,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
        Some(_) => return None,
    };
    (!host.is_empty()).then(|| (host.to_ascii_lowercase(), port))
}

enum Field<'h> {
    None,
    One(&'h HeaderValue),
    Many,
}

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Field<'h> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Field::None,
        (Some(value), None) => Field::One(value),
        (Some(_), Some(_)) => Field::Many,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(method: &str, fields: &[(&str, &str)]) -> bool {
        let request = Request::builder().method(method).uri("/keys");
        let request = fields
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value));
        is_allowed(&request.body(()).expect("a request"))
    }

    #[test]
    fn only_a_page_of_the_same_origin_may_ask_for_a_change() {
        const HOST: (&str, &str) = ("host", "app.example");
        for (fields, expected) in [
            (&[HOST][..], false),
            (&[HOST, ("sec-fetch-site", "same-origin")], true),
            (&[HOST, ("sec-fetch-site", "same-site")], false),
            (&[HOST, ("sec-fetch-site", "cross-site")], false),
            (&[HOST, ("sec-fetch-site", "none")], false),
            (&[HOST, ("sec-fetch-site", "")], false),
            (&[HOST, ("sec-fetch-site", "same-origin, cross-site")], false),
            (&[HOST, ("sec-fetch-site", "Same-Origin")], false),
            (
                &[
                    HOST,
                    ("sec-fetch-site", "same-origin"),
                    ("sec-fetch-site", "same-origin"),
                ],
                false,
            ),
            // The browser's own judgement comes first, either way.
            (
                &[
                    HOST,
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "https://app.example"),
                ],
                false,
            ),
            (
                &[
                    HOST,
                    ("sec-fetch-site", "same-origin"),
                    ("origin", "https://evil.example"),
                ],
                true,
            ),
            (&[HOST, ("origin", "https://app.example")], true),
            (&[HOST, ("origin", "https://app.example:443")], true),
            (&[HOST, ("origin", "http://app.example")], true),
            (&[HOST, ("origin", "http://app.example:80")], true),
            (&[HOST, ("origin", "https://app.example:8443")], false),
            (&[HOST, ("origin", "https://evil.example")], false),
            (&[HOST, ("origin", "https://app.example.evil.example")], false),
            (&[HOST, ("origin", "https://sub.app.example")], false),
            (&[HOST, ("origin", "https://app.example@evil.example")], false),
            (&[HOST, ("origin", "https://evil.example@app.example")], false),
            (&[HOST, ("origin", "https://app.example/")], false),
            (&[HOST, ("origin", "null")], false),
            (&[HOST, ("origin", "")], false),
            (&[HOST, ("origin", "app.example")], false),
            (&[HOST, ("origin", "ftp://app.example")], false),
            (&[HOST, ("origin", "https://")], false),
            (
                &[
                    HOST,
                    ("origin", "https://app.example"),
                    ("origin", "https://app.example"),
                ],
                false,
            ),
            (
                &[("host", "APP.example"), ("origin", "https://app.example")],
                true,
            ),
            (
                &[("host", "app.example:443"), ("origin", "https://app.example")],
                true,
            ),
            (
                &[("host", "app.example:80"), ("origin", "https://app.example")],
                false,
            ),
            (
                &[("host", "localhost:3000"), ("origin", "http://localhost:3000")],
                true,
            ),
            (
                &[("host", "localhost:3000"), ("origin", "http://localhost:3001")],
                false,
            ),
            (
                &[("host", "localhost:3000"), ("origin", "http://localhost")],
                false,
            ),
            (
                &[("host", "127.0.0.1:3000"), ("origin", "http://localhost:3000")],
                false,
            ),
            (&[("host", "[::1]:3000"), ("origin", "http://[::1]:3000")], true),
            (
                &[
                    ("host", "app.example:+443"),
                    ("origin", "https://app.example:+443"),
                ],
                false,
            ),
            (
                &[
                    ("host", "app.example:99999"),
                    ("origin", "https://app.example:99999"),
                ],
                false,
            ),
            (&[("host", ""), ("origin", "https://")], false),
            (&[("origin", "https://app.example")], false),
            (
                &[HOST, ("host", "evil.example"), ("origin", "https://app.example")],
                false,
            ),
            (&[HOST, ("referer", "https://app.example/")], false),
        ] {
            for method in ["POST", "PUT", "PATCH", "DELETE", "CONNECT", "PROPFIND", "post"] {
                assert_eq!(allowed(method, fields), expected, "{method} {fields:?}");
            }
            for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
                assert!(allowed(method, fields), "{method} {fields:?}");
            }
        }
    }

    #[test]
    fn the_host_of_http_2_is_the_authority() {
        let ask = |uri: &str| {
            let request = Request::post(uri).header("origin", "https://app.example");
            is_allowed(&request.body(()).expect("a request"))
        };
        assert!(ask("https://app.example/keys"));
        assert!(!ask("https://evil.example/keys"));
    }

    #[test]
    fn a_handshake_is_open_to_programs_and_to_the_same_origin() {
        const HOST: (&str, &str) = ("host", "app.example");
        // The second as a proxy tells of it.
        for handshake in [("upgrade", "websocket"), ("sec-websocket-key", "x")] {
            let ask = |more: &[(&str, &str)]| allowed("GET", &[&[HOST, handshake], more].concat());
            assert!(ask(&[]));
            assert!(ask(&[("origin", "https://app.example")]));
            assert!(ask(&[("sec-fetch-site", "same-origin")]));
            assert!(!ask(&[("origin", "https://evil.example")]));
            assert!(!ask(&[("origin", "null")]));
            assert!(!ask(&[("sec-fetch-site", "cross-site")]));
        }
    }
}
