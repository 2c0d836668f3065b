//! Keys of other systems: which texts are looked up at all, how often, and what everybody else is answered.

#[macro_use]
#[path = "support/passed_on.rs"]
mod passed_on;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::sync::watch;
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::{
    ApiKeyAuth, Builder,
    clock::ManualClock,
    event::{Feed, FeedSink},
    key::{CheckKey, KeyDigest, KeyFormat},
    manage::{ImportOutcome, ImportedKey, Keys, NewKey},
    middleware::ClientAddress,
    store::{KeyQuery, KeyStore, MemoryStore, StoreError, StoreErrorKind, StoredKey},
};

/// Counts what it is asked, can fail, and can hold back the answer whether there are imported keys.
#[derive(Debug, Clone)]
struct Counting {
    store: MemoryStore,
    finds: Arc<AtomicUsize>,
    questions: Arc<AtomicUsize>,
    down: Arc<AtomicBool>,
    open: Arc<watch::Sender<bool>>,
    /// Who hears of changes; `None` where nobody does.
    hearer: Option<Arc<watch::Sender<Option<FeedSink>>>>,
}

impl Counting {
    fn finds(&self) -> usize {
        self.finds.load(Ordering::Relaxed)
    }

    fn questions(&self) -> usize {
        self.questions.load(Ordering::Relaxed)
    }

    fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
    }

    fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }

    async fn until_asked(&self, times: usize) {
        while self.questions() < times {
            tokio::task::yield_now().await;
        }
    }
}

impl KeyStore for Counting {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<StoredKey>, StoreError> {
        self.finds.fetch_add(1, Ordering::Relaxed);
        self.store.find(digest).await
    }

    async fn has_imported(&self) -> Result<bool, StoreError> {
        let answer = self.store.has_imported().await;
        self.questions.fetch_add(1, Ordering::Relaxed);
        let mut open = self.open.subscribe();
        open.wait_for(|open| *open).await.expect("the gate");
        match self.down.load(Ordering::Relaxed) {
            true => Err(StoreError::new(StoreErrorKind::Unavailable, "it is down")),
            false => answer,
        }
    }

    fn feed(&self) -> Option<Feed> {
        let hearer = self.hearer.clone()?;
        Some(Feed::new(move |sink| async move {
            hearer.send_replace(Some(sink));
            std::future::pending().await
        }))
    }

    passed_on!(store: get, transact, list, events, log_after, log_head, expired_before, is_empty, ping, spend, give_back, credits, check_key);
}

/// Everything of an answer that a caller sees.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

#[derive(Clone)]
struct Bench {
    auth: ApiKeyAuth,
    store: Counting,
    clock: ManualClock,
}

impl Bench {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(setup: impl FnOnce(Builder) -> Builder) -> Self {
        Self::of(setup, None)
    }

    /// Where changes are told.
    fn told() -> (Self, watch::Receiver<Option<FeedSink>>) {
        let (hearer, heard) = watch::channel(None);
        (Self::of(|builder| builder, Some(Arc::new(hearer))), heard)
    }

    fn of(
        setup: impl FnOnce(Builder) -> Builder,
        hearer: Option<Arc<watch::Sender<Option<FeedSink>>>>,
    ) -> Self {
        let clock = ManualClock::default();
        let store = Counting {
            store: MemoryStore::with_clock(clock.clone()).expect("a store"),
            finds: Arc::default(),
            questions: Arc::default(),
            down: Arc::default(),
            open: Arc::new(watch::Sender::new(true)),
            hearer,
        };
        let builder = ApiKeyAuth::builder(store.clone()).clock(clock.clone());
        let auth = setup(builder).build().expect("a configuration");
        Self { auth, store, clock }
    }

    fn keys(&self) -> &Keys {
        self.auth.keys().expect("there is a store")
    }

    async fn import(&self, key: &str) {
        import(self.keys(), key).await;
    }

    async fn ask(&self, key: &str) -> Answer {
        let request = Request::get("/").header("X-Key", key).body(String::new());
        self.send(request.expect("a request")).await
    }

    async fn send(&self, request: Request<String>) -> Answer {
        let Ok(response) = self.auth.layer(service_fn(answer)).oneshot(request).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        Answer {
            status: parts.status.as_u16(),
            head: format!("{:?}", parts.headers),
            body: body.to_vec(),
        }
    }

    async fn status(&self, key: &str) -> u16 {
        self.ask(key).await.status
    }

    /// As [`Self::status`], of somebody at this address.
    async fn status_at(&self, address: &str, key: &str) -> u16 {
        let client = ClientAddress(address.parse().expect("an address"));
        let request = Request::get("/").header("X-Key", key).extension(client);
        self.send(request.body(String::new()).expect("a request"))
            .await
            .status
    }
}

async fn answer(_: Request<String>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::default())
}

async fn import(keys: &Keys, key: &str) {
    let digest = KeyDigest::of(key.as_bytes());
    let imported = keys
        .import(vec![ImportedKey::new(digest, NewKey::new("alice"))])
        .await;
    assert!(matches!(
        imported.expect("imported")[..],
        [ImportOutcome::Imported(_)]
    ));
}

const LEGACY: &str = "gak_0123456789abcdef";

#[tokio::test]
async fn a_key_that_was_minted_under_another_prefix_is_not_let_in_because_others_were_imported() {
    let bench = Bench::new();
    let other = ApiKeyAuth::builder(bench.store.clone())
        .prefix("ak_org")
        .clock(bench.clock.clone());
    let other = other.build().expect("a configuration");
    bench.import("an-imported-key").await;
    let new = NewKey::new("alice");
    let minted = other
        .keys()
        .expect("there is a store")
        .issue(new)
        .await
        .expect("a key");
    let mine = bench.keys().issue(NewKey::new("alice")).await.expect("a key");
    let foreign = minted.key.expose();
    assert_eq!(
        (bench.status(foreign).await, bench.status(foreign).await),
        (401, 401)
    );
    assert_eq!(bench.status(mine.key.expose()).await, 200);
    assert_eq!(bench.status("an-imported-key").await, 200);
    let other = Bench { auth: other, ..bench };
    assert_eq!(
        (other.status(foreign).await, other.status(mine.key.expose()).await),
        (200, 401)
    );
}

#[tokio::test]
async fn where_nothing_was_imported_a_foreign_text_costs_one_question_a_second_and_no_look_up() {
    let bench = Bench::new();
    let format = KeyFormat::new("ak", &CheckKey::from_bytes(&[9; 32])).expect("a prefix");
    let elsewhere = format.generate().expect("random numbers");
    let refused = bench.ask(elsewhere.expose()).await;
    assert_eq!((refused.status, bench.store.questions()), (401, 0));
    for second in 1..4 {
        for i in 0..500 {
            assert_eq!(bench.ask(&format!("foreign-{i}")).await, refused);
        }
        assert_eq!((bench.store.questions(), bench.store.finds()), (second, 0));
        bench.clock.advance(Duration::from_millis(999));
        assert_eq!(bench.ask(LEGACY).await, refused);
        assert_eq!(bench.store.questions(), second, "it is remembered for a second");
        bench.clock.advance(Duration::from_millis(1));
    }
}

#[tokio::test]
async fn many_at_once_wait_for_one_question() {
    let bench = Bench::new();
    bench.store.set_open(false);
    let asking: Vec<_> = (0..500)
        .map(|i| {
            let bench = bench.clone();
            tokio::spawn(async move { bench.status(&format!("foreign-{i}")).await })
        })
        .collect();
    bench.store.until_asked(1).await;
    // A key of our own does not wait for it.
    let issued = bench.keys().issue(NewKey::new("bob")).await.expect("a key");
    assert_eq!(bench.status(issued.key.expose()).await, 200);
    bench.store.set_open(true);
    for asked in asking {
        assert_eq!(asked.await.expect("an answer"), 401);
    }
    assert_eq!((bench.store.questions(), bench.store.finds()), (1, 1));
}

#[tokio::test]
async fn an_import_by_this_process_counts_at_once() {
    let bench = Bench::new();
    assert_eq!(bench.status(LEGACY).await, 401);
    bench.import(LEGACY).await;
    assert_eq!((bench.status(LEGACY).await, bench.store.finds()), (200, 1));
    assert_eq!(
        (bench.status(LEGACY).await, bench.store.finds()),
        (200, 1),
        "a hit"
    );
    assert_eq!(bench.store.questions(), 1);
}

#[tokio::test]
async fn an_import_during_the_question_is_not_forgotten() {
    let bench = Bench::new();
    bench.store.set_open(false);
    let asking = tokio::spawn({
        let bench = bench.clone();
        async move { bench.status(LEGACY).await }
    });
    // The store has read that there are none, and has not said so yet.
    bench.store.until_asked(1).await;
    bench.import(LEGACY).await;
    bench.store.set_open(true);
    assert_eq!(asking.await.expect("an answer"), 200);
    bench.import("another").await;
    assert_eq!(bench.status("another").await, 200);
    assert_eq!(bench.store.questions(), 1);
}

#[tokio::test]
async fn an_import_by_another_process_is_noticed_within_a_second() {
    let bench = Bench::new();
    assert_eq!(bench.status(LEGACY).await, 401);
    let other = ApiKeyAuth::builder(bench.store.store.clone())
        .build()
        .expect("a configuration");
    import(other.keys().expect("there is a store"), LEGACY).await;
    bench.clock.advance(Duration::from_millis(999));
    assert_eq!(bench.status(LEGACY).await, 401);
    bench.clock.advance(Duration::from_millis(1));
    assert_eq!(bench.status(LEGACY).await, 200);
}

#[tokio::test]
async fn an_import_by_another_process_that_is_told_counts_at_once() {
    let (bench, mut heard) = Bench::told();
    assert_eq!(bench.status(LEGACY).await, 401);
    let heard = heard.wait_for(Option::is_some).await.expect("it runs").clone();
    let sink = heard.expect("somebody hears");
    let other = ApiKeyAuth::builder(bench.store.store.clone()).build();
    let other = other.expect("a configuration");
    let elsewhere = other.keys().expect("there is a store");

    sink.changed_all();
    assert_eq!(bench.status(LEGACY).await, 401);
    assert_eq!(bench.store.questions(), 2);

    // The store has read that there are none, and has not said so yet.
    sink.changed_all();
    bench.store.set_open(false);
    let asking = tokio::spawn({
        let bench = bench.clone();
        async move { bench.status(LEGACY).await }
    });
    bench.store.until_asked(3).await;
    import(elsewhere, LEGACY).await;
    sink.changed(&KeyDigest::of(LEGACY.as_bytes()));
    bench.store.set_open(true);
    assert_eq!(asking.await.expect("an answer"), 200);
    assert_eq!(bench.status(LEGACY).await, 200);
    assert_eq!(
        bench.store.questions(),
        4,
        "what was said while something changed is asked again"
    );

    // That there are some is not forgotten when something changes.
    sink.changed(&KeyDigest::of(b"anything"));
    assert_eq!(bench.status(LEGACY).await, 200);
    assert_eq!(bench.store.questions(), 4);
}

#[tokio::test]
async fn guesses_have_a_budget_which_costs_nobody_else_anything() {
    let bench = Bench::with(|builder| builder.imported_lookups_per_address(1000));
    bench.import(LEGACY).await;
    bench.import("another").await;
    let issued = bench.keys().issue(NewKey::new("bob")).await.expect("a key");
    assert_eq!(bench.status(LEGACY).await, 200);
    for i in 1..200 {
        assert_eq!(bench.status(&format!("guess-{i}")).await, 401);
    }
    assert_eq!(bench.store.finds(), 200);

    // An imported key that was not looked up before gets no 401, for nobody knows.
    let spent = bench.ask("another").await;
    assert_eq!(spent.status, 503);
    assert!(spent.head.contains("retry-after"), "{}", spent.head);
    let body = String::from_utf8(spent.body).expect("text");
    assert!(body.contains("auth-unavailable"), "{body}");
    assert_eq!(bench.store.finds(), 200);
    // What is known already is answered, and so is what has a check in its text.
    assert_eq!(bench.status(LEGACY).await, 200);
    assert_eq!(bench.status("guess-1").await, 401);
    assert_eq!(bench.status(issued.key.expose()).await, 200);
    assert_eq!(bench.store.finds(), 201);

    bench.clock.advance(Duration::from_millis(5));
    assert_eq!(bench.status("another").await, 200);
    assert_eq!(bench.status("guess-200").await, 503);
}

#[tokio::test]
async fn the_budget_can_be_set() {
    let bench = Bench::with(|builder| builder.imported_lookups(2));
    bench.import(LEGACY).await;
    for (guess, status) in [("a", 401), ("b", 401), ("c", 503)] {
        assert_eq!(bench.status(guess).await, status);
    }
    let none = Bench::with(|builder| builder.imported_lookups(0));
    none.import(LEGACY).await;
    assert_eq!((none.status(LEGACY).await, none.store.finds()), (503, 0));
}

#[tokio::test]
async fn an_address_that_guesses_uses_up_its_own_share_and_no_more() {
    let bench = Bench::new();
    for key in [LEGACY, "another", "third"] {
        bench.import(key).await;
    }
    // Whoever waits for the answer whether there are such keys at all is counted, too.
    assert_eq!(bench.status_at("192.0.2.1", LEGACY).await, 200);
    let guess = async |address: &str, count: u32| {
        let mut looked_up = 0;
        for i in 0..count {
            let status = bench.status_at(address, &format!("{address}-{i}")).await;
            assert!([401, 503].contains(&status), "{status}");
            looked_up += u32::from(status == 401);
        }
        looked_up
    };
    assert_eq!(guess("192.0.2.1", 100).await, 19);
    assert_eq!(bench.store.finds(), 20);
    // It is nobody's fault but its own; what is known is answered, and others have their share.
    assert_eq!(bench.status_at("192.0.2.1", "another").await, 503);
    assert_eq!(bench.status_at("192.0.2.1", LEGACY).await, 200);
    assert_eq!(bench.status_at("192.0.2.2", "another").await, 200);
    assert_eq!(bench.status_at("192.0.2.1", "another").await, 200);
    // A /64 is one, and so are all whose address is not known.
    assert_eq!(guess("2001:db8::1", 10).await, 10);
    assert_eq!(guess("2001:db8::2", 100).await, 10);
    for i in 0..20 {
        assert_eq!(bench.status(&format!("from-nowhere-{i}")).await, 401);
    }
    assert_eq!(bench.status("from-nowhere").await, 503);
    bench.clock.advance(Duration::from_millis(50));
    assert_eq!(bench.status_at("192.0.2.1", "one-more").await, 401);
    assert_eq!(bench.status_at("192.0.2.1", "and-another").await, 503);
    bench.clock.advance(Duration::from_millis(950));
    // All together have theirs.
    let mut all = 0;
    for host in 10..30 {
        all += guess(&format!("192.0.2.{host}"), 100).await;
    }
    assert_eq!(all, 200);
    assert_eq!(bench.status_at("192.0.2.99", "third").await, 503);
}

#[tokio::test]
async fn the_share_of_an_address_can_be_set() {
    let bench = Bench::with(|builder| builder.imported_lookups_per_address(2));
    bench.import(LEGACY).await;
    for (guess, status) in [("a", 401), ("b", 401), ("c", 503)] {
        assert_eq!(bench.status_at("192.0.2.1", guess).await, status);
    }
    assert_eq!(bench.status_at("192.0.2.2", "c").await, 401);
    let none = Bench::with(|builder| builder.imported_lookups_per_address(0));
    none.import(LEGACY).await;
    assert_eq!(
        (none.status_at("192.0.2.1", LEGACY).await, none.store.finds()),
        (503, 0)
    );
}

#[tokio::test]
async fn a_text_of_our_own_shape_still_needs_its_check() {
    let bench = Bench::new();
    let ours = KeyFormat::new("ak", &bench.store.check_key()).expect("a prefix");
    let ours = ours.generate().expect("random numbers");
    let mistyped = format!("{}{}", &ours.expose()[..51], "#");
    bench.import(ours.expose()).await;
    bench.import(&mistyped).await;
    assert_eq!(bench.status(&mistyped).await, 401);
    assert_eq!(bench.store.finds(), 0);
    assert_eq!(bench.status(ours.expose()).await, 200);
}

#[tokio::test]
async fn a_store_that_cannot_say_is_an_outage_and_not_remembered() {
    let bench = Bench::new();
    bench.import(LEGACY).await;
    bench.clock.advance(Duration::from_secs(2));
    bench.store.set_down(true);
    bench.store.set_open(false);
    let asking: Vec<_> = (0..50)
        .map(|i| {
            let bench = bench.clone();
            tokio::spawn(async move { bench.status(&format!("foreign-{i}")).await })
        })
        .collect();
    bench.store.until_asked(1).await;
    bench.store.set_open(true);
    for asked in asking {
        assert_eq!(asked.await.expect("an answer"), 503);
    }
    assert!(bench.store.questions() <= 2, "all of them waited for one answer");
    bench.store.set_down(false);
    assert_eq!(bench.status(LEGACY).await, 200);
}

#[tokio::test]
async fn a_key_that_was_imported_can_be_revoked() {
    let bench = Bench::new();
    bench.import(LEGACY).await;
    assert_eq!(bench.status(LEGACY).await, 200);
    let page = bench.keys().list(&KeyQuery::newest(1)).await.expect("a page");
    bench.keys().revoke(page.keys[0].id).await.expect("revoked");
    let refused = bench.ask(LEGACY).await;
    assert_eq!(refused.status, 401);
    let body = String::from_utf8(refused.body).expect("text");
    assert!(body.contains("key-revoked"), "{body}");
}
