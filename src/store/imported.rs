use std::{fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::{DynStore, StoreError};
use crate::{
    clock::Clock,
    event::{Invalidate, Settled},
    key::KeyDigest,
};

/// How long an answer of the store is taken for true.
const REMEMBERED: Duration = Duration::from_secs(1);
/// How often to ask, where something changes each time.
const ATTEMPTS: usize = 3;

/// Whether the store holds keys of other systems: asked once a second at most, however many want to know, and once more after a change.
pub(crate) struct ImportedKeys {
    store: Arc<dyn DynStore>,
    clock: Arc<dyn Clock>,
    memory: Mutex<Memory>,
    /// Held by the one who asks.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Memory {
    /// What was said to be so, until when.
    said: Option<(bool, Duration)>,
    /// How the last question ended.
    last: Option<Result<bool, Arc<StoreError>>>,
    /// How many questions have ended.
    rounds: u64,
    /// How many changes have been heard of that may have been imports.
    changes: u64,
}

impl ImportedKeys {
    pub(crate) fn new(store: Arc<dyn DynStore>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            clock,
            memory: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// What is remembered, if it may still be used.
    pub(crate) fn remembered(&self) -> Option<bool> {
        self.memory.lock().usable(self.clock.elapsed())
    }

    /// What is remembered, or else what the store says.
    ///
    /// # Errors
    ///
    /// When the store cannot say.
    pub(crate) async fn ask(&self) -> Result<bool, Arc<StoreError>> {
        let before = self.memory.lock().rounds;
        let _asking = self.asking.lock().await;
        {
            let memory = self.memory.lock();
            if let Some(said) = memory.usable(self.clock.elapsed()) {
                return Ok(said);
            }
            // Somebody asked while this one waited: a store that is down is not asked again by each in turn.
            if let (true, Some(last)) = (memory.rounds != before, &memory.last) {
                return last.clone();
            }
        }
        // Dropped on the way, by a time-out, it leaves everything as it was.
        let answer = self.ask_the_store().await;
        let mut memory = self.memory.lock();
        memory.rounds += 1;
        memory.last = Some(answer.clone());
        answer
    }

    async fn ask_the_store(&self) -> Result<bool, Arc<StoreError>> {
        for _ in 0..ATTEMPTS {
            let (sent, changes) = (self.clock.elapsed(), self.memory.lock().changes);
            let answer = self.store.has_imported().await.map_err(Arc::new);
            let mut memory = self.memory.lock();
            // This process has put some there meanwhile.
            if memory.usable(sent) == Some(true) {
                return Ok(true);
            }
            // The store may have read that there are none before some were imported.
            if matches!(answer, Ok(false)) && memory.changes != changes {
                continue;
            }
            if let Ok(said) = answer {
                memory.said = Some((said, sent.saturating_add(REMEMBERED)));
            }
            return answer;
        }
        // Nobody knows: a look-up must say.
        Ok(true)
    }

    /// This process has just put some there.
    pub(crate) fn imported(&self) {
        let mut memory = self.memory.lock();
        memory.changes += 1;
        memory.said = Some((true, self.clock.elapsed().saturating_add(REMEMBERED)));
    }

    /// Something was changed elsewhere. That there are some is not forgotten: they stay.
    fn changed(&self) {
        let mut memory = self.memory.lock();
        memory.changes += 1;
        memory.said = memory.said.filter(|(said, _)| *said);
    }
}

impl Invalidate for ImportedKeys {
    fn fence(&self, _: &KeyDigest) {}

    /// Of its own changes it is told which are imports.
    fn settle(&self, _: &KeyDigest, _: Settled) {}

    fn fence_all(&self) {}

    fn settle_all(&self, _: bool) {}

    fn forget(&self, _: &KeyDigest) {
        self.changed();
    }

    fn forget_all(&self) {
        self.changed();
    }
}

impl Memory {
    fn usable(&self, now: Duration) -> Option<bool> {
        self.said.filter(|(_, until)| now < *until).map(|(said, _)| said)
    }
}

impl fmt::Debug for ImportedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportedKeys").finish_non_exhaustive()
    }
}
