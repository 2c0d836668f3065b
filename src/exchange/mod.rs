//! No long-lived secret in CI: a workflow's OpenID Connect token becomes a key that is good for some minutes (RFC 8693).
//!
//! An issuer such as GitHub Actions signs, for each job, a token that says what the job is. [`TrustPolicies`] are data that say for which of them there
//! is a key, and what it may do; the first that matches counts. [`Exchange`] does it, and `ApiKeyAuth::token_router` is the call that workflows make.
//!
//! ```toml
//! [[policy]]
//! name = "deploy"
//! issuer = "https://token.actions.githubusercontent.com"
//! audience = "https://api.example.com"
//! scopes = ["issues:write"]
//!
//! [policy.claims]
//! repository_id = "1001"
//! repository_owner_id = "2002"
//! environment = "production"
//! ```
//!
//! # What a token must be
//!
//! - Signed by a key of its issuer, of which `kid` names one, with the algorithm that this key is for: RS256, RS384, RS512, ES256 or ES384. What else its
//!   header says, such as `jku`, `x5u`, `jwk` and `x5c`, is not looked at; with `crit` it is refused.
//! - For us alone: `aud` is the audience of a policy and nothing beside it.
//! - In time: `exp`, `iat`, and `nbf` if there is one, with 30 s to spare either way, by the clock of the store; and made for 24 h at most.
//! - New: `jti` is written down in the transaction that mints the key, and kept until an hour after the token has expired. Of many who bring the same token
//!   at once, to whatever process, one gets a key. Kubernetes gives service accounts' tokens a `jti` from 1.30 on.
//! - Such as a policy says: each claim that it pins is there, and is the same text. A token of `pull_request_target`, where code of strangers runs with the
//!   rights of the repository, is taken only by a policy that pins that `event_name`; and so with `merge_request_event` and `external_pull_request_event` of GitLab, and `pipeline_source`.
//!
//! All tokens that are refused get one answer.
//!
//! # What a policy must pin
//!
//! Names of repositories and of their owners are given to others once they are free; ids are not.
//!
//! | issuer | claims |
//! | --- | --- |
//! | GitHub | `repository_id`, `repository_owner_id`, and `environment`, `ref` or `job_workflow_ref` |
//! | GitLab | `project_id`, `namespace_id`, and `environment` with `environment_protected = "true"`, `ref_protected = "true"`, or `ref` with `ref_type` |
//! | another | at least one |
//!
//! Nothing is a pattern. A policy grants neither `keys:write` nor `keys:admin`, and the key it gives makes no other key whatever becomes of its scopes; no key takes
//! over from it; it is good for `ttl_seconds` (60 to 3600, 900 if not set), and for no longer than [`Policy`](crate::manage::Policy) lets any key be.
//!
//! # What strangers can cause
//!
//! Anybody can send tokens here, and anybody can have one that GitHub has signed.
//!
//! - A token of up to 16 KiB is read. Only one that names an issuer of a policy, and a key of that issuer, is verified; of each issuer 64 are under way at a time.
//! - The keys of an issuer are got over `https`, with no redirect, from public addresses, in 256 KiB and 3 s at most: once for all who wait, again after 10 minutes, and
//!   once a minute for keys that are not among them. While the issuer is down, those that are known go on working for 6 hours, and then no token is taken.
//! - What is refused although its signature is right is written into the log, 200 times at once and then once a second; the rest is only counted.
//!   Ten thousand tokens that can never be good any more are remembered, and cost nothing when they come again.

use std::sync::Arc;

use crate::{clock::Clock, manage::Keys};

mod claims;

mod pins;

mod policy;

mod file;

mod policies;

mod signing;

mod issuer;

mod token;

mod error;

mod request;

mod verb;

pub use error::{ExchangeError, ExchangeErrorKind};
pub use policies::{PolicyError, TrustPolicies};
pub use request::TokenRequest;

use verb::Inner;

/// Gives keys for tokens. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Exchange(Arc<Inner>);

impl Exchange {
    /// `None` where the store does not [keep tokens](crate::store::KeyStore::keeps_tokens).
    pub(crate) fn new(keys: Keys, policies: TrustPolicies) -> Option<Self> {
        let clock: Arc<dyn Clock> = keys.clock();
        let inner = keys.can_redeem().then(|| Inner::new(keys, policies, &clock));
        inner.map(|inner| Self(Arc::new(inner)))
    }
}
