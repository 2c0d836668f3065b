use std::time::{Duration, SystemTime};

use super::{policy::Rights, to_the_millisecond};
use crate::{access::Grants, event::Actor, store::TokenId};

/// A token of another issuer that a trust policy gives a key for.
#[derive(Debug)]
pub(crate) struct Redemption {
    /// Whose the key will be.
    pub(crate) owner: String,
    /// What the key will be called: as the policy is.
    pub(crate) name: String,
    /// What the policy gives.
    pub(crate) grants: Grants,
    /// What was asked for of that.
    pub(crate) wanted: Grants,
    /// How long the key is good at most.
    pub(crate) lifetime: Duration,
    pub(crate) token: TokenId,
    /// The first moment at which the token is good, by the clock of the store.
    pub(crate) not_before: SystemTime,
    /// The first at which it no longer is.
    pub(crate) expires_at: SystemTime,
    /// Until when it is remembered.
    pub(crate) remember: SystemTime,
    /// Who the log says it was.
    pub(crate) actor: Actor,
    /// And what for.
    pub(crate) note: String,
}

impl Redemption {
    /// What the policy may give out, as if it were somebody who has no more than that.
    pub(super) fn rights(&self, now: SystemTime) -> Rights {
        Rights {
            grants: self.grants.clone(),
            expires_at: now.checked_add(self.lifetime).map(to_the_millisecond),
            allowed_ips: None,
            rate_limit: None,
            credits: None,
        }
    }
}
