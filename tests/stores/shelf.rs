//! A store as a third party would write one, and the ways in which it could be wrong.

use std::{
    cmp::Reverse,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tower_api_key::{
    access::{Grants, Resources},
    event::{ChainHead, Feed, LoggedEvent},
    key::{CheckKey, KeyDigest, KeyId, KeyRecord, KeyStatus},
    store::{
        Balance, Decide, EventQuery, KeyPage, KeyQuery, KeyStore, Reads, Spent, StoreError, StoreErrorKind,
        StoredKey, View, Writes,
    },
};

use crate::{
    fault::Fault,
    telling::Changes,
    till::{Till, pay},
};

#[derive(Debug, Clone, Default)]
pub(crate) struct Shelf {
    books: Arc<Mutex<Books>>,
    changes: Changes,
    fault: Option<Fault>,
}

#[derive(Debug, Clone, Default)]
struct Books {
    keys: Vec<KeyRecord>,
    events: Vec<LoggedEvent>,
    head: ChainHead,
    till: Till,
}

impl Shelf {
    pub(crate) fn with(fault: Fault) -> Self {
        Self {
            fault: Some(fault),
            ..Self::default()
        }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// A key as it is told of.
    fn shown(&self, books: &Books, key: &KeyRecord) -> KeyRecord {
        books.till.with_limit(key.clone(), self.fault)
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("the lock")
    }

    fn view(&self, reads: &Reads) -> View {
        let books = self.books();
        let now = SystemTime::now();
        let live = |key: &&KeyRecord| {
            let dead = match key.status(now) {
                KeyStatus::Expired => !self.is(Fault::CountsExpiredKeys),
                KeyStatus::Revoked => !self.is(Fault::CountsRevokedKeys),
                KeyStatus::Disabled => self.is(Fault::DoesNotCountDisabledKeys),
                _ => false,
            };
            let own =
                reads.live_of.as_deref() == Some(key.owner.as_str()) || self.is(Fault::CountsKeysOfOthers);
            own && !dead
        };
        let asked = |key: &&KeyRecord| reads.keys.contains(&key.id) || self.is(Fault::TellsMoreThanAsked);
        let taken = |digest: &&KeyDigest| {
            let kept = books.keys.iter().find(|key| key.digest == **digest);
            kept.is_some_and(|key| key.revoked_at.is_none() || !self.is(Fault::TakesARevokedDigestForFree))
        };
        let live = reads
            .live_of
            .as_ref()
            .map_or(0, |_| books.keys.iter().filter(live).count());
        View::new(
            now,
            books
                .keys
                .iter()
                .filter(asked)
                .map(|key| self.shown(&books, key))
                .collect(),
            reads.digests.iter().filter(taken).copied().collect(),
            live as u64,
        )
    }

    fn is_taken(&self, books: &Books, new: &KeyRecord) -> bool {
        let digest = books.keys.iter().any(|kept| kept.digest == new.digest);
        let id = books.keys.iter().any(|kept| kept.id == new.id);
        digest && !self.is(Fault::TakesADigestTwice) || id && !self.is(Fault::TakesAnIdTwice)
    }

    /// The keys, and whether that is allowed.
    fn write(&self, books: &mut Books, writes: &Writes) -> Result<(), StoreError> {
        books.till.fill(writes, self.fault);
        for new in &writes.insert {
            if self.is_taken(books, new) {
                let kind = match self.is(Fault::CallsAConflictUnavailable) {
                    true => StoreErrorKind::Unavailable,
                    false => StoreErrorKind::Conflict,
                };
                return Err(StoreError::new(kind, "there is one already"));
            }
            books.keys.push(self.as_kept(new.clone()));
        }
        for changed in &writes.update {
            let everything = self.is(Fault::ChangesEveryKey);
            let mut there = false;
            for kept in books
                .keys
                .iter_mut()
                .filter(|kept| kept.id == changed.id || everything)
            {
                there = true;
                self.change(kept, changed);
            }
            if !there && !self.is(Fault::ChangesNothingSilently) {
                return Err(StoreError::new(StoreErrorKind::Corrupt, "there is no such key"));
            }
        }
        if !self.is(Fault::DeletesNothing) {
            let gone = books.keys.extract_if(.., |kept| writes.delete.contains(&kept.id));
            let gone: Vec<KeyRecord> = gone.collect();
            books.till.forget(&gone, &books.keys, self.fault);
        }
        Ok(())
    }

    fn as_kept(&self, mut key: KeyRecord) -> KeyRecord {
        if self.is(Fault::LosesResources) {
            key.grants = Grants::new(key.grants.granted_scopes().clone(), Resources::unbound());
        }
        if self.is(Fault::LosesMilliseconds) {
            let since = key.created_at.duration_since(UNIX_EPOCH).unwrap_or_default();
            key.created_at = UNIX_EPOCH + Duration::from_secs(since.as_secs());
        }
        if self.is(Fault::LosesAccounts) {
            key.credits = None;
        }
        if self.is(Fault::LosesAddresses) {
            key.allowed_ips = None;
        }
        if self.is(Fault::LosesWhatItWasRotatedFrom) {
            key.rotated_from = None;
        }
        key
    }

    fn change(&self, kept: &mut KeyRecord, changed: &KeyRecord) {
        let before = kept.clone();
        *kept = self.as_kept(changed.clone());
        kept.id = before.id;
        if !self.is(Fault::ChangesTheDigest) {
            kept.digest = before.digest;
        }
        if !self.is(Fault::ChangesTheOwner) {
            kept.owner = before.owner;
        }
        kept.prefix = before.prefix;
        kept.created_at = before.created_at;
        kept.imported = before.imported;
        if !self.is(Fault::ChangesWhenItWasUsed) {
            kept.last_used_at = before.last_used_at;
        }
        if self.is(Fault::ForgetsToDisable) {
            kept.disabled_at = before.disabled_at;
        }
        kept.revoked_at = match () {
            () if self.is(Fault::BringsBackTheRevoked) => changed.revoked_at,
            () if self.is(Fault::RevokesAgain) => changed.revoked_at.or(before.revoked_at),
            () => before.revoked_at.or(changed.revoked_at),
        };
    }

    fn append(&self, books: &mut Books, writes: &Writes) {
        for event in &writes.events {
            let mut event = event.clone();
            if self.is(Fault::LosesTheAddressOfTheActor) {
                event.actor.address = None;
            }
            if self.is(Fault::NumbersWithGaps) {
                books.head.seq += 1;
            }
            let mut logged = books.head.append(event);
            if self.is(Fault::DoesNotHash) {
                logged.hash = [7; 32];
            }
            books.events.push(logged);
        }
        if self.is(Fault::DeletesEventsWithTheirKey) {
            let gone =
                |logged: &LoggedEvent| logged.event.key_id.is_some_and(|id| writes.delete.contains(&id));
            books.events.retain(|logged| !gone(logged));
        }
    }
}

impl KeyStore for Shelf {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<StoredKey>, StoreError> {
        let books = self.books();
        let hidden = |key: &KeyRecord| self.is(Fault::HidesRevokedKeys) && key.revoked_at.is_some();
        let found = books
            .keys
            .iter()
            .find(|key| key.digest == *digest && !hidden(key));
        let any = books.keys.first().filter(|_| self.is(Fault::FindsWhatIsNotThere));
        let found = found.or(any).map(|key| self.shown(&books, key));
        Ok(found.map(|key| StoredKey::new(key, SystemTime::now())))
    }

    async fn get(&self, id: KeyId) -> Result<Option<StoredKey>, StoreError> {
        let books = self.books();
        let found = books.keys.iter().find(|key| key.id == id);
        let found = found.map(|key| self.shown(&books, key));
        Ok(found.map(|key| StoredKey::new(key, SystemTime::now())))
    }

    async fn transact(&self, reads: Reads, decide: Decide) -> Result<(), StoreError> {
        let view = self.view(&reads);
        if self.is(Fault::LetsChangesRace) {
            tokio::task::yield_now().await;
        }
        let writes = decide.decide(&view);
        let before = self.books().clone();
        let goes = |key: &&KeyRecord| writes.delete.contains(&key.id);
        let gone = before.keys.iter().filter(goes).map(|key| key.digest).collect();
        let written = self.write(&mut self.books(), &writes);
        if written.is_err() && !self.is(Fault::LeavesHalfOfARefusedChange) {
            let till = self.books().till.clone();
            *self.books() = before;
            if self.is(Fault::FillsAccountsOfARefusedChange) {
                self.books().till = till;
            }
        }
        if self.is(Fault::WritesTheLogLater) {
            tokio::task::yield_now().await;
        }
        if written.is_ok() && !self.is(Fault::LosesEvents) || self.is(Fault::LogsWhatWasRefused) {
            self.append(&mut self.books(), &writes);
        }
        if written.is_ok() {
            self.changes.tell(&writes, gone, self.fault);
        }
        written
    }

    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        let books = self.books();
        let now = SystemTime::now();
        let mut asked = query.clone();
        if self.is(Fault::ListsEveryStatus) {
            asked.status = None;
        }
        if self.is(Fault::ListsEveryOwner) {
            asked.owner = None;
        }
        if self.is(Fault::ListsEveryPrefix) {
            asked.id_prefix = None;
        }
        let judged_at = if self.is(Fault::JudgesByAnotherClock) {
            UNIX_EPOCH
        } else {
            now
        };
        let includes = |key: &KeyRecord| self.is(Fault::ListsTheCursor) && query.before == Some(key.id);
        let wanted = books
            .keys
            .iter()
            .filter(|key| asked.matches(key, judged_at) || includes(key));
        let mut keys: Vec<KeyRecord> = wanted.map(|key| self.shown(&books, key)).collect();
        keys.sort_by_key(|key| Reverse(key.id));
        if self.is(Fault::ListsTheOldestFirst) {
            keys.reverse();
        }
        keys.truncate(query.limit as usize + usize::from(self.is(Fault::ListsOneTooMany)));
        Ok(KeyPage::new(keys, now))
    }

    async fn events(&self, query: &EventQuery) -> Result<Vec<LoggedEvent>, StoreError> {
        let books = self.books();
        let wanted = books.events.iter().filter(|logged| {
            let event = &logged.event;
            query.before.is_none_or(|before| logged.seq < before)
                && (query.key_id.is_none_or(|id| event.key_id == Some(id))
                    || self.is(Fault::ListsEventsOfEveryKey))
                && query.owner.as_ref().is_none_or(|owner| event.owner == *owner)
        });
        let mut wanted: Vec<LoggedEvent> = wanted.cloned().collect();
        if !self.is(Fault::ListsTheOldestEventFirst) {
            wanted.reverse();
        }
        wanted.truncate(query.limit as usize);
        Ok(wanted)
    }

    async fn log_after(&self, seq: i64, limit: u32) -> Result<Vec<LoggedEvent>, StoreError> {
        let books = self.books();
        let rest = books.events.iter().filter(|logged| logged.seq > seq);
        Ok(rest.take(limit as usize).cloned().collect())
    }

    async fn log_head(&self) -> Result<ChainHead, StoreError> {
        match self.is(Fault::DoesNotKnowTheEndOfTheLog) {
            true => Ok(ChainHead::default()),
            false => Ok(self.books().head),
        }
    }

    async fn expired_before(&self, moment: SystemTime, limit: u32) -> Result<Vec<KeyId>, StoreError> {
        let books = self.books();
        let end = |key: &KeyRecord| match self.is(Fault::TakesEndlessKeysForExpired) {
            true => Some(key.expires_at.unwrap_or(UNIX_EPOCH)),
            false => key.expires_at,
        };
        let late = if self.is(Fault::ExpiresTooEarly) {
            Duration::from_millis(1)
        } else {
            Duration::ZERO
        };
        let own = |key: &&KeyRecord| !key.imported || self.is(Fault::TakesImportedKeysForExpired);
        let expired = books
            .keys
            .iter()
            .filter(own)
            .filter_map(|key| Some((end(key)?, key.id)));
        let mut expired: Vec<_> = expired.filter(|(end, _)| *end < moment + late).collect();
        if !self.is(Fault::ListsExpiredInAnyOrder) {
            expired.sort_unstable();
        }
        Ok(expired
            .into_iter()
            .take(limit as usize)
            .map(|(_, id)| id)
            .collect())
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.books().keys.is_empty() && !self.is(Fault::IsNeverEmpty))
    }

    async fn has_imported(&self) -> Result<bool, StoreError> {
        let any = self.books().keys.iter().any(|key| key.imported);
        Ok(any && !self.is(Fault::ForgetsWhatWasImported))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        match self.is(Fault::DoesNotAnswerPing) {
            true => Err(StoreError::new(StoreErrorKind::Unavailable, "nobody is there")),
            false => Ok(()),
        }
    }

    async fn find_many(&self, digests: &[KeyDigest]) -> Result<Vec<StoredKey>, StoreError> {
        let asked = match self.is(Fault::FindsFewerThanAsked) {
            true => &digests[..digests.len().min(499)],
            false => digests,
        };
        let wanted = |key: &&KeyRecord| {
            asked.contains(&key.digest) || self.is(Fault::FindsManyWhereOneWasAsked) && !asked.is_empty()
        };
        let hidden = |key: &&KeyRecord| self.is(Fault::FindsManyButTheRevoked) && key.revoked_at.is_some();
        let books = self.books();
        let found = books.keys.iter().filter(wanted).filter(|key| !hidden(key));
        let found: Vec<StoredKey> = found
            .map(|key| StoredKey::new(self.shown(&books, key), SystemTime::now()))
            .collect();
        match found.len() < digests.len() && self.is(Fault::FindsNoneWhereOneIsMissing) {
            true => Ok(Vec::new()),
            false => Ok(found),
        }
    }

    fn feed(&self) -> Option<Feed> {
        Some(self.changes.feed(self.fault))
    }

    async fn touch(&self, uses: &[(KeyId, SystemTime)]) -> Result<(), StoreError> {
        let all = match self.is(Fault::WritesFewerUsesThanAsked) {
            true => uses.len().min(499),
            false => uses.len(),
        };
        for (id, at) in &uses[..all] {
            let mut books = self.books();
            let everybody = self.is(Fault::WritesEveryUseToAll);
            let used = |key: &&mut KeyRecord| key.id == *id || everybody;
            let mut there = false;
            for key in books.keys.iter_mut().filter(used) {
                there = true;
                key.last_used_at = match self.is(Fault::MovesUsesBack) {
                    true => Some(*at),
                    false => key.last_used_at.max(Some(*at)),
                };
                key.version += i64::from(self.is(Fault::CountsUsesAsChanges));
            }
            if self.is(Fault::LogsUses) {
                books.head.seq += 1;
            }
            if !there && self.is(Fault::RefusesUsesOfKeysThatAreGone) {
                return Err(StoreError::new(StoreErrorKind::Corrupt, "there is no such key"));
            }
        }
        Ok(())
    }

    async fn spend(&self, account: KeyId, cost: u32) -> Result<Spent, StoreError> {
        let kept = self.books().till.read(account)?;
        if self.is(Fault::LetsPaymentsRace) {
            tokio::task::yield_now().await;
        }
        let (after, spent) = pay(kept, cost, self.fault);
        let mut books = self.books();
        books.till.write(after);
        if self.is(Fault::LogsPayments) {
            books.head.seq += 1;
        }
        if self.is(Fault::CountsPaymentsAsChanges) {
            books.keys.iter_mut().for_each(|key| key.version += 1);
        }
        Ok(spent)
    }

    async fn give_back(&self, account: KeyId, cost: u32) -> Result<(), StoreError> {
        self.books().till.give_back(account, cost, self.fault)
    }

    async fn credits(&self, accounts: &[KeyId]) -> Result<Vec<Balance>, StoreError> {
        Ok(self.books().till.balances(accounts, self.fault))
    }

    fn check_key(&self) -> CheckKey {
        match self.is(Fault::MakesANewCheckKey) {
            true => CheckKey::from_bytes(&CheckKey::generate_bytes().expect("random numbers")),
            false => CheckKey::from_bytes(&[7; 32]),
        }
    }
}
