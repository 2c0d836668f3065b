//! When keys were last used: written down off the request path, each key once in a period, and nobody's trouble but the log's.

#[macro_use]
#[path = "support/passed_on.rs"]
mod passed_on;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer, Service, ServiceExt};
use tower_api_key::{
    ApiKeyAuth, Builder,
    authn::StaticKey,
    clock::{Clock, ManualClock},
    key::KeyId,
    manage::{IssuedKey, KeyChange, NewKey},
    middleware::Authenticate,
    store::{KeyStore, MemoryStore, StoreError, StoreErrorKind},
};

const AN_HOUR: Duration = Duration::from_secs(3600);
/// The usual one, and the moment it takes.
const A_PERIOD: Duration = Duration::from_secs(61);

/// A store that remembers what it was told of uses, and can fail at that or fall silent.
#[derive(Debug, Clone)]
struct Told {
    store: MemoryStore,
    clock: ManualClock,
    calls: Arc<Mutex<Vec<Vec<KeyId>>>>,
    fails: Arc<AtomicBool>,
    hangs: Arc<AtomicBool>,
}

impl Told {
    fn new() -> Self {
        let clock = ManualClock::default();
        Self {
            store: MemoryStore::with_clock(clock.clone()).expect("a store"),
            clock,
            calls: Arc::default(),
            fails: Arc::default(),
            hangs: Arc::default(),
        }
    }

    fn builder(&self) -> Builder {
        ApiKeyAuth::builder(self.clone())
            .clock(self.clock.clone())
            .cache_ttl(AN_HOUR)
    }

    /// What it was told since this was last asked.
    fn calls(&self) -> Vec<Vec<KeyId>> {
        std::mem::take(&mut self.calls.lock().expect("the lock"))
    }

    async fn last_use(&self, id: KeyId) -> Option<SystemTime> {
        let kept = self.store.get(id).await.expect("an answer");
        kept.expect("the key").record.last_used_at
    }
}

impl KeyStore for Told {
    async fn touch(&self, uses: &[(KeyId, SystemTime)]) -> Result<(), StoreError> {
        let told = uses.iter().map(|(id, _)| *id).collect();
        self.calls.lock().expect("the lock").push(told);
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.fails.load(Ordering::SeqCst) {
            return Err(StoreError::new(
                StoreErrorKind::Unavailable,
                "it cannot be written",
            ));
        }
        self.store.touch(uses).await
    }

    passed_on!(store: find, get, transact, list, events, log_after, log_head, expired_before, is_empty, has_imported, ping, spend, give_back, credits, check_key);
}

#[derive(Clone)]
struct Empty;

impl Service<Request<()>> for Empty {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(Response::new(Full::default())))
    }
}

async fn issue(auth: &ApiKeyAuth, count: usize) -> Vec<IssuedKey> {
    let keys = auth.keys().expect("there is a store");
    let mut issued = Vec::new();
    for _ in 0..count {
        issued.push(keys.issue(NewKey::new("alice")).await.expect("a key"));
    }
    issued
}

fn request(key: &str) -> Request<()> {
    let request = Request::get("/").header("X-Key", key);
    request.body(()).expect("a request")
}

async fn status(auth: &ApiKeyAuth, key: &str) -> u16 {
    let Ok(response) = auth.layer(Empty).oneshot(request(key)).await;
    response.status().as_u16()
}

/// A request that need not wait for anything.
fn hit(service: &mut Authenticate<Empty>, request: Request<()>) {
    let answering = pin!(service.call(request));
    let Poll::Ready(Ok(response)) = answering.poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("the answer is not there at once");
    };
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn the_last_use_counts() {
    let store = Told::new();
    let auth = store.builder().build().expect("a configuration");
    let [used, unused] = &issue(&auth, 2).await[..] else {
        panic!("two keys");
    };
    for later in [5_000, 1_250, 2] {
        store.clock.advance(Duration::from_millis(later));
        assert_eq!(status(&auth, used.key.expose()).await, 200);
    }
    let first = store.clock.now() - Duration::from_millis(2);
    auth.close().await;
    let last = store.last_use(used.record.id).await;
    assert_eq!(last, Some(first), "those within a tenth of a second are one");
    assert_eq!(store.last_use(unused.record.id).await, None);
    assert_eq!(store.calls(), [[used.record.id]]);
}

#[tokio::test(start_paused = true)]
async fn it_is_written_once_a_period_while_the_key_is_in_use() {
    let store = Told::new();
    let auth = store.builder().build().expect("a configuration");
    let key = issue(&auth, 1).await.remove(0);
    for _ in 0..3 {
        // Look-ups and hits alike.
        for _ in 0..20 {
            assert_eq!(status(&auth, key.key.expose()).await, 200);
        }
        assert!(store.calls().is_empty(), "before the period is over");
        store.clock.advance(Duration::from_secs(60));
        tokio::time::sleep(A_PERIOD).await;
        assert_eq!(store.calls(), [[key.record.id]]);
    }
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(store.calls().is_empty(), "nobody has used it since");
}

#[tokio::test]
async fn a_million_uses_of_ten_keys_are_ten_rows_in_one_statement() {
    let store = Told::new();
    let auth = store.builder().last_used_every(AN_HOUR).build();
    let auth = auth.expect("a configuration");
    let keys = issue(&auth, 10).await;
    for key in &keys {
        assert_eq!(status(&auth, key.key.expose()).await, 200);
    }
    let requests: Vec<_> = keys.iter().map(|key| request(key.key.expose())).collect();
    let mut service = auth.layer(Empty);
    for request in requests.iter().cycle().take(1_000_000) {
        hit(&mut service, request.clone());
    }
    auth.close().await;
    let mut ids: Vec<KeyId> = keys.iter().map(|key| key.record.id).collect();
    ids.sort_unstable();
    assert_eq!(store.calls(), [ids], "in the order of their ids");
}

#[tokio::test]
async fn many_keys_go_in_batches_of_five_hundred() {
    let store = Told::new();
    let auth = store.builder().build().expect("a configuration");
    let keys = issue(&auth, 1_234).await;
    for key in &keys {
        assert_eq!(status(&auth, key.key.expose()).await, 200);
    }
    auth.close().await;
    let calls = store.calls();
    assert_eq!(calls.iter().map(Vec::len).collect::<Vec<_>>(), [500, 500, 234]);
    assert!(calls.concat().is_sorted());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_loses_nothing_and_no_request_notices() {
    let store = Told::new();
    let auth = store.builder().build().expect("a configuration");
    let keys = issue(&auth, 700).await;
    store.fails.store(true, Ordering::SeqCst);
    for key in &keys {
        assert_eq!(status(&auth, key.key.expose()).await, 200);
    }
    let used = store.clock.now();
    for _ in 0..3 {
        store.clock.advance(Duration::from_secs(60));
        tokio::time::sleep(A_PERIOD).await;
        // Not the other batches as well: they would fail, too.
        assert_eq!(store.calls().len(), 1);
        assert_eq!(status(&auth, keys[0].key.expose()).await, 200);
    }
    store.fails.store(false, Ordering::SeqCst);
    tokio::time::sleep(A_PERIOD).await;
    assert_eq!(store.calls().concat().len(), 700);
    for key in &keys[1..] {
        let written = store.last_use(key.record.id).await.expect("it was used");
        assert_eq!(written, used);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_falls_silent_holds_up_neither_requests_nor_the_end() {
    let store = Told::new();
    let auth = store.builder().build().expect("a configuration");
    let key = issue(&auth, 1).await.remove(0);
    store.hangs.store(true, Ordering::SeqCst);
    assert_eq!(status(&auth, key.key.expose()).await, 200);
    tokio::time::sleep(A_PERIOD).await;
    assert_eq!(store.calls().len(), 1, "it hangs in this one");
    assert_eq!(status(&auth, key.key.expose()).await, 200);
    let begun = tokio::time::Instant::now();
    auth.close().await;
    // The time of the test, which stands still while there is something to do.
    assert!(begun.elapsed() <= Duration::from_secs(5), "{:?}", begun.elapsed());
    store.hangs.store(false, Ordering::SeqCst);
    auth.close().await;
    assert!(
        store.last_use(key.record.id).await.is_some(),
        "given up, not lost"
    );
}

#[tokio::test]
async fn what_is_refused_is_no_use() {
    let store = Told::new();
    let auth = store
        .builder()
        .static_key(StaticKey::new("the-external-key-of-this-test"))
        .build();
    let auth = auth.expect("a configuration");
    let key = issue(&auth, 1).await.remove(0);
    let keys = auth.keys().expect("there is a store");
    keys.change(key.record.id, KeyChange::new().disabled(true))
        .await
        .expect("disabled");
    for (presented, answer) in [
        (key.key.expose(), 401),
        ("ak_nonsense", 401),
        ("the-external-key-of-this-test", 200),
    ] {
        assert_eq!(status(&auth, presented).await, answer);
    }
    keys.revoke(key.record.id).await.expect("revoked");
    assert_eq!(status(&auth, key.key.expose()).await, 401);
    auth.close().await;
    assert_eq!(store.calls(), [[]; 0]);
}

#[tokio::test]
async fn a_use_changes_nothing_else() {
    let store = Told::new();
    let auth = store.builder().build().expect("a configuration");
    let key = issue(&auth, 1).await.remove(0);
    let log = store.log_head().await.expect("an answer");
    assert_eq!(status(&auth, key.key.expose()).await, 200);
    auth.close().await;
    let kept = store
        .get(key.record.id)
        .await
        .expect("an answer")
        .expect("the key")
        .record;
    let last_used_at = kept.last_used_at;
    assert!(last_used_at.is_some());
    let mut expected = key.record;
    expected.last_used_at = last_used_at;
    assert_eq!(kept, expected);
    assert_eq!(store.log_head().await.expect("an answer"), log);
}

#[tokio::test]
async fn when_nobody_uses_keys_any_more_the_rest_is_written_and_the_task_ends() {
    let store = Told::new();
    let auth = store.builder().build().expect("a configuration");
    let key = issue(&auth, 1).await.remove(0);
    let service = auth.clone().layer(Empty);
    assert_eq!(status(&auth, key.key.expose()).await, 200);
    drop(auth);
    tokio::task::yield_now().await;
    assert_eq!(store.calls(), [[]; 0], "there is a service still");
    drop(service);
    // Whoever holds the store holds its memory.
    while Arc::strong_count(&store.calls) > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.calls(), [[key.record.id]]);
}

#[test]
fn a_runtime_that_ends_takes_no_use_along() {
    let store = Told::new();
    let auth = store.builder().build().expect("a configuration");
    let runtime = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime")
    };
    let keys = runtime().block_on(issue(&auth, 2));
    for key in &keys {
        assert_eq!(runtime().block_on(status(&auth, key.key.expose())), 200);
    }
    // Known by now, so that it needs no runtime, and gets none.
    hit(&mut auth.layer(Empty), request(keys[0].key.expose()));
    runtime().block_on(auth.close());
    assert_eq!(store.calls().concat().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn it_can_be_switched_off_and_after_the_close_nothing_runs() {
    let store = Told::new();
    let off = store.builder().last_used_every(Duration::ZERO).build();
    let off = off.expect("a configuration");
    let auth = store.builder().last_used_every(Duration::from_nanos(1)).build();
    let auth = auth.expect("a configuration");
    let key = issue(&off, 1).await.remove(0);
    assert_eq!(status(&off, key.key.expose()).await, 200);
    tokio::time::sleep(AN_HOUR).await;
    off.close().await;
    assert_eq!(store.calls(), [[]; 0]);

    assert_eq!(status(&auth, key.key.expose()).await, 200);
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(store.calls(), [[]; 0], "a second is the least");
    for _ in 0..2 {
        auth.close().await;
    }
    assert_eq!(store.calls(), [[key.record.id]]);
    store.clock.advance(Duration::from_secs(1));
    assert_eq!(status(&auth, key.key.expose()).await, 200);
    tokio::time::sleep(AN_HOUR).await;
    assert_eq!(store.calls(), [[]; 0]);
    auth.close().await;
    assert_eq!(store.calls(), [[key.record.id]]);
}
