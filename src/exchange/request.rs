use std::net::IpAddr;

use crate::{event::Actor, key::Secret, manage::shown_request_id};

/// A token, and what is asked for it.
#[derive(Debug, Clone)]
#[must_use]
pub struct TokenRequest {
    pub(super) token: Secret,
    pub(super) scope: Option<String>,
    pub(super) targets: Vec<String>,
    pub(super) address: Option<IpAddr>,
    pub(super) request_id: Option<String>,
}

impl TokenRequest {
    /// Asks for all that a policy gives for the token.
    pub fn new(token: impl Into<Secret>) -> Self {
        Self {
            token: token.into(),
            scope: None,
            targets: Vec::new(),
            address: None,
            request_id: None,
        }
    }

    /// For these scopes of it only, with spaces between them.
    pub fn scope(mut self, scope: Option<impl Into<String>>) -> Self {
        self.scope = scope.map(Into::into);
        self
    }

    /// For this audience, which must be the one the policy is for.
    pub fn target(mut self, target: Option<impl Into<String>>) -> Self {
        self.targets.extend(target.map(Into::into));
        self
    }

    /// The address the request came from, for the log.
    pub fn address(mut self, address: Option<IpAddr>) -> Self {
        self.address = address.map(|address| address.to_canonical());
        self
    }

    /// The id of the request, for the log. One that is not 1 to 64 visible ASCII characters is left out.
    pub fn request_id(mut self, id: Option<impl Into<String>>) -> Self {
        self.request_id = shown_request_id(id);
        self
    }

    /// Who the log says it was.
    pub(super) fn actor(&self, owner: &str) -> Actor {
        let mut actor = Actor::new("token", owner);
        actor.address = self.address;
        actor.request_id.clone_from(&self.request_id);
        actor
    }
}
