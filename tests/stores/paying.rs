//! What only shows where several processes pay from one account: each handle of a file is as good as one.

use tokio::task::JoinSet;
use tower_api_key::{
    ApiKeyAuth,
    key::KeyId,
    manage::NewKey,
    store::{KeyStore, SqliteStore},
};

use crate::opened::Folder;

async fn sold(store: &SqliteStore, limit: &str) -> KeyId {
    let auth = ApiKeyAuth::builder(store.clone())
        .build()
        .expect("a configuration");
    let new = NewKey::new("alice").credits(limit.parse().expect("credits"));
    let issued = auth.keys().expect("there is a store").issue(new).await;
    issued.expect("a key").record.id
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_are_let_through_as_there_are_uses_whichever_process_they_come_to() {
    let folder = Folder::new();
    let stores = [folder.open("keys.db").await, folder.open("keys.db").await];
    let account = sold(&stores[0], "50/30d").await;
    let mut paying = JoinSet::new();
    for number in 0..64 {
        let store = stores[number % 2].clone();
        paying.spawn(async move { store.spend(account, 1).await.expect("an answer") });
    }
    let spent = paying.join_all().await;
    let mut left: Vec<u32> = spent
        .iter()
        .filter(|spent| spent.enough)
        .map(|spent| spent.balance.left)
        .collect();
    left.sort_unstable();
    assert_eq!(left, (0..50).collect::<Vec<u32>>());
}

/// A use is paid for when whoever asked has gone away, or it is not; the next one finds everything in order.
#[tokio::test]
async fn whoever_goes_away_while_they_pay_is_in_nobodys_way() {
    for location in ["keys.db", "sqlite::memory:"] {
        let folder = Folder::new();
        let store = match location {
            "keys.db" => folder.open(location).await,
            memory => SqliteStore::open(memory).await.expect("a store"),
        };
        let account = sold(&store, "1000").await;
        for polls in 0..20 {
            let store = store.clone();
            let paying = tokio::spawn(async move { store.spend(account, 1).await.map(drop) });
            for _ in 0..polls {
                tokio::task::yield_now().await;
            }
            paying.abort();
        }
        let spent = store.spend(account, 1).await.expect("an answer");
        assert!(
            spent.enough && (979..1000).contains(&spent.balance.left),
            "{spent:?}"
        );
    }
}
