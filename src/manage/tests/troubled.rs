//! A key of somebody else and one that is not there, to a store that counts what it is asked and may be in trouble.

use std::{
    future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::callers::{by, record_of};
use crate::{
    ApiKeyAuth,
    event::{ChainHead, Feed, KeyEventKind, LoggedEvent, Receipt},
    key::{CheckKey, KeyDigest, KeyId},
    manage::{CallerKeys, DEFAULT_OVERLAP, KeyChange, Keys, ManageErrorKind},
    store::{
        Decide, EventQuery, KeyPage, KeyQuery, KeyStore, MemoryStore, Reads, StoreError, StoreErrorKind,
        StoredKey,
    },
};

#[derive(Debug, Clone)]
pub(super) struct Troubled {
    inner: Arc<MemoryStore>,
    pub(super) calls: Arc<Mutex<Vec<&'static str>>>,
    /// Whether changes fail.
    trouble: Arc<AtomicBool>,
    /// Whether they get through.
    pub(super) open: Arc<watch::Sender<bool>>,
    /// Whether it cannot say who has heard of a change.
    pub(super) deaf: Arc<AtomicBool>,
    tells: bool,
}

impl Troubled {
    pub(super) fn new() -> Self {
        Self {
            inner: Arc::new(MemoryStore::new().expect("a store")),
            calls: Arc::default(),
            trouble: Arc::default(),
            open: Arc::new(watch::Sender::new(true)),
            deaf: Arc::default(),
            tells: false,
        }
    }

    pub(super) fn telling(tells: bool) -> Self {
        Self { tells, ..Self::new() }
    }

    fn called(&self, name: &'static str) -> &MemoryStore {
        self.calls.lock().push(name);
        &self.inner
    }
}

impl KeyStore for Troubled {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<StoredKey>, StoreError> {
        self.called("find").find(digest).await
    }

    async fn get(&self, id: KeyId) -> Result<Option<StoredKey>, StoreError> {
        self.called("get").get(id).await
    }

    async fn transact(&self, reads: Reads, decide: Decide) -> Result<(), StoreError> {
        let inner = self.called("transact");
        let mut open = self.open.subscribe();
        open.wait_for(|open| *open).await.expect("it is there");
        match self.trouble.load(Ordering::Relaxed) {
            true => Err(StoreError::new(StoreErrorKind::Unavailable, "no change today")),
            false => inner.transact(reads, decide).await,
        }
    }

    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        self.called("list").list(query).await
    }

    async fn events(&self, query: &EventQuery) -> Result<Vec<LoggedEvent>, StoreError> {
        self.called("events").events(query).await
    }

    async fn log_after(&self, seq: i64, limit: u32) -> Result<Vec<LoggedEvent>, StoreError> {
        self.called("log_after").log_after(seq, limit).await
    }

    async fn log_head(&self) -> Result<ChainHead, StoreError> {
        self.called("log_head").log_head().await
    }

    async fn expired_before(&self, moment: SystemTime, limit: u32) -> Result<Vec<KeyId>, StoreError> {
        self.called("expired_before").expired_before(moment, limit).await
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        self.called("is_empty").is_empty().await
    }

    async fn has_imported(&self) -> Result<bool, StoreError> {
        self.called("has_imported").has_imported().await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.called("ping").ping().await
    }

    fn feed(&self) -> Option<Feed> {
        self.tells.then(|| Feed::new(|_| future::pending()))
    }

    async fn everywhere(&self, lease: Duration) -> Result<Option<Receipt>, StoreError> {
        let inner = self.called("everywhere");
        match self.deaf.load(Ordering::Relaxed) {
            true => Err(StoreError::new(StoreErrorKind::Unavailable, "no word today")),
            false => inner.everywhere(lease).await,
        }
    }

    fn check_key(&self) -> CheckKey {
        self.inner.check_key()
    }
}

pub(super) fn keys(store: &Troubled) -> Keys {
    let auth = ApiKeyAuth::builder(store.clone())
        .build()
        .expect("a configuration");
    auth.keys().expect("there is a store").clone()
}

/// How each verb about a key is refused, and what the store was asked meanwhile.
async fn refusals(
    store: &Troubled,
    caller: &CallerKeys,
    id: KeyId,
) -> Vec<(ManageErrorKind, Vec<&'static str>)> {
    let mut told = Vec::new();
    store.calls.lock().clear();
    let mut note = |kind| told.push((kind, std::mem::take(&mut *store.calls.lock())));
    note(caller.get(id).await.expect_err("read").kind());
    note(caller.events(id, None, 10).await.expect_err("events").kind());
    let renamed = KeyChange::new().name("mine");
    note(caller.change(id, renamed).await.expect_err("changed").kind());
    note(
        caller
            .rotate(id, DEFAULT_OVERLAP)
            .await
            .expect_err("rotated")
            .kind(),
    );
    note(caller.revoke(id).await.expect_err("revoked").kind());
    told
}

#[tokio::test]
async fn a_key_of_another_takes_as_many_steps_as_one_that_is_not_there_also_in_trouble() {
    let store = Troubled::new();
    let keys = keys(&store);
    let scopes = ["keys:read", "keys:write"];
    let (alice, bob) = (
        record_of(&keys, "alice", &scopes).await,
        record_of(&keys, "bob", &scopes).await,
    );
    let caller = by(&keys, &alice);
    for trouble in [false, true] {
        store.trouble.store(trouble, Ordering::Relaxed);
        let foreign = refusals(&store, &caller, bob.id).await;
        assert_eq!(
            foreign,
            refusals(&store, &caller, KeyId::generate()).await,
            "{trouble}"
        );
        let expected = match trouble {
            false => ManageErrorKind::NotFound,
            true => ManageErrorKind::Unavailable,
        };
        assert_eq!(
            foreign[2..].iter().filter(|(kind, _)| *kind == expected).count(),
            3
        );
    }
}

#[tokio::test]
async fn what_was_refused_names_the_key_it_was_about_and_is_told_to_whoever_asked() {
    let store = Troubled::new();
    let keys = keys(&store);
    let (alice, bob) = (
        record_of(&keys, "alice", &["keys:read", "keys:write"]).await,
        record_of(&keys, "bob", &["keys:read"]).await,
    );
    let (by_alice, by_bob) = (by(&keys, &alice), by(&keys, &bob));
    by_alice.revoke(bob.id).await.expect_err("bob's");
    by_alice.revoke(KeyId::generate()).await.expect_err("nobody's");
    by_bob
        .rotate(bob.id, DEFAULT_OVERLAP)
        .await
        .expect_err("no right");
    by_bob
        .rotate(KeyId::generate(), DEFAULT_OVERLAP)
        .await
        .expect_err("no right");

    let events = keys.events(&EventQuery::newest(100)).await.expect("events");
    let refused = events
        .iter()
        .filter(|logged| logged.event.kind == KeyEventKind::Refused);
    let told: Vec<_> = refused
        .map(|LoggedEvent { event, .. }| (event.owner.as_str(), event.key_id, event.reason.as_deref()))
        .collect();
    let expected = [
        ("bob", None, Some("rotate: insufficient-scope")),
        ("bob", Some(bob.id), Some("rotate: insufficient-scope")),
        ("alice", None, Some("revoke: not-found")),
        ("alice", Some(bob.id), Some("revoke: not-found")),
    ];
    assert_eq!(told, expected);
    // Bob sees what he tried on his key himself, and not what others fill his log with.
    let seen = by_bob.events(bob.id, None, 10).await.expect("events");
    let seen: Vec<_> = seen.iter().map(|logged| logged.event.reason.as_deref()).collect();
    assert_eq!(seen, [Some("rotate: insufficient-scope"), None]);
    assert!(keys.verify_log().await.expect("an answer").is_ok());
}
