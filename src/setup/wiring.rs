use std::{error::Error, sync::Arc, time::Duration};

use super::{
    ApiKeyAuth, Managed,
    builder::{Builder, DEFAULT_PREFIX, Origin},
    error::BuildError,
    notices::Told,
    preset::Preset,
};
use crate::{
    authn::{
        Authenticator, Breaker, Cache, Confirming, Foreign, GRACE, Limits, Listening, Load, Lookup, MakeFeed,
        Purse, RefusalKind, Sessions, Stale, StaticKeys, StoreResolver, Streams, Usage,
    },
    budget::{ADDRESSES, Budget, Budgets},
    credential::Reader,
    event::{DynChannel, FanOut, Invalidate},
    key::KeyFormat,
    limit::{Failures, Limiter, Rules},
    manage::{Changes, Everywhere, Herald, Keys},
    metric::Decisions,
    middleware::{Gate, Proxies},
    principal::PrincipalKind,
    store::{DynStore, ImportedKeys},
};

/// How long a good key is taken from the cache where nobody tells of changes.
const UNTOLD: Duration = Duration::from_secs(5);
/// And where somebody does: what is changed is told, and this is for what nobody thought of.
const TOLD: Duration = Duration::from_secs(300);

impl Builder {
    /// Makes the layer.
    ///
    /// # Errors
    ///
    /// [`BuildError`], with everything that is wrong: a static key that cannot be meant, a header or prefix that cannot be, or nothing
    /// that any key could be compared with.
    pub fn build(self) -> Result<ApiKeyAuth, BuildError> {
        let mut complaints: Vec<Box<dyn Error + Send + Sync>> = Vec::new();
        let prefixes = self.key_prefixes();
        let mut reader = Reader::new(&self.sources);
        if self.fallback.is_some() {
            reader = reader.map(Reader::with_sessions);
        }
        let mut realm = reader
            .as_ref()
            .map(|reader| reader.realm(&self.realm))
            .unwrap_or_default();
        realm.decisions = Decisions::register(
            PrincipalKind::ALL.map(PrincipalKind::as_str),
            RefusalKind::ALL.map(RefusalKind::code),
        );
        let realm = Arc::new(realm);
        if !is_quotable(&self.realm) {
            complaints.push("the realm must be 1 to 128 visible ASCII characters or spaces, without quotes and backslashes".into());
        }
        complaints.extend(self.channel_complaint().map(Into::into));
        let static_keys = StaticKeys::new(self.static_keys, &realm);
        let format = match &self.origin {
            Origin::Store(_, check_key) => {
                KeyFormat::new(self.prefix.as_deref().unwrap_or(DEFAULT_PREFIX), check_key).map(Some)
            }
            Origin::Nowhere | Origin::Resolver(_) => Ok(None),
        };
        if matches!(self.origin, Origin::Nowhere)
            && self.fallback.is_none()
            && static_keys.as_ref().is_ok_and(StaticKeys::is_empty)
        {
            complaints
                .push("there is neither a store nor a resolver nor a static key: nobody could get in".into());
        }
        if self.preset == Preset::Strict && matches!(self.origin, Origin::Resolver(_)) {
            complaints.push(
                "the preset strict takes a store: nobody here knows who else uses a resolver's table".into(),
            );
        }
        if self.notices.is_some() && !matches!(self.origin, Origin::Store(..)) {
            complaints.push("notices are of the keys of a store, and there is none".into());
        }
        if self.reserved_prefixes.iter().any(String::is_empty) {
            complaints.push("a reserved prefix is empty, and everything begins with that".into());
        }
        let reader = taken(reader, &mut complaints);
        let static_keys = taken(static_keys, &mut complaints);
        let format = taken(format.map_err(|error| [error]), &mut complaints);
        let proxies = taken(Proxies::new(&self.trusted_proxies), &mut complaints);
        let (Some(reader), Some(static_keys), Some(format), Some(proxies), true) =
            (reader, static_keys, format, proxies, complaints.is_empty())
        else {
            return Err(BuildError(complaints));
        };

        let owners = self.owners.map(Arc::new);
        let sessions = self.fallback.map(|fallback| {
            Arc::new(Sessions {
                fallback,
                prefixes,
                owners: owners.clone(),
                timeout: self.lookup_timeout,
                realm: realm.clone(),
                clock: self.clock.clone(),
            })
        });
        let (preflights, of_keys) = (self.preflights, realm.clone());
        let rules = Rules {
            each: self.rate_limit.clone(),
            owner: self.owner_rate_limit,
            shared: self.shared_limits,
        };
        let limiter = Limiter::new(rules, self.clock.clone());
        let cost = self.cost;
        let failures = self
            .failure_limit
            .map(|limit| Failures::new(limit, self.clock.clone()));
        let store = match &self.origin {
            Origin::Store(store, _) => Some(store.clone()),
            Origin::Resolver(_) | Origin::Nowhere => None,
        };
        let purse = store
            .clone()
            .map(|store| Purse::new(store, self.lookup_timeout, self.clock.clone()));
        let payers = purse.as_ref().map(Purse::told);
        let gate = move |lookup| Gate {
            vary: reader.vary(),
            reader,
            authenticator: Authenticator {
                static_keys,
                lookup,
                sessions,
            },
            limiter,
            cost,
            purse,
            failures,
            proxies,
            realm,
            preflights,
        };
        let notified = Told::new(self.notices, self.expiry_notices, store.as_ref());
        let source = Source::of(store.as_ref(), self.channel.as_ref());
        let good_for = self.cache_ttl.unwrap_or(match &source {
            Some(Source::Store(_)) => TOLD,
            // A channel is told after a change is durable: who dies in between tells nobody.
            Some(Source::Channel(_)) | None => UNTOLD,
        });
        let flight_for = self.lookup_timeout.saturating_add(GRACE);
        let available = self.preset == Preset::Available;
        let limits = Limits {
            good_for,
            flight_for,
            lease: source.as_ref().map(Source::lease),
            stale_for: if available { self.stale_for } else { Duration::ZERO },
            ..self.limits
        };
        let unknown_for = limits.unknown_for;
        let (every, most) = (self.last_used_every, limits.good.max(100_000));
        let cache = Arc::new(Cache::new(limits, self.clock.clone()));
        let streams = Arc::new(Streams::new(self.max_streams));
        let imported = store
            .clone()
            .map(|store| Arc::new(ImportedKeys::new(store, self.clock.clone())));
        // The cache first: streams look again at once.
        let mut told: Vec<Arc<dyn Invalidate>> = vec![cache.clone(), streams.clone()];
        told.extend(imported.clone().map(|imported| imported as _));
        told.extend(payers);
        let fan_out = Arc::new(FanOut::new(told));
        let mut changes = Changes::new(fan_out.clone(), self.doubt);
        if let Some(store) = store {
            // Where nobody is told, what others keep has run out by then.
            let untold = good_for.saturating_add(flight_for);
            changes = changes.heard(Everywhere::new(store, untold, self.preset == Preset::Strict));
        }
        if let Some(channel) = self.channel {
            // What others refuse is forgotten by then as well.
            let untold = good_for.max(unknown_for).saturating_add(flight_for);
            changes = changes.told(Herald::new(channel, untold));
        }
        let listening = source
            .map(|source| Listening::new(source.into_feed(), cache.clone(), fan_out, self.clock.clone()));
        let (load, foreign, keys, usage): (Arc<dyn Load>, _, _, _) = match (self.origin, &format, imported) {
            (Origin::Store(store, _), Some(format), Some(imported)) => {
                let keys = Keys::new(
                    store.clone(),
                    format.clone(),
                    self.pepper.clone(),
                    changes.clone(),
                    imported.clone(),
                    self.policy.default_rate(self.rate_limit),
                    self.clock.clone(),
                );
                let budget = Budget::per_second(self.imported_lookups);
                let each = self.imported_lookups_per_address;
                let each = Budgets::per_second_and_at_once(each, each, ADDRESSES);
                let foreign = Arc::new(Foreign {
                    imported,
                    budget,
                    each,
                    services: Budget::per_second(self.imported_lookups.div_ceil(2)),
                });
                let usage = (!every.is_zero()).then(|| Usage::new(store.clone(), every, most));
                (
                    Arc::new(StoreResolver {
                        store,
                        format: format.clone(),
                    }),
                    Some(foreign),
                    Some(keys),
                    usage,
                )
            }
            (Origin::Resolver(make), ..) => (make(self.clock.clone()), None, None, None),
            (Origin::Nowhere | Origin::Store(..), ..) => {
                return Ok(ApiKeyAuth::new(gate(None), None, None, notified));
            }
        };
        let lookup = Lookup {
            format,
            foreign,
            shape: self.shape,
            pepper: self.pepper,
            cache,
            load,
            owners,
            usage,
            streams,
            timeout: self.lookup_timeout,
            realm: of_keys,
            clock: self.clock,
            breaker: Breaker::default(),
            stale: available.then_some(Stale {
                scopes: self.stale_scopes,
            }),
            listening,
            confirming: Confirming::default(),
        };
        let lookup = Some(Arc::new(lookup));
        Ok(ApiKeyAuth::new(gate(lookup), keys, Some(changes), notified))
    }

    /// What is wrong with telling changes through a channel, if it is to be done.
    fn channel_complaint(&self) -> Option<&'static str> {
        self.channel.as_ref()?;
        match (&self.origin, self.preset) {
            (Origin::Nowhere, _) => Some("a feed takes a store or a resolver: static keys do not change"),
            (Origin::Store(store, _), _) if store.tells() => Some(
                "the store tells of changes itself: a second feed would only be one more that can be lost",
            ),
            (_, Preset::Strict) => Some(
                "the preset strict takes a store that tells of changes itself: through a feed nobody answers",
            ),
            _ => None,
        }
    }

    /// What keys begin with; `None` where nobody has said.
    fn key_prefixes(&self) -> Option<Box<[String]>> {
        let own = match (&self.prefix, &self.origin) {
            (None, Origin::Resolver(_)) if self.reserved_prefixes.is_empty() => return None,
            (None, Origin::Resolver(_)) => None,
            (prefix, _) => Some(format!("{}_", prefix.as_deref().unwrap_or(DEFAULT_PREFIX))),
        };
        Some(own.into_iter().chain(self.reserved_prefixes.clone()).collect())
    }
}

impl ApiKeyAuth {
    fn new(gate: Gate, keys: Option<Keys>, changes: Option<Changes>, told: Told) -> Self {
        Self {
            gate: Arc::new(gate),
            optional: false,
            managed: Arc::new(Managed { keys, changes, told }),
        }
    }
}

/// Who tells of changes made elsewhere.
enum Source {
    Store(Arc<dyn DynStore>),
    Channel(Arc<dyn DynChannel>),
}

impl Source {
    fn of(store: Option<&Arc<dyn DynStore>>, channel: Option<&Arc<dyn DynChannel>>) -> Option<Self> {
        let store = store.filter(|store| store.tells()).cloned().map(Self::Store);
        store.or_else(|| channel.cloned().map(Self::Channel))
    }

    fn lease(&self) -> Duration {
        match self {
            Self::Store(store) => store.lease(),
            Self::Channel(channel) => channel.lease(),
        }
    }

    fn into_feed(self) -> MakeFeed {
        match self {
            Self::Store(store) => Box::new(move || store.feed()),
            Self::Channel(channel) => Box::new(move || Some(channel.feed())),
        }
    }
}

fn taken<T, E>(
    result: Result<T, impl IntoIterator<Item = E>>,
    complaints: &mut Vec<Box<dyn Error + Send + Sync>>,
) -> Option<T>
where
    E: Error + Send + Sync + 'static,
{
    match result {
        Ok(value) => Some(value),
        Err(errors) => {
            complaints.extend(errors.into_iter().map(|error| Box::new(error) as _));
            None
        }
    }
}

/// Whether a text can stand between the quotes of a challenge as it is.
fn is_quotable(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\')
}
