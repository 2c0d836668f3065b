//! Somebody who changes as much as they can waits for themselves, and nobody else waits for them.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;
use tower_api_key::{
    access::Grants,
    manage::{CallerKeys, NewKey},
    store::{Decide, KeyStore, Reads, Writes},
};

use crate::{
    caller::caller,
    database::Database,
    hearing::Hearing,
    opened::{keys, open, uncached},
};

async fn mint(caller: CallerKeys) -> bool {
    let new = NewKey::new("").name("one of many").grants(Grants::none());
    caller.issue(new).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_mints_without_end_holds_up_nobody_elses_changes() {
    let Some(database) = Database::create() else {
        return;
    };
    let auth = uncached(&open(&database).await);
    let (alice, bob) = (
        caller(&auth, "alice", "keys:write").await,
        caller(&auth, "bob", "keys:write").await,
    );
    let issued = keys(&auth).issue(NewKey::new("carol")).await.expect("a key");
    database.sql(
        "CREATE FUNCTION dawdles() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.05); RETURN NEW; END $$; \
         CREATE TRIGGER dawdles BEFORE INSERT ON api_keys FOR EACH ROW WHEN (NEW.owner = 'alice') EXECUTE FUNCTION dawdles()",
    );
    let mut flood = JoinSet::new();
    for _ in 0..300 {
        let alice = alice.clone();
        flood.spawn(async move {
            loop {
                mint(alice.clone()).await;
            }
        });
    }
    let minted = "SELECT count(*) > 3 FROM api_keys WHERE owner = 'alice'";
    while database.value(minted) != "true" {
        tokio::task::yield_now().await;
    }
    keys(&auth).revoke(issued.record.id).await.expect("revoked");
    assert!(mint(bob).await);
    // Alice can still end what she has.
    alice.revoke_current().await.expect("revoked");
    flood.shutdown().await;
}

/// A listener that comes back, and a change that waits until all have heard of it.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_to_change_something_hold_up_no_listener_and_no_question() {
    let Some(database) = Database::create() else {
        return;
    };
    let store = open(&database).await;
    let mut holder = PgConnection::connect(&database.url()).await.expect("connected");
    let locked = sqlx::raw_sql("BEGIN; SELECT * FROM api_key_log FOR UPDATE")
        .execute(&mut holder)
        .await;
    locked.expect("locked");
    let mut waiting = JoinSet::new();
    for _ in 0..20 {
        let store = store.clone();
        waiting.spawn(async move {
            let nothing = Decide::new(|_| Writes::nothing());
            store.transact(Reads::nothing(), nothing).await
        });
    }
    const WAITING: &str = "SELECT count(*) > 1 FROM pg_stat_activity \
                           WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while database.value(WAITING) != "true" {
        tokio::task::yield_now().await;
    }
    let hearing = Hearing::begin(store.feed());
    let told = hearing.until(0, |_| true).await;
    assert_eq!(told, [crate::hearing::Told::All]);
    let receipt = store
        .everywhere(Duration::from_secs(30))
        .await
        .expect("an answer");
    assert_eq!(receipt.map(|receipt| receipt.acked), Some(1));
    holder.close().await.expect("closed");
    waiting.shutdown().await;
}
