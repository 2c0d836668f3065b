//! Keys that are asked for by a form: one that is sent twice makes one key, whichever process each goes to.

use std::time::{Duration, SystemTime};

use super::error::{Conflict, ManageError};
use crate::{key::KeyId, store::View};

#[cfg(feature = "page")]
mod form;

/// Longer than anybody looks at a form. The id says when it was reserved, by the clock of the store, and keys sort by that.
const GOOD_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether a key may be minted under an id that was reserved.
///
/// # Errors
///
/// When there is one already, or the reservation is too old, or the clock of the store was far ahead when it was made.
pub(super) fn check(reserved: Option<KeyId>, view: &View) -> Result<(), ManageError> {
    let Some(id) = reserved else {
        return Ok(());
    };
    if view.key(id).is_some() {
        return Err(Conflict::AlreadyMinted.into());
    }
    match is_fresh(id, view.now) {
        true => Ok(()),
        false => Err(expired()),
    }
}

fn is_fresh(id: KeyId, now: SystemTime) -> bool {
    let Some(reserved) = id.made_at() else {
        return false;
    };
    let apart = match now.duration_since(reserved) {
        Ok(since) => since,
        Err(ahead) => ahead.duration(),
    };
    apart <= GOOD_FOR
}

fn expired() -> ManageError {
    ManageError::invalid("form", "is too old, or somebody else's")
}
