//! What the feeds that listen at a server have in common: a beat of their own, by which they see that they hear.

use std::{error::Error, time::Duration};

use crate::trace::Causes;

/// From one proof to the next: a quarter of the lease.
pub(crate) const BEAT: Duration = Duration::from_millis(500);
/// How long a proof may take. Together they are shorter than the lease, so that whoever is late says so before it is over.
pub(crate) const BEAT_TIMEOUT: Duration = Duration::from_secs(1);
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why nothing is heard any more.
pub(crate) struct Lost(pub(crate) String);

impl<E: Error> From<E> for Lost {
    fn from(error: E) -> Self {
        Self(Causes(&error).to_string())
    }
}

/// What nobody can guess, so that nobody can say it in advance.
pub(crate) fn nonce() -> Result<String, Lost> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
