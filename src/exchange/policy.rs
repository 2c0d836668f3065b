use std::time::Duration;

use super::claims::{Claims, Pin};
use crate::access::Grants;

/// By which code of a stranger runs with the rights of the repository that it is proposed to: an event of GitHub, and two sources of pipelines of GitLab, whose `ref` is
/// then the name of the stranger's branch.
const STRANGERS_CODE: [(&str, &str); 3] = [
    ("event_name", "pull_request_target"),
    ("pipeline_source", "merge_request_event"),
    ("pipeline_source", "external_pull_request_event"),
];

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
        STRANGERS_CODE.iter().all(|(claim, event)| {
            let said = claims.get(*claim).and_then(|said| said.as_str());
            said != Some(*event) || self.pins.iter().any(|pin| pin.is_of(claim))
        })
    }
}
