use std::{error::Error, fmt, future::Future, sync::Arc, time::Duration};

use crate::{
    event::{Invalidate, Settled},
    key::KeyDigest,
};

/// Runs changes of keys so that nobody can keep an old verdict across one.
#[derive(Debug, Clone)]
pub(crate) struct Changes {
    invalidate: Arc<dyn Invalidate>,
    /// How long a key whose fate is unknown is not cached.
    doubt: Duration,
}

impl Changes {
    pub(crate) fn new(invalidate: Arc<dyn Invalidate>, doubt: Duration) -> Self {
        Self { invalidate, doubt }
    }

    /// Fences the key, does the work, settles the cache, answers: detached, because a caller that goes away after the commit must not
    /// take the rest with it.
    pub(crate) async fn run<T, E>(
        &self,
        digest: KeyDigest,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
        settled: impl FnOnce(&T) -> Settled + Send + 'static,
        failed: impl FnOnce(&E) -> Settled + Send + 'static,
    ) -> Result<T, ChangeError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let Self { invalidate, doubt } = self.clone();
        let detached = tokio::spawn(async move {
            let fence = Fence::new(invalidate, digest);
            let result = work.await;
            let outcome = match &result {
                Ok(value) => settled(value),
                Err(error) => failed(error),
            };
            match outcome {
                Settled::Unknown => fence.hold_for(doubt),
                known => fence.settle(known),
            }
            result
        });
        match detached.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(ChangeError::Failed(error)),
            Err(_) => Err(ChangeError::Lost),
        }
    }
}

/// A fence that is up. Dropped without a word, by a panic, it stays up: the key is then looked up on every request, and never wrong.
struct Fence {
    invalidate: Arc<dyn Invalidate>,
    digest: KeyDigest,
    settled: bool,
}

impl Fence {
    fn new(invalidate: Arc<dyn Invalidate>, digest: KeyDigest) -> Self {
        invalidate.fence(&digest);
        Self {
            invalidate,
            digest,
            settled: false,
        }
    }

    fn settle(mut self, outcome: Settled) {
        self.settled = true;
        self.invalidate.settle(&self.digest, outcome);
    }

    /// What was sent may yet be committed, so nothing is kept of the key until no statement can still be under way.
    fn hold_for(self, doubt: Duration) {
        self.invalidate.settle(&self.digest, Settled::Unknown);
        tokio::spawn(async move {
            tokio::time::sleep(doubt).await;
            self.settle(Settled::Changed);
        });
    }
}

impl Drop for Fence {
    fn drop(&mut self) {
        if !self.settled {
            self.invalidate.settle(&self.digest, Settled::Unknown);
        }
    }
}

/// A change of a key did not come to a good end.
#[derive(Debug)]
#[non_exhaustive]
pub enum ChangeError<E> {
    /// The work itself failed.
    Failed(E),
    /// The work panicked, or the runtime ended: whether the change happened is not known.
    Lost,
}

impl<E> fmt::Display for ChangeError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed(_) => "the change failed",
            Self::Lost => "the change was lost on the way",
        })
    }
}

impl<E: Error + 'static> Error for ChangeError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Lost => None,
        }
    }
}
