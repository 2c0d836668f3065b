use std::{
    fmt,
    time::{Duration, SystemTime},
};

use crate::{
    access::{AddressList, Grants, RateLimits},
    key::{CreditAccount, KeyRecord, KeyStatus},
    principal::Principal,
    store::View,
};

/// What holds for keys that callers make for themselves, beside that they can never have more than their maker.
///
/// The default sets no limit. What the application itself issues is the application's to decide.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Policy {
    pub(super) max_lifetime: Option<Duration>,
    pub(super) default_lifetime: Option<Duration>,
    pub(super) max_keys_per_owner: Option<u64>,
    /// The limit of keys that have none of their own.
    pub(super) default_rate: Option<RateLimits>,
}

impl Policy {
    /// No limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// No key is good for longer than this from its making. A key for which no expiry is asked gets this one.
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = Some(lifetime);
        self
    }

    /// How long a key is good for which no expiry is asked.
    pub fn default_lifetime(mut self, lifetime: Duration) -> Self {
        self.default_lifetime = Some(lifetime);
        self
    }

    /// How many keys an owner may have that are neither revoked nor expired.
    ///
    /// A rotation is not refused for it while the owner is within the number, so during the overlap there may be one more.
    pub fn max_keys_per_owner(mut self, keys: u64) -> Self {
        self.max_keys_per_owner = Some(keys);
        self
    }

    pub(crate) fn default_rate(mut self, rate: Option<RateLimits>) -> Self {
        self.default_rate = rate;
        self
    }

    /// Whether somebody with this limit, or none of their own, may give out another.
    ///
    /// # Errors
    ///
    /// When the other is looser than the one that holds for all who have none.
    pub(super) fn check_rate(
        &self,
        ours: Option<&RateLimits>,
        theirs: Option<&RateLimits>,
    ) -> Result<(), Excess> {
        match (ours, &self.default_rate, theirs) {
            (None, Some(default), Some(theirs)) if !default.covers(theirs) => Err(Excess::RateLimit),
            _ => Ok(()),
        }
    }

    /// The latest expiry there may be.
    pub(super) fn latest(&self, now: SystemTime) -> Option<SystemTime> {
        self.max_lifetime.and_then(|lifetime| now.checked_add(lifetime))
    }

    /// The expiry of a key for which none was asked, made by somebody with this expiry.
    pub(super) fn default_expiry(&self, maker: Option<SystemTime>, now: SystemTime) -> Option<SystemTime> {
        let default = self
            .default_lifetime
            .and_then(|lifetime| now.checked_add(lifetime));
        [default, self.latest(now), maker].into_iter().flatten().min()
    }

    /// Whether an owner who has so many keys may have so many more.
    pub(super) fn has_room(&self, live: u64, more: u64) -> bool {
        self.max_keys_per_owner
            .is_none_or(|most| live.saturating_add(more) <= most)
    }
}

/// Everything in which one key can be more than another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rights {
    pub(super) grants: Grants,
    pub(super) expires_at: Option<SystemTime>,
    pub(super) allowed_ips: Option<AddressList>,
    pub(super) rate_limit: Option<RateLimits>,
    pub(super) credits: Option<CreditAccount>,
}

impl Rights {
    pub(super) fn of(key: &KeyRecord) -> Self {
        Self {
            grants: key.grants.clone(),
            expires_at: key.expires_at,
            allowed_ips: key.allowed_ips.clone(),
            rate_limit: key.rate_limit.clone(),
            credits: key.credits,
        }
    }

    /// The one rule of all verbs: whether a holder of these rights may give out, or leave in force, the others.
    ///
    /// # Errors
    ///
    /// The first way in which the others are more.
    pub(super) fn cover(&self, others: &Self) -> Result<(), Excess> {
        let within = [
            (
                Excess::Scopes,
                self.grants
                    .granted_scopes()
                    .covers(others.grants.granted_scopes()),
            ),
            (
                Excess::Resources,
                self.grants.resources().covers(others.grants.resources()),
            ),
            (
                Excess::Expiry,
                bounds(&self.expires_at, &others.expires_at, |ours, theirs| {
                    theirs <= ours
                }),
            ),
            (
                Excess::AllowedIps,
                bounds(&self.allowed_ips, &others.allowed_ips, AddressList::covers),
            ),
            (
                Excess::RateLimit,
                bounds(&self.rate_limit, &others.rate_limit, RateLimits::covers),
            ),
            (
                // Another account is more, whatever is in it.
                Excess::Credits,
                bounds(&self.credits, &others.credits, |ours, theirs| {
                    ours.id == theirs.id
                }),
            ),
        ];
        match within.into_iter().find(|(_, within)| !within) {
            None => Ok(()),
            Some((excess, _)) => Err(excess),
        }
    }
}

/// `None` is no limit, which covers all; a limit covers only what is limited, too.
fn bounds<T>(ours: &Option<T>, theirs: &Option<T>, covers: impl FnOnce(&T, &T) -> bool) -> bool {
    match (ours, theirs) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(ours), Some(theirs)) => covers(ours, theirs),
    }
}

/// In what a key would have been more than its maker, or than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Excess {
    /// A scope.
    Scopes,
    /// A resource, or being bound to none.
    Resources,
    /// A later expiry, or none.
    Expiry,
    /// An address, or being usable from anywhere.
    AllowedIps,
    /// A looser limit, or none.
    RateLimit,
    /// Uses that are not from the same account, or as many as there are.
    Credits,
}

impl Excess {
    /// The field by which a request asks for it.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Self::Scopes => "scopes",
            Self::Resources => "resources",
            Self::Expiry => "expires_at",
            Self::AllowedIps => "allowed_ips",
            Self::RateLimit => "rate_limit",
            Self::Credits => "credits",
        }
    }
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} would be more than its maker's", self.field())
    }
}

/// What a caller holds at the moment of a transaction: of a stored key what the store says now, for it may have been revoked or
/// narrowed since the request was let in, and never more than what it was let in with.
///
/// # Errors
///
/// When the caller's key is no longer good.
pub(super) fn rights_of(caller: &Principal, view: &View) -> Result<Rights, KeyStatus> {
    let mut rights = Rights {
        grants: caller.grants().clone(),
        expires_at: caller.expires_at(),
        allowed_ips: caller.allowed_ips().cloned(),
        rate_limit: caller.rate_limit().cloned(),
        // Only keys of the store have any, and of those it is said below.
        credits: None,
    };
    if let Some(id) = caller.stored_key() {
        let key = view.key(id).ok_or(KeyStatus::Revoked)?;
        match key.status(view.now) {
            KeyStatus::Active => {}
            status => return Err(status),
        }
        let grants = key.grants.intersection(&rights.grants);
        rights = Rights {
            grants,
            ..Rights::of(key)
        };
    }
    Ok(rights)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::key::KeyId;

    fn rights(expiry: Option<u64>, ips: Option<&[&str]>, rate: Option<&str>) -> Rights {
        Rights {
            grants: Grants::scopes(["issues:*"]).expect("scopes"),
            expires_at: expiry.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds)),
            allowed_ips: ips.map(|blocks| AddressList::new(blocks).expect("blocks")),
            rate_limit: rate.map(|rate| rate.parse().expect("a rate")),
            credits: None,
        }
    }

    #[test]
    fn a_limit_covers_only_what_is_limited_too() {
        let free = rights(None, None, None);
        let bound = rights(Some(10), Some(&["10.0.0.0/8"]), Some("10/1m"));
        assert_eq!(free.cover(&bound), Ok(()));
        assert_eq!(bound.cover(&bound), Ok(()));
        for (excess, wanted) in [
            (Excess::Expiry, rights(None, Some(&["10.0.0.0/8"]), Some("10/1m"))),
            (
                Excess::Expiry,
                rights(Some(11), Some(&["10.0.0.0/8"]), Some("10/1m")),
            ),
            (Excess::AllowedIps, rights(Some(10), None, Some("10/1m"))),
            (
                Excess::AllowedIps,
                rights(Some(10), Some(&["10.1.0.0/16", "192.0.2.1"]), Some("10/1m")),
            ),
            (Excess::RateLimit, rights(Some(10), Some(&["10.1.0.0/16"]), None)),
            (
                Excess::RateLimit,
                rights(Some(9), Some(&["10.1.0.0/16"]), Some("11/1m")),
            ),
        ] {
            assert_eq!(bound.cover(&wanted), Err(excess), "{wanted:?}");
        }
    }

    #[test]
    fn whoever_draws_on_an_account_gives_out_no_other() {
        let on = |account: Option<KeyId>, limit: &str| Rights {
            credits: account.map(|id| CreditAccount::new(id, limit.parse().expect("credits"))),
            ..rights(None, None, None)
        };
        let (one, other) = (KeyId::generate(), KeyId::generate());
        let ours = on(Some(one), "10");
        assert_eq!(ours.cover(&on(Some(one), "5")), Ok(()));
        assert_eq!(ours.cover(&on(Some(other), "5")), Err(Excess::Credits));
        assert_eq!(ours.cover(&on(None, "5")), Err(Excess::Credits));
        assert_eq!(on(None, "5").cover(&ours), Ok(()));
    }

    #[test]
    fn without_an_expiry_asked_the_nearest_limit_holds() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let policy = Policy::new()
            .default_lifetime(Duration::from_secs(50))
            .max_lifetime(Duration::from_secs(100));
        assert_eq!(policy.default_expiry(None, at(1000)), Some(at(1050)));
        assert_eq!(policy.default_expiry(Some(at(1010)), at(1000)), Some(at(1010)));
        assert_eq!(Policy::new().default_expiry(None, at(1000)), None);
        assert_eq!(
            Policy::new()
                .max_lifetime(Duration::from_secs(100))
                .default_expiry(None, at(1000)),
            Some(at(1100))
        );
        assert_eq!(
            Policy::new()
                .max_lifetime(Duration::MAX)
                .default_expiry(None, at(1000)),
            None
        );
    }
}
