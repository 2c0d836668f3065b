use std::{fmt, sync::Arc, time::Duration};

use super::preset::Preset;
use crate::{
    access::{RateLimit, RateLimits, Scopes},
    authn::{
        DynFallback, Fallback, KeyShape, Limits, Load, OwnResolver, OwnerDirectory, Owners, Resolver,
        StaticKey,
    },
    clock::{Clock, SystemClock},
    credential::Sources,
    event::{Channel, DynChannel, Notices},
    key::{CheckKey, Pepper},
    limit::SharedCounts,
    manage::Policy,
    middleware::CostOf,
    store::{DynStore, KeyStore},
};

pub(super) const DEFAULT_PREFIX: &str = "ak";

/// A week before the end, and a day.
const EXPIRY_NOTICES: [Duration; 2] = [
    Duration::from_secs(7 * 24 * 60 * 60),
    Duration::from_secs(24 * 60 * 60),
];

/// Makes an [`ApiKeyAuth`](crate::ApiKeyAuth). Setters never fail; [`Builder::build`] reports everything that is wrong at once.
#[must_use]
pub struct Builder {
    pub(super) origin: Origin,
    pub(super) static_keys: Vec<StaticKey>,
    pub(super) sources: Sources,
    pub(super) preflights: bool,
    pub(super) realm: String,
    pub(super) prefix: Option<String>,
    pub(super) reserved_prefixes: Vec<String>,
    pub(super) pepper: Option<Pepper>,
    pub(super) owners: Option<Owners>,
    pub(super) fallback: Option<Arc<dyn DynFallback>>,
    pub(super) shape: Option<KeyShape>,
    pub(super) limits: Limits,
    pub(super) imported_lookups: u32,
    pub(super) imported_lookups_per_address: u32,
    pub(super) lookup_timeout: Duration,
    pub(super) doubt: Duration,
    pub(super) last_used_every: Duration,
    pub(super) max_streams: usize,
    pub(super) policy: Policy,
    pub(super) rate_limit: Option<RateLimits>,
    pub(super) owner_rate_limit: Option<RateLimits>,
    pub(super) shared_limits: Option<Arc<dyn SharedCounts>>,
    pub(super) cost: Option<CostOf>,
    pub(super) failure_limit: Option<RateLimit>,
    pub(super) trusted_proxies: Vec<String>,
    pub(super) preset: Preset,
    pub(super) channel: Option<Arc<dyn DynChannel>>,
    pub(super) cache_ttl: Option<Duration>,
    pub(super) stale_scopes: Scopes,
    pub(super) stale_for: Duration,
    pub(super) notices: Option<Notices>,
    pub(super) expiry_notices: Vec<Duration>,
    pub(super) clock: Arc<dyn Clock>,
}

/// Where keys that are not static are looked up.
pub(super) enum Origin {
    Nowhere,
    Store(Arc<dyn DynStore>, CheckKey),
    Resolver(MakeLoad),
}

/// A resolver that waits for the clock it shall be judged by.
pub(super) type MakeLoad = Box<dyn FnOnce(Arc<dyn Clock>) -> Arc<dyn Load> + Send + Sync>;

impl Builder {
    pub(super) fn with_store(store: impl KeyStore) -> Self {
        let check_key = store.check_key();
        Self::new(Origin::Store(Arc::new(store), check_key))
    }

    pub(super) fn with_resolver(resolver: impl Resolver) -> Self {
        Self::new(Origin::Resolver(Box::new(|clock| {
            Arc::new(OwnResolver { resolver, clock })
        })))
    }

    pub(super) fn static_keys_only() -> Self {
        Self::new(Origin::Nowhere)
    }

    fn new(origin: Origin) -> Self {
        Self {
            origin,
            static_keys: Vec::new(),
            sources: Sources::default(),
            preflights: true,
            realm: "api".to_owned(),
            prefix: None,
            reserved_prefixes: Vec::new(),
            pepper: None,
            owners: None,
            fallback: None,
            shape: None,
            limits: Limits {
                good: 100_000,
                unknown: 50_000,
                good_for: Duration::ZERO,
                unknown_for: Duration::from_secs(5),
                flights: 10_000,
                flight_for: Duration::ZERO,
                lease: None,
                stale_for: Duration::ZERO,
            },
            imported_lookups: 200,
            imported_lookups_per_address: 20,
            lookup_timeout: Duration::from_secs(1),
            doubt: Duration::from_secs(60),
            last_used_every: Duration::from_secs(60),
            max_streams: 100_000,
            policy: Policy::new(),
            rate_limit: None,
            owner_rate_limit: None,
            shared_limits: None,
            cost: None,
            failure_limit: None,
            trusted_proxies: Vec::new(),
            preset: Preset::default(),
            channel: None,
            cache_ttl: None,
            stale_scopes: Scopes::none(),
            stale_for: Duration::from_secs(15 * 60),
            notices: None,
            expiry_notices: EXPIRY_NOTICES.to_vec(),
            clock: Arc::new(SystemClock),
        }
    }

    /// Adds a static key. Several can be good at once, so that one can be rotated.
    pub fn static_key(mut self, key: StaticKey) -> Self {
        self.static_keys.push(key);
        self
    }

    /// Adds all of them; an `Option` will do.
    pub fn static_keys(mut self, keys: impl IntoIterator<Item = StaticKey>) -> Self {
        self.static_keys.extend(keys);
        self
    }

    /// Where in a request a key may be, in place of the default: `Authorization` with `Bearer` or `ApiKey`, and `X-Key`.
    pub fn sources(mut self, sources: Sources) -> Self {
        self.sources = sources;
        self
    }

    /// Asks for a key on CORS preflights, too: for applications that no browser calls from another site, or whose CORS layer is outside.
    pub fn guard_preflights(mut self) -> Self {
        self.preflights = false;
        self
    }

    /// The name of the protection space in challenges; `api` if not set.
    pub fn realm(mut self, name: impl Into<String>) -> Self {
        self.realm = name.into();
        self
    }

    /// What the keys of the store begin with; `ak` if not set. A change of it makes every key minted before unusable.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// Asks the application itself where no key decides: see [`Fallback`] for when that is, and for what becomes of its answer.
    ///
    /// A bearer token that begins with the [`prefix`](Self::prefix) and `_`, or with a [reserved prefix](Self::reserved_prefix), is a key and
    /// is never handed on; any other only where the fallback [claims](Fallback::claims_bearer) it. Beside a resolver, name one of the
    /// two: nobody here knows what its keys begin with, and until somebody says so every bearer token is taken for a key.
    pub fn fallback(mut self, fallback: impl Fallback) -> Self {
        self.fallback = Some(Arc::new(fallback));
        self
    }

    /// Something else that keys begin with, to the letter, such as the `oc_` of keys from another system: a bearer token that begins with it is never
    /// handed to the [`fallback`](Self::fallback).
    pub fn reserved_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.reserved_prefixes.push(prefix.into());
        self
    }

    /// Mixes a secret into every digest before the store or resolver sees it. A change of it makes every key minted before unusable.
    pub fn pepper(mut self, pepper: Pepper) -> Self {
        self.pepper = Some(pepper);
        self
    }

    /// Asks for the owner whenever a key is looked up: a key can do no more than its owner, and nothing once they are suspended or gone.
    ///
    /// It can also give each owner a value of the application's own type, such as its user.
    pub fn owners(mut self, directory: impl OwnerDirectory) -> Self {
        self.owners = Some(Owners::new(directory));
        self
    }

    /// What is given up first when not everything can be had; [`Preset::Balanced`] if not set.
    pub fn preset(mut self, preset: Preset) -> Self {
        self.preset = preset;
        self
    }

    /// Through what processes tell one another of changes, for a resolver, and for a store that does not do it itself: such as a `RedisFeed`
    /// (feature `redis`). All that are over the same table need it, also those that only make changes.
    ///
    /// Whatever is changed through [`ApiKeyAuth`](crate::ApiKeyAuth) is told before that is answered; see [`Channel`] for what that promises, and what it
    /// does not. Nothing cached is used while nothing can be heard.
    pub fn feed(mut self, channel: impl Channel) -> Self {
        self.channel = Some(Arc::new(channel));
        self
    }

    /// What keys can still do while the store cannot confirm them, under [`Preset::Available`]; nothing if not set. A key that was granted
    /// none of these is answered 503.
    pub fn stale_scopes(mut self, scopes: Scopes) -> Self {
        self.stale_scopes = scopes;
        self
    }

    /// How long after the store last confirmed a key it is let in without, under [`Preset::Available`]; 15 minutes if not set.
    pub fn stale_for(mut self, duration: Duration) -> Self {
        self.stale_for = duration;
        self
    }

    /// How long a good key is taken from the cache before it is looked up again. If not set, 5 minutes with a store that tells of changes,
    /// and 5 s with a resolver, and a store that does not, also with a [`feed`](Self::feed): then it bounds how long a change made by another process goes unnoticed. A
    /// change made through this value takes effect at once. Zero caches nothing.
    pub fn cache_ttl(mut self, lifetime: Duration) -> Self {
        self.cache_ttl = Some(lifetime);
        self
    }

    /// How long a key that is unknown or expired is taken to be so; 5 s if not set. Zero caches nothing.
    pub fn unknown_ttl(mut self, lifetime: Duration) -> Self {
        self.limits.unknown_for = lifetime;
        self
    }

    /// How many good keys are cached; 100,000 if not set. At most some 200 bytes each, beside what the application puts into them.
    pub fn cache_capacity(mut self, keys: usize) -> Self {
        self.limits.good = keys;
        self
    }

    /// How many keys that are unknown or expired are remembered; 50,000 if not set. Only keys that were looked up ever are: those that pass
    /// the check in their text, and while the store holds keys of other systems such as [`Builder::imported_lookups`] lets through.
    pub fn unknown_capacity(mut self, keys: usize) -> Self {
        self.limits.unknown = keys;
        self
    }

    /// How many keys may be looked up at the same time; 10,000 if not set. More are answered 503. A quarter is kept for keys that were
    /// good lately.
    pub fn max_lookups(mut self, lookups: usize) -> Self {
        self.limits.flights = lookups;
        self
    }

    /// How long a look-up may take; 1 s if not set. A slower one is answered 503.
    pub fn lookup_timeout(mut self, timeout: Duration) -> Self {
        self.lookup_timeout = timeout;
        self
    }

    /// How long a key is not cached after a change of it failed without saying whether it happened; 60 s if not set. Longer than any
    /// statement can stay under way in the database.
    pub fn doubt(mut self, doubt: Duration) -> Self {
        self.doubt = doubt;
        self
    }

    /// What holds for keys that callers make for themselves.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Which texts can be keys of the application's own table at all, by length or alphabet: others are refused without a look-up. Keys
    /// of a store have a check in them, and need none.
    pub fn key_shape(mut self, fits: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Self {
        self.shape = Some(Box::new(fits));
        self
    }

    /// Adds addresses and CIDR blocks of proxies, such as `10.0.0.0/8`: peers whose forwarding headers count. None if not set, and the headers of
    /// nobody are looked at. What is no block is a complaint of [`Builder::build`].
    ///
    /// Of a request from such a peer `X-Forwarded-For` and `Forwarded` (RFC 7239) are read from the right: the first address that is not one of
    /// these is the client, and the leftmost where all of them are. That is then the [`ClientAddress`](crate::middleware::ClientAddress) for
    /// whatever is inside of the layer.
    ///
    /// What a client has written itself is to the left of that, and is not believed. Where on the way to it something is no address, such as
    /// `unknown`, or where there are both headers and they lead to different clients, the address is not known: a key that is bound to addresses
    /// is refused, and failures are counted for the last proxy that can be told.
    ///
    /// A client who writes the header that the proxy does not write can make its own address unknown: have the proxy take that one away.
    ///
    /// Name proxies only that add the address of their own peer to each request, and whom nobody else can reach the service in place of.
    pub fn trusted_proxies<I>(mut self, blocks: I) -> Self
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let blocks = blocks.into_iter().map(|block| block.as_ref().to_owned());
        self.trusted_proxies.extend(blocks);
        self
    }

    /// Another clock, for tests.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("static_keys", &self.static_keys)
            .field("sources", &self.sources)
            .field("realm", &self.realm)
            .field("prefix", &self.prefix)
            .field("limits", &self.limits)
            .field("lookup_timeout", &self.lookup_timeout)
            .finish_non_exhaustive()
    }
}
