//! Uses counted in Redis, for all processes together.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use redis::{Client, RedisError};
use tokio::{runtime::Handle, sync::Semaphore};

use self::{
    link::{Link, Probe},
    script::Call,
};
use super::{
    demand::{Demand, Taken},
    shared::{Asking, Away, SharedCounts, WhenAway},
};
use crate::metric;

mod link;

mod script;

#[cfg(test)]
mod tests;

const DEFAULT_PREFIX: &str = "api-key-limits";
const DEFAULT_TIMEOUT: Duration = Duration::from_millis(250);
/// How many uses are given back at a time. Of more nothing is given back.
const MOST_GIVEN_BACK: usize = 1000;

/// Rate limits that hold for all processes together, counted in a Redis server; for
/// [`Builder::shared_limits`](crate::Builder::shared_limits).
///
/// ```no_run
/// use tower_api_key::{ApiKeyAuth, limit::{RedisLimits, WhenAway}, store::MemoryStore};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let limits = RedisLimits::new("redis://127.0.0.1:6379")?.prefix("myapp").when_away(WhenAway::Refuse);
/// let auth = ApiKeyAuth::builder(MemoryStore::new()?)
///     .rate_limit("100/1m".parse()?)
///     .shared_limits(limits)
///     .build()?;
/// # Ok(())
/// # }
/// ```
///
/// # What is exact
///
/// Each request of a caller who is limited costs one round trip: one script takes from all limits of its key and of its owner, or from none, by
/// the server's own clock. However many processes ask at once, they let through together what [`limit`](crate::limit) says of one, to the request.
/// A process that starts, or ends, changes nothing of it, nor do limits that are changed while they are in use. What is given back, because a
/// request was refused for another reason, is given back a moment after it is answered.
///
/// # What is not
///
/// - A server that **loses what it keeps** counts anew: one that is started again without persistence, one that evicts keys
///   (`maxmemory-policy` other than `noeviction`; limits have a time to live, so that the `volatile-` policies take them first), a replica that
///   takes over and had not received the last of it. Nobody gets more of it than all of a limit once more.
/// - While the server is **[away](WhenAway)**, each process counts for itself, from nothing: all together let through at most that many times as
///   much as there are processes, beside what was counted before. Or they refuse, which is for limits that must never be exceeded.
/// - A use whose **answer was lost** may have been counted, and is not given back: then there is less left than could be.
///
/// # When it is away
///
/// That is what any error is, and no answer within the [time-out](Self::timeout), which holds for the whole of an attempt, connecting included: a
/// server that is down, frozen, full, loading, or has become a replica. From then on no request waits for it; a task of its own finds out once a second
/// whether it is back, and can be written to. It goes with a warning and comes back with a note in the log, and there are metrics (feature `metrics`):
/// `api_key_limits_shared`, which is 0 meanwhile, and `api_key_limits_not_shared_total`, the requests that were decided without.
///
/// # The server
///
/// Redis 5 or newer, or Valkey; one server, or what behaves like one, such as a proxy before a cluster: all that one request asks for has one hash
/// tag. A user of its own needs `+@connection +eval +evalsha +script|load +time +hmget +hget +hset +pexpire +set` on `~{PREFIX:*`. For each key and
/// each owner that has used something it keeps a hash of some 200 bytes, until all of that has come back.
///
/// Keys are named by their id or a hash, and owners by a hash. Neither is a secret, nor hides a name from somebody who guesses it. Whoever can write to the
/// server can give or take what is left, and nothing else. `rediss://` takes an application that switches on TLS in the crate `redis` itself, and sees to its
/// provider of cryptography.
///
/// Cheap to clone; clones share a connection.
#[derive(Clone)]
pub struct RedisLimits {
    link: Arc<Link>,
    giving_back: Arc<Semaphore>,
    prefix: Arc<str>,
    timeout: Duration,
    when_away: WhenAway,
}

impl RedisLimits {
    /// At the server with this URL: `redis://[USER][:PASSWORD@]HOST[:PORT][/DATABASE]` or `unix://PATH`. Connects when it is needed: a server
    /// that is not there is [away](WhenAway).
    ///
    /// # Errors
    ///
    /// When the URL is none, or takes what is not there, such as TLS.
    pub fn new(url: &str) -> Result<Self, RedisUrlError> {
        Ok(Self {
            link: Arc::new(Link::new(Client::open(url).map_err(RedisUrlError)?)),
            giving_back: Arc::new(Semaphore::new(MOST_GIVEN_BACK)),
            prefix: DEFAULT_PREFIX.into(),
            timeout: DEFAULT_TIMEOUT,
            when_away: WhenAway::default(),
        })
    }

    /// What the names of all that is kept begin with; `api-key-limits` if not set. The same for all processes that count together, and for
    /// nobody else.
    #[must_use]
    pub fn prefix(mut self, name: impl Into<String>) -> Self {
        self.prefix = name.into().into();
        self
    }

    /// How long a request waits for the server at most; 250 ms if not set. A server that takes longer is away.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What is done while the server is away; [`WhenAway::CountHere`] if not set.
    #[must_use]
    pub fn when_away(mut self, then: WhenAway) -> Self {
        self.when_away = then;
        self
    }

    fn probe(&self) -> Probe {
        Probe {
            key: format!("{{{}:probe}}", self.prefix).into(),
            within: self.timeout,
        }
    }

    fn not_shared(when_away: WhenAway) {
        metric::limit_not_shared(match when_away {
            WhenAway::CountHere => "count-here",
            WhenAway::Refuse => "refuse",
        });
    }
}

impl SharedCounts for RedisLimits {
    fn take(&self, demand: &Demand) -> Asking {
        let call = Call::take(&self.prefix, demand);
        let (limits, demand) = (self.clone(), demand.clone());
        Box::pin(async move {
            let call = call.ok_or_else(|| Away("there is nobody to count for".into()))?;
            let answer = limits.link.clone().ask(&call, &limits.probe()).await;
            let answer = answer.and_then(|answer| {
                script::read(&demand, &answer).ok_or_else(|| "the server answers something else".into())
            });
            answer.map_err(|failure| {
                Self::not_shared(limits.when_away);
                Away(failure)
            })
        })
    }

    fn give_back(&self, taken: &Taken) {
        let call = Call::give_back(&self.prefix, taken);
        let permit = self.giving_back.clone().try_acquire_owned();
        let (Some(call), Ok(permit), Ok(runtime)) = (call, permit, Handle::try_current()) else {
            return;
        };
        let limits = self.clone();
        runtime.spawn(async move {
            // What cannot be given back comes back by itself.
            let _ = limits.link.clone().ask(&call, &limits.probe()).await;
            drop(permit);
        });
    }

    fn when_away(&self) -> WhenAway {
        self.when_away
    }
}

impl fmt::Debug for RedisLimits {
    /// Not the URL, which can hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLimits")
            .field("prefix", &self.prefix)
            .field("timeout", &self.timeout)
            .field("when_away", &self.when_away)
            .finish_non_exhaustive()
    }
}

/// A text is no URL of a Redis server that can be used.
#[derive(Debug)]
pub struct RedisUrlError(RedisError);

impl fmt::Display for RedisUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is no URL of a Redis server that can be used, such as redis://HOST:6379")
    }
}

impl Error for RedisUrlError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}
