//! How much, and how often.

#[cfg(feature = "redis")]
use std::sync::Arc;

use super::builder::Builder;
use crate::{
    access::{RateLimit, RateLimits},
    middleware::RequestHead,
};

impl Builder {
    /// How often each key may be used that has no limit of its own, a static one as well; as often as it likes if not set. Sessions are not
    /// limited.
    ///
    /// More is answered 429 with `Retry-After`. Each key has a budget of its own, counted by this process for itself: behind a balancer, that many
    /// times as many processes as there are, unless they have `shared_limits` (feature `redis`). A key of a resolver is known by its [`key_id`](crate::principal::Identity::key_id); those without one share a budget with
    /// others of the same owner and name. Of more than 100,000 keys in use at a time those are forgotten, and begin anew, that have used
    /// the least. A successor, or a key that is made with another, has a budget of its own: where callers may make keys, set
    /// [`owner_rate_limit`](Self::owner_rate_limit) as well.
    pub fn rate_limit(mut self, rate: RateLimits) -> Self {
        self.rate_limit = Some(rate);
        self
    }

    /// How often all keys of an owner may be used together, beside what limits each of them; as often as they like if not set. Static keys and sessions do
    /// not count.
    ///
    /// Clients are told of it as `owner`, or `owner-` and its name.
    pub fn owner_rate_limit(mut self, rate: RateLimits) -> Self {
        self.owner_rate_limit = Some(rate);
        self
    }

    /// Where uses are counted for all processes together, and what is done while they cannot be; each process counts for itself if not set. What the
    /// limits are, the other methods say, and each key. Only requests of callers who are limited ask there, and those with static keys never do.
    #[cfg(feature = "redis")]
    pub fn shared_limits(mut self, limits: crate::limit::RedisLimits) -> Self {
        self.shared_limits = Some(Arc::new(limits));
        self
    }

    /// How many uses a request counts for; one if not set. Zero counts for nothing, and is let through when all is used up. More than a limit lets through
    /// at once counts for all of that. So many of the uses that a key was [sold with](crate::access::Credits) it takes, too: of those, more than there are in
    /// all are never there.
    ///
    /// ```
    /// # use tower_api_key::{ApiKeyAuth, authn::StaticKey};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let builder = ApiKeyAuth::static_keys_only().static_key(StaticKey::new("correct-horse-battery"));
    /// let auth = builder
    ///     .rate_limit("per-minute=100/1m,per-day=5000/1d".parse()?)
    ///     .cost(|request| match request.route() {
    ///         Some("/exports/{id}") => 50,
    ///         Some("/status") => 0,
    ///         _ => 1,
    ///     })
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn cost(mut self, cost: impl Fn(&RequestHead<'_>) -> u32 + Send + Sync + 'static) -> Self {
        self.cost = Some(Box::new(cost));
        self
    }

    /// How many credentials that are not good may come from one client; as many as it likes if not set.
    ///
    /// More are answered 429 with `Retry-After` in place of 401, all alike, whatever is wrong with them. A key that is good goes on working from
    /// the same address. What counts is whatever would be answered `invalid-key`, `key-expired`, `key-revoked` or `key-disabled`, a bearer token
    /// that a [`fallback`](Self::fallback) does not know among it; a request without any credential does not, nor does one that is answered 429 itself.
    ///
    /// A client is an address of IPv4, or a /64 of IPv6; those whose [address](crate::middleware::ClientAddress) is not known are one, so behind a
    /// proxy name it as [trusted](Self::trusted_proxies). Counted by this process for itself, for 50,000 clients at a time: more share the budget of one.
    pub fn failure_limit(mut self, rate: RateLimit) -> Self {
        self.failure_limit = Some(rate);
        self
    }

    /// How many streams may be open at the same time, in this process: response bodies of unknown length or over 64 KiB, uploads, and whatever waits
    /// for [`Principal::revoked`](crate::principal::Principal::revoked); 100,000 if not set, at some 2 KiB each. More are answered 503.
    ///
    /// A single key has a sixteenth of them at most, or 16 where that is more, so that it cannot take the room of all others.
    ///
    /// Streams of static keys and of sessions do not count: they are not ended from here.
    pub fn max_streams(mut self, streams: usize) -> Self {
        self.max_streams = streams;
        self
    }

    /// How many texts that were not minted here may be looked up in a second, by this process, to see whether they are keys that were
    /// [imported](crate::manage::Keys::import); 200 if not set. More are answered 503. What is cached does not count, and while the store holds no
    /// such key nothing is looked up. Nothing in the text of such a key tells it from a guess, so this is what a flood can cost the store.
    /// [Introspection](crate::router::Services::introspection) has half of them, rounded up, for all services together.
    pub fn imported_lookups(mut self, per_second: u32) -> Self {
        self.imported_lookups = per_second;
        self
    }

    /// How many of these may come from one client in a second, and as many at once, so that one that guesses does not use up what the others have;
    /// 20 if not set. More are answered 503. Clients are told apart as for [`failure_limit`](Self::failure_limit).
    pub fn imported_lookups_per_address(mut self, per_second: u32) -> Self {
        self.imported_lookups_per_address = per_second;
        self
    }
}
