use std::{
    collections::HashMap,
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use parking_lot::Mutex;
use tokio::{sync::oneshot, time::timeout};

use super::PATIENCE;
use crate::{
    clock::{Clock, ManualClock},
    event::{ChainHead, LoggedEvent},
    key::{CheckKey, KeyDigest, KeyId, KeyRecord},
    store::{
        Decide, EventQuery, KeyPage, KeyQuery, KeyStore, Reads, StoreError, StoreErrorKind, StoredKey, View,
    },
};

/// Where a store can be told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Point {
    BeforeRead,
    /// It has read, and has not answered.
    AfterRead,
    BeforeCommit,
    /// It has committed, and has not answered.
    AfterCommit,
}

/// A store in memory whose reads and writes stop at gates. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Scripted(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rows: Mutex<HashMap<KeyDigest, KeyRecord>>,
    /// What reads answer in place of what is there, as a replica that lags does.
    lagging: Mutex<HashMap<KeyDigest, Option<KeyRecord>>>,
    gates: Mutex<Vec<(Point, Gate)>>,
    reads: AtomicUsize,
    clock: ManualClock,
}

#[derive(Debug)]
struct Gate {
    arrived: oneshot::Sender<()>,
    order: oneshot::Receiver<Order>,
}

#[derive(Debug)]
enum Order {
    GoOn,
    Fail(StoreErrorKind),
    Panic,
}

/// The test's side of a gate, which is for whoever comes first. Dropped, it lets that one pass.
#[derive(Debug)]
#[must_use]
pub(super) struct Held {
    arrived: oneshot::Receiver<()>,
    order: oneshot::Sender<Order>,
}

impl Held {
    /// Waits until somebody stands at the gate.
    pub(super) async fn reached(&mut self) {
        let arrival = timeout(PATIENCE, &mut self.arrived).await;
        arrival
            .expect("somebody comes to the gate")
            .expect("the store is there");
    }

    pub(super) fn go_on(self) {
        self.tell(Order::GoOn);
    }

    pub(super) fn fail(self, kind: StoreErrorKind) {
        self.tell(Order::Fail(kind));
    }

    pub(super) fn panic(self) {
        self.tell(Order::Panic);
    }

    fn tell(self, order: Order) {
        // Whoever stands there may have been cancelled; what comes of that is for the test to see.
        let _cancelled = self.order.send(order);
    }
}

impl Scripted {
    pub(super) fn new(clock: ManualClock) -> Self {
        Self(Arc::new(Inner {
            rows: Mutex::default(),
            lagging: Mutex::default(),
            gates: Mutex::default(),
            reads: AtomicUsize::new(0),
            clock,
        }))
    }

    /// The next to come to this point stops there.
    pub(super) fn hold(&self, point: Point) -> Held {
        let ((arrived, arrival), (order, orders)) = (oneshot::channel(), oneshot::channel());
        let gate = Gate {
            arrived,
            order: orders,
        };
        self.0.gates.lock().push((point, gate));
        Held {
            arrived: arrival,
            order,
        }
    }

    /// How many look-ups were begun.
    pub(super) fn reads(&self) -> usize {
        self.0.reads.load(Ordering::Relaxed)
    }

    pub(super) fn row(&self, digest: &KeyDigest) -> Option<KeyRecord> {
        self.0.rows.lock().get(digest).cloned()
    }

    /// From now on reads of this key answer what they would now.
    pub(super) fn lag(&self, digest: &KeyDigest) {
        self.0.lagging.lock().insert(*digest, self.row(digest));
    }

    /// Changes a row at once, as another process does.
    pub(super) fn edit(&self, digest: &KeyDigest, edit: impl FnOnce(&mut KeyRecord)) {
        edit(self.0.rows.lock().get_mut(digest).expect("a row"));
    }

    pub(super) fn put(&self, record: KeyRecord) {
        self.0.rows.lock().insert(record.digest, record);
    }

    pub(super) fn remove(&self, digest: &KeyDigest) {
        self.0.rows.lock().remove(digest);
    }

    /// One transaction, with its gates.
    pub(super) async fn write<T>(&self, transaction: impl FnOnce(&Self) -> T) -> Result<T, StoreError> {
        self.pass(Point::BeforeCommit).await?;
        let committed = transaction(self);
        self.pass(Point::AfterCommit).await?;
        Ok(committed)
    }

    pub(super) async fn pass(&self, point: Point) -> Result<(), StoreError> {
        let gate = {
            let mut gates = self.0.gates.lock();
            let first = gates.iter().position(|(at, _)| *at == point);
            first.map(|first| gates.remove(first).1)
        };
        let Some(gate) = gate else {
            return Ok(());
        };
        // A test that does not wait for the arrival has dropped nothing that matters.
        let _unwatched = gate.arrived.send(());
        match gate.order.await {
            Ok(Order::GoOn) | Err(_) => Ok(()),
            Ok(Order::Fail(kind)) => Err(StoreError::new(kind, "scripted")),
            // Without the hook, which would print a backtrace.
            Ok(Order::Panic) => resume_unwind(Box::new("scripted")),
        }
    }
}

impl KeyStore for Scripted {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<StoredKey>, StoreError> {
        self.0.reads.fetch_add(1, Ordering::Relaxed);
        self.pass(Point::BeforeRead).await?;
        let now = self.0.clock.now();
        let lagging = self.0.lagging.lock().get(digest).cloned();
        let row = lagging.unwrap_or_else(|| self.row(digest));
        self.pass(Point::AfterRead).await?;
        Ok(row.map(|record| StoredKey::new(record, now)))
    }

    async fn find_many(&self, digests: &[KeyDigest]) -> Result<Vec<StoredKey>, StoreError> {
        self.0.reads.fetch_add(1, Ordering::Relaxed);
        self.pass(Point::BeforeRead).await?;
        let now = self.0.clock.now();
        let rows = digests.iter().filter_map(|digest| self.row(digest));
        let found = rows.map(|record| StoredKey::new(record, now)).collect();
        self.pass(Point::AfterRead).await?;
        Ok(found)
    }

    async fn get(&self, id: KeyId) -> Result<Option<StoredKey>, StoreError> {
        let now = self.0.clock.now();
        let row = self.0.rows.lock().values().find(|row| row.id == id).cloned();
        Ok(row.map(|record| StoredKey::new(record, now)))
    }

    async fn transact(&self, reads: Reads, decide: Decide) -> Result<(), StoreError> {
        // What is decided is known before the commit, as it is in a database.
        let writes = {
            let rows = self.0.rows.lock();
            let keys = rows.values().filter(|row| reads.keys.contains(&row.id));
            let view = View::new(self.0.clock.now(), keys.cloned().collect(), Vec::new(), 0);
            decide.decide(&view)
        };
        self.write(|store| {
            let mut rows = store.0.rows.lock();
            for row in writes.insert.into_iter().chain(writes.update) {
                rows.insert(row.digest, row);
            }
        })
        .await
    }

    async fn list(&self, _: &KeyQuery) -> Result<KeyPage, StoreError> {
        Err(unasked())
    }

    async fn events(&self, _: &EventQuery) -> Result<Vec<LoggedEvent>, StoreError> {
        Err(unasked())
    }

    async fn log_after(&self, _: i64, _: u32) -> Result<Vec<LoggedEvent>, StoreError> {
        Err(unasked())
    }

    async fn log_head(&self) -> Result<ChainHead, StoreError> {
        Err(unasked())
    }

    async fn expired_before(&self, _: SystemTime, _: u32) -> Result<Vec<KeyId>, StoreError> {
        Err(unasked())
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.0.rows.lock().is_empty())
    }

    async fn has_imported(&self) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn check_key(&self) -> CheckKey {
        CheckKey::from_bytes(&[7; 32])
    }
}

/// Nothing here reads lists or the log.
fn unasked() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "not scripted")
}
