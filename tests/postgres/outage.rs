//! A server that goes away, hangs, or is lost on the way: errors in time, nothing half done, and all is well when it is back.

use std::{future::Future, time::Duration};

use sqlx::{Connection, PgConnection};
use tokio::{sync::watch, task::JoinSet, time::timeout};
use tower_api_key::{
    ApiKeyAuth,
    event::{Actor, KeyEvent, KeyEventKind},
    manage::{IssuedKey, ManageErrorKind, NewKey},
    store::{Decide, EventQuery, KeyStore, PostgresStore, Reads, StoreErrorKind, Writes},
};

use crate::{
    database::Database,
    opened::{issue, keys, open, open_at, status, status_of, uncached},
    proxy::Proxy,
};

/// Longer than any of the store's time-outs; what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many look-ups the store has connections for.
const READERS: usize = 8;

async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = timeout(PATIENCE, work).await;
    done.unwrap_or_else(|_| panic!("{what}: no answer"))
}

async fn assert_nothing_can_be_changed(auth: &ApiKeyAuth, issued: &IssuedKey) {
    let unkept = in_time("issue", keys(auth).issue(NewKey::new("bob"))).await;
    assert_eq!(
        unkept.expect_err("no server").kind(),
        ManageErrorKind::Unavailable
    );
    let unrevoked = in_time("revoke", keys(auth).revoke(issued.record.id)).await;
    assert_eq!(
        unrevoked.expect_err("no server").kind(),
        ManageErrorKind::Unavailable
    );
}

async fn assert_all_is_well(auth: &ApiKeyAuth, issued: &IssuedKey) {
    let look_up = async {
        while status(auth, issued).await != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    in_time("a look-up", look_up).await;
    let mint = async {
        while keys(auth).issue(NewKey::new("alice")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    in_time("a mint", mint).await;
    // As many at once as there are connections, and some more.
    let mut asking = JoinSet::new();
    for _ in 0..32 {
        let (auth, key) = (auth.clone(), issued.key.expose().to_owned());
        asking.spawn(async move { status_of(&auth, &key).await });
    }
    for answer in in_time("look-ups", asking.join_all()).await {
        assert_eq!(answer, 200);
    }
    in_time("the log", keys(auth).verify_log())
        .await
        .expect("an answer")
        .expect("a whole log");
}

/// The name of a key is changed; the decision is made inside of the transaction, and this runs there.
async fn rename(
    store: &PostgresStore,
    issued: &IssuedKey,
    meanwhile: impl FnOnce() + Send + 'static,
) -> Result<(), StoreErrorKind> {
    let id = issued.record.id;
    let decide = Decide::new(move |view| {
        let mut record = view.key(id).expect("the key").clone();
        record.name.push('x');
        let mut writes = Writes::nothing();
        writes.events.push(KeyEvent::new(
            KeyEventKind::Changed,
            &record,
            view.now,
            &Actor::application(),
        ));
        writes.update.push(record);
        meanwhile();
        writes
    });
    let done = in_time("a change", store.transact(Reads::nothing().key(id), decide)).await;
    done.map_err(|error| error.kind())
}

async fn name(store: &PostgresStore, issued: &IssuedKey) -> String {
    let got = store.get(issued.record.id).await.expect("an answer");
    got.expect("the key").record.name
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_is_503_and_all_is_well_when_it_is_back() {
    let Some(database) = Database::create() else {
        return;
    };
    let proxy = Proxy::before(&database.url());
    let auth = uncached(&open_at(proxy.url()).await);
    let issued = issue(&auth).await;
    assert_eq!(status(&auth, &issued).await, 200);
    proxy.cut();
    for _ in 0..3 {
        assert_eq!(in_time("a look-up", status(&auth, &issued)).await, 503);
    }
    assert!(in_time("ping", keys(&auth).ping()).await.is_err());
    assert_nothing_can_be_changed(&auth, &issued).await;
    assert_eq!(
        database.value("SELECT count(*) FROM api_keys WHERE revoked_at IS NULL"),
        "1"
    );
    proxy.clear_up();
    assert_all_is_well(&auth, &issued).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_the_server_ends_are_replaced_before_anybody_notices() {
    let Some(database) = Database::create() else {
        return;
    };
    let auth = uncached(&open(&database).await);
    let issued = issue(&auth).await;
    assert_eq!(status(&auth, &issued).await, 200);
    for _ in 0..3 {
        database.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
        assert_eq!(in_time("a look-up", status(&auth, &issued)).await, 200);
        in_time("a mint", issue(&auth)).await;
    }
}

/// Connections that neither answer nor end, as behind a network that fell silent, must not use up those there may be.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_fall_silent_are_given_up() {
    let Some(database) = Database::create() else {
        return;
    };
    let proxy = Proxy::before(&database.url());
    let store = open_at(proxy.url()).await;
    let auth = uncached(&store);
    let issued = issue(&auth).await;
    // Each connection for look-ups is in the middle of one.
    let mut holder = PgConnection::connect(&database.url()).await.expect("connected");
    let locked = sqlx::raw_sql("BEGIN; LOCK api_keys").execute(&mut holder).await;
    locked.expect("locked");
    let mut asking = JoinSet::new();
    let (give_up, given_up) = watch::channel(false);
    for _ in 0..READERS {
        let (store, mut given_up) = (store.clone(), given_up.clone());
        asking.spawn(async move {
            tokio::select! {
                found = store.find(&issued.record.digest) => panic!("it is locked: {found:?}"),
                _ = given_up.changed() => {}
            }
        });
    }
    const WAITING: &str = "SELECT count(*) FROM pg_stat_activity \
                           WHERE datname = current_database() AND wait_event_type = 'Lock'";
    in_time("look-ups that wait", async {
        while database.value(WAITING) != READERS.to_string() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    proxy.lose();
    holder.close().await.expect("closed");
    give_up.send(true).expect("they wait");
    asking.join_all().await;

    assert_eq!(in_time("a look-up", status(&auth, &issued)).await, 503);
    assert_nothing_can_be_changed(&auth, &issued).await;
    proxy.clear_up();
    assert_all_is_well(&auth, &issued).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_lost_in_the_middle_changes_nothing_and_lets_others_change() {
    let Some(database) = Database::create() else {
        return;
    };
    let proxy = Proxy::before(&database.url());
    let (lost, other) = (open_at(proxy.url()).await, open(&database).await);
    let auth = uncached(&other);
    let issued = issue(&auth).await;
    let falls_silent = proxy.clone();
    let outcome = rename(&lost, &issued, move || falls_silent.lose()).await;
    assert_eq!(outcome, Err(StoreErrorKind::Unavailable));
    // The server has been waiting for the rest with the log in its hands.
    assert_all_is_well(&auth, &issued).await;
    assert_eq!(name(&other, &issued).await, "");
    proxy.clear_up();
    in_time("a change", async {
        while rename(&lost, &issued, || {}).await.is_err() {}
    })
    .await;
    assert_eq!(name(&other, &issued).await, "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_answer_is_lost_says_that_nobody_knows_and_a_second_try_ends_it() {
    let Some(database) = Database::create() else {
        return;
    };
    let proxy = Proxy::before(&database.url());
    let auth = uncached(&open_at(proxy.url()).await);
    let issued = issue(&auth).await;
    proxy.lose_the_answer_to_the_next_commit();
    let error = in_time("revoke", keys(&auth).revoke(issued.record.id))
        .await
        .expect_err("lost");
    assert_eq!(error.kind(), ManageErrorKind::Unavailable);
    assert_eq!(
        database.value("SELECT count(*) FROM api_keys WHERE revoked_at IS NOT NULL"),
        "1"
    );
    assert_eq!(
        status(&auth, &issued).await,
        401,
        "it was revoked, whatever was said"
    );
    in_time("revoke", keys(&auth).revoke(issued.record.id))
        .await
        .expect("revoked");
    let about = EventQuery::newest(10).key(issued.record.id);
    assert_eq!(keys(&auth).events(&about).await.expect("an answer").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_somebody_holds_stops_changes_in_time_and_no_look_up() {
    let Some(database) = Database::create() else {
        return;
    };
    let auth = uncached(&open(&database).await);
    let issued = issue(&auth).await;
    let mut holder = PgConnection::connect(&database.url()).await.expect("connected");
    let locked = sqlx::raw_sql("BEGIN; SELECT * FROM api_key_log FOR UPDATE")
        .execute(&mut holder)
        .await;
    locked.expect("locked");
    assert_nothing_can_be_changed(&auth, &issued).await;
    assert_eq!(status(&auth, &issued).await, 200);
    holder.close().await.expect("closed");
    assert_all_is_well(&auth, &issued).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_takes_for_ever_is_ended_and_changes_nothing() {
    let Some(database) = Database::create() else {
        return;
    };
    let auth = uncached(&open(&database).await);
    let issued = issue(&auth).await;
    database.sql(
        "CREATE FUNCTION dawdles() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3600); RETURN NEW; END $$; \
         CREATE TRIGGER dawdles BEFORE INSERT ON api_key_events FOR EACH ROW EXECUTE FUNCTION dawdles()",
    );
    assert_nothing_can_be_changed(&auth, &issued).await;
    assert_eq!(status(&auth, &issued).await, 200);
    database.sql("DROP TRIGGER dawdles ON api_key_events");
    assert_eq!(
        database.value("SELECT count(*) FROM api_keys WHERE revoked_at IS NULL"),
        "1"
    );
    assert_all_is_well(&auth, &issued).await;
}
