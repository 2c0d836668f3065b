use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use crate::key::KeyDigest;

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a store tells of changes that were made elsewhere: by another process, another program, or by hand.
///
/// It is a future that runs for as long as somebody listens. It never ends of itself: where its connection is lost it says so, and tries again.
pub struct Feed(Box<dyn FnOnce(FeedSink) -> Running + Send + Sync>);

impl Feed {
    /// A feed that does this, once it runs.
    pub fn new<F, Fut>(run: F) -> Self
    where
        F: FnOnce(FeedSink) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self(Box::new(|sink| Box::pin(run(sink))))
    }

    /// Runs it.
    pub async fn run(self, sink: FeedSink) {
        (self.0)(sink).await;
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Feed")
    }
}

/// Where a [`Feed`] tells what it hears. An invalidation only ever takes trust away: it names keys, and carries no verdicts.
#[derive(Clone)]
pub struct FeedSink(Arc<dyn Hear>);

impl FeedSink {
    /// Tells this listener.
    pub fn new(listener: Arc<dyn Hear>) -> Self {
        Self(listener)
    }

    /// The time of the listener's clock, which runs while the machine is suspended.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.0.now()
    }

    /// A key was changed, minted, revoked or removed.
    pub fn changed(&self, digest: &KeyDigest) {
        self.0.changed(digest);
    }

    /// Any key, or any owner, may have changed.
    pub fn changed_all(&self) {
        self.0.changed_all();
    }

    /// All that was committed before `sent`, by [`FeedSink::now`], has been told. What is cached may be used for a lease from `sent` on, and
    /// no longer.
    ///
    /// A feed that has just connected first listens, then says [`FeedSink::changed_all`], since it may have missed anything, and then this.
    pub fn proven(&self, sent: Duration) {
        self.0.proven(sent);
    }

    /// Nothing more can be heard for now. Nothing that is cached is used until the next [`FeedSink::proven`].
    pub fn lost(&self, cause: &str) {
        self.0.lost(cause);
    }
}

impl fmt::Debug for FeedSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FeedSink")
    }
}

/// Whoever listens to a [`Feed`]; see [`FeedSink`] for what is told.
pub trait Hear: Send + Sync {
    /// The time, for [`Hear::proven`].
    fn now(&self) -> Duration;

    /// A key was changed.
    fn changed(&self, digest: &KeyDigest);

    /// Anything may have changed.
    fn changed_all(&self);

    /// Everything from before `sent` has been told.
    fn proven(&self, sent: Duration);

    /// Nothing is heard.
    fn lost(&self, cause: &str);
}

/// Who has heard of a change by the time it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// How many processes have said that they applied it.
    pub acked: u32,
    /// How many were alive when it was committed, this one included. Those that did not answer have lost their lease meanwhile: they use
    /// nothing that is cached. Where they cannot be counted, as with a file, or a database that does not answer, every lease has been waited for, and
    /// this process stands here alone.
    pub of: u32,
    /// How long it took from the commit until the last of them answered, or was given up.
    pub took: Duration,
}

impl Receipt {
    /// So many of so many, after so long.
    #[must_use]
    pub fn new(acked: u32, of: u32, took: Duration) -> Self {
        Self { acked, of, took }
    }
}
