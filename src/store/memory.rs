use std::{fmt, sync::Arc, time::SystemTime};

use dashmap::{DashMap, Entry};

use super::{KeyStore, StoreError, StoreErrorKind, StoredKey};
use crate::{
    clock::{Clock, SystemClock},
    event::KeyEvent,
    key::{CheckKey, KeyDigest, KeyId, KeyRecord},
};

/// Keys in the memory of this process: for tests and demonstrations, since they are gone when it ends.
///
/// Clones share the keys.
#[derive(Clone)]
pub struct MemoryStore(Arc<Inner>);

struct Inner {
    keys: DashMap<KeyId, Kept>,
    ids: DashMap<KeyDigest, KeyId>,
    check_key: CheckKey,
    clock: Arc<dyn Clock>,
}

struct Kept {
    record: KeyRecord,
    events: Vec<KeyEvent>,
}

impl MemoryStore {
    /// An empty store.
    ///
    /// # Errors
    ///
    /// When the operating system has no random numbers to give.
    pub fn new() -> Result<Self, StoreError> {
        Self::with_clock(SystemClock)
    }

    /// An empty store that goes by another clock.
    ///
    /// # Errors
    ///
    /// When the operating system has no random numbers to give.
    pub fn with_clock(clock: impl Clock) -> Result<Self, StoreError> {
        let bytes = CheckKey::generate_bytes()
            .map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error))?;
        Ok(Self(Arc::new(Inner {
            keys: DashMap::new(),
            ids: DashMap::new(),
            check_key: CheckKey::from_bytes(&bytes),
            clock: Arc::new(clock),
        })))
    }
}

// No guard of a map is held across an await or while the other map is locked in the other order: `ids`, then `keys`.
impl KeyStore for MemoryStore {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<StoredKey>, StoreError> {
        let id = self.0.ids.get(digest).map(|id| *id);
        let kept = id.and_then(|id| self.0.keys.get(&id));
        Ok(kept.map(|kept| StoredKey::new(kept.record.clone(), self.0.clock.now())))
    }

    async fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        Ok(self.0.keys.get(&id).map(|kept| kept.record.clone()))
    }

    async fn insert(&self, record: &KeyRecord, event: &KeyEvent) -> Result<(), StoreError> {
        let Entry::Vacant(digest) = self.0.ids.entry(record.digest) else {
            return Err(StoreError::conflict());
        };
        let Entry::Vacant(id) = self.0.keys.entry(record.id) else {
            return Err(StoreError::conflict());
        };
        id.insert(Kept {
            record: record.clone(),
            events: vec![event.clone()],
        });
        digest.insert(record.id);
        Ok(())
    }

    async fn revoke(&self, event: &KeyEvent) -> Result<Option<KeyRecord>, StoreError> {
        let Some(mut kept) = self.0.keys.get_mut(&event.key_id) else {
            return Ok(None);
        };
        if kept.record.revoked_at.is_none() {
            kept.record.revoked_at = Some(event.at);
            kept.record.version += 1;
            kept.events.push(event.clone());
        }
        Ok(Some(kept.record.clone()))
    }

    async fn events(&self, id: KeyId) -> Result<Vec<KeyEvent>, StoreError> {
        Ok(self
            .0
            .keys
            .get(&id)
            .map(|kept| kept.events.clone())
            .unwrap_or_default())
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.0.keys.is_empty())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn check_key(&self) -> CheckKey {
        self.0.check_key.clone()
    }

    fn now(&self) -> SystemTime {
        self.0.clock.now()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("keys", &self.0.keys.len())
            .finish_non_exhaustive()
    }
}
