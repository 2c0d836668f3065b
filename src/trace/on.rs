use std::{error::Error, fmt::Display};

use tracing::{Span, debug, field, info, info_span, span::Entered, warn};

use super::causes::Causes;

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
pub(crate) fn lookup_failed(error: &dyn Error) {
    warn!(error = %Causes(error), "key look-up failed");
}

/// Several look-ups in a row have failed.
pub(crate) fn store_down() {
    warn!("the key store does not answer; until it does, keys are refused with 503");
}

/// Changes are heard of: what is cached may be used.
pub(crate) fn feed_live() {
    info!("changes of keys are heard of; verdicts are cached");
}

/// Changes are not heard of any more.
pub(crate) fn feed_lost(cause: &str) {
    warn!("changes of keys are not heard of, so that nothing cached is used: {cause}");
}

/// A key was let in that could not be confirmed.
pub(crate) fn stale_key_used(key_id: Option<&str>) {
    warn!(
        auth.key_id = key_id,
        "the key store does not answer; a key is let in by an old verdict"
    );
}

/// Who has heard of a change could not be found out, and is waited for until it does not matter.
pub(crate) fn unheard(error: &dyn Error) {
    warn!(error = %Causes(error), "it is not known which processes have heard of a change; waiting until none can use what it cached before");
}

/// A change could not be told to other processes.
pub(crate) fn untold(error: &dyn Error) {
    warn!(error = %Causes(error), "other processes cannot be told of a change of keys; what they have cached runs out");
}

/// From now on what keys use cannot be counted for all processes together.
#[cfg(feature = "redis")]
pub(crate) fn limits_not_shared(error: &dyn Error) {
    warn!(error = %Causes(error), "what keys use cannot be counted for all processes together");
}

/// From now on it can be again.
#[cfg(feature = "redis")]
pub(crate) fn limits_shared() {
    info!("what keys use is counted for all processes together again");
}

/// A static key is short enough to be guessed.
pub(crate) fn short_static_key(name: &str) {
    warn!(
        key.name = name,
        "this static key has fewer than 16 characters; use a longer one"
    );
}

/// The application's fallback could not say who is calling: they got 503.
pub(crate) fn fallback_failed(error: &dyn Error) {
    warn!(error = %Causes(error), "fallback failed");
}

/// Every verdict that is kept is about to be forgotten.
pub(crate) fn owner_changes(owner: &str) {
    debug!(
        auth.owner = owner,
        "an owner changes: every key is looked up anew"
    );
}

/// When keys were last used could not be written down; it will be tried again.
pub(crate) fn uses_not_written(error: &dyn Error, keys: usize) {
    warn!(error = %Causes(error), keys, "last uses of keys not written down yet");
}

/// Uses were paid for a request that came to nothing, and could not be put back.
pub(crate) fn credits_lost(error: &dyn Error, uses: u32) {
    warn!(error = %Causes(error), uses, "credits not given back");
}

/// The text of a key was found where others can read it. It is revoked; a static key is not.
#[cfg(feature = "leaks")]
pub(crate) fn key_leaked(key_id: Option<&str>) {
    match key_id {
        Some(id) => warn!(
            auth.key_id = id,
            "this key was found where others can read it, and is revoked"
        ),
        None => {
            warn!("a static key was found where others can read it; replace it, and start the program anew")
        }
    }
}

/// The keys by which alerts are signed cannot be got.
#[cfg(feature = "leaks")]
pub(crate) fn alerts_not_believed(error: &dyn Error) {
    warn!(error = %Causes(error), "the public keys for alerts of leaked keys cannot be got");
}

/// The application's own listener panicked.
pub(crate) fn notice_lost() {
    warn!("whoever is told of keys that leak or end soon has panicked");
}

/// Which keys end soon could not be found out; it will be tried again.
pub(crate) fn expiring_not_found(error: &dyn Error) {
    warn!(error = %Causes(error), "keys that end soon not found yet");
}

/// There were too many to keep.
pub(crate) fn uses_dropped(keys: u64) {
    warn!(keys, "last uses of keys dropped");
}

/// The keys of an issuer of tokens could not be got.
#[cfg(feature = "oidc")]
pub(crate) fn issuer_failed(issuer: &str, error: &dyn Error) {
    warn!(issuer, error = %Causes(error), "the keys of an issuer cannot be got");
}

/// No key is given for a token.
#[cfg(feature = "oidc")]
pub(crate) fn token_refused(why: &'static str) {
    debug!("token refused: {why}");
}

/// A store could not do what a caller asked of its keys: the caller got 503.
#[cfg(feature = "management")]
pub(crate) fn management_failed(error: &dyn Error) {
    warn!(error = %Causes(error), "keys cannot be managed");
}
