use std::sync::Arc;

use super::{Invalidate, Settled};
use crate::key::KeyDigest;

/// Tells several of a change, in order: whoever hears of it later finds that those before have forgotten.
#[derive(Debug)]
pub(crate) struct FanOut(Box<[Arc<dyn Invalidate>]>);

impl FanOut {
    pub(crate) fn new(listeners: impl IntoIterator<Item = Arc<dyn Invalidate>>) -> Self {
        Self(listeners.into_iter().collect())
    }
}

impl Invalidate for FanOut {
    fn fence(&self, digest: &KeyDigest) {
        self.0.iter().for_each(|listener| listener.fence(digest));
    }

    fn settle(&self, digest: &KeyDigest, outcome: Settled) {
        self.0
            .iter()
            .for_each(|listener| listener.settle(digest, outcome));
    }

    fn fence_all(&self) {
        self.0.iter().for_each(|listener| listener.fence_all());
    }

    fn settle_all(&self, known: bool) {
        self.0.iter().for_each(|listener| listener.settle_all(known));
    }

    fn forget(&self, digest: &KeyDigest) {
        self.0.iter().for_each(|listener| listener.forget(digest));
    }

    fn forget_all(&self) {
        self.0.iter().for_each(|listener| listener.forget_all());
    }
}
