//! Whoever listens to a feed, and writes down all that it is told.

#![expect(
    unreachable_pub,
    reason = "shared by test targets, each of which is a crate of its own"
)]

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tower_api_key::{
    event::{Feed, FeedSink, Hear},
    key::KeyDigest,
};

/// Far longer than anything takes, on however slow a machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Changed(KeyDigest),
    All,
    Proven(Duration),
    Lost(String),
}

struct Notes {
    begun: Instant,
    told: Mutex<Vec<Told>>,
    count: watch::Sender<usize>,
}

impl Notes {
    fn told(&self) -> MutexGuard<'_, Vec<Told>> {
        self.told.lock().expect("the lock")
    }

    fn write(&self, what: Told) {
        let mut told = self.told();
        told.push(what);
        self.count.send_replace(told.len());
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

    fn lost(&self, cause: &str) {
        self.write(Told::Lost(cause.to_owned()));
    }
}

/// A feed that runs, until this is dropped.
pub struct Hearing {
    notes: Arc<Notes>,
    running: JoinHandle<()>,
}

impl Hearing {
    /// Runs it.
    pub fn begin(feed: Option<Feed>) -> Self {
        let notes = Arc::new(Notes {
            begun: Instant::now(),
            told: Mutex::default(),
            count: watch::channel(0).0,
        });
        let sink = FeedSink::new(notes.clone());
        let feed = feed.expect("the store has a feed");
        let running = tokio::spawn(feed.run(sink));
        Self { notes, running }
    }

    /// As [`Hearing::begin`], and all that is changed from now on will be told.
    pub async fn begun(feed: Option<Feed>) -> Self {
        let hearing = Self::begin(feed);
        hearing.until(0, |told| matches!(told, Told::Proven(_))).await;
        hearing
    }

    /// How much has been told.
    pub fn mark(&self) -> usize {
        self.notes.told().len()
    }

    /// All of it, from a mark on.
    pub fn since(&self, mark: usize) -> Vec<Told> {
        self.notes.told()[mark..].to_vec()
    }

    /// Waits for one that is so, and answers with all from the mark up to it.
    pub async fn until(&self, mark: usize, is_it: impl Fn(&Told) -> bool) -> Vec<Told> {
        let mut count = self.notes.count.subscribe();
        let waiting = async {
            loop {
                count.borrow_and_update();
                let told = self.since(mark);
                if let Some(at) = told.iter().position(&is_it) {
                    return told[..=at].to_vec();
                }
                count.changed().await.expect("it runs");
            }
        };
        let told = timeout(PATIENCE, waiting).await;
        told.unwrap_or_else(|_| panic!("it was not told: {:?}", self.since(mark)))
    }

    /// Waits until all that was done before the call is told, and answers with what was told of it; in which order, where there is none,
    /// is not said.
    pub async fn all_since(&self, mark: usize) -> Vec<Told> {
        let now = self.notes.now();
        let told = self
            .until(mark, |told| matches!(told, Told::Proven(sent) if *sent >= now))
            .await;
        told.into_iter()
            .filter(|told| !matches!(told, Told::Proven(_)))
            .collect()
    }

    /// It begins with taking everything for changed, and is proven from then on, each time of a later moment.
    pub async fn assert_in_order(&self) {
        assert_eq!(self.since(0)[0], Told::All);
        let mut sent = Duration::ZERO;
        for _ in 0..3 {
            let told = self.until(self.mark(), is_proven).await;
            let Some(Told::Proven(next)) = told.last() else {
                panic!("{told:?}");
            };
            assert!(*next > sent, "each is of a later time");
            sent = *next;
        }
    }

    /// Once it is proven again, everything is taken for changed just before.
    pub async fn assert_back(&self, mark: usize) {
        let told = self.until(mark, is_proven).await;
        let before = told.iter().rev().nth(1);
        assert_eq!(before, Some(&Told::All), "{told:?}");
    }

    /// Waits until it is lost, and answers with where it is from then on.
    pub async fn lost(&self, mark: usize) -> usize {
        mark + self.until(mark, is_lost).await.len()
    }

    /// Ends it, as the end of its process would, or that of whoever listens.
    pub fn end(&self) {
        self.running.abort();
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        self.end();
    }
}

/// That it was lost, whatever the cause.
pub fn is_lost(told: &Told) -> bool {
    matches!(told, Told::Lost(_))
}

/// That all before is heard.
pub fn is_proven(told: &Told) -> bool {
    matches!(told, Told::Proven(_))
}
