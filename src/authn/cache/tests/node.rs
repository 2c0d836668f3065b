use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{PATIENCE, limits, script::Scripted};
use crate::{
    authn::{
        Authenticator, Breaker, Cache, Confirming, Limits, Load, Lookup, Owners, RefusalKind, Stale,
        StaticKeys, StoreResolver, Streams, Verdict,
    },
    budget::Household,
    clock::{Clock, ManualClock},
    event::Settled,
    key::{KeyDigest, KeyFormat, KeyId, KeyRecord, Secret},
    manage::{ChangeError, Changes, Keys, ManageError, Policy},
    principal::{Principal, Realm},
    store::{ImportedKeys, KeyStore, StoreError},
};

/// One process: everything between a presented key and the store, wired as by [`Builder::build`](crate::Builder::build).
pub(super) struct Node {
    pub(super) cache: Arc<Cache<Principal>>,
    pub(super) store: Scripted,
    pub(super) clock: ManualClock,
    authenticator: Authenticator,
    pub(super) lookup: Arc<Lookup>,
    format: KeyFormat,
    pub(super) changes: Changes,
    keys: Keys,
}

/// How a request ended.
pub(super) type Answer = Result<(), RefusalKind>;

/// A change that is under way, once it is polled.
type Changing = Pin<Box<dyn Future<Output = Result<(), ChangeError<StoreError>>> + Send>>;

/// What a node can be given in place of what a real one begins with.
pub(super) struct Setup {
    pub(super) limits: Limits,
    pub(super) timeout: Duration,
    /// In place of the store's look-ups.
    pub(super) load: Option<Arc<dyn Load>>,
    pub(super) owners: Option<Owners>,
    pub(super) stale: Option<Stale>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            limits: limits(),
            // Only tests of time-outs have one.
            timeout: Duration::from_secs(3600),
            load: None,
            owners: None,
            stale: None,
        }
    }
}

/// How long a key whose fate is unknown is not cached.
pub(super) const DOUBT: Duration = Duration::from_secs(60);

/// A key, and what a test needs to find it again.
pub(super) struct Key {
    text: Secret,
    pub(super) digest: KeyDigest,
    pub(super) id: KeyId,
}

impl Node {
    pub(super) fn new() -> Self {
        Self::with(Setup::default())
    }

    pub(super) fn with(setup: Setup) -> Self {
        let clock = ManualClock::default();
        let store = Scripted::new(clock.clone());
        let realm = Arc::new(Realm::for_tests());
        let format = KeyFormat::new("ak", &store.check_key()).expect("a prefix");
        let cache = Arc::new(Cache::new(setup.limits, Arc::new(clock.clone())));
        let changes = Changes::new(cache.clone(), DOUBT);
        let keys = Keys::new(
            Arc::new(store.clone()),
            format.clone(),
            None,
            changes.clone(),
            Arc::new(ImportedKeys::new(
                Arc::new(store.clone()),
                Arc::new(clock.clone()),
            )),
            Policy::new(),
            Arc::new(clock.clone()),
        );
        let from_store = || {
            Arc::new(StoreResolver {
                store: Arc::new(store.clone()),
                format: format.clone(),
            })
        };
        let lookup = Lookup {
            streams: Arc::new(Streams::new(10)),
            shape: None,
            foreign: None,
            format: Some(format.clone()),
            pepper: None,
            cache: cache.clone(),
            load: setup.load.unwrap_or_else(|| from_store()),
            owners: setup.owners.map(Arc::new),
            usage: None,
            timeout: setup.timeout,
            realm: realm.clone(),
            clock: Arc::new(clock.clone()),
            breaker: Breaker::default(),
            stale: setup.stale,
            listening: None,
            confirming: Confirming::default(),
        };
        let lookup = Arc::new(lookup);
        let authenticator = Authenticator {
            static_keys: StaticKeys::new(Vec::new(), &realm).expect("no static keys"),
            lookup: Some(lookup.clone()),
            sessions: None,
        };
        Self {
            cache,
            store,
            clock,
            authenticator,
            lookup,
            format,
            changes,
            keys,
        }
    }

    /// A key of the right format that no store knows.
    pub(super) fn unknown_key(&self) -> Key {
        let text = self.format.generate().expect("random numbers");
        Key {
            digest: KeyDigest::of(text.expose().as_bytes()),
            id: KeyId::generate(),
            text,
        }
    }

    /// A good key that has always been in the store.
    pub(super) fn key(&self) -> Key {
        let key = self.unknown_key();
        self.store.put(self.record(&key));
        key
    }

    /// A good key that is in the cache.
    pub(super) async fn cached_key(&self) -> Key {
        let key = self.key();
        assert_eq!(self.ask(&key).await, Ok(()));
        assert!(self.keeps(&key));
        key
    }

    pub(super) fn record(&self, key: &Key) -> KeyRecord {
        KeyRecord::new(key.id, key.digest, "alice", self.clock.now())
    }

    /// A request, which begins now and not when its answer is waited for.
    pub(super) fn ask(&self, key: &Key) -> impl Future<Output = Answer> + Send + use<> {
        let verdict = self
            .authenticator
            .authenticate(key.text.expose().as_bytes(), &|| Household::Unknown);
        async {
            match verdict {
                Verdict::Known(_) => Ok(()),
                Verdict::Refused(refusal) => Err(refusal.kind()),
                Verdict::Fallback(_) => unreachable!("there is none"),
                Verdict::Pending(pending) => {
                    match timeout(PATIENCE, pending).await.expect("an answer in time") {
                        Ok(_) => Ok(()),
                        Err(refusal) => Err(refusal.kind()),
                    }
                }
            }
        }
    }

    /// As [`Self::ask`]; says also how many look-ups it cost.
    pub(super) async fn ask_counting(&self, key: &Key) -> (Answer, usize) {
        let before = self.store.reads();
        let answer = self.ask(key).await;
        (answer, self.store.reads() - before)
    }

    /// Whether a good verdict on the key is kept and would be used.
    pub(super) fn keeps(&self, key: &Key) -> bool {
        self.cache.hit(&key.digest).is_some()
    }

    pub(super) fn revoke(
        &self,
        key: &Key,
    ) -> impl Future<Output = Result<KeyRecord, ManageError>> + Send + use<> {
        let (keys, id) = (self.keys.clone(), key.id);
        async move { Ok(keys.revoke(id).await?.record) }
    }

    /// A change that is not final.
    pub(super) fn change(&self, key: &Key, edit: impl FnOnce(&mut KeyRecord) + Send + 'static) -> Changing {
        let digest = key.digest;
        self.run(key, move |store| store.edit(&digest, edit))
    }

    pub(super) fn disable(&self, key: &Key) -> Changing {
        let now = self.clock.now();
        self.change(key, move |row| row.disabled_at = Some(now))
    }

    /// Mints this very key.
    pub(super) fn mint(&self, key: &Key) -> Changing {
        let record = self.record(key);
        self.run(key, move |store| store.put(record))
    }

    fn run(&self, key: &Key, transaction: impl FnOnce(&Scripted) + Send + 'static) -> Changing {
        let (changes, digest, store) = (self.changes.clone(), key.digest, self.store.clone());
        let work = async move { store.write(transaction).await };
        Box::pin(async move {
            changes
                .run(digest.into(), work, |()| Settled::Changed, |_| Settled::Unknown)
                .await
        })
    }
}
