//! Expiry is judged by the database's clock, whatever the time is here.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::{Connection, PgConnection};
use tower_api_key::{
    ApiKeyAuth,
    clock::{ManualClock, from_unix_ms},
    key::KeyStatus,
    manage::NewKey,
    store::{KeyQuery, KeyStore},
};

use crate::{
    database::Database,
    opened::{keys, open, status},
};

const HOUR: Duration = Duration::from_secs(3600);

/// The time of the database, which is asked itself.
fn now(database: &Database) -> SystemTime {
    let now = database.value("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint");
    from_unix_ms(now.parse().expect("a number")).expect("a date")
}

#[tokio::test]
async fn a_node_whose_clock_is_years_off_judges_as_the_database_does() {
    let Some(database) = Database::create() else {
        return;
    };
    let store = open(&database).await;
    let (past, future) = (now(&database) - HOUR, now(&database) + HOUR);
    for date in [UNIX_EPOCH + HOUR, UNIX_EPOCH + Duration::from_secs(4_102_444_800)] {
        let builder = ApiKeyAuth::builder(store.clone()).clock(ManualClock::new(date));
        let auth = builder.build().expect("a configuration");
        let owner = format!("{date:?}");
        let new = |expiry| NewKey::new(owner.as_str()).expires_at(expiry);
        let good = keys(&auth).issue(new(future)).await.expect("a key");
        let expired = keys(&auth).issue(new(past)).await.expect("a key");
        assert_eq!(status(&auth, &good).await, 200, "{date:?}");
        assert_eq!(status(&auth, &expired).await, 401, "{date:?}");
        let active = KeyQuery::newest(10)
            .owner(owner.as_str())
            .status(KeyStatus::Active);
        assert_eq!(
            keys(&auth).list(&active).await.expect("an answer").keys,
            std::slice::from_ref(&good.record)
        );

        // What was issued is dated by the database, too.
        assert!(
            good.record.created_at > past && good.record.created_at < future,
            "{:?}",
            good.record
        );
    }
}

#[tokio::test]
async fn the_time_of_an_answer_is_the_databases() {
    let Some(database) = Database::create() else {
        return;
    };
    let store = open(&database).await;
    let auth = ApiKeyAuth::builder(store.clone())
        .build()
        .expect("a configuration");
    let issued = keys(&auth).issue(NewKey::new("alice")).await.expect("a key");
    let before = now(&database);
    let found = store
        .find(&issued.record.digest)
        .await
        .expect("an answer")
        .expect("the key");
    let got = store
        .get(issued.record.id)
        .await
        .expect("an answer")
        .expect("the key");
    let page = store.list(&KeyQuery::newest(1)).await.expect("an answer");
    let after = now(&database);
    for at in [found.now, got.now, page.now] {
        assert!(before <= at && at <= after, "{before:?} {at:?} {after:?}");
    }
}

/// A time to come would end keys before their time, and one of long ago would keep them for longer.
#[tokio::test]
async fn the_time_of_an_answer_is_neither_before_the_question_nor_after_it() {
    let Some(database) = Database::create() else {
        return;
    };
    let store = open(&database).await;
    let auth = ApiKeyAuth::builder(store.clone())
        .build()
        .expect("a configuration");
    let digest = keys(&auth)
        .issue(NewKey::new("alice"))
        .await
        .expect("a key")
        .record
        .digest;
    let mut connection = PgConnection::connect(&database.url()).await.expect("connected");
    let mut exactly = async || {
        const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
        let micros: i64 = sqlx::query_scalar(NOW)
            .fetch_one(&mut connection)
            .await
            .expect("a time");
        UNIX_EPOCH + Duration::from_micros(micros.try_into().expect("a date"))
    };
    for _ in 0..300 {
        let before = exactly().await;
        let one = store.find(&digest).await.expect("an answer").expect("the key");
        let many = store.find_many(&[digest]).await.expect("an answer");
        let after = exactly().await;
        for at in [one.now, many[0].now] {
            assert!(before <= at && at <= after, "{before:?} {at:?} {after:?}");
        }
    }
    connection.close().await.expect("closed");
}
