//! A log that grows while it is verified is not broken.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tower_api_key::{
    ApiKeyAuth,
    event::{Actor, ChainHead, KeyEvent, LoggedEvent},
    manage::NewKey,
    store::{Decide, KeyStore, MemoryStore, Reads, StoreError, Writes},
};

/// A store in which somebody writes an event right after the log was read for so many times.
#[derive(Debug, Clone)]
struct Busy {
    store: MemoryStore,
    reads_until: Arc<AtomicUsize>,
}

impl Busy {
    async fn written(&self) -> Result<(), StoreError> {
        if self.reads_until.fetch_sub(1, Ordering::SeqCst) != 1 {
            return Ok(());
        }
        let decide = Decide::new(|view| {
            let mut writes = Writes::nothing();
            let event = KeyEvent::refused(None, "bob", view.now, &Actor::new("key", "bob"), "not-found");
            writes.events.push(event);
            writes
        });
        self.store.transact(Reads::nothing(), decide).await
    }
}

impl KeyStore for Busy {
    async fn log_after(&self, seq: i64, limit: u32) -> Result<Vec<LoggedEvent>, StoreError> {
        let log = self.store.log_after(seq, limit).await;
        self.written().await?;
        log
    }

    async fn log_head(&self) -> Result<ChainHead, StoreError> {
        let head = self.store.log_head().await;
        self.written().await?;
        head
    }

    passed_on!(store: find, get, transact, list, events, expired_before, is_empty, has_imported, ping, spend, give_back, credits, check_key);
}

#[tokio::test]
async fn an_event_that_comes_at_any_moment_of_a_verification_breaks_nothing() {
    for keys_before in [0, 3] {
        for reads in 1..=8 {
            let store = Busy {
                store: MemoryStore::new().expect("a store"),
                reads_until: Arc::default(),
            };
            let auth = ApiKeyAuth::builder(store.clone())
                .build()
                .expect("a configuration");
            let keys = auth.keys().expect("there is a store");
            for _ in 0..keys_before {
                keys.issue(NewKey::new("alice")).await.expect("a key");
            }
            store.reads_until.store(reads, Ordering::SeqCst);
            let verified = keys.verify_log().await.expect("an answer");
            let head = verified.unwrap_or_else(|broken| panic!("written after {reads} reads: {broken}"));
            assert_eq!(head.seq, keys_before);
        }
    }
}
