//! Keys that somebody asks about, and does not use.

use super::{Authenticator, Verdict, purpose::Purpose, refusal::Refusal};
use crate::{budget::Household, key::KeyDigest, principal::Principal};

/// What is known of a text that was not presented as the credential of a request.
pub(crate) enum Inspected {
    /// A key that is good, wherever it may be used.
    Good(Principal),
    Refused(Refusal),
    /// The fallback has a scheme for bearer tokens that look like this.
    Claimed,
}

impl Authenticator {
    /// What this text would be as a bearer token: decided in the same way, from the same cache, and within the same budgets, but it is no use of
    /// the key.
    pub(crate) async fn inspect(&self, text: &[u8], from: Household) -> Inspected {
        let claimed = self.sessions.as_ref().and_then(|sessions| sessions.claim(text));
        if claimed.is_some() && self.static_keys.find(&KeyDigest::of(text)).is_none() {
            return Inspected::Claimed;
        }
        let verdict = self.decide(text, Purpose::Question, &|| from);
        let outcome = match verdict {
            Verdict::Known(principal) => Ok(principal),
            Verdict::Refused(refusal) => Err(refusal),
            Verdict::Pending(pending) => pending.await,
            Verdict::Fallback(_) => return Inspected::Claimed,
        };
        match outcome {
            Ok(principal) => Inspected::Good(principal),
            Err(refusal) => Inspected::Refused(refusal),
        }
    }
}
