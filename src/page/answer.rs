//! What the answers of this stage are in HTTP: every status code and every field of it.

use askama::Template;
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{
        ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION,
        REFERRER_POLICY, RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};

use super::{assets::Asset, trouble::Trouble};
use crate::manage::{Invalid, ManageErrorKind};

/// No script but the file of it, no frame around it, no form to elsewhere.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// 200.
pub(super) fn shown(page: &impl Template) -> Response {
    html(StatusCode::OK, page)
}

/// 201, with a key in the clear: nobody is to keep it, and no other site is told the address of it.
pub(super) fn secret(page: &impl Template) -> Response {
    let mut response = html(StatusCode::CREATED, page);
    let nothing = HeaderValue::from_static("no-referrer");
    response.headers_mut().insert(REFERRER_POLICY, nothing);
    response
}

/// 409: what was asked for has been done, by this form.
pub(super) fn done_before(page: &impl Template) -> Response {
    html(StatusCode::CONFLICT, page)
}

/// A form to be filled in again.
pub(super) fn again(page: &impl Template, error: Option<ManageErrorKind>) -> Response {
    timed(html(error.map_or(StatusCode::BAD_REQUEST, status_of), page))
}

/// 303: what was done is to be looked at, and not to be done again by a reload.
pub(super) fn see(location: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    mark(response.headers_mut());
    // A path that came in as one goes out as one.
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// A page that says why there is none.
pub(super) fn trouble(page: &impl Template, trouble: Trouble) -> Response {
    match trouble {
        // With the challenges that belong to it.
        Trouble::Refused(rejection) => {
            let refused = IntoResponse::into_response(*rejection);
            let mut response = html(refused.status(), page);
            for name in [http::header::WWW_AUTHENTICATE, RETRY_AFTER] {
                for value in refused.headers().get_all(&name) {
                    response.headers_mut().append(&name, value.clone());
                }
            }
            let (mut parts, _) = refused.into_parts();
            response
                .extensions_mut()
                .extend(std::mem::take(&mut parts.extensions));
            response
        }
        Trouble::Failed(kind) => timed(html(status_of(kind), page)),
        Trouble::OtherOrigin => html(StatusCode::FORBIDDEN, page),
        Trouble::NotAForm(status) => html(status, page),
        Trouble::NothingHere => html(StatusCode::NOT_FOUND, page),
    }
}

/// 405; axum adds `Allow` where there is something else to do.
pub(super) async fn other_method() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    mark(response.headers_mut());
    response.headers_mut().remove(ALLOW);
    response
}

/// A file of the page, or 304. For ever under the name that has its hash.
pub(super) fn asset(asset: &Asset, for_ever: bool, asked: &HeaderMap) -> Response {
    let known = asked.get_all(IF_NONE_MATCH).iter();
    let mut known = known.filter_map(|value| value.to_str().ok());
    let is_known = known.any(|listed| {
        listed
            .split(',')
            .any(|tag| asset.tag == tag.trim().trim_start_matches("W/"))
    });
    let mut response = match is_known {
        true => Response::new(Body::empty()),
        false => Response::new(Body::from(asset.body.clone())),
    };
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, asset.content_type.clone());
    headers.insert(ETAG, asset.tag.clone());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // An icon is a document, too, when it is opened by itself.
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'"),
    );
    let keep = if for_ever {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(keep));
    response
}

/// That an answer depends on whether a page was asked for.
pub(super) fn depends_on_accept(response: &mut Response) {
    response.headers_mut().append(VARY, HeaderValue::from(ACCEPT));
}

fn status_of(kind: ManageErrorKind) -> StatusCode {
    match kind {
        ManageErrorKind::NotFound => StatusCode::NOT_FOUND,
        // A form of another day, or of whoever was signed in before.
        ManageErrorKind::Invalid(Invalid { field: "form", .. }) => StatusCode::CONFLICT,
        ManageErrorKind::Invalid(_) => StatusCode::BAD_REQUEST,
        ManageErrorKind::Exceeds(_) | ManageErrorKind::MissingScope(_) => StatusCode::FORBIDDEN,
        ManageErrorKind::Quota | ManageErrorKind::Conflict(_) => StatusCode::CONFLICT,
        ManageErrorKind::CallerNotGood(_) => StatusCode::UNAUTHORIZED,
        ManageErrorKind::CallerExchanged => StatusCode::FORBIDDEN,
        // Of forms with tokens, which are not sent here.
        ManageErrorKind::TokenNotGood(_) => StatusCode::BAD_REQUEST,
        ManageErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn html(status: StatusCode, page: &impl Template) -> Response {
    let (status, html) = match page.render() {
        Ok(html) => (status, html),
        // Only memory could be lacking.
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
    };
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    mark(headers);
    response
}

/// With when to try again, where that will help.
fn timed(mut response: Response) -> Response {
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        let shortly = HeaderValue::from_static("1");
        response.headers_mut().insert(RETRY_AFTER, shortly);
    }
    response
}

/// Whatever is said about keys is for the one who asked, now, and for no page around it.
fn mark(headers: &mut HeaderMap) {
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        // A browser without Fetch Metadata says where a form comes from, as long as it may.
        (REFERRER_POLICY, "same-origin"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (OPENER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
