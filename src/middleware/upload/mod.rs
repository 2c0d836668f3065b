//! Bodies of requests that come bit by bit, and whether there is more of one to come.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::{
    Method, Request, Version,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};

use super::guard::LARGEST_AT_ONCE;

#[cfg(feature = "axum")]
mod axum;

#[cfg(not(feature = "axum"))]
mod none;

#[cfg(feature = "axum")]
use self::axum::see;
#[cfg(not(feature = "axum"))]
use none::see;

/// Whether nothing more is read of a body: its end was seen, or it was dropped.
#[derive(Debug, Clone, Default)]
pub(super) struct Over(Arc<AtomicBool>);

impl Over {
    /// Of a request that may be an upload; `None` for one that is none.
    pub(super) fn of<B: 'static>(request: &mut Request<B>) -> Option<Self> {
        is_upload(request).then(|| see(request)).flatten()
    }

    pub(super) fn is_so(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    #[cfg_attr(
        not(feature = "axum"),
        expect(dead_code, reason = "only bodies of axum are seen")
    )]
    fn say(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Judged by the head, since a body of any type will do.
fn is_upload<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    if let Some(length) = headers.get(CONTENT_LENGTH) {
        let length = length.to_str().ok().and_then(|length| length.parse().ok());
        return length.is_none_or(|length: u64| length > LARGEST_AT_ONCE);
    }
    let may_have_none =
        [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE].contains(request.method());
    // HTTP/1 says so where there is a body; HTTP/2 and 3 need not.
    headers.contains_key(TRANSFER_ENCODING) || (request.version() > Version::HTTP_11 && !may_have_none)
}
