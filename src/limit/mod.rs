//! How often: whether a caller who was let in may come in once more.
//!
//! Each key has a budget of its own: the [`RateLimits`] that are kept with it, or else those that the application has set
//! for all keys. All keys of an owner can have one together as well. A request uses something of all of them or, where one has too little
//! left, of none; what is refused for any other reason that the crate finds uses nothing either.
//!
//! Of `100/1m;burst=20` each use costs 600 ms (a period by its requests, rounded up to a microsecond), and is let through while no more than 20
//! of them are owed. So 20 may come at once, and in any stretch of time `t` no more than `20 + t / 600 ms`, rounded down: 21 in a
//! second, 120 in a minute, 6,020 in an hour. This is the generic cell rate algorithm; it keeps one number a limit.
//!
//! Uses are counted by this process for itself, in memory, unless they are counted for all processes together in Redis: `RedisLimits` (feature
//! `redis`) says what that promises. Static keys ask nobody, and are always counted here. After a start nobody has used anything, as far as this process counts.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::Full;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_api_key::{ApiKeyAuth, authn::StaticKey};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let auth = ApiKeyAuth::static_keys_only()
//!     .static_key(StaticKey::new("correct-horse-battery"))
//!     .rate_limit("2/1h".parse()?)
//!     .build()?;
//! let service = auth.layer(service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))));
//! let call = async || {
//!     let request = Request::get("/").header("X-Key", "correct-horse-battery").body(String::new())?;
//!     Ok::<_, Box<dyn std::error::Error>>(service.clone().oneshot(request).await?)
//! };
//!
//! assert_eq!(call().await?.headers()["ratelimit"], r#""default";r=1;t=1800"#);
//! assert_eq!(call().await?.status(), StatusCode::OK);
//! let refused = call().await?;
//! assert_eq!((refused.status(), &refused.headers()["retry-after"]), (StatusCode::TOO_MANY_REQUESTS, &"1800".parse()?));
//! # Ok(())
//! # }
//! ```

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dashmap::{DashMap, Entry};
use parking_lot::Mutex;

use self::gcra::Owed;
#[cfg(feature = "redis")]
pub use self::redis::{RedisLimits, RedisUrlError};
pub use self::shared::WhenAway;
pub(crate) use self::{
    demand::{Demand, Line, Names, Taken},
    failures::Failures,
    gcra::Times,
    shared::{Answer, Away, SharedCounts},
};
use crate::{
    access::RateLimits,
    clock::Clock,
    key::KeyId,
    principal::{Principal, PrincipalKind},
};

mod gcra;

mod demand;

mod shared;

mod failures;

#[cfg(feature = "redis")]
mod redis;

#[cfg(all(test, feature = "testing"))]
mod tests;

/// How many keys and owners are counted at a time, of those that have used something which they have not got back yet. 80 bytes each.
const CAPACITY: usize = 100_000;

/// How often whom may.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// Keys that have no limits of their own.
    pub(crate) each: Option<RateLimits>,
    /// All keys of an owner together.
    pub(crate) owner: Option<RateLimits>,
    /// Where uses are counted, if not here.
    pub(crate) shared: Option<Arc<dyn SharedCounts>>,
}

/// Counts what keys use.
pub(crate) struct Limiter {
    rules: Rules,
    clock: Arc<dyn Clock>,
    /// Who has got all back is as good as not there.
    used: DashMap<Subject, Owed>,
    count: AtomicUsize,
    capacity: usize,
    sweeping: Mutex<()>,
    names: RandomState,
}

/// Whom something is counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    Stored(KeyId),
    /// What the key goes by, hashed with a secret of this process.
    Named(u64),
    /// An owner, likewise.
    Owner(u64),
}

/// What there is to one request.
pub(crate) enum Charge {
    /// Nothing limits it.
    Free,
    /// It was let through.
    Taken(Taken),
    /// It was not; what is left.
    Refused(Taken),
    /// Somebody else has to be asked.
    Ask(Demand),
}

impl Limiter {
    pub(crate) fn new(rules: Rules, clock: Arc<dyn Clock>) -> Self {
        Self {
            rules,
            clock,
            used: DashMap::new(),
            count: AtomicUsize::new(0),
            capacity: CAPACITY,
            sweeping: Mutex::new(()),
            names: RandomState::new(),
        }
    }

    /// So many uses by this caller; where nothing limits them, that costs nothing.
    pub(crate) fn charge(&self, principal: &Principal, uses: impl FnOnce() -> u32) -> Charge {
        let (key, owner) = (self.limits_of(principal), self.owner_limits_of(principal));
        if key.is_none() && owner.is_none() {
            return Charge::Free;
        }
        let mut demand = Demand {
            key: key.map(|limits| (self.subject(principal), limits.clone())),
            owner: owner.map(|limits| {
                (
                    Subject::Owner(self.names.hash_one(principal.owner())),
                    limits.clone(),
                )
            }),
            uses: uses(),
            names: None,
        };
        match &self.rules.shared {
            _ if demand.uses == 0 => Charge::Free,
            Some(_) if principal.kind() != PrincipalKind::External => {
                demand.names = Some(Box::new(Names::of(principal)));
                Charge::Ask(demand)
            }
            // A static key works whoever else is away.
            _ => self.here(demand),
        }
    }

    /// Counted where all processes count.
    ///
    /// # Errors
    ///
    /// When that cannot be done, and was not to be done without.
    pub(crate) async fn ask(&self, mut demand: Demand) -> Result<Charge, Away> {
        let Some(shared) = &self.rules.shared else {
            return Ok(self.here(demand));
        };
        match (shared.take(&demand).await, shared.when_away()) {
            (
                Ok(Answer {
                    let_in,
                    now,
                    key,
                    owner,
                }),
                _,
            ) => {
                let taken = Taken::new(demand, now, key, owner);
                Ok(if let_in {
                    Charge::Taken(taken)
                } else {
                    Charge::Refused(taken)
                })
            }
            (Err(_), WhenAway::CountHere) => {
                demand.names = None;
                Ok(self.here(demand))
            }
            (Err(away), WhenAway::Refuse) => Err(away),
        }
    }

    /// Counted by this process.
    fn here(&self, demand: Demand) -> Charge {
        let now = self.now();
        let mut of_key = demand.key.as_ref().map(|part| self.take(part, demand.uses, now));
        let of_owner = match (&of_key, &demand.owner) {
            // Nothing is used of the one where the other is used up.
            (Some(Err(_)), Some(part)) => Some(Err(self.owed(part))),
            (_, owner) => owner.as_ref().map(|part| self.take(part, demand.uses, now)),
        };
        if let (Some(Ok(taken)), Some(Err(_)), Some(key)) = (&of_key, &of_owner, &demand.key) {
            of_key = Some(Ok(self.untake(key, demand.uses, taken, [now, now])));
        }
        let refused = matches!(of_key, Some(Err(_))) || matches!(of_owner, Some(Err(_)));
        let times = |part: Option<Result<Times, Times>>| {
            part.map_or([0; _], |times| times.unwrap_or_else(|times| times))
        };
        let taken = Taken::new(demand, now, times(of_key), times(of_owner));
        match refused {
            true => Charge::Refused(taken),
            false => Charge::Taken(taken),
        }
    }

    fn take(&self, (subject, limits): &(Subject, RateLimits), uses: u32, now: u64) -> Result<Times, Times> {
        if let Some(mut owed) = self.used.get_mut(subject) {
            return gcra::take(&mut owed, limits, uses, now);
        }
        let answer = match self.used.entry(*subject) {
            Entry::Occupied(mut owed) => gcra::take(owed.get_mut(), limits, uses, now),
            Entry::Vacant(vacant) => {
                self.count.fetch_add(1, Ordering::Relaxed);
                gcra::take(&mut vacant.insert(Owed::default()), limits, uses, now)
            }
        };
        if self.count.load(Ordering::Relaxed) > self.capacity {
            self.sweep(now);
        }
        answer
    }

    fn untake(
        &self,
        (subject, limits): &(Subject, RateLimits),
        uses: u32,
        taken: &Times,
        [taken_at, now]: [u64; 2],
    ) -> Times {
        let owed = self.used.get_mut(subject);
        owed.map_or(*taken, |mut owed| {
            gcra::give_back(&mut owed, limits, uses, taken, [taken_at, now])
        })
    }

    fn owed(&self, (subject, limits): &(Subject, RateLimits)) -> Times {
        self.used.get(subject).map_or([0; _], |owed| owed.under(limits))
    }

    /// Gives uses back that came to nothing, and says what is left then.
    pub(crate) fn give_back(&self, mut taken: Taken) -> Taken {
        if let (Some(_), Some(shared)) = (&taken.demand.names, &self.rules.shared) {
            shared.give_back(&taken);
            return taken.given_back();
        }
        let now = self.now();
        if let Some(key) = &taken.demand.key {
            taken.key = self.untake(key, taken.demand.uses, &taken.key, [taken.now, now]);
        }
        if let Some(owner) = &taken.demand.owner {
            taken.owner = self.untake(owner, taken.demand.uses, &taken.owner, [taken.now, now]);
        }
        taken.now = now;
        taken
    }

    fn limits_of<'a>(&'a self, principal: &'a Principal) -> Option<&'a RateLimits> {
        principal.rate_limit().or(match principal.kind() {
            PrincipalKind::External | PrincipalKind::Key => self.rules.each.as_ref(),
            // Of keys it was said, and of nobody else.
            PrincipalKind::Session => None,
        })
    }

    fn owner_limits_of(&self, principal: &Principal) -> Option<&RateLimits> {
        let owner = self.rules.owner.as_ref();
        owner.filter(|_| principal.kind() == PrincipalKind::Key)
    }

    fn subject(&self, principal: &Principal) -> Subject {
        match principal.stored_key() {
            Some(id) => Subject::Stored(id),
            None => Subject::Named(self.names.hash_one((
                principal.kind(),
                principal.key_id(),
                principal.owner(),
                principal.name(),
            ))),
        }
    }

    fn now(&self) -> u64 {
        to_micros(self.clock.elapsed())
    }

    /// Forgets who has got all back; and where that is not enough, a quarter of the rest, those first that have the least to get back.
    fn sweep(&self, now: u64) {
        let Some(_alone) = self.sweeping.try_lock() else {
            return;
        };
        self.keep_after(now);
        let count = self.count.load(Ordering::Relaxed);
        if count <= self.capacity / 4 * 3 {
            return;
        }
        let mut times: Vec<u64> = self.used.iter().map(|owed| owed.latest()).collect();
        let quarter = times.len() / 4;
        if quarter < times.len() {
            let (_, last, _) = times.select_nth_unstable(quarter);
            let last = *last;
            self.keep_after(last);
        }
    }

    fn keep_after(&self, moment: u64) {
        self.used.retain(|_, owed| owed.latest() > moment);
        self.count.store(self.used.len(), Ordering::Relaxed);
    }
}

fn to_micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}
