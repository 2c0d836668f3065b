use std::time::Duration;

use super::claims::{Claims, Pin};
use crate::access::Grants;

/// The event of GitHub by which code of a stranger runs with the rights of the repository it is proposed to.
const STRANGERS_CODE: &str = "pull_request_target";

/// For which tokens there is a key, and which.
#[derive(Debug, Clone)]
pub(super) struct TrustPolicy {
    pub(super) name: String,
    pub(super) owner: String,
    pub(super) issuer: String,
    pub(super) audience: String,
    pub(super) pins: Vec<Pin>,
    pub(super) grants: Grants,
    pub(super) lifetime: Duration,
}

impl TrustPolicy {
    /// Whether it is for a token of this issuer, which is for this audience, and has these claims.
    pub(super) fn matches(&self, issuer: &str, audience: &str, claims: &Claims) -> bool {
        self.issuer == issuer
            && self.audience == audience
            && !self.pins.is_empty()
            && self.pins.iter().all(|pin| pin.matches(claims))
            && self.takes_event(claims)
    }

    fn takes_event(&self, claims: &Claims) -> bool {
        let event = claims.get("event_name").and_then(|event| event.as_str());
        event != Some(STRANGERS_CODE) || self.pins.iter().any(|pin| pin.is_of("event_name"))
    }
}
