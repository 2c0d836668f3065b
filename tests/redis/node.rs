//! A process over a table, or a store, that it shares with others.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::ready,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::time::{sleep, timeout};
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::{
    ApiKeyAuth,
    authn::{OwnerState, Unavailable},
    event::RedisFeed,
    key::KeyDigest,
    principal::{Identity, Principal},
    store::MemoryStore,
};

use crate::server::PATIENCE;

/// So long that nothing that is seen in a test is seen because it has run out.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(3600);

/// Who has which key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table(Arc<Mutex<HashMap<KeyDigest, &'static str>>>);

impl Table {
    pub(crate) fn with(key: &str) -> Self {
        let table = Self::default();
        table.insert(key);
        table
    }

    pub(crate) fn insert(&self, key: &str) {
        let mut keys = self.0.lock().expect("the lock");
        keys.insert(KeyDigest::of(key.as_bytes()), "alice");
    }

    pub(crate) fn remove(&self, key: &str) {
        let mut keys = self.0.lock().expect("the lock");
        keys.remove(&KeyDigest::of(key.as_bytes()));
    }

    fn find(&self, digest: &KeyDigest) -> Option<Identity> {
        let keys = self.0.lock().expect("the lock");
        keys.get(digest).map(|owner| Identity::new(*owner))
    }
}

#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) auth: ApiKeyAuth,
    look_ups: Arc<AtomicUsize>,
}

impl Node {
    pub(crate) fn over(table: &Table, feed: RedisFeed, cached_for: Duration) -> Self {
        let look_ups = Arc::<AtomicUsize>::default();
        let (table, counted) = (table.clone(), look_ups.clone());
        let resolver = move |digest: KeyDigest| {
            counted.fetch_add(1, Ordering::SeqCst);
            ready(Ok::<_, Unavailable>(table.find(&digest)))
        };
        let builder = ApiKeyAuth::resolver(resolver).feed(feed);
        let builder = builder.cache_ttl(cached_for).unknown_ttl(cached_for);
        Self {
            auth: builder.build().expect("a configuration"),
            look_ups,
        }
    }

    /// The owners of its keys are looked up with them.
    pub(crate) fn of_store(store: &MemoryStore, feed: RedisFeed) -> Self {
        let look_ups = Arc::<AtomicUsize>::default();
        let counted = look_ups.clone();
        let owners = move |_: String| {
            counted.fetch_add(1, Ordering::SeqCst);
            ready(Ok::<_, Unavailable>(Some(OwnerState::active())))
        };
        let builder = ApiKeyAuth::builder(store.clone()).feed(feed).owners(owners);
        let builder = builder.cache_ttl(FOR_EVER).unknown_ttl(FOR_EVER);
        Self {
            auth: builder.build().expect("a configuration"),
            look_ups,
        }
    }

    pub(crate) fn look_ups(&self) -> usize {
        self.look_ups.load(Ordering::SeqCst)
    }

    /// How a request with this key is answered.
    pub(crate) async fn status(&self, key: &str) -> u16 {
        let inner = service_fn(|request: Request<()>| {
            assert!(request.extensions().get::<Principal>().is_some());
            ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
        });
        let request = Request::get("/").header("X-Key", key);
        let request = request.body(()).expect("a request");
        let Ok(response) = self.auth.layer(inner).oneshot(request).await;
        response.status().as_u16()
    }

    /// Waits until it is answered so.
    pub(crate) async fn until_status(&self, key: &str, expected: u16) {
        until(async || self.status(key).await == expected).await;
    }

    /// Waits until a good key is let in without being looked up.
    pub(crate) async fn until_cached(&self, key: &str) {
        until(async || {
            let before = self.look_ups();
            assert_eq!(self.status(key).await, 200);
            self.look_ups() == before
        })
        .await;
    }

    /// Waits until it is looked up.
    pub(crate) async fn until_looked_up(&self, key: &str) {
        until(async || {
            let before = self.look_ups();
            self.status(key).await;
            self.look_ups() > before
        })
        .await;
    }

    /// Adds a key, and tells.
    pub(crate) async fn insert(&self, table: &Table, key: &'static str) {
        let table = table.clone();
        self.change(key, move || table.insert(key)).await;
    }

    /// Removes a key, and tells.
    pub(crate) async fn remove(&self, table: &Table, key: &'static str) {
        let table = table.clone();
        self.change(key, move || table.remove(key)).await;
    }

    async fn change(&self, key: &str, work: impl FnOnce() + Send + 'static) {
        let work = async move {
            work();
            Ok::<_, Infallible>(())
        };
        let changing = self.auth.change(KeyDigest::of(key.as_bytes()), work);
        let changed = timeout(PATIENCE, changing).await;
        changed.expect("it comes back").expect("changed");
    }
}

/// Waits for it.
pub(crate) async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it never was");
}
