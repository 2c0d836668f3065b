use std::{fmt::Write, sync::Arc};

use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

use super::{
    Exchange,
    error::{ExchangeError, ExchangeErrorKind},
    issuer::{Issuer, NoKeys},
    policies::TrustPolicies,
    policy::TrustPolicy,
    request::TokenRequest,
    token::{Token, Unverified, Verified},
};
use crate::{
    access::{Grants, Scopes},
    clock::Clock,
    manage::{IssuedKey, Keys, ManageError, ManageErrorKind, Redemption, TokenFault},
    metric,
    store::TokenId,
    trace,
};

/// How many tokens are remembered that can never be good any more, 32 bytes each.
const SETTLED: usize = 10_000;
/// How much of a subject is written into the log.
const MAX_SUBJECT: usize = 200;

/// What an exchange needs to know.
#[derive(Debug)]
pub(super) struct Inner {
    keys: Keys,
    policies: Vec<TrustPolicy>,
    issuers: Vec<Issuer>,
    /// Tokens, by their SHA-256, for which there will never be a key, or never another.
    settled: Cache<[u8; 32], ()>,
}

impl Inner {
    pub(super) fn new(keys: Keys, policies: TrustPolicies, clock: &Arc<dyn Clock>) -> Self {
        // Where the application has chosen one, that one will do.
        let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        let TrustPolicies { policies, issuers } = policies;
        let issuers = issuers.into_iter();
        Self {
            keys,
            policies,
            issuers: issuers
                .map(|endpoints| Issuer::new(endpoints, clock.clone()))
                .collect(),
            settled: Cache::new(SETTLED),
        }
    }

    fn issuer(&self, url: &str) -> Option<&Issuer> {
        self.issuers.iter().find(|issuer| issuer.url() == url)
    }

    /// All that tokens of an issuer may be for.
    fn audiences(&self, issuer: &str) -> Vec<&str> {
        let policies = self.policies.iter().filter(|policy| policy.issuer == issuer);
        policies.map(|policy| policy.audience.as_str()).collect()
    }

    fn policy(&self, issuer: &str, token: &Token) -> Option<&TrustPolicy> {
        self.policies
            .iter()
            .find(|policy| policy.matches(issuer, &token.audience, &token.claims))
    }
}

impl Exchange {
    /// Gives a key for a token, by the first policy that matches it, once.
    ///
    /// # Errors
    ///
    /// [`ExchangeErrorKind`] says when. That the token was refused is in the log when this returns, where its signature was right and there was room.
    pub async fn redeem(&self, request: TokenRequest) -> Result<IssuedKey, ExchangeError> {
        let done = self.try_redeem(request).await;
        metric::exchanged(match &done {
            Ok(_) => "given",
            Err(error) => match error.kind() {
                ExchangeErrorKind::Refused => "refused",
                ExchangeErrorKind::Scope => "scope",
                ExchangeErrorKind::Target => "target",
                ExchangeErrorKind::Unavailable => "unavailable",
                ExchangeErrorKind::Busy => "busy",
            },
        });
        done
    }

    async fn try_redeem(&self, request: TokenRequest) -> Result<IssuedKey, ExchangeError> {
        let inner = &*self.0;
        let digest: [u8; 32] = Sha256::digest(request.token.expose()).into();
        if inner.settled.get(&digest).is_some() {
            return Err(unrecorded("settled before"));
        }
        let token = Unverified::read(request.token.expose());
        let token = token.ok_or_else(|| unrecorded("no token that could be good"))?;
        let issuer = inner.issuer(&token.issuer);
        let issuer = issuer.ok_or_else(|| unrecorded("no policy is for its issuer"))?;
        let keys = issuer.keys(&token.kid).await.map_err(|none| match none {
            NoKeys::NotHad => ExchangeErrorKind::Unavailable,
            NoKeys::Busy => ExchangeErrorKind::Busy,
        })?;
        let key = keys.find(&token.kid, token.algorithm);
        let key = key.ok_or_else(|| unrecorded("its issuer has no such key"))?;
        let _place = issuer.place().ok_or(ExchangeErrorKind::Busy)?;
        let (subject, fault) = match token.verify(key, &inner.audiences(issuer.url())) {
            Verified::Unsigned => return Err(unrecorded("its signature is wrong")),
            Verified::Faulty { subject, fault } => (subject, fault),
            Verified::Good(token) => match inner.policy(issuer.url(), &token) {
                Some(policy) => return self.give(&request, digest, issuer, policy, token).await,
                None => (token.subject, "no-policy"),
            },
        };
        self.refuse(&request, issuer, "", &subject, fault).await?;
        inner.settled.insert(digest, ());
        Err(ExchangeErrorKind::Refused.into())
    }

    /// Gives the key that the policy has for the token.
    async fn give(
        &self,
        request: &TokenRequest,
        digest: [u8; 32],
        issuer: &Issuer,
        policy: &TrustPolicy,
        token: Token,
    ) -> Result<IssuedKey, ExchangeError> {
        let wanted = match self.wanted(request, policy) {
            Ok(wanted) => wanted,
            // The token is still good for what the policy does give.
            Err(kind) => {
                let fault = if kind == ExchangeErrorKind::Scope {
                    "scope"
                } else {
                    "target"
                };
                self.refuse(request, issuer, &policy.name, &token.subject, fault)
                    .await?;
                return Err(kind.into());
            }
        };
        let id = TokenId::of(issuer.url(), &token.id);
        let note = note(issuer.url(), &policy.name, &token.subject, Some(id));
        let redemption = Redemption {
            owner: policy.owner.clone(),
            name: policy.name.clone(),
            grants: policy.grants.clone(),
            wanted,
            lifetime: policy.lifetime,
            token: id,
            not_before: token.period.not_before,
            expires_at: token.period.expires_at,
            remember: token.period.remember,
            actor: request.actor(&policy.owner),
            note,
        };
        let given = self.0.keys.redeem(redemption).await;
        // Not when it is given: that it is brought again has to be written down once.
        if given.as_ref().err().is_some_and(|error| !may_pass(error.kind())) {
            self.0.settled.insert(digest, ());
        }
        given.map_err(failed)
    }

    #[expect(clippy::unused_self, reason = "one of the steps")]
    fn wanted(&self, request: &TokenRequest, policy: &TrustPolicy) -> Result<Grants, ExchangeErrorKind> {
        if request.targets.iter().any(|target| *target != policy.audience) {
            return Err(ExchangeErrorKind::Target);
        }
        let Some(scope) = &request.scope else {
            return Ok(policy.grants.clone());
        };
        let scopes = Scopes::new(scope.split(' ').filter(|word| !word.is_empty()));
        let scopes = scopes.map_err(|_| ExchangeErrorKind::Scope)?;
        match policy.grants.granted_scopes().covers(&scopes) {
            true => Ok(Grants::new(scopes, policy.grants.resources().clone())),
            false => Err(ExchangeErrorKind::Scope),
        }
    }

    /// Writes down that a token was refused whose signature is right.
    async fn refuse(
        &self,
        request: &TokenRequest,
        issuer: &Issuer,
        policy: &str,
        subject: &str,
        fault: &'static str,
    ) -> Result<(), ExchangeError> {
        trace::token_refused(fault);
        let note = note(issuer.url(), policy, subject, None);
        let refused = self
            .0
            .keys
            .refuse_token(request.actor(""), format!("exchange: {fault}; {note}"));
        Ok(refused.await?)
    }
}

/// What was refused before anybody could know whose it is: strangers can send as much of it as they like.
fn unrecorded(why: &'static str) -> ExchangeError {
    trace::token_refused(why);
    ExchangeErrorKind::Refused.into()
}

/// Whether the same token could be good later.
fn may_pass(kind: ManageErrorKind) -> bool {
    !matches!(
        kind,
        ManageErrorKind::TokenNotGood(TokenFault::Spent | TokenFault::Expired)
    )
}

fn failed(error: ManageError) -> ExchangeError {
    match error.kind() {
        ManageErrorKind::TokenNotGood(fault) => unrecorded(fault.as_str()),
        ManageErrorKind::Quota => ExchangeErrorKind::Busy.into(),
        // Nothing else can be wrong with what a policy that was read asks for.
        _ => {
            trace::management_failed(&error);
            error.into()
        }
    }
}

/// What the log says of a token. The subject is what somebody else has chosen: in visible ASCII, and not all of a long one.
fn note(issuer: &str, policy: &str, subject: &str, token: Option<TokenId>) -> String {
    let policy = if policy.is_empty() { "none" } else { policy };
    let shown: String = subject
        .chars()
        .take(MAX_SUBJECT)
        .map(|c| if c.is_ascii_graphic() { c } else { '?' })
        .collect();
    let mut note = format!("policy {policy}, issuer {issuer}, sub {shown}");
    if let Some(token) = token {
        // Writing to a string cannot fail.
        let _ = write!(note, ", token {token}");
    }
    note
}
