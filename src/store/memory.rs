use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use dashmap::DashMap;
use parking_lot::Mutex;

use super::{
    Balance, Decide, EventQuery, ExpiryQuery, Filling, KeyPage, KeyQuery, KeyStore, Reads, Spent, StoreError,
    StoreErrorKind, StoredKey, TokenId, View, Writes, credits::missing,
};
use crate::{
    clock::{Clock, SystemClock, from_unix_ms, to_unix_ms},
    event::{ChainHead, LoggedEvent, Receipt},
    key::{CheckKey, KeyDigest, KeyId, KeyRecord, KeyStatus},
};

/// Keys in the memory of this process: for tests and demonstrations, since they are gone when it ends.
///
/// Clones share the keys.
#[derive(Clone)]
pub struct MemoryStore(Arc<Inner>);

struct Inner {
    keys: DashMap<KeyId, KeyRecord>,
    ids: DashMap<KeyDigest, KeyId>,
    accounts: DashMap<KeyId, Filling>,
    /// Held by the one transaction that is under way, and never across an await.
    log: Mutex<Log>,
    check_key: CheckKey,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Log {
    head: ChainHead,
    events: Vec<LoggedEvent>,
    /// Those that are spent, and until when that is remembered.
    tokens: BTreeMap<TokenId, SystemTime>,
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
            accounts: DashMap::new(),
            log: Mutex::default(),
            check_key: CheckKey::from_bytes(&bytes),
            clock: Arc::new(clock),
        })))
    }
}

impl Inner {
    fn record(&self, id: KeyId) -> Option<KeyRecord> {
        let record = self.keys.get(&id).map(|key| key.clone())?;
        Some(self.with_limit(record))
    }

    /// With the limit of its account as it is now: other keys may have the same.
    fn with_limit(&self, mut record: KeyRecord) -> KeyRecord {
        let filling = record.credits.and_then(|account| self.accounts.get(&account.id));
        record.credits = filling.map(|filling| filling.account).or(record.credits);
        record
    }

    /// Forgets an account that no key names any more.
    fn forget_account(&self, account: KeyId) {
        let names = |key: &KeyRecord| key.credits.is_some_and(|credits| credits.id == account);
        if !self.keys.iter().any(|key| names(&key)) {
            self.accounts.remove(&account);
        }
    }

    fn view(&self, log: &Log, reads: &Reads) -> View {
        let now = self.clock.now();
        let live = |owner: &String| {
            let live = |key: &KeyRecord| {
                key.owner == *owner && !matches!(key.status(now), KeyStatus::Revoked | KeyStatus::Expired)
            };
            self.keys.iter().filter(|key| live(key)).count() as u64
        };
        View {
            now,
            keys: reads.keys.iter().filter_map(|id| self.record(*id)).collect(),
            taken: reads
                .digests
                .iter()
                .filter(|digest| self.ids.contains_key(digest))
                .copied()
                .collect(),
            live: reads.live_of.as_ref().map_or(0, live),
            spent: reads.token.is_some_and(|token| log.tokens.contains_key(&token)),
            forgettable_tokens: log.forgettable(now, reads.forgettable_tokens),
        }
    }

    /// Whoever looks a key up meanwhile sees each of them before or after; the events of all come last.
    fn write(&self, log: &mut Log, writes: Writes) -> Result<(), StoreError> {
        let Writes {
            insert,
            update,
            fill,
            delete,
            events,
            spend_token,
            forget_tokens,
        } = writes;
        if spend_token.is_some_and(|token| log.tokens.contains_key(&token.id)) {
            return Err(StoreError::conflict());
        }
        for (i, key) in insert.iter().enumerate() {
            let twice = insert[..i]
                .iter()
                .any(|other| other.id == key.id || other.digest == key.digest);
            if twice || self.keys.contains_key(&key.id) || self.ids.contains_key(&key.digest) {
                return Err(StoreError::conflict());
            }
        }
        let missing =
            |key: &KeyRecord| !self.keys.contains_key(&key.id) && !insert.iter().any(|new| new.id == key.id);
        if update.iter().any(missing) {
            return Err(StoreError::new(
                StoreErrorKind::Corrupt,
                "a key that is to be changed is not there",
            ));
        }
        for filling in fill {
            self.accounts.insert(filling.account.id, filling);
        }
        for key in insert {
            self.keys.insert(key.id, key.clone());
            self.ids.insert(key.digest, key.id);
        }
        for key in update {
            if let Some(mut kept) = self.keys.get_mut(&key.id) {
                *kept = changed(&kept, key);
            }
        }
        for id in delete {
            if let Some((_, key)) = self.keys.remove(&id) {
                self.ids.remove(&key.digest);
                if let Some(account) = key.credits {
                    self.forget_account(account.id);
                }
            }
        }
        log.tokens
            .extend(spend_token.map(|token| (token.id, token.until)));
        log.tokens.retain(|token, _| !forget_tokens.contains(token));
        for event in events {
            let logged = log.head.append(event);
            log.events.push(logged);
        }
        Ok(())
    }
}

impl Log {
    fn forgettable(&self, now: SystemTime, limit: u32) -> Vec<TokenId> {
        let mut over: Vec<(SystemTime, TokenId)> = self
            .tokens
            .iter()
            .filter(|(_, until)| limit > 0 && **until < now)
            .map(|(token, until)| (*until, *token))
            .collect();
        over.sort_unstable();
        over.truncate(limit as usize);
        over.into_iter().map(|(_, token)| token).collect()
    }
}

/// The key as an update makes it.
fn changed(kept: &KeyRecord, update: KeyRecord) -> KeyRecord {
    KeyRecord {
        digest: kept.digest,
        prefix: kept.prefix.clone(),
        owner: kept.owner.clone(),
        created_at: kept.created_at,
        revoked_at: kept.revoked_at.or(update.revoked_at),
        last_used_at: kept.last_used_at,
        imported: kept.imported,
        exchanged: kept.exchanged,
        ..update
    }
}

impl KeyStore for MemoryStore {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<StoredKey>, StoreError> {
        let now = self.0.clock.now();
        let id = self.0.ids.get(digest).map(|id| *id);
        let record = id.and_then(|id| self.0.record(id));
        Ok(record.map(|record| StoredKey::new(record, now)))
    }

    async fn get(&self, id: KeyId) -> Result<Option<StoredKey>, StoreError> {
        let now = self.0.clock.now();
        Ok(self.0.record(id).map(|record| StoredKey::new(record, now)))
    }

    async fn transact(&self, reads: Reads, decide: Decide) -> Result<(), StoreError> {
        let mut log = self.0.log.lock();
        let writes = decide.decide(&self.0.view(&log, &reads));
        self.0.write(&mut log, writes)
    }

    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        let now = self.0.clock.now();
        let all = self.0.keys.iter();
        let mut keys: Vec<KeyRecord> = all
            .filter(|key| query.matches(key, now))
            .map(|key| key.clone())
            .collect();
        keys.sort_unstable_by_key(|key| std::cmp::Reverse(key.id));
        keys.truncate(query.limit as usize);
        let keys = keys.into_iter().map(|key| self.0.with_limit(key));
        Ok(KeyPage::new(keys.collect(), now))
    }

    async fn events(&self, query: &EventQuery) -> Result<Vec<LoggedEvent>, StoreError> {
        let log = self.0.log.lock();
        let wanted = log.events.iter().rev().filter(|logged| {
            let event = &logged.event;
            query.before.is_none_or(|before| logged.seq < before)
                && query.key_id.is_none_or(|id| event.key_id == Some(id))
                && query.owner.as_ref().is_none_or(|owner| event.owner == *owner)
        });
        Ok(wanted.take(query.limit as usize).cloned().collect())
    }

    async fn log_after(&self, seq: i64, limit: u32) -> Result<Vec<LoggedEvent>, StoreError> {
        let log = self.0.log.lock();
        let rest = log.events.iter().filter(|logged| logged.seq > seq);
        Ok(rest.take(limit as usize).cloned().collect())
    }

    async fn log_head(&self) -> Result<ChainHead, StoreError> {
        Ok(self.0.log.lock().head)
    }

    async fn expired_before(&self, moment: SystemTime, limit: u32) -> Result<Vec<KeyId>, StoreError> {
        let all = self.0.keys.iter();
        let mut expired: Vec<(SystemTime, KeyId)> = all
            .filter(|key| !key.imported)
            .filter_map(|key| Some((key.expires_at?, key.id)))
            .filter(|(expiry, _)| *expiry < moment)
            .collect();
        expired.sort_unstable();
        Ok(expired
            .into_iter()
            .take(limit as usize)
            .map(|(_, id)| id)
            .collect())
    }

    async fn expiring(&self, query: &ExpiryQuery) -> Result<Option<KeyPage>, StoreError> {
        let found = self.0.keys.iter().filter(|key| query.matches(key));
        let mut keys: Vec<KeyRecord> = found.map(|key| key.clone()).collect();
        keys.sort_unstable_by_key(|key| (key.expires_at, key.id));
        keys.truncate(query.limit as usize);
        Ok(Some(KeyPage::new(keys, self.0.clock.now())))
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.0.keys.is_empty())
    }

    async fn has_imported(&self) -> Result<bool, StoreError> {
        Ok(self.0.keys.iter().any(|key| key.imported))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// There is no other process.
    async fn everywhere(&self, _lease: Duration) -> Result<Option<Receipt>, StoreError> {
        Ok(Some(Receipt::new(1, 1, Duration::ZERO)))
    }

    async fn touch(&self, uses: &[(KeyId, SystemTime)]) -> Result<(), StoreError> {
        for (id, at) in uses {
            if let Some(mut kept) = self.0.keys.get_mut(id) {
                // As other stores keep it.
                let at = from_unix_ms(to_unix_ms(*at));
                kept.last_used_at = kept.last_used_at.max(at);
            }
        }
        Ok(())
    }

    fn keeps_tokens(&self) -> bool {
        true
    }

    async fn spend(&self, account: KeyId, cost: u32) -> Result<Spent, StoreError> {
        let now = self.0.clock.now();
        let mut kept = self
            .0
            .accounts
            .get_mut(&account)
            .ok_or_else(|| missing(account))?;
        let spent = kept.spend(cost, now);
        if let Some(spent) = spent {
            *kept = spent;
        }
        Ok(Spent::new(spent.is_some(), kept.balance(now)))
    }

    async fn give_back(&self, account: KeyId, cost: u32) -> Result<(), StoreError> {
        if let Some(mut kept) = self.0.accounts.get_mut(&account) {
            *kept = kept.left(kept.left.saturating_add(cost));
        }
        Ok(())
    }

    async fn credits(&self, accounts: &[KeyId]) -> Result<Vec<Balance>, StoreError> {
        let now = self.0.clock.now();
        let kept = accounts.iter().filter_map(|id| self.0.accounts.get(id));
        Ok(kept.map(|kept| kept.balance(now)).collect())
    }

    fn check_key(&self) -> CheckKey {
        self.0.check_key.clone()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("keys", &self.0.keys.len())
            .finish_non_exhaustive()
    }
}
