use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, task::yield_now, time::sleep};
use tower_api_key::{
    key::KeyDigest,
    store::{Decide, KeyStore, Reads, SqliteStore, StoreError, StoredKey},
};

use crate::random;

/// A store that counts its reads, and can be made slow where it matters. Clones share all of it.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    inner: SqliteStore,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    reads: AtomicUsize,
    /// Between reading and answering.
    after_read: Gate,
    /// Between committing a change and answering.
    after_commit: Gate,
    /// The longest that a read takes to answer, in microseconds.
    delay: AtomicU64,
}

/// A place at which to stop while it is closed.
#[derive(Debug)]
pub(crate) struct Gate {
    open: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

impl Gate {
    fn new() -> Self {
        Self {
            open: watch::Sender::new(true),
            waiting: watch::Sender::new(0),
        }
    }

    pub(crate) fn close(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }

    /// Waits until somebody stands at it.
    pub(crate) async fn reached(&self) {
        let mut waiting = self.waiting.subscribe();
        waiting.wait_for(|waiting| *waiting > 0).await.expect("a gate");
    }

    /// Waits until nobody stands at it.
    pub(crate) async fn passed(&self) {
        let mut waiting = self.waiting.subscribe();
        waiting.wait_for(|waiting| *waiting == 0).await.expect("a gate");
    }

    async fn pass(&self) {
        let mut open = self.open.subscribe();
        self.waiting.send_modify(|waiting| *waiting += 1);
        open.wait_for(|open| *open).await.expect("a gate");
        self.waiting.send_modify(|waiting| *waiting -= 1);
    }
}

impl Watched {
    pub(crate) fn new(inner: SqliteStore) -> Self {
        let state = Arc::new(State {
            reads: AtomicUsize::new(0),
            after_read: Gate::new(),
            after_commit: Gate::new(),
            delay: AtomicU64::new(0),
        });
        Self { inner, state }
    }

    /// How many look-ups it was asked for.
    pub(crate) fn reads(&self) -> usize {
        self.state.reads.load(Ordering::SeqCst)
    }

    pub(crate) fn after_read(&self) -> &Gate {
        &self.state.after_read
    }

    pub(crate) fn after_commit(&self) -> &Gate {
        &self.state.after_commit
    }

    /// From now on what was read is answered after a random time up to this.
    pub(crate) fn delay(&self, longest: Duration) {
        self.state
            .delay
            .store(longest.as_micros() as u64, Ordering::SeqCst);
    }
}

impl KeyStore for Watched {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<StoredKey>, StoreError> {
        self.state.reads.fetch_add(1, Ordering::SeqCst);
        let found = self.inner.find(digest).await;
        let longest = self.state.delay.load(Ordering::SeqCst);
        if longest > 0 {
            sleep(Duration::from_micros(random::below(longest))).await;
        }
        self.state.after_read.pass().await;
        found
    }

    async fn transact(&self, reads: Reads, decide: Decide) -> Result<(), StoreError> {
        let done = self.inner.transact(reads, decide).await;
        self.state.after_commit.pass().await;
        // Whoever was let go at the same gate may get ahead.
        for _ in 0..random::below(4) {
            yield_now().await;
        }
        done
    }

    passed_on!(inner: get, list, events, log_after, log_head, expired_before, is_empty, has_imported, ping, spend, give_back, credits, check_key);
}
