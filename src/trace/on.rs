use std::fmt::{Debug, Display};

use tracing::{Span, debug, field, info_span, span::Entered, warn};

/// The span around an authenticated request: `api_key{auth.kind, auth.owner, auth.key_id}`.
pub(crate) struct RequestSpan(Span);

impl RequestSpan {
    pub(crate) fn none() -> Self {
        Self(Span::none())
    }

    /// Opens the span, and fills the same fields of the span it is opened in, where that span has declared them: an access log that
    /// is written outside of this layer can then name the caller too.
    pub(crate) fn authenticated(kind: &'static str, owner: &str, key_id: Option<&str>) -> Self {
        let around = Span::current();
        if !around.is_none() {
            around.record("auth.kind", kind).record("auth.owner", owner);
            key_id.inspect(|id| {
                around.record("auth.key_id", *id);
            });
        }
        let span = info_span!(
            "api_key",
            auth.kind = kind,
            auth.owner = owner,
            auth.key_id = field::Empty
        );
        key_id.inspect(|id| {
            span.record("auth.key_id", *id);
        });
        Self(span)
    }

    pub(crate) fn enter(&self) -> Entered<'_> {
        self.0.enter()
    }
}

/// A request was refused.
pub(crate) fn refused(code: &'static str, refusal: &dyn Display) {
    debug!(auth.refusal = code, "request refused: {refusal}");
}

/// A resolver or store could not say: the caller got 503.
pub(crate) fn lookup_failed(error: &dyn Debug) {
    warn!(?error, "key look-up failed");
}

/// A static key is short enough to be guessed.
pub(crate) fn short_static_key(name: &str) {
    warn!(
        key.name = name,
        "this static key has fewer than 16 characters; use a longer one"
    );
}
