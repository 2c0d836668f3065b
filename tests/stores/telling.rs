//! How a [`Shelf`](crate::shelf::Shelf) tells what is changed, and in which ways that could be wrong.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::sleep;
use tower_api_key::{
    event::Feed,
    key::{KeyDigest, KeyRecord},
    store::Writes,
};

use crate::fault::Fault;

/// What was changed, in its order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes(Arc<Mutex<Vec<KeyDigest>>>);

impl Changes {
    fn all(&self) -> MutexGuard<'_, Vec<KeyDigest>> {
        self.0.lock().expect("the lock")
    }

    /// What was written, and which keys are gone with it.
    pub(crate) fn tell(&self, writes: &Writes, gone: Vec<KeyDigest>, fault: Option<Fault>) {
        let digests = |records: &[KeyRecord]| records.iter().map(|key| key.digest).collect();
        for (changed, untold) in [
            (digests(&writes.insert), Fault::TellsNoNewKeys),
            (digests(&writes.update), Fault::TellsNoChanges),
            (gone, Fault::TellsNoRemovals),
        ] {
            let mut changed: Vec<KeyDigest> = changed;
            if fault == Some(Fault::TellsFewerThanChanged) {
                changed.truncate(99);
            }
            if fault != Some(untold) {
                self.all().extend(changed);
            }
        }
    }

    pub(crate) fn feed(&self, fault: Option<Fault>) -> Feed {
        let changes = self.clone();
        Feed::new(move |sink| async move {
            let mut told = changes.all().len();
            if fault != Some(Fault::ListensWithoutAFlush) {
                sink.changed_all();
            }
            loop {
                let sent = sink.now();
                if fault == Some(Fault::ProvesBeforeItTells) {
                    sink.proven(sent);
                }
                let changed = changes.all()[told..].to_vec();
                told += changed.len();
                changed.iter().for_each(|digest| sink.changed(digest));
                sink.proven(sent);
                sleep(Duration::from_millis(1)).await;
            }
        })
    }
}
