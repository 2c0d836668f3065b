use std::{
    fmt,
    pin::Pin,
    time::{Duration, SystemTime},
};

use super::{
    Balance, Decide, EventQuery, ExpiryQuery, KeyPage, KeyQuery, KeyStore, Reads, Spent, StoreError,
    StoredKey,
};
use crate::{
    event::{ChainHead, Feed, LoggedEvent, Receipt},
    key::{KeyDigest, KeyId},
    metric,
};

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// [`KeyStore`] without its type, so that no store parameter reaches a handler. Boxes once a call, and no call is on the hot path.
pub(crate) trait DynStore: fmt::Debug + Send + Sync {
    fn find<'a>(&'a self, digest: &'a KeyDigest) -> Answer<'a, Option<StoredKey>>;
    fn get(&self, id: KeyId) -> Answer<'_, Option<StoredKey>>;
    fn transact(&self, reads: Reads, decide: Decide) -> Answer<'_, ()>;
    fn list<'a>(&'a self, query: &'a KeyQuery) -> Answer<'a, KeyPage>;
    fn events<'a>(&'a self, query: &'a EventQuery) -> Answer<'a, Vec<LoggedEvent>>;
    fn log_after(&self, seq: i64, limit: u32) -> Answer<'_, Vec<LoggedEvent>>;
    fn log_head(&self) -> Answer<'_, ChainHead>;
    fn expired_before(&self, moment: SystemTime, limit: u32) -> Answer<'_, Vec<KeyId>>;
    fn expiring<'a>(&'a self, query: &'a ExpiryQuery) -> Answer<'a, Option<KeyPage>>;
    fn is_empty(&self) -> Answer<'_, bool>;
    fn has_imported(&self) -> Answer<'_, bool>;
    fn ping(&self) -> Answer<'_, ()>;
    fn find_many<'a>(&'a self, digests: &'a [KeyDigest]) -> Answer<'a, Vec<StoredKey>>;
    fn touch<'a>(&'a self, uses: &'a [(KeyId, SystemTime)]) -> Answer<'a, ()>;
    fn spend(&self, account: KeyId, cost: u32) -> Answer<'_, Spent>;
    fn give_back(&self, account: KeyId, cost: u32) -> Answer<'_, ()>;
    fn credits<'a>(&'a self, accounts: &'a [KeyId]) -> Answer<'a, Vec<Balance>>;
    fn feed(&self) -> Option<Feed>;
    fn tells(&self) -> bool;
    fn keeps_tokens(&self) -> bool;
    fn lease(&self) -> Duration;
    fn everywhere(&self, lease: Duration) -> Answer<'_, Option<Receipt>>;
}

impl<S: KeyStore> DynStore for S {
    fn find<'a>(&'a self, digest: &'a KeyDigest) -> Answer<'a, Option<StoredKey>> {
        Box::pin(metric::timed("find", KeyStore::find(self, digest)))
    }

    fn get(&self, id: KeyId) -> Answer<'_, Option<StoredKey>> {
        Box::pin(metric::timed("get", KeyStore::get(self, id)))
    }

    fn transact(&self, reads: Reads, decide: Decide) -> Answer<'_, ()> {
        Box::pin(metric::timed("transact", KeyStore::transact(self, reads, decide)))
    }

    fn list<'a>(&'a self, query: &'a KeyQuery) -> Answer<'a, KeyPage> {
        Box::pin(metric::timed("list", KeyStore::list(self, query)))
    }

    fn events<'a>(&'a self, query: &'a EventQuery) -> Answer<'a, Vec<LoggedEvent>> {
        Box::pin(metric::timed("events", KeyStore::events(self, query)))
    }

    fn log_after(&self, seq: i64, limit: u32) -> Answer<'_, Vec<LoggedEvent>> {
        Box::pin(metric::timed("log_after", KeyStore::log_after(self, seq, limit)))
    }

    fn log_head(&self) -> Answer<'_, ChainHead> {
        Box::pin(metric::timed("log_head", KeyStore::log_head(self)))
    }

    fn expired_before(&self, moment: SystemTime, limit: u32) -> Answer<'_, Vec<KeyId>> {
        Box::pin(metric::timed(
            "expired_before",
            KeyStore::expired_before(self, moment, limit),
        ))
    }

    fn expiring<'a>(&'a self, query: &'a ExpiryQuery) -> Answer<'a, Option<KeyPage>> {
        Box::pin(metric::timed("expiring", KeyStore::expiring(self, query)))
    }

    fn is_empty(&self) -> Answer<'_, bool> {
        Box::pin(metric::timed("is_empty", KeyStore::is_empty(self)))
    }

    fn has_imported(&self) -> Answer<'_, bool> {
        Box::pin(metric::timed("has_imported", KeyStore::has_imported(self)))
    }

    fn ping(&self) -> Answer<'_, ()> {
        Box::pin(metric::timed("ping", KeyStore::ping(self)))
    }

    fn find_many<'a>(&'a self, digests: &'a [KeyDigest]) -> Answer<'a, Vec<StoredKey>> {
        Box::pin(metric::timed("find_many", KeyStore::find_many(self, digests)))
    }

    fn touch<'a>(&'a self, uses: &'a [(KeyId, SystemTime)]) -> Answer<'a, ()> {
        Box::pin(metric::timed("touch", KeyStore::touch(self, uses)))
    }

    fn spend(&self, account: KeyId, cost: u32) -> Answer<'_, Spent> {
        Box::pin(metric::timed("spend", KeyStore::spend(self, account, cost)))
    }

    fn give_back(&self, account: KeyId, cost: u32) -> Answer<'_, ()> {
        Box::pin(metric::timed(
            "give_back",
            KeyStore::give_back(self, account, cost),
        ))
    }

    fn credits<'a>(&'a self, accounts: &'a [KeyId]) -> Answer<'a, Vec<Balance>> {
        Box::pin(metric::timed("credits", KeyStore::credits(self, accounts)))
    }

    fn feed(&self) -> Option<Feed> {
        KeyStore::feed(self)
    }

    fn tells(&self) -> bool {
        KeyStore::feed(self).is_some()
    }

    fn keeps_tokens(&self) -> bool {
        KeyStore::keeps_tokens(self)
    }

    fn lease(&self) -> Duration {
        KeyStore::lease(self)
    }

    fn everywhere(&self, lease: Duration) -> Answer<'_, Option<Receipt>> {
        Box::pin(metric::timed("everywhere", KeyStore::everywhere(self, lease)))
    }
}
