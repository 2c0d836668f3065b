use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Outcome;

/// A look-up under way, and those who wait for it.
pub(super) struct Flight<V> {
    pub(super) generation: u64,
    pub(super) epoch: u64,
    waiting: Mutex<Vec<oneshot::Sender<Outcome<V>>>>,
}

impl<V: Clone> Flight<V> {
    pub(super) fn new(generation: u64, epoch: u64, first: oneshot::Sender<Outcome<V>>) -> Self {
        Self {
            generation,
            epoch,
            waiting: Mutex::new(vec![first]),
        }
    }

    /// Only while the flight is in its shard's table, under the shard's lock: so nobody joins one that has answered.
    pub(super) fn join(&self, wake: oneshot::Sender<Outcome<V>>) {
        self.waiting.lock().push(wake);
    }

    pub(super) fn answer(&self, outcome: &Outcome<V>) {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        for wake in waiting {
            // Whoever has gone away needs no answer.
            let _gone = wake.send(outcome.clone());
        }
    }
}
