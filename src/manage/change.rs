use std::{error::Error, fmt, future::Future, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::{everywhere::Everywhere, herald::Herald};
use crate::{
    event::{Change, Invalidate, Receipt, Settled},
    key::KeyDigest,
};

/// Runs changes of keys so that nobody can keep an old verdict across one.
#[derive(Debug, Clone)]
pub(crate) struct Changes {
    invalidate: Arc<dyn Invalidate>,
    /// How long a key whose fate is unknown is not cached.
    doubt: Duration,
    everywhere: Option<Everywhere>,
    herald: Option<Herald>,
}

impl Changes {
    pub(crate) fn new(invalidate: Arc<dyn Invalidate>, doubt: Duration) -> Self {
        Self {
            invalidate,
            doubt,
            everywhere: None,
            herald: None,
        }
    }

    /// And others hear of them.
    pub(crate) fn heard(mut self, everywhere: Everywhere) -> Self {
        self.everywhere = Some(everywhere);
        self
    }

    /// And others are told of them from here, since nobody else tells them.
    pub(crate) fn told(mut self, herald: Herald) -> Self {
        self.herald = Some(herald);
        self
    }

    /// What others have heard of the changes made until now, if that is to be waited for.
    pub(crate) async fn receipt(&self) -> Option<Receipt> {
        self.everywhere.as_ref()?.after_change().await
    }

    /// As [`Changes::receipt`], of a change that counts only after a while. Where that is long enough nobody need be waited for.
    pub(super) async fn receipt_of_later(&self, after: Duration) -> Option<Receipt> {
        let everywhere = self.everywhere.as_ref()?;
        match after < everywhere.lasts() {
            true => everywhere.after_change().await,
            false => None,
        }
    }

    /// Fences what will change, does the work, settles the cache, tells others, answers: detached, because a caller that goes away after the commit
    /// must not take the rest with it.
    pub(crate) async fn run<T, E>(
        &self,
        scope: Scope,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
        settled: impl FnOnce(&T) -> Settled + Send + 'static,
        failed: impl FnOnce(&E) -> Settled + Send + 'static,
    ) -> Result<T, ChangeError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        self.run_fencing(scope, |_| work, settled, failed).await
    }

    /// As [`Changes::run`], for work that fences more as it finds out what it changes.
    pub(crate) async fn run_fencing<T, E, W>(
        &self,
        scope: Scope,
        work: impl FnOnce(Fences) -> W + Send + 'static,
        settled: impl FnOnce(&T) -> Settled + Send + 'static,
        failed: impl FnOnce(&E) -> Settled + Send + 'static,
    ) -> Result<T, ChangeError<E>>
    where
        W: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let Self {
            invalidate,
            doubt,
            herald,
            ..
        } = self.clone();
        let detached = tokio::spawn(async move {
            let fence = Fence::new(invalidate, scope, doubt, herald.clone());
            let result = work(fence.more()).await;
            let changed = fence.settle(match &result {
                Ok(value) => settled(value),
                Err(error) => failed(error),
            });
            if let (Some(herald), Some(changed)) = (herald, changed) {
                herald.tell(&changed.into()).await;
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

/// What a change is a change of.
#[derive(Debug, Clone)]
pub(crate) enum Scope {
    /// Of these keys.
    Keys(Vec<KeyDigest>),
    /// Of keys that nobody has listed, such as all those of an owner.
    Everything,
}

impl From<KeyDigest> for Scope {
    fn from(digest: KeyDigest) -> Self {
        Self::Keys(vec![digest])
    }
}

impl From<Scope> for Change {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Keys(digests) => Self::Keys(digests),
            Scope::Everything => Self::Everything,
        }
    }
}

impl Scope {
    fn fence(&self, invalidate: &dyn Invalidate) {
        match self {
            Self::Keys(digests) => digests.iter().for_each(|digest| invalidate.fence(digest)),
            Self::Everything => invalidate.fence_all(),
        }
    }

    fn settle(&self, invalidate: &dyn Invalidate, outcome: Settled) {
        match self {
            Self::Keys(digests) => digests
                .iter()
                .for_each(|digest| invalidate.settle(digest, outcome)),
            Self::Everything => invalidate.settle_all(outcome != Settled::Unknown),
        }
    }
}

/// What a change fences on its way; `None` once it is over.
type Raised = Arc<Mutex<Option<Vec<KeyDigest>>>>;

/// Fences keys for a change that has begun.
#[derive(Debug, Clone)]
pub(crate) struct Fences {
    invalidate: Arc<dyn Invalidate>,
    raised: Raised,
}

impl Fences {
    /// To be done before anything is written. `false` where the change has been given up meanwhile, and then nothing may be.
    pub(crate) fn raise(&self, digest: KeyDigest) -> bool {
        let mut raised = self.raised.lock();
        let Some(digests) = raised.as_mut() else {
            return false;
        };
        if !digests.contains(&digest) {
            self.invalidate.fence(&digest);
            digests.push(digest);
        }
        true
    }
}

/// A fence that is up. Dropped without a word, by a panic, it leaves the keys in doubt.
struct Fence {
    invalidate: Arc<dyn Invalidate>,
    scope: Scope,
    raised: Raised,
    doubt: Duration,
    herald: Option<Herald>,
    settled: bool,
}

impl Fence {
    fn new(invalidate: Arc<dyn Invalidate>, scope: Scope, doubt: Duration, herald: Option<Herald>) -> Self {
        scope.fence(&*invalidate);
        Self {
            invalidate,
            scope,
            raised: Arc::new(Mutex::new(Some(Vec::new()))),
            doubt,
            herald,
            settled: false,
        }
    }

    fn more(&self) -> Fences {
        Fences {
            invalidate: self.invalidate.clone(),
            raised: self.raised.clone(),
        }
    }

    /// From here on nothing more can be fenced.
    fn close(&mut self) {
        let more = self.raised.lock().take();
        if let (Scope::Keys(digests), Some(more)) = (&mut self.scope, more) {
            digests.extend(more);
        }
    }

    /// Answers with what was changed, for others to be told, unless that is not known.
    fn settle(mut self, outcome: Settled) -> Option<Scope> {
        if outcome == Settled::Unknown {
            return None;
        }
        self.settled = true;
        self.close();
        self.scope.settle(&*self.invalidate, outcome);
        Some(self.scope.clone())
    }
}

impl Drop for Fence {
    /// What was sent may yet be committed, so nothing is kept of the keys until no statement can still be under way.
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        self.close();
        self.scope.settle(&*self.invalidate, Settled::Unknown);
        // Where no runtime is left it stays up: the keys are then looked up on every request, and never wrong.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let (invalidate, scope, doubt) = (self.invalidate.clone(), self.scope.clone(), self.doubt);
        let (herald, change) = (self.herald.take(), Change::from(self.scope.clone()));
        runtime.spawn(async move {
            // Others have no fence: they forget what is kept now, and again when nothing can change any more.
            if let Some(herald) = &herald {
                herald.mention(&change).await;
            }
            tokio::time::sleep(doubt).await;
            scope.settle(&*invalidate, Settled::Changed);
            if let Some(herald) = &herald {
                herald.mention(&change).await;
            }
        });
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
