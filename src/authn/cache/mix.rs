use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    time::Duration,
};

use crate::key::KeyDigest;

/// Spreads digests over tables and shards.
///
/// A digest is uniform, so one multiplication is enough; but digests that collide can be ground out by whoever chooses keys, so
/// two random numbers of this process go into it.
#[derive(Debug, Clone)]
pub(super) struct Mix {
    add: u64,
    multiply: u64,
}

impl Mix {
    pub(super) fn random() -> Self {
        let random = RandomState::new();
        Self {
            add: random.hash_one(0),
            multiply: random.hash_one(1) | 1,
        }
    }

    /// Which of `places` the digest belongs to.
    pub(super) fn place(&self, digest: &KeyDigest, places: usize) -> usize {
        // The high half: the tables use the low one.
        (self.hash_one(digest) >> 32) as usize % places
    }

    /// A lifetime up to a tenth shorter, so that what was kept at one moment is not all looked up again at another. Never
    /// longer: it is a promise.
    pub(super) fn shorten(&self, digest: &KeyDigest, sent: Duration, lifetime: Duration) -> Duration {
        let random = self.hash_one(digest) ^ u64::from(sent.subsec_nanos()).wrapping_mul(self.multiply);
        // Divided first: a lifetime can be as long as there is.
        lifetime - lifetime / 10_000 * ((random >> 33) % 1000) as u32
    }
}

impl BuildHasher for Mix {
    type Hasher = Mixer;

    fn build_hasher(&self) -> Mixer {
        Mixer {
            mix: self.clone(),
            word: 0,
        }
    }
}

pub(super) struct Mixer {
    mix: Mix,
    word: u64,
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.word = self.word.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.word ^= word;
    }

    fn finish(&self) -> u64 {
        let product = u128::from(self.word ^ self.mix.add) * u128::from(self.mix.multiply);
        (product >> 64) as u64 ^ product as u64
    }
}
