use std::{sync::Arc, time::Duration};

use dashmap::DashMap;
use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::watch, time::sleep};

use crate::key::KeyDigest;

/// When everything may have changed, so many keys are looked up at once, and the next after a pause: 25,000 a second.
pub(super) const KEYS_AT_ONCE: usize = 256;
pub(super) const PAUSE: Duration = Duration::from_millis(10);

/// Who is to be woken, by key.
#[derive(Default)]
pub(super) struct Table {
    pub(super) keys: DashMap<KeyDigest, watch::Sender<()>>,
    waking: Mutex<Waking>,
}

/// Whether everybody is being woken. That is done by one task at a time, however often it is said that anything may have changed.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Waking {
    #[default]
    Nobody,
    Everybody,
    /// And then once more, for those whose turn it was before the last word.
    EverybodyTwice,
}

impl Table {
    /// `None` where there are so many of this key already.
    pub(super) fn subscribe(&self, digest: &KeyDigest, most: usize) -> Option<watch::Receiver<()>> {
        let changes = self.keys.entry(*digest).or_default();
        (changes.receiver_count() < most).then(|| changes.subscribe())
    }

    pub(super) fn wake(&self, digest: &KeyDigest) {
        if let Some(changes) = self.keys.get(digest) {
            changes.send_replace(());
        }
    }

    /// Not all at once: each of them looks its key up.
    pub(super) fn wake_all(self: &Arc<Self>) {
        let Ok(runtime) = Handle::try_current() else {
            wake(&self.all());
            return;
        };
        if self.keys.is_empty() {
            return;
        }
        {
            let mut waking = self.waking.lock();
            if *waking != Waking::Nobody {
                *waking = Waking::EverybodyTwice;
                return;
            }
            *waking = Waking::Everybody;
        }
        let turn = Turn {
            table: self.clone(),
            is_over: false,
        };
        let mut later = self.all();
        wake_some(&mut later);
        runtime.spawn(turn.go_on(later));
    }

    fn all(&self) -> Vec<watch::Sender<()>> {
        self.keys.iter().map(|key| key.value().clone()).collect()
    }
}

/// Whoever wakes everybody.
struct Turn {
    table: Arc<Table>,
    is_over: bool,
}

impl Turn {
    async fn go_on(mut self, mut later: Vec<watch::Sender<()>>) {
        loop {
            sleep(PAUSE).await;
            if later.is_empty() {
                if self.ends() {
                    return;
                }
                later = self.table.all();
            }
            wake_some(&mut later);
        }
    }

    /// Unless everybody is to be woken once more.
    fn ends(&mut self) -> bool {
        let mut waking = self.table.waking.lock();
        self.is_over = *waking != Waking::EverybodyTwice;
        *waking = if self.is_over {
            Waking::Nobody
        } else {
            Waking::Everybody
        };
        self.is_over
    }
}

impl Drop for Turn {
    /// A runtime that ends takes the task along, and whoever is not woken yet may live in another.
    fn drop(&mut self) {
        if !self.is_over {
            *self.table.waking.lock() = Waking::Nobody;
            wake(&self.table.all());
        }
    }
}

fn wake_some(keys: &mut Vec<watch::Sender<()>>) {
    wake(&keys.split_off(keys.len().saturating_sub(KEYS_AT_ONCE)));
}

fn wake(keys: &[watch::Sender<()>]) {
    keys.iter().for_each(|changes| changes.send_replace(()));
}
