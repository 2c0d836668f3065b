//! What one handle of a file changes, the others are told.

use std::time::Duration;

use tower_api_key::{
    ApiKeyAuth,
    key::{KeyDigest, KeyId},
    manage::{IssuedKey, NewKey},
    store::{KeyStore, MemoryStore, SqliteStore},
};

use crate::{
    hearing::{Hearing, Told, is_lost, is_proven},
    opened::Folder,
};

fn auth(store: &SqliteStore) -> ApiKeyAuth {
    ApiKeyAuth::builder(store.clone())
        .build()
        .expect("a configuration")
}

async fn issue(auth: &ApiKeyAuth) -> IssuedKey {
    let keys = auth.keys().expect("there is a store");
    keys.issue(NewKey::new("alice")).await.expect("a key")
}

fn changed(issued: &IssuedKey) -> Told {
    Told::Changed(issued.record.digest)
}

fn only(issued: &IssuedKey) -> String {
    format!("WHERE id = '{}'", issued.record.id)
}

/// A row, in SQL, that nothing else is known of.
fn insertion(verb: &str, id: KeyId, digest: &KeyDigest) -> String {
    let columns = "id, digest, prefix, name, owner, scopes, created_at";
    let digest = digest.to_hex();
    format!("{verb} INTO api_keys ({columns}) VALUES ('{id}', X'{digest}', 'ak', '', 'bob', '', 1)")
}

#[tokio::test]
async fn a_feed_first_takes_everything_for_changed_and_then_is_proven_again_and_again() {
    let folder = Folder::new();
    let hearing = Hearing::begun(folder.open("keys.db").await.feed()).await;
    hearing.assert_in_order().await;
}

#[tokio::test]
async fn what_another_handle_of_the_file_does_is_told() {
    let folder = Folder::new();
    let (one, two) = (folder.open("keys.db").await, folder.open("keys.db").await);
    let hearing = Hearing::begun(one.feed()).await;
    let auth = auth(&two);
    let keys = auth.keys().expect("there is a store");

    let mark = hearing.mark();
    let issued = issue(&auth).await;
    assert_eq!(hearing.all_since(mark).await, [changed(&issued)], "minted");
    let mark = hearing.mark();
    let next = keys
        .rotate(issued.record.id, Duration::ZERO)
        .await
        .expect("rotated");
    let told = hearing.all_since(mark).await;
    assert!(
        told.contains(&changed(&issued)) && told.contains(&changed(&next)),
        "{told:?}"
    );
    let mark = hearing.mark();
    keys.revoke(next.record.id).await.expect("revoked");
    assert_eq!(hearing.all_since(mark).await, [changed(&next)], "revoked");
}

#[tokio::test]
async fn what_any_other_program_does_is_told() {
    let folder = Folder::new();
    let store = folder.open("keys.db").await;
    let issued = issue(&auth(&store)).await;
    let hearing = Hearing::begun(store.feed()).await;
    let (id, digest) = (KeyId::generate(), KeyDigest::of(b"one"));
    let other = KeyDigest::of(b"another");
    let hex = other.to_hex();
    let cases = [
        (insertion("INSERT", id, &digest), vec![Told::Changed(digest)]),
        (
            format!("UPDATE api_keys SET revoked_at = 1 {}", only(&issued)),
            vec![changed(&issued)],
        ),
        (
            format!("UPDATE api_keys SET owner = 'carol' {}", only(&issued)),
            vec![changed(&issued)],
        ),
        (
            format!("UPDATE api_keys SET credits = NULL {}", only(&issued)),
            vec![changed(&issued)],
        ),
        (
            "INSERT INTO api_key_credits VALUES ('k', 5, 5, NULL, 0); \
             UPDATE api_key_credits SET remaining = 4"
                .to_owned(),
            vec![],
        ),
        (
            format!("UPDATE api_keys SET digest = X'{hex}' WHERE id = '{id}'"),
            vec![Told::Changed(other), Told::Changed(digest)],
        ),
        // The row that gives way is not one that is deleted, for a trigger.
        (
            insertion("INSERT OR REPLACE", id, &digest),
            vec![Told::Changed(other), Told::Changed(digest)],
        ),
        (
            format!("UPDATE OR REPLACE api_keys SET id = '{id}' {}", only(&issued)),
            vec![Told::Changed(digest), changed(&issued)],
        ),
        (
            format!("DELETE FROM api_keys WHERE id = '{id}'"),
            vec![changed(&issued)],
        ),
        ("UPDATE api_keys SET last_used_at = 5".to_owned(), vec![]),
    ];
    for (statement, expected) in cases {
        let mark = hearing.mark();
        folder.sql("keys.db", &statement).await;
        assert_eq!(hearing.all_since(mark).await, expected, "{statement}");
    }
}

#[tokio::test]
async fn that_a_key_was_used_is_no_change() {
    let folder = Folder::new();
    let store = folder.open("keys.db").await;
    issue(&auth(&store)).await;
    let hearing = Hearing::begun(store.feed()).await;
    let mark = hearing.mark();
    folder
        .sql("keys.db", "UPDATE api_keys SET last_used_at = 5")
        .await;
    assert_eq!(hearing.all_since(mark).await, []);
    assert_eq!(
        folder
            .value("keys.db", "SELECT last_used_at AS value FROM api_keys")
            .await,
        "5"
    );
}

#[tokio::test]
async fn a_change_that_was_rolled_back_is_none() {
    let folder = Folder::new();
    let store = folder.open("keys.db").await;
    issue(&auth(&store)).await;
    let hearing = Hearing::begun(store.feed()).await;
    let mark = hearing.mark();
    let statements = "BEGIN IMMEDIATE; UPDATE api_keys SET revoked_at = 1; ROLLBACK";
    folder.sql("keys.db", statements).await;
    assert_eq!(hearing.all_since(mark).await, []);
}

#[tokio::test]
async fn too_many_changes_and_a_list_of_them_with_a_gap_change_everything() {
    let folder = Folder::new();
    let store = folder.open("keys.db").await;
    let hearing = Hearing::begun(store.feed()).await;
    let many = "WITH RECURSIVE n (value) AS (VALUES (1) UNION ALL SELECT value + 1 FROM n WHERE value < 1001) \
                INSERT INTO api_keys (id, digest, prefix, name, owner, scopes, created_at) \
                SELECT 'k' || value, unhex(printf('%064x', value)), 'ak', '', 'bob', '', 1 FROM n";
    for (statements, expected) in [
        (many, vec![Told::All]),
        // Those after it are told one by one again.
        (
            "UPDATE api_keys SET name = 'x' WHERE id = 'k1'",
            vec![Told::Changed(digest_of(1))],
        ),
        (
            "UPDATE api_keys SET name = 'y' WHERE id < 'k2'; \
             DELETE FROM api_key_changes WHERE seq = (SELECT max(seq) - 1 FROM api_key_changes)",
            vec![Told::All],
        ),
        ("DELETE FROM api_key_changes", vec![Told::All]),
        ("UPDATE api_keys SET name = 'x' WHERE id = 'k1'", vec![Told::All]),
        (
            "UPDATE api_keys SET name = 'x' WHERE id = 'k2'",
            vec![Told::Changed(digest_of(2))],
        ),
    ] {
        let mark = hearing.mark();
        folder.sql("keys.db", statements).await;
        assert_eq!(hearing.all_since(mark).await, expected, "{statements}");
    }
}

fn digest_of(number: u8) -> KeyDigest {
    let mut bytes = [0; 32];
    bytes[31] = number;
    KeyDigest::from_bytes(bytes)
}

#[tokio::test]
async fn the_list_of_changes_does_not_grow_for_ever() {
    let folder = Folder::new();
    let store = folder.open("keys.db").await;
    issue(&auth(&store)).await;
    let many = "WITH RECURSIVE n (value) AS (VALUES (1) UNION ALL SELECT value + 1 FROM n WHERE value < 10500) \
                INSERT INTO api_key_changes (digest) SELECT zeroblob(32) FROM n";
    folder.sql("keys.db", many).await;
    assert_eq!(
        folder
            .value("keys.db", "SELECT count(*) AS value FROM api_key_changes")
            .await,
        "10000"
    );
}

#[tokio::test]
async fn where_the_file_cannot_be_read_nothing_is_proven_until_it_can() {
    let folder = Folder::new();
    let store = folder.open("keys.db").await;
    let hearing = Hearing::begun(store.feed()).await;
    let mark = hearing.mark();
    folder
        .sql("keys.db", "ALTER TABLE api_key_changes RENAME TO elsewhere")
        .await;
    let mark = hearing.lost(mark).await;
    hearing.lost(mark).await;
    assert!(!hearing.since(mark).iter().any(is_proven));
    folder
        .sql("keys.db", "ALTER TABLE elsewhere RENAME TO api_key_changes")
        .await;
    hearing.assert_back(mark).await;
}

#[tokio::test]
async fn a_feed_ends_with_its_store_and_says_so() {
    let folder = Folder::new();
    let store = folder.open("keys.db").await;
    let hearing = Hearing::begun(store.feed()).await;
    #[cfg(target_os = "linux")]
    assert!(open_files(folder.path("keys.db")) > 0);
    store.close().await;
    let told = hearing.since(0);
    assert!(told.last().is_some_and(is_lost), "{told:?}");
    // Not by its log, which stays where two connections end at the same time and neither is the last.
    for _ in 0..500 {
        if open_files(folder.path("keys.db")) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("somebody holds on to the file");
}

/// How many files this process has open whose path begins so. Only Linux tells.
fn open_files(path: impl AsRef<std::path::Path>) -> usize {
    let path = path.as_ref().to_str().expect("text");
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else {
        return 0;
    };
    let names = open.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    names
        .filter(|name| name.to_string_lossy().starts_with(path))
        .count()
}

#[tokio::test]
async fn everywhere_is_after_a_lease() {
    let folder = Folder::new();
    let store = folder.open("keys.db").await;
    let receipt = store.everywhere(store.lease()).await.expect("an answer");
    let receipt = receipt.expect("there is a feed");
    assert_eq!((receipt.acked, receipt.of), (1, 1));
    assert!(receipt.took >= store.lease());
}

#[tokio::test]
async fn in_memory_there_is_nobody_else() {
    let sqlite = SqliteStore::open("sqlite::memory:").await.expect("a store");
    let memory = MemoryStore::new().expect("a store");
    assert!(sqlite.feed().is_none() && memory.feed().is_none());
    // Or the test would never end.
    assert!(
        sqlite
            .everywhere(Duration::MAX)
            .await
            .expect("an answer")
            .is_some()
    );
}
