use std::{fmt, future::Future, pin::Pin, time::SystemTime};

use super::{KeyStore, StoreError, StoredKey};
use crate::{
    event::KeyEvent,
    key::{KeyDigest, KeyId, KeyRecord},
};

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// [`KeyStore`] without its type, so that no store parameter reaches a handler. Boxes once a call, and no call is on the hot path.
pub(crate) trait DynStore: fmt::Debug + Send + Sync {
    fn find<'a>(&'a self, digest: &'a KeyDigest) -> Answer<'a, Option<StoredKey>>;
    fn get(&self, id: KeyId) -> Answer<'_, Option<KeyRecord>>;
    fn insert<'a>(&'a self, record: &'a KeyRecord, event: &'a KeyEvent) -> Answer<'a, ()>;
    fn revoke<'a>(&'a self, event: &'a KeyEvent) -> Answer<'a, Option<KeyRecord>>;
    fn events(&self, id: KeyId) -> Answer<'_, Vec<KeyEvent>>;
    fn is_empty(&self) -> Answer<'_, bool>;
    fn ping(&self) -> Answer<'_, ()>;
    fn now(&self) -> SystemTime;
}

impl<S: KeyStore> DynStore for S {
    fn find<'a>(&'a self, digest: &'a KeyDigest) -> Answer<'a, Option<StoredKey>> {
        Box::pin(KeyStore::find(self, digest))
    }

    fn get(&self, id: KeyId) -> Answer<'_, Option<KeyRecord>> {
        Box::pin(KeyStore::get(self, id))
    }

    fn insert<'a>(&'a self, record: &'a KeyRecord, event: &'a KeyEvent) -> Answer<'a, ()> {
        Box::pin(KeyStore::insert(self, record, event))
    }

    fn revoke<'a>(&'a self, event: &'a KeyEvent) -> Answer<'a, Option<KeyRecord>> {
        Box::pin(KeyStore::revoke(self, event))
    }

    fn events(&self, id: KeyId) -> Answer<'_, Vec<KeyEvent>> {
        Box::pin(KeyStore::events(self, id))
    }

    fn is_empty(&self) -> Answer<'_, bool> {
        Box::pin(KeyStore::is_empty(self))
    }

    fn ping(&self) -> Answer<'_, ()> {
        Box::pin(KeyStore::ping(self))
    }

    fn now(&self) -> SystemTime {
        KeyStore::now(self)
    }
}
