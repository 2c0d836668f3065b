use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::flight::Flight;
use crate::key::KeyDigest;

/// How many revoked keys a shard remembers; 65,536 in all.
pub(super) const TOMBSTONES: usize = 1024;

/// A part of all digests, with what must change together, under one lock.
pub(super) struct Shard<V> {
    generation: u64,
    flights: HashMap<KeyDigest, Arc<Flight<V>>>,
    /// How many changes of the key are under way.
    fences: HashMap<KeyDigest, u32>,
    tombstones: HashSet<KeyDigest>,
}

impl<V> Shard<V> {
    pub(super) fn new() -> Self {
        Self {
            generation: 0,
            flights: HashMap::new(),
            fences: HashMap::new(),
            tombstones: HashSet::new(),
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// The flight that a new request may wait for.
    pub(super) fn joinable(&self, digest: &KeyDigest, epoch: u64) -> Option<&Arc<Flight<V>>> {
        let flight = self.flights.get(digest)?;
        (flight.generation == self.generation && flight.epoch == epoch).then_some(flight)
    }

    /// A flight began; one that it replaces is detached.
    pub(super) fn took_off(&mut self, digest: KeyDigest, flight: Arc<Flight<V>>) {
        self.flights.insert(digest, flight);
    }

    /// A flight ended: says whether what it found may be kept. Takes itself out of the table, and never another that replaced it.
    pub(super) fn landed(&mut self, digest: &KeyDigest, flight: &Arc<Flight<V>>) -> bool {
        if self
            .flights
            .get(digest)
            .is_some_and(|present| Arc::ptr_eq(present, flight))
        {
            self.flights.remove(digest);
        }
        flight.generation == self.generation && !self.fences.contains_key(digest) && !self.is_revoked(digest)
    }

    /// The key has changed: what began before is neither kept nor joined.
    pub(super) fn next_generation(&mut self, digest: &KeyDigest) {
        self.generation += 1;
        self.flights.remove(digest);
    }

    pub(super) fn fence(&mut self, digest: KeyDigest) {
        *self.fences.entry(digest).or_insert(0) += 1;
    }

    pub(super) fn lift_fence(&mut self, digest: &KeyDigest) {
        if let Some(count) = self.fences.get_mut(digest) {
            *count -= 1;
            if *count == 0 {
                self.fences.remove(digest);
            }
        }
    }

    /// Whether the key is revoked, or being changed.
    pub(super) fn is_doubtful(&self, digest: &KeyDigest) -> bool {
        self.is_revoked(digest) || self.fences.contains_key(digest)
    }

    pub(super) fn is_revoked(&self, digest: &KeyDigest) -> bool {
        self.tombstones.contains(digest)
    }

    /// Remembers that the key is revoked; says whether the others had to be forgotten to make room.
    pub(super) fn bury(&mut self, digest: KeyDigest) -> bool {
        let full = self.tombstones.len() >= TOMBSTONES && !self.is_revoked(&digest);
        if full {
            self.tombstones.clear();
        }
        self.tombstones.insert(digest);
        full
    }
}
