use std::{error::Error, fmt, future::Future, sync::Arc, time::Duration};

use super::ApiKeyAuth;
use crate::{
    authn::{
        Authenticator, Cache, Limits, Load, Lookup, OwnResolver, Resolver, StaticKey, StaticKeys,
        StoreResolver, Unavailable, UserLoader,
    },
    clock::{Clock, SystemClock},
    credential::{Reader, Sources},
    key::{CheckKey, KeyFormat, KeyRecord, Pepper},
    manage::{Changes, Keys},
    middleware::Gate,
    store::{DynStore, KeyStore},
};

/// Makes an [`ApiKeyAuth`]. Setters never fail; [`Builder::build`] reports everything that is wrong at once.
#[must_use]
pub struct Builder {
    origin: Origin,
    static_keys: Vec<StaticKey>,
    sources: Sources,
    realm: String,
    prefix: String,
    pepper: Option<Pepper>,
    users: Option<UserLoader>,
    limits: Limits,
    lookup_timeout: Duration,
    doubt: Duration,
    clock: Arc<dyn Clock>,
}

/// Where keys that are not static are looked up.
enum Origin {
    Nowhere,
    Store(Arc<dyn DynStore>, CheckKey),
    Resolver(MakeLoad),
}

/// A resolver that waits for the clock it shall be judged by.
type MakeLoad = Box<dyn FnOnce(Arc<dyn Clock>) -> Arc<dyn Load>>;

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
            realm: "api".to_owned(),
            prefix: "ak".to_owned(),
            pepper: None,
            users: None,
            limits: Limits {
                good: 100_000,
                unknown: 50_000,
                good_for: Duration::from_secs(5),
                unknown_for: Duration::from_secs(5),
                flights: 10_000,
            },
            lookup_timeout: Duration::from_secs(1),
            doubt: Duration::from_secs(60),
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

    /// The name of the protection space in challenges; `api` if not set.
    pub fn realm(mut self, name: impl Into<String>) -> Self {
        self.realm = name.into();
        self
    }

    /// What the keys of the store begin with; `ak` if not set. A change of it makes every key minted before unusable.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Mixes a secret into every digest before the store or resolver sees it. A change of it makes every key minted before unusable.
    pub fn pepper(mut self, pepper: Pepper) -> Self {
        self.pepper = Some(pepper);
        self
    }

    /// Gives each key of the store a value of the application's own type, such as its user, found when the key is looked up.
    ///
    /// `Ok(None)` means that the owner is gone: the key is refused as disabled. Has no effect without a store: a resolver puts the value
    /// into the identity itself.
    pub fn load_user<T, F, Fut>(mut self, load: F) -> Self
    where
        T: Send + Sync + 'static,
        F: Fn(KeyRecord) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<T>, Unavailable>> + Send + 'static,
    {
        self.users = Some(UserLoader::new(load));
        self
    }

    /// How long a good key is taken from the cache before it is looked up again; 5 s if not set. It bounds how long a change made by
    /// another process goes unnoticed; a change made through this value takes effect at once. Zero caches nothing.
    pub fn cache_ttl(mut self, lifetime: Duration) -> Self {
        self.limits.good_for = lifetime;
        self
    }

    /// How long an unknown key is taken to be unknown; 5 s if not set. Zero caches nothing.
    pub fn unknown_ttl(mut self, lifetime: Duration) -> Self {
        self.limits.unknown_for = lifetime;
        self
    }

    /// How many good keys are cached; 100,000 if not set. At most some 200 bytes each, beside what the application puts into them.
    pub fn cache_capacity(mut self, keys: usize) -> Self {
        self.limits.good = keys;
        self
    }

    /// How many unknown keys are remembered; 50,000 if not set. Only keys that pass the check in their text ever are.
    pub fn unknown_capacity(mut self, keys: usize) -> Self {
        self.limits.unknown = keys;
        self
    }

    /// How many keys may be looked up at the same time; 10,000 if not set. More are answered 503.
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

    /// Another clock, for tests.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Makes the layer.
    ///
    /// # Errors
    ///
    /// [`BuildError`], with everything that is wrong: a static key that cannot be meant, a header or prefix that cannot be, or nothing
    /// that any key could be compared with.
    pub fn build(self) -> Result<ApiKeyAuth, BuildError> {
        let mut complaints: Vec<Box<dyn Error + Send + Sync>> = Vec::new();
        let reader = Reader::new(&self.sources);
        let realm = reader
            .as_ref()
            .map(|reader| reader.realm(&self.realm))
            .unwrap_or_default();
        let realm = Arc::new(realm);
        if !is_quotable(&self.realm) {
            complaints.push("the realm must be 1 to 128 visible ASCII characters or spaces, without quotes and backslashes".into());
        }
        let static_keys = StaticKeys::new(self.static_keys, &realm);
        let format = match &self.origin {
            Origin::Store(_, check_key) => KeyFormat::new(&self.prefix, check_key).map(Some),
            Origin::Nowhere | Origin::Resolver(_) => Ok(None),
        };
        if matches!(self.origin, Origin::Nowhere) && static_keys.as_ref().is_ok_and(StaticKeys::is_empty) {
            complaints
                .push("there is neither a store nor a resolver nor a static key: nobody could get in".into());
        }
        let reader = taken(reader, &mut complaints);
        let static_keys = taken(static_keys, &mut complaints);
        let format = taken(format.map_err(|error| [error]), &mut complaints);
        let (Some(reader), Some(static_keys), Some(format), true) =
            (reader, static_keys, format, complaints.is_empty())
        else {
            return Err(BuildError(complaints));
        };

        let cache = Arc::new(Cache::new(self.limits, self.clock.clone()));
        let changes = Changes::new(cache.clone(), self.doubt);
        let (load, keys): (Arc<dyn Load>, _) = match (self.origin, &format) {
            (Origin::Store(store, _), Some(format)) => {
                let keys = Keys::new(
                    store.clone(),
                    format.clone(),
                    self.pepper.clone(),
                    changes.clone(),
                );
                let users = self.users;
                (Arc::new(StoreResolver { store, users }), Some(keys))
            }
            (Origin::Resolver(make), _) => (make(self.clock.clone()), None),
            (Origin::Nowhere | Origin::Store(..), _) => {
                return Ok(ApiKeyAuth::new(
                    reader,
                    Authenticator {
                        static_keys,
                        lookup: None,
                    },
                    realm,
                    None,
                    None,
                ));
            }
        };
        let lookup = Lookup {
            format,
            pepper: self.pepper,
            cache,
            load,
            timeout: self.lookup_timeout,
            realm: realm.clone(),
            clock: self.clock,
        };
        let lookup = Some(Arc::new(lookup));
        Ok(ApiKeyAuth::new(
            reader,
            Authenticator { static_keys, lookup },
            realm,
            keys,
            Some(changes),
        ))
    }
}

impl ApiKeyAuth {
    fn new(
        reader: Reader,
        authenticator: Authenticator,
        realm: Arc<crate::principal::Realm>,
        keys: Option<Keys>,
        changes: Option<Changes>,
    ) -> Self {
        let vary = reader.vary();
        let gate = Gate {
            reader,
            authenticator,
            realm,
            vary,
        };
        Self {
            gate: Arc::new(gate),
            optional: false,
            keys,
            changes,
        }
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

/// Everything that is wrong with a configuration, a line each.
#[derive(Debug)]
pub struct BuildError(Vec<Box<dyn Error + Send + Sync>>);

impl BuildError {
    /// What is wrong, one by one.
    pub fn complaints(&self) -> impl Iterator<Item = &(dyn Error + Send + Sync + 'static)> {
        self.0.iter().map(|complaint| &**complaint)
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, complaint) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            fmt::Display::fmt(complaint, f)?;
        }
        Ok(())
    }
}

impl Error for BuildError {}

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
