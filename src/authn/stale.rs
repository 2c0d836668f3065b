use super::{Lookup, cache::Found, refusal::Refusal};
use crate::{
    access::{Grants, Scopes},
    key::KeyDigest,
    metric,
    principal::Principal,
    trace,
};

/// What a key that was good lately may do while the store cannot say whether it still is.
#[derive(Debug, Clone)]
pub(crate) struct Stale {
    pub(crate) scopes: Scopes,
}

impl Lookup {
    /// What holds for a key while the store cannot say: unavailable, unless the application has chosen to trust it for a while.
    pub(super) fn without_store(&self, digest: &KeyDigest, refusal: Refusal) -> Found<Principal> {
        match self.stale_principal(digest) {
            Some(principal) => {
                trace::stale_key_used(principal.key_id());
                metric::stale_used();
                Found::Stale(principal)
            }
            None => Found::NotNow(refusal),
        }
    }

    pub(super) fn stale_principal(&self, digest: &KeyDigest) -> Option<Principal> {
        let stale = self.stale.as_ref()?;
        let principal = self.cache.stale(digest)?;
        let ceiling = Grants::new(stale.scopes.clone(), Default::default());
        let narrowed = principal.within(&ceiling);
        // Nothing that is left to do is not let in to do nothing.
        (!narrowed.grants().granted_scopes().is_empty()).then_some(narrowed)
    }
}
