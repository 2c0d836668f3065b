use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Outcome;

/// A look-up under way, and those who wait for it.
pub(super) struct Flight<V> {
    pub(super) generation: u64,
    pub(super) epoch: u64,
    /// By the cache's clock.
    pub(super) began: Duration,
    /// Whether it takes up room: confirming has room of its own.
    pub(super) counted: bool,
    /// Whether the store has been asked, and may have answered. Written and read under the shard's lock.
    departed: AtomicBool,
    waiting: Mutex<Vec<oneshot::Sender<Outcome<V>>>>,
}

impl<V: Clone> Flight<V> {
    /// One that nobody waits for yet is for confirming.
    pub(super) fn new(
        generation: u64,
        epoch: u64,
        began: Duration,
        first: Option<oneshot::Sender<Outcome<V>>>,
    ) -> Self {
        Self {
            generation,
            epoch,
            began,
            counted: first.is_some(),
            departed: AtomicBool::new(false),
            waiting: Mutex::new(Vec::from_iter(first)),
        }
    }

    pub(super) fn depart(&self) {
        self.departed.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_departed(&self) -> bool {
        self.departed.load(Ordering::Relaxed)
    }

    /// Only while the flight is in its shard's table, under the shard's lock: so nobody joins one that has answered.
    pub(super) fn join(&self, wake: oneshot::Sender<Outcome<V>>) {
        self.waiting.lock().push(wake);
    }

    /// Under the shard's lock, as [`Flight::join`].
    pub(super) fn is_awaited(&self) -> bool {
        !self.waiting.lock().is_empty()
    }

    pub(super) fn answer(&self, outcome: &Outcome<V>) {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        for wake in waiting {
            // Whoever has gone away needs no answer.
            let _gone = wake.send(outcome.clone());
        }
    }
}
