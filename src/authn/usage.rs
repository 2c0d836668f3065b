use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    fmt, mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::{Mutex as AsyncMutex, watch},
    time::timeout,
};

use super::{Lookup, purpose::Purpose, refusal::Unavailable};
use crate::{
    clock::to_unix_ms,
    key::{KeyId, LastUsed, Tallies, date_of},
    metric,
    principal::Principal,
    store::DynStore,
    trace,
};

/// How many uses go to the store at once.
const BATCH: usize = 500;
/// How long the store may take for a batch. It goes into the next round then; to write a use twice does no harm.
const BATCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Writes down when keys were last used: away from requests, each key once in a period, as many as go into one statement.
///
/// A use costs a request a look at one number; the first of a key in each period also takes a lock, to put it on the list. The task that
/// writes the list down begins with the first use and ends with the last owner of this.
pub(crate) struct Usage {
    shared: Arc<Shared>,
    /// Tells the task to stop; dropped, it writes down what there is before it does.
    stop: watch::Sender<()>,
    every: Duration,
    tallies: Tallies,
}

struct Shared {
    store: Arc<dyn DynStore>,
    list: Mutex<List>,
    /// Held by whoever writes the list down.
    writing: AsyncMutex<()>,
    /// Whether there is a task.
    running: AtomicBool,
    /// Whether there shall be none any more.
    closed: AtomicBool,
}

impl Usage {
    /// `most` is how many keys can wait to be written while the store cannot.
    pub(crate) fn new(store: Arc<dyn DynStore>, every: Duration, most: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                store,
                list: Mutex::new(List::with_room_for(most)),
                writing: AsyncMutex::default(),
                running: AtomicBool::new(false),
                closed: AtomicBool::new(false),
            }),
            stop: watch::Sender::new(()),
            every,
            tallies: Tallies::default(),
        }
    }

    /// How often keys are used.
    #[cfg(feature = "page")]
    pub(crate) fn tallies(&self) -> &Tallies {
        &self.tallies
    }

    /// How long a use may take to be written down.
    #[cfg(feature = "page")]
    pub(crate) fn every(&self) -> Duration {
        self.every
    }

    /// Of a key that the store read at `date`; the answer was here by `elapsed`.
    pub(super) fn begin(&self, id: KeyId, date: SystemTime, elapsed: Duration) -> LastUsed {
        let at_ms = u64::try_from(to_unix_ms(date)).unwrap_or_default();
        LastUsed::new(id, date, elapsed).counted(self.tallies.counter(id, at_ms))
    }

    /// A key is used now, by the time that has elapsed.
    pub(super) fn mark(&self, used: &Arc<LastUsed>, elapsed: Duration) {
        if used.mark(elapsed) {
            self.list(used);
        }
    }

    #[cold]
    fn list(&self, used: &Arc<LastUsed>) {
        let Shared {
            list,
            running,
            closed,
            ..
        } = &*self.shared;
        list.lock().add(used);
        if running.load(Ordering::Acquire) || closed.load(Ordering::Acquire) {
            return;
        }
        // Without a runtime it waits for a use within one.
        if let Ok(runtime) = Handle::try_current()
            && !running.swap(true, Ordering::AcqRel)
        {
            runtime.spawn(run(self.shared.clone(), self.stop.subscribe(), self.every));
        }
    }

    /// Ends the task, and writes down what there is.
    pub(crate) async fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
        self.stop.send_replace(());
        self.shared.write().await;
    }
}

impl Lookup {
    /// A key was presented and is good: it counts as used, whatever becomes of the request. One that somebody asks about does not.
    pub(super) fn used(&self, purpose: Purpose, principal: &Principal, now: Duration) {
        if let (Purpose::Use, Some(usage), Some(used)) = (purpose, &self.usage, principal.used()) {
            usage.mark(used, now);
        }
    }
}

impl fmt::Debug for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Usage")
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}

async fn run(shared: Arc<Shared>, mut stop: watch::Receiver<()>, every: Duration) {
    let running = Running(shared);
    loop {
        match timeout(every, stop.changed()).await {
            Err(_) => running.0.write().await,
            Ok(Ok(())) => return,
            // Nobody uses keys any more.
            Ok(Err(_)) => return running.0.write().await,
        }
    }
}

/// Dropped on the way, with its runtime, the task makes room for another.
struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.store(false, Ordering::Release);
    }
}

impl Shared {
    /// Writes the list down. What could not be written goes back onto it.
    async fn write(self: &Arc<Self>) {
        let _alone = self.writing.lock().await;
        let (uses, dropped) = self.list.lock().take();
        if dropped > 0 {
            trace::uses_dropped(dropped);
            metric::uses_dropped(dropped);
        }
        let mut taken = Taken {
            shared: self,
            uses: uses.into_iter().map(|used| (used.take(), used)).collect(),
            written: 0,
        };
        // In one order for everybody: two processes that write the same rows in another order wait for each other.
        taken.uses.sort_unstable_by_key(|(_, used)| used.id());
        while let [_, ..] = &taken.uses[taken.written..] {
            let batch = taken.uses[taken.written..].iter().take(BATCH);
            let dated = batch.filter_map(|(at_ms, used)| Some((used.id(), date_of(*at_ms)?)));
            let batch: Vec<(KeyId, SystemTime)> = dated.collect();
            let failure = match timeout(BATCH_TIMEOUT, self.store.touch(&batch)).await {
                Ok(Ok(())) => {
                    metric::uses_written(batch.len());
                    taken.written = taken.uses.len().min(taken.written + BATCH);
                    continue;
                }
                Ok(Err(error)) => Unavailable::new(error),
                Err(_) => Unavailable::new("the store did not answer in time"),
            };
            metric::uses_not_written();
            return trace::uses_not_written(failure.cause(), taken.uses.len() - taken.written);
        }
    }
}

/// What is off the list and not written yet. Dropped on the way, it puts the rest back.
struct Taken<'a> {
    shared: &'a Shared,
    uses: Vec<(u64, Arc<LastUsed>)>,
    written: usize,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if self.written == self.uses.len() {
            return;
        }
        let mut list = self.shared.list.lock();
        for (at_ms, used) in self.uses.drain(self.written..) {
            list.put_back(used, at_ms);
        }
    }
}

/// The keys that were used since they were last written down, each once.
struct List {
    uses: HashMap<KeyId, Arc<LastUsed>>,
    /// The same, the oldest first.
    order: VecDeque<KeyId>,
    most: usize,
    /// How many had to go without being written.
    dropped: u64,
}

impl List {
    fn with_room_for(most: usize) -> Self {
        Self {
            uses: HashMap::new(),
            order: VecDeque::new(),
            most,
            dropped: 0,
        }
    }

    fn add(&mut self, used: &Arc<LastUsed>) {
        match self.uses.entry(used.id()) {
            // The key was looked up anew since: the verdict from before is used no more, or not for long.
            Entry::Occupied(mut listed) if !Arc::ptr_eq(listed.get(), used) => {
                let before = listed.insert(used.clone());
                used.also(before.take());
            }
            Entry::Occupied(_) => {}
            Entry::Vacant(free) => {
                free.insert(used.clone());
                self.order.push_back(used.id());
                self.make_room();
            }
        }
    }

    fn put_back(&mut self, used: Arc<LastUsed>, at_ms: u64) {
        match self.uses.entry(used.id()) {
            Entry::Occupied(listed) => listed.get().also(at_ms),
            Entry::Vacant(free) => {
                self.order.push_front(used.id());
                used.put_back();
                free.insert(used);
                self.make_room();
            }
        }
    }

    fn make_room(&mut self) {
        if self.uses.len() > self.most
            && let Some(oldest) = self.order.pop_front()
            && let Some(oldest) = self.uses.remove(&oldest)
        {
            oldest.take();
            self.dropped += 1;
        }
    }

    /// All of them, and how many there were beside. The memory for them goes along: most of the time there are few.
    fn take(&mut self) -> (Vec<Arc<LastUsed>>, u64) {
        self.order = VecDeque::new();
        let uses = mem::take(&mut self.uses).into_values().collect();
        (uses, mem::take(&mut self.dropped))
    }
}

#[cfg(test)]
mod tests;
