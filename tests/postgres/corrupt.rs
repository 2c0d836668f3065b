//! A row that something else has written badly is no missing key.

use tower_api_key::{
    access::Grants,
    manage::NewKey,
    store::{EventQuery, KeyStore, PostgresStore, StoreErrorKind},
};

use crate::{
    database::Database,
    opened::{chain, issue, keys, open, status, uncached},
};

#[tokio::test]
async fn a_row_that_is_no_key_is_503_and_not_401() {
    let Some(database) = Database::create() else {
        return;
    };
    let store = open(&database).await;
    let auth = uncached(&store);
    let grants = Grants::scopes(["issues:read"])
        .expect("scopes")
        .on(["agent:alpha"]);
    let new = NewKey::new("alice").grants(grants.expect("resources"));
    let issued = keys(&auth).issue(new).await.expect("a key");
    let id = issued.record.id;
    database.sql("CREATE TABLE before AS SELECT * FROM api_keys");
    for assignment in [
        "id = 'nonsense'",
        "id = upper(id)",
        "scopes = 'issues:read \"'",
        "scopes = '* issues:read'",
        "scopes = '**'",
        "resources = 'agent'",
        "resources = '*'",
        "allowed_ips = ''",
        "allowed_ips = 'localhost'",
        "rate_limit = '0/1m'",
        "rate_limit = ''",
        "rotated_from = ''",
        "rotated_to = 'nonsense'",
        "created_at = -1",
        "expires_at = -1",
        "expires_at = -9223372036854775808",
        "revoked_at = -1",
        "disabled_at = -1",
        "credits = 'nonsense'",
        // An account that is not there.
        "credits = id",
        "last_used_at = -1",
    ] {
        database.sql(&format!("UPDATE api_keys SET {assignment}"));
        assert_eq!(status(&auth, &issued).await, 503, "{assignment}");
        let error = store.find(&issued.record.digest).await.expect_err(assignment);
        assert_eq!(
            error.kind(),
            StoreErrorKind::Corrupt,
            "{assignment}: {}",
            chain(&error)
        );
        if !assignment.starts_with("id") {
            let error = store.get(id).await.expect_err(assignment);
            assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{assignment}");
            keys(&auth)
                .revoke(id)
                .await
                .expect_err("nobody knows what would be revoked");
        }
        // Nothing is remembered of it, and nothing was changed.
        database.sql("DELETE FROM api_keys; INSERT INTO api_keys SELECT * FROM before");
        assert_eq!(status(&auth, &issued).await, 200, "after {assignment}");
    }
}

#[tokio::test]
async fn an_event_that_is_none_is_an_error() {
    let Some(database) = Database::create() else {
        return;
    };
    let store = open(&database).await;
    let issued = issue(&uncached(&store)).await;
    let about = EventQuery::newest(10).key(issued.record.id);
    for assignment in ["kind = 'eaten'", "at = -1", "address = 'nowhere'"] {
        database.sql(&format!("UPDATE api_key_events SET {assignment}"));
        let error = store.events(&about).await.expect_err(assignment);
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{assignment}");
        database.sql("UPDATE api_key_events SET kind = 'minted', at = 1, address = NULL");
    }
    assert_eq!(store.events(&about).await.expect("an answer").len(), 1);
}

#[tokio::test]
async fn columns_of_another_type_are_an_error() {
    let Some(database) = Database::create() else {
        return;
    };
    let store = open(&database).await;
    let auth = uncached(&store);
    let issued = issue(&auth).await;
    store.close().await;
    database.sql("ALTER TABLE api_keys ALTER COLUMN created_at TYPE DOUBLE PRECISION");
    let store = open(&database).await;
    let error = store.find(&issued.record.digest).await.expect_err("no date");
    assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{}", chain(&error));
    assert_eq!(status(&uncached(&store), &issued).await, 503);
}

#[tokio::test]
async fn a_check_key_that_is_none_keeps_the_store_from_opening() {
    let Some(database) = Database::create() else {
        return;
    };
    open(&database).await.close().await;
    database.sql("UPDATE api_key_settings SET value = '\\x00'");
    let error = PostgresStore::connect(&database.url())
        .await
        .expect_err("no check key");
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    assert!(chain(&error).contains("32 bytes"), "{}", chain(&error));
}
