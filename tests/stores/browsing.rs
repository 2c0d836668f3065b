//! Whoever reads keys without end leaves connections for those who have to be let in.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::task::{JoinSet, yield_now};
use tower_api_key::{
    ApiKeyAuth,
    event::LoggedEvent,
    store::{EventQuery, KeyPage, KeyQuery, KeyStore, MemoryStore, StoreError},
};

use crate::caller::caller;

/// A store that sees who reads much of it at a time.
#[derive(Debug, Clone)]
struct Seeing {
    store: MemoryStore,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    reading: HashMap<String, usize>,
    most: usize,
    most_of_one: usize,
    reads: usize,
}

impl Seeing {
    async fn read(&self, owner: Option<&str>) {
        let owner = owner.expect("all of them see their own").to_owned();
        let count = |change: &dyn Fn(&mut usize)| {
            let mut seen = self.seen.lock().expect("a lock");
            change(seen.reading.entry(owner.clone()).or_default());
            let of_one = seen.reading[&owner];
            let all = seen.reading.values().sum();
            seen.most_of_one = seen.most_of_one.max(of_one);
            seen.most = seen.most.max(all);
        };
        count(&|reading| *reading += 1);
        for _ in 0..10 {
            yield_now().await;
        }
        count(&|reading| *reading -= 1);
        self.seen.lock().expect("a lock").reads += 1;
    }
}

impl KeyStore for Seeing {
    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        self.read(query.owner.as_deref()).await;
        self.store.list(query).await
    }

    async fn events(&self, query: &EventQuery) -> Result<Vec<LoggedEvent>, StoreError> {
        self.read(query.owner.as_deref()).await;
        self.store.events(query).await
    }

    passed_on!(store: find, get, transact, log_after, log_head, expired_before, is_empty, has_imported, ping, spend, give_back, credits, check_key);
}

#[tokio::test]
async fn an_owner_reads_one_page_at_a_time_and_all_together_two() {
    let store = Seeing {
        store: MemoryStore::new().expect("a store"),
        seen: Arc::default(),
    };
    let auth = ApiKeyAuth::builder(store.clone())
        .build()
        .expect("a configuration");
    let mut flood = JoinSet::new();
    for owner in ["alice", "bob", "carol"] {
        let caller = caller(&auth, owner, "keys:read").await;
        let id = caller.list(KeyQuery::newest(1)).await.expect("a list").keys[0].id;
        for i in 0..20 {
            let caller = caller.clone();
            flood.spawn(async move {
                match i % 2 {
                    0 => drop(caller.list(KeyQuery::newest(100)).await.expect("a list")),
                    _ => drop(caller.events(id, None, 100).await.expect("the log")),
                }
            });
        }
    }
    flood.join_all().await;
    let seen = store.seen.lock().expect("a lock");
    assert_eq!((seen.most_of_one, seen.most, seen.reads), (1, 2, 63), "{seen:?}");
}
