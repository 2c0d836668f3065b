//! A store may tell nothing: then it has no feed.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{insert, record, updating, write};
use crate::{
    event::{FeedSink, Hear},
    key::KeyDigest,
    store::{KeyStore, Writes},
};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Changed(KeyDigest),
    All,
    Proven(Duration),
    Lost,
}

/// Whoever listens.
struct Notes {
    begun: Instant,
    told: Mutex<(Vec<Told>, Option<Waker>)>,
}

impl Notes {
    fn write(&self, what: Told) {
        let mut told = self.told.lock();
        told.0.push(what);
        if let Some(reader) = told.1.take() {
            reader.wake();
        }
    }
}

impl Hear for Notes {
    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn changed(&self, digest: &KeyDigest) {
        self.write(Told::Changed(*digest));
    }

    fn changed_all(&self) {
        self.write(Told::All);
    }

    fn proven(&self, sent: Duration) {
        assert!(sent <= self.now(), "it was proven for a time to come");
        self.write(Told::Proven(sent));
    }

    fn lost(&self, _cause: &str) {
        self.write(Told::Lost);
    }
}

/// A feed that runs while something else is done.
struct Running<'f> {
    feed: Pin<&'f mut (dyn Future<Output = ()> + Send)>,
    notes: Arc<Notes>,
}

impl Running<'_> {
    async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        std::future::poll_fn(|context| {
            let ended = self.feed.as_mut().poll(context).is_ready();
            assert!(!ended, "a feed never ends of itself");
            work.as_mut().poll(context)
        })
        .await
    }

    /// Does it, and answers with all that is told until it is proven that it has been.
    async fn told_of<T>(&mut self, work: impl Future<Output = T>) -> (T, Vec<Told>) {
        let mark = self.notes.told.lock().0.len();
        let done = self.during(work).await;
        let notes = self.notes.clone();
        let now = notes.now();
        let told = std::future::poll_fn(move |context| {
            let mut told = notes.told.lock();
            let since = &told.0[mark..];
            let is_it = |told: &Told| matches!(told, Told::Proven(sent) if *sent >= now);
            match since.iter().position(is_it) {
                Some(at) => Poll::Ready(since[..at].to_vec()),
                None => {
                    told.1 = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        });
        let told = self.during(told).await;
        (done, told)
    }
}

pub(super) async fn what_is_changed_is_told<S: KeyStore>(store: &S) {
    let Some(feed) = store.feed() else {
        return;
    };
    let notes = Arc::new(Notes {
        begun: Instant::now(),
        told: Mutex::default(),
    });
    let feed = pin!(feed.run(FeedSink::new(notes.clone())));
    let mut feed = Running { feed, notes };
    let ((), told) = feed.told_of(async {}).await;
    let first = told.iter().find(|told| **told != Told::Lost);
    assert_eq!(first, Some(&Told::All), "it may have missed anything before");

    let is_told =
        |told: &[Told], digest: KeyDigest| told.contains(&Told::Changed(digest)) || told.contains(&Told::All);
    let (key, told) = feed.told_of(insert(store, b"key")).await;
    assert!(is_told(&told, key.digest), "a new key was not told: {told:?}");
    let mut disabled = key.clone();
    disabled.disabled_at = Some(key.created_at);
    disabled.version += 1;
    let (written, told) = feed.told_of(write(store, updating(&disabled))).await;
    written.expect("changed");
    assert!(is_told(&told, key.digest), "a change was not told: {told:?}");
    let mut writes = Writes::nothing();
    writes.delete.push(key.id);
    let (written, told) = feed.told_of(write(store, writes)).await;
    written.expect("deleted");
    assert!(is_told(&told, key.digest), "a removal was not told: {told:?}");

    let many: Vec<_> = (0..100_u32).map(|i| record(&i.to_be_bytes())).collect();
    let mut writes = Writes::nothing();
    writes.insert.clone_from(&many);
    let (written, told) = feed.told_of(write(store, writes)).await;
    written.expect("kept");
    let each = many.iter().all(|key| is_told(&told, key.digest));
    assert!(each, "of many, some were not told: {told:?}");
}
