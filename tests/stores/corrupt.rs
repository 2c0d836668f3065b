//! A row that something else has written badly is no missing key.

use std::time::Duration;

use tower_api_key::{
    ApiKeyAuth,
    access::Grants,
    manage::{IssuedKey, NewKey},
    store::{EventQuery, KeyStore, SqliteStore, StoreErrorKind},
};

use crate::opened::{Folder, chain, status};

fn uncached(store: &SqliteStore) -> ApiKeyAuth {
    let builder = ApiKeyAuth::builder(store.clone()).cache_ttl(Duration::ZERO);
    builder.build().expect("a configuration")
}

#[tokio::test]
async fn a_row_that_is_no_key_is_503_and_not_401() {
    let folder = Folder::new();
    let store = folder.open("keys.db").await;
    let auth = uncached(&store);
    let grants = Grants::scopes(["issues:read"])
        .expect("scopes")
        .on(["agent:alpha"]);
    let new = NewKey::new("alice").grants(grants.expect("resources"));
    let issued = auth.keys().expect("a store").issue(new).await.expect("a key");
    let (id, key) = (issued.record.id, issued.key.expose());
    folder
        .sql("keys.db", "CREATE TABLE before AS SELECT * FROM api_keys")
        .await;
    for assignment in [
        "id = 'nonsense'",
        "id = upper(id)",
        "scopes = 'issues:read \"'",
        "scopes = '* issues:read'",
        "scopes = '**'",
        "resources = 'agent'",
        "resources = '*'",
        "created_at = -1",
        "expires_at = -1",
        "expires_at = -9223372036854775808",
        "revoked_at = -1",
        "disabled_at = -1",
        "credits = 'nonsense'",
        // An account that is not there.
        "credits = id",
        "owner = CAST(X'FF' AS TEXT)",
        "name = CAST(X'FF' AS TEXT)",
    ] {
        folder
            .sql("keys.db", &format!("UPDATE api_keys SET {assignment}"))
            .await;
        assert_eq!(status(&auth, key).await, 503, "{assignment}");
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
        }
        // Nothing is remembered of it.
        folder
            .sql(
                "keys.db",
                "DELETE FROM api_keys; INSERT INTO api_keys SELECT * FROM before",
            )
            .await;
        assert_eq!(status(&auth, key).await, 200, "after {assignment}");
    }
}

#[tokio::test]
async fn a_revoke_of_a_row_that_is_no_key_says_so_and_a_second_try_succeeds() {
    let folder = Folder::new();
    let store = folder.open("keys.db").await;
    let auth = uncached(&store);
    let keys = auth.keys().expect("a store");
    let issued = keys.issue(NewKey::new("alice")).await.expect("a key");
    folder.sql("keys.db", "UPDATE api_keys SET scopes = '\"'").await;
    assert!(keys.revoke(issued.record.id).await.is_err());
    folder.sql("keys.db", "UPDATE api_keys SET scopes = ''").await;
    let revoked = keys.revoke(issued.record.id).await.expect("revoked");
    assert!(revoked.record.revoked_at.is_some());
    assert_eq!(status(&auth, issued.key.expose()).await, 401);
}

fn of(issued: &IssuedKey) -> EventQuery {
    EventQuery::newest(10).key(issued.record.id)
}

#[tokio::test]
async fn an_event_that_is_none_is_an_error() {
    let folder = Folder::new();
    let store = folder.open("keys.db").await;
    let issued = uncached(&store)
        .keys()
        .expect("a store")
        .issue(NewKey::new("alice"))
        .await
        .expect("a key");
    for assignment in ["kind = 'eaten'", "at = -1"] {
        folder
            .sql("keys.db", &format!("UPDATE api_key_events SET {assignment}"))
            .await;
        let error = store.events(&of(&issued)).await.expect_err(assignment);
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{assignment}");
        folder
            .sql("keys.db", "UPDATE api_key_events SET kind = 'minted', at = 1")
            .await;
    }
    assert_eq!(store.events(&of(&issued)).await.expect("an answer").len(), 1);
}

#[tokio::test]
async fn a_check_key_that_is_none_keeps_the_store_from_opening() {
    let folder = Folder::new();
    folder.open("keys.db").await.close().await;
    folder
        .sql("keys.db", "UPDATE api_key_settings SET value = X'00'")
        .await;
    let error = SqliteStore::open(folder.location("keys.db"))
        .await
        .expect_err("no check key");
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    assert!(chain(&error).contains("32 bytes"), "{}", chain(&error));
}
