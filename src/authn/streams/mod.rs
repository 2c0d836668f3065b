//! What outlives the check of its request, and ends when its key does.
//!
//! A stream first **registers** under the digest of its key, then **looks the key up again**, and only then starts: in any other order a
//! change between the two would be lost. From then on each change of the key wakes it, and it looks again. What it then finds
//! is a verdict like any other's: the cache has forgotten the one from before, and all streams of a key share one look-up.
//!
//! A key that expires changes nothing, and a change by another process may go unheard where the store has no feed: so a stream
//! also wakes at the end of its key, and looks again every now and then.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::watch;

use crate::{
    event::{Invalidate, Settled},
    key::KeyDigest,
    metric,
};

use table::Table;

mod table;

mod watch_key;

/// Of a stream that came to its own end.
const CLOSED: &str = "closed";

/// The part of all streams that one key may have, and how many it may have in any case.
const SHARE: usize = 16;
const LEAST_SHARE: usize = 16;

/// The streams of this process, by key.
pub(crate) struct Streams {
    table: Arc<Table>,
    count: AtomicUsize,
    most: usize,
    most_of_a_key: usize,
}

impl Streams {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            table: Arc::default(),
            count: AtomicUsize::new(0),
            most,
            most_of_a_key: (most / SHARE).max(LEAST_SHARE),
        }
    }

    /// From now on every change of the key is seen; `None` where there are too many streams, or too many of this key.
    fn register(self: &Arc<Self>, digest: &KeyDigest) -> Option<Registered> {
        if self.count.fetch_add(1, Ordering::Relaxed) >= self.most {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let Some(changes) = self.table.subscribe(digest, self.most_of_a_key) else {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return None;
        };
        metric::stream_opened();
        Some(Registered {
            streams: self.clone(),
            digest: *digest,
            changes: Some(changes),
            reason: CLOSED,
        })
    }
}

impl Invalidate for Streams {
    fn fence(&self, _: &KeyDigest) {}

    fn settle(&self, digest: &KeyDigest, _: Settled) {
        self.table.wake(digest);
    }

    fn fence_all(&self) {}

    fn settle_all(&self, _: bool) {
        self.table.wake_all();
    }

    fn forget(&self, digest: &KeyDigest) {
        self.table.wake(digest);
    }

    fn forget_all(&self) {
        self.table.wake_all();
    }
}

impl fmt::Debug for Streams {
    // Not the digests.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams")
            .field("count", &self.count)
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

/// A stream's place among those of its key.
struct Registered {
    streams: Arc<Streams>,
    digest: KeyDigest,
    /// Always there, but for the end.
    changes: Option<watch::Receiver<()>>,
    /// Why it ended, in a word.
    reason: &'static str,
}

impl Registered {
    /// What changed before this call wakes nobody any more: to be called before the key is looked up.
    fn mark_seen(&mut self) {
        if let Some(changes) = &mut self.changes {
            changes.mark_unchanged();
        }
    }

    /// The next change that was not seen.
    async fn changed(&mut self) {
        if let Some(changes) = &mut self.changes {
            // The other end lies in the table for as long as this one is there.
            let _always = changes.changed().await;
        }
    }
}

impl Drop for Registered {
    /// The last of a key takes its entry along. Nobody registers between the two: that, too, takes the lock of the entry.
    fn drop(&mut self) {
        self.changes = None;
        self.streams
            .table
            .keys
            .remove_if(&self.digest, |_, changes| changes.receiver_count() == 0);
        self.streams.count.fetch_sub(1, Ordering::Relaxed);
        metric::stream_ended(self.reason);
    }
}

#[cfg(test)]
mod tests {
    use tokio::{runtime::Handle, time::sleep};

    use super::{
        table::{KEYS_AT_ONCE, PAUSE},
        *,
    };

    fn digest(i: u32) -> KeyDigest {
        KeyDigest::of(&i.to_be_bytes())
    }

    #[tokio::test]
    async fn a_change_before_the_look_up_is_not_told_twice_and_one_after_it_is_told() {
        let streams = Arc::new(Streams::new(10));
        let mut stream = streams.register(&digest(1)).expect("room");
        streams.settle(&digest(1), Settled::Changed);
        stream.mark_seen();
        streams.settle(&digest(2), Settled::Revoked);
        let changed = stream.changes.as_ref().expect("it is there").has_changed();
        assert!(!changed.expect("the other end"));
        streams.forget(&digest(1));
        stream.changed().await;
    }

    #[test]
    fn there_is_room_for_so_many_and_the_last_of_a_key_leaves_nothing_behind() {
        let streams = Arc::new(Streams::new(3));
        let two = [streams.register(&digest(1)), streams.register(&digest(1))];
        let other = streams.register(&digest(2)).expect("room");
        assert!(streams.register(&digest(3)).is_none());
        assert_eq!(
            streams.table.keys.len(),
            2,
            "who found no room left nothing behind"
        );
        drop(other);
        assert!(streams.register(&digest(3)).is_some());
        drop(two);
        assert_eq!(
            (streams.table.keys.len(), streams.count.load(Ordering::Relaxed)),
            (0, 0)
        );
    }

    #[test]
    fn one_key_takes_no_more_than_its_share_of_the_room() {
        let streams = Arc::new(Streams::new(16 * 17));
        let mut of_one: Vec<Registered> = (0..17)
            .map(|_| streams.register(&digest(1)).expect("room"))
            .collect();
        assert!(streams.register(&digest(1)).is_none());
        let _of_another = streams.register(&digest(2)).expect("there is room for others");
        of_one.pop();
        assert!(streams.register(&digest(1)).is_some());
        assert_eq!(streams.count.load(Ordering::Relaxed), 17);
    }

    #[tokio::test(start_paused = true)]
    async fn everybody_is_woken_but_not_everybody_at_once() {
        let streams = Arc::new(Streams::new(10_000));
        let mut all: Vec<Registered> = (0..1000)
            .map(|i| streams.register(&digest(i)).expect("room"))
            .collect();
        streams.settle_all(true);
        let woken = all
            .iter()
            .filter(|stream| {
                stream
                    .changes
                    .as_ref()
                    .is_some_and(|changes| changes.has_changed().is_ok_and(|yes| yes))
            })
            .count();
        assert_eq!(woken, KEYS_AT_ONCE);
        for stream in &mut all {
            stream.changed().await;
        }
    }

    /// Anybody who can reach the channel of a database can say so, as often as they like.
    #[tokio::test(start_paused = true)]
    async fn a_flood_of_words_that_anything_may_have_changed_takes_no_more_than_one_of_them() {
        let streams = Arc::new(Streams::new(10_000));
        let mut all: Vec<Registered> = (0..1000)
            .map(|i| streams.register(&digest(i)).expect("room"))
            .collect();
        for _ in 0..1000 {
            streams.forget_all();
        }
        assert!(Handle::current().metrics().num_alive_tasks() <= 1);
        // The last word reaches everybody, also those whose turn it was before.
        sleep(PAUSE).await;
        all.iter_mut().for_each(Registered::mark_seen);
        streams.forget_all();
        for stream in &mut all {
            stream.changed().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_woken_more_often_than_a_pause_allows() {
        let streams = Arc::new(Streams::new(10));
        let mut stream = streams.register(&digest(1)).expect("room");
        let mut woken = 0;
        for _ in 0..100 {
            streams.forget_all();
            if stream
                .changes
                .as_ref()
                .is_some_and(|changes| changes.has_changed().is_ok_and(|yes| yes))
            {
                woken += 1;
                stream.mark_seen();
            }
            sleep(PAUSE / 10).await;
        }
        assert!((5..=12).contains(&woken), "{woken}");
    }

    #[test]
    fn a_runtime_that_ends_takes_no_wake_ups_along() {
        let runtime = || {
            tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("a runtime")
        };
        let streams = Arc::new(Streams::new(10_000));
        let mut all: Vec<Registered> = (0..1000)
            .map(|i| streams.register(&digest(i)).expect("room"))
            .collect();
        let first = runtime();
        first.block_on(async { streams.forget_all() });
        drop(first);
        all.iter_mut().for_each(Registered::mark_seen);
        runtime().block_on(async {
            streams.forget_all();
            for stream in &mut all {
                stream.changed().await;
            }
        });
    }
}
