use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, task::JoinHandle};

use super::{Cache, Lookup};
use crate::{
    clock::Clock,
    event::{Feed, FeedSink, Hear, Invalidate},
    key::KeyDigest,
    metric,
    principal::Principal,
    trace,
};

/// Keeps a feed running, for as long as somebody looks keys up.
pub(crate) struct Listening {
    feed: MakeFeed,
    listener: Arc<Listener>,
    task: Mutex<Task>,
}

/// A feed, each time somebody begins to listen.
pub(crate) type MakeFeed = Box<dyn Fn() -> Option<Feed> + Send + Sync>;

#[derive(Default)]
enum Task {
    #[default]
    NotYet,
    Running(JoinHandle<()>),
    Over,
}

/// Who hears the feed: the cache, and whatever else has to forget.
struct Listener {
    cache: Arc<Cache<Principal>>,
    invalidate: Arc<dyn Invalidate>,
    clock: Arc<dyn Clock>,
    lookup: Mutex<Weak<Lookup>>,
    /// Until when everything has been heard.
    heard: Mutex<Duration>,
    /// Whether it has been said that nothing is heard: once, and not with every attempt.
    silent: AtomicBool,
    /// Whether nobody wants to hear anything any more.
    ended: AtomicBool,
}

impl Listening {
    pub(crate) fn new(
        feed: MakeFeed,
        cache: Arc<Cache<Principal>>,
        invalidate: Arc<dyn Invalidate>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let listener = Listener {
            cache,
            invalidate,
            heard: Mutex::new(clock.elapsed()),
            clock,
            lookup: Mutex::default(),
            silent: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        };
        Self {
            feed,
            listener: Arc::new(listener),
            task: Mutex::default(),
        }
    }

    /// Begins to listen, unless that is done already. Until there is a runtime to do it in, nothing is cached.
    pub(crate) fn begin(&self, lookup: &Arc<Lookup>) {
        let mut task = self.task.lock();
        let running = match &*task {
            Task::Running(task) => !task.is_finished(),
            Task::Over => true,
            Task::NotYet => false,
        };
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if running {
            return;
        }
        if let Some(feed) = (self.feed)() {
            *self.listener.lookup.lock() = Arc::downgrade(lookup);
            let sink = FeedSink::new(self.listener.clone());
            // The task of another runtime may have ended with that.
            *task = Task::Running(runtime.spawn(feed.run(sink)));
        }
    }

    /// Stops listening for good: from here on every key is looked up.
    pub(crate) fn end(&self) {
        self.listener.ended.store(true, Ordering::Release);
        if let Task::Running(task) = std::mem::replace(&mut *self.task.lock(), Task::Over) {
            task.abort();
        }
        self.listener.cache.lost();
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.end();
    }
}

impl Listener {
    /// What is kept cannot be used before it is confirmed.
    fn confirm(&self) {
        let lookup = self.lookup.lock().upgrade();
        if let Some(lookup) = lookup {
            lookup.confirm();
        }
    }
}

impl Hear for Listener {
    fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    fn changed(&self, digest: &KeyDigest) {
        self.invalidate.forget(digest);
    }

    fn changed_all(&self) {
        self.invalidate.forget_all();
        if self.cache.is_leased() {
            self.confirm();
        }
    }

    fn proven(&self, sent: Duration) {
        // The task may go on for a moment.
        if self.ended.load(Ordering::Acquire) {
            return;
        }
        metric::feed_live(true);
        *self.heard.lock() = sent;
        metric::feed_age(self.now().saturating_sub(sent));
        if self.cache.proven(sent) {
            self.silent.store(false, Ordering::Relaxed);
            trace::feed_live();
            self.confirm();
        }
    }

    fn lost(&self, cause: &str) {
        self.cache.lost();
        metric::feed_live(false);
        // With every attempt to hear again it is older.
        metric::feed_age(self.now().saturating_sub(*self.heard.lock()));
        if !self.ended.load(Ordering::Acquire) && !self.silent.swap(true, Ordering::Relaxed) {
            trace::feed_lost(cause);
        }
    }
}
