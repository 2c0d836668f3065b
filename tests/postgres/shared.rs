//! One database, from several processes.

use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinSet;
use tower_api_key::{
    ApiKeyAuth,
    event::{Actor, KeyEvent, KeyEventKind},
    manage::{DEFAULT_OVERLAP, KeyChange, ManageErrorKind, NewKey},
    store::{Decide, EventQuery, KeyStore, PostgresStore, Reads, StoreErrorKind, Writes},
};

use crate::{
    database::Database,
    opened::{issue, keys, open, status, uncached},
};

#[tokio::test]
async fn two_stores_on_one_database_see_what_the_other_writes() {
    let Some(database) = Database::create() else {
        return;
    };
    let (of_one, of_two) = (uncached(&open(&database).await), uncached(&open(&database).await));
    for (writes, reads) in [(&of_one, &of_two), (&of_two, &of_one)] {
        let issued = issue(writes).await;
        assert_eq!(status(reads, &issued).await, 200);
        let got = keys(reads).get(issued.record.id).await.expect("an answer");
        assert_eq!(got.map(|stored| stored.record), Some(issued.record.clone()));
        keys(writes).revoke(issued.record.id).await.expect("revoked");
        assert_eq!(status(reads, &issued).await, 401);
        let about = EventQuery::newest(10).key(issued.record.id);
        assert_eq!(keys(reads).events(&about).await.expect("an answer").len(), 2);
    }
}

#[tokio::test]
async fn a_change_goes_through_while_every_connection_for_look_ups_is_taken() {
    let Some(database) = Database::create() else {
        return;
    };
    let pool = |connections| {
        let options = PgPoolOptions::new().max_connections(connections);
        let options = options.acquire_timeout(Duration::from_secs(30));
        options.connect_lazy(&database.url()).expect("a pool")
    };
    let reader = pool(1);
    let store = PostgresStore::with_pools(reader.clone(), pool(2))
        .await
        .expect("a store");
    let auth = uncached(&store);
    let taken = reader.acquire().await.expect("a connection");
    let id = issue(&auth).await.record.id;
    let keys = keys(&auth);
    let disabled = |disabled| keys.change(id, KeyChange::new().disabled(disabled));
    disabled(true).await.expect("changed");
    disabled(false).await.expect("changed");
    keys.rotate(id, DEFAULT_OVERLAP).await.expect("rotated");
    keys.revoke(id).await.expect("revoked");
    drop(taken);
}

#[tokio::test]
async fn a_row_written_by_any_client_counts() {
    let Some(database) = Database::create() else {
        return;
    };
    let auth = uncached(&open(&database).await);
    let issued = issue(&auth).await;
    let only = format!("WHERE id = '{}'", issued.record.id);
    for (assignment, expected) in [
        ("disabled_at = 1", 401),
        ("disabled_at = NULL", 200),
        ("expires_at = 1", 401),
        ("expires_at = NULL", 200),
        ("revoked_at = 1", 401),
    ] {
        database.sql(&format!("UPDATE api_keys SET {assignment} {only}"));
        assert_eq!(status(&auth, &issued).await, expected, "{assignment}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_two_stores_wait_for_each_other() {
    let Some(database) = Database::create() else {
        return;
    };
    let stores = [open(&database).await, open(&database).await];
    let mut writing = JoinSet::new();
    for store in stores.iter().flat_map(|store| [store.clone(), store.clone()]) {
        writing.spawn(async move {
            let auth = ApiKeyAuth::builder(store).build().expect("a configuration");
            for _ in 0..25 {
                let issued = issue(&auth).await;
                keys(&auth).revoke(issued.record.id).await.expect("revoked");
            }
        });
    }
    writing.join_all().await;
    let revoked = "SELECT count(*) FROM api_keys WHERE revoked_at IS NOT NULL";
    assert_eq!(database.value(revoked), "100");
    assert_eq!(database.value("SELECT count(*) FROM api_key_events"), "200");
    let auth = uncached(&stores[0]);
    let head = keys(&auth)
        .verify_log()
        .await
        .expect("an answer")
        .expect("a whole log");
    assert_eq!(head.seq, 200);
}

#[tokio::test]
async fn a_change_without_its_event_is_no_change() {
    let Some(database) = Database::create() else {
        return;
    };
    let store = open(&database).await;
    let auth = uncached(&store);
    let issued = issue(&auth).await;
    database.sql(
        "CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no room'; END $$; \
         CREATE TRIGGER fails BEFORE INSERT ON api_key_events FOR EACH ROW EXECUTE FUNCTION fails()",
    );
    let unkept = keys(&auth)
        .issue(NewKey::new("bob"))
        .await
        .expect_err("no event, no key");
    assert_eq!(unkept.kind(), ManageErrorKind::Unavailable);
    let unrevoked = keys(&auth)
        .revoke(issued.record.id)
        .await
        .expect_err("no event, no revocation");
    assert_eq!(unrevoked.kind(), ManageErrorKind::Unavailable);
    let mut record = issued.record.clone();
    record.revoked_at = Some(record.created_at);
    let mut writes = Writes::nothing();
    let actor = Actor::application();
    writes.events.push(KeyEvent::new(
        KeyEventKind::Revoked,
        &record,
        record.created_at,
        &actor,
    ));
    writes.update.push(record);
    let error = store
        .transact(Reads::nothing(), Decide::new(move |_| writes))
        .await
        .expect_err("fails");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert_eq!(
        database.value("SELECT count(*) FROM api_keys WHERE revoked_at IS NULL"),
        "1"
    );
    assert_eq!(database.value("SELECT count(*) FROM api_keys"), "1");
    assert_eq!(status(&auth, &issued).await, 200);

    // And nothing is left that would be in the way of the next change.
    database.sql("DROP TRIGGER fails ON api_key_events");
    issue(&auth).await;
    keys(&auth).revoke(issued.record.id).await.expect("revoked");
    assert_eq!(status(&auth, &issued).await, 401);
}

#[tokio::test]
async fn a_decision_that_panics_changes_nothing_and_is_in_nobodys_way() {
    let Some(database) = Database::create() else {
        return;
    };
    let store = open(&database).await;
    let auth = uncached(&store);
    for _ in 0..5 {
        let store = store.clone();
        let deciding = tokio::spawn(async move {
            let decide = Decide::new(|_| panic!("the test asked for it"));
            store.transact(Reads::nothing(), decide).await
        });
        assert!(deciding.await.expect_err("a panic").is_panic());
        issue(&auth).await;
    }
    assert_eq!(database.value("SELECT seq FROM api_key_log"), "5");
}

#[tokio::test]
async fn a_store_that_is_closed_cannot_say() {
    let Some(database) = Database::create() else {
        return;
    };
    let store = open(&database).await;
    let auth = uncached(&store);
    let issued = issue(&auth).await;
    store.close().await;
    assert_eq!(status(&auth, &issued).await, 503);
    assert!(store.ping().await.is_err() && store.is_empty().await.is_err());
    let error = keys(&auth).issue(NewKey::new("alice")).await.expect_err("closed");
    assert_eq!(error.kind(), ManageErrorKind::Unavailable);
}
