//! What anybody changes in the database, whoever listens is told.

use std::time::Duration;

use tower_api_key::{
    key::{KeyDigest, KeyId},
    manage::IssuedKey,
    store::KeyStore,
};

use crate::{
    database::Database,
    hearing::{Hearing, Told, is_lost},
    opened::{issue, keys, open, uncached},
};

/// The backend that listens.
const LISTENER: &str = "FROM pg_stat_activity WHERE application_name = 'tower-api-key feed' \
                        AND datname = current_database()";

fn changed(issued: &IssuedKey) -> Told {
    Told::Changed(issued.record.digest)
}

fn digest_of(number: u8) -> KeyDigest {
    let mut bytes = [0; 32];
    bytes[31] = number;
    KeyDigest::from_bytes(bytes)
}

/// Rows `k1`, `k2` and so on, of which nothing else is known.
fn insertion(first: u32, last: u32) -> String {
    format!(
        "INSERT INTO api_keys (id, digest, prefix, name, owner, scopes, created_at) \
         SELECT 'k' || n, decode(lpad(to_hex(n), 64, '0'), 'hex'), 'ak', '', 'bob', '', 1 \
         FROM generate_series({first}, {last}) AS n"
    )
}

/// In any order, for that of the rows of a statement is nobody's.
fn sorted(mut told: Vec<Told>) -> Vec<Told> {
    told.sort_by_key(|told| match told {
        Told::Changed(digest) => Some(*digest.as_bytes()),
        _ => None,
    });
    told
}

#[tokio::test]
async fn a_feed_first_takes_everything_for_changed_and_then_is_proven_again_and_again() {
    let Some(database) = Database::create() else {
        return;
    };
    let hearing = Hearing::begun(open(&database).await.feed()).await;
    hearing.assert_in_order().await;
}

#[tokio::test]
async fn what_another_handle_of_the_database_does_is_told() {
    let Some(database) = Database::create() else {
        return;
    };
    let (one, two) = (open(&database).await, open(&database).await);
    let hearing = Hearing::begun(one.feed()).await;
    let auth = uncached(&two);
    let mark = hearing.mark();
    let issued = issue(&auth).await;
    assert_eq!(hearing.all_since(mark).await, [changed(&issued)], "minted");
    let mark = hearing.mark();
    let rotated = keys(&auth).rotate(issued.record.id, Duration::ZERO).await;
    let next = rotated.expect("rotated");
    let told = hearing.all_since(mark).await;
    assert!(
        told.contains(&changed(&issued)) && told.contains(&changed(&next)),
        "{told:?}"
    );
    let mark = hearing.mark();
    keys(&auth).revoke(next.record.id).await.expect("revoked");
    assert_eq!(hearing.all_since(mark).await, [changed(&next)], "revoked");
}

#[tokio::test]
async fn what_any_other_program_does_is_told() {
    let Some(database) = Database::create() else {
        return;
    };
    let hearing = Hearing::begun(open(&database).await.feed()).await;
    let each = |numbers: &[u8]| {
        numbers
            .iter()
            .map(|number| Told::Changed(digest_of(*number)))
            .collect()
    };
    let up_to = |last: u8| each(&(1..=last).collect::<Vec<u8>>());
    let cases: Vec<(String, Vec<Told>)> = vec![
        (insertion(1, 1), each(&[1])),
        (insertion(2, 64), each(&(2..=64).collect::<Vec<u8>>())),
        ("UPDATE api_keys SET revoked_at = 1".to_owned(), up_to(64)),
        (insertion(65, 65), each(&[65])),
        // One more than is told one by one.
        ("UPDATE api_keys SET owner = 'carol'".to_owned(), vec![Told::All]),
        ("UPDATE api_keys SET last_used_at = 5".to_owned(), vec![]),
        ("UPDATE api_keys SET scopes = scopes".to_owned(), vec![]),
        ("UPDATE api_keys SET credits = 'k' WHERE id = 'k9'".to_owned(), each(&[9])),
        (
            "INSERT INTO api_key_credits VALUES ('k', 5, 5, NULL, 0); UPDATE api_key_credits SET remaining = 4"
                .to_owned(),
            vec![],
        ),
        // Of all that are written, those that change.
        (
            "UPDATE api_keys SET last_used_at = 6, disabled_at = CASE id WHEN 'k7' THEN 1 END".to_owned(),
            each(&[7]),
        ),
        (
            format!(
                "UPDATE api_keys SET digest = '\\x{}' WHERE id = 'k9'",
                digest_of(200).to_hex()
            ),
            each(&[9, 200]),
        ),
        (
            "UPDATE api_keys SET digest = api_keys.digest, id = 'other' WHERE id = 'k10'".to_owned(),
            each(&[10]),
        ),
        (
            format!(
                "{} ON CONFLICT (id) DO UPDATE SET name = 'again'",
                insertion(11, 11)
            ),
            each(&[11]),
        ),
        (
            "BEGIN; UPDATE api_keys SET name = 'x'; ROLLBACK".to_owned(),
            vec![],
        ),
        (
            "SET session_replication_role = replica; DELETE FROM api_keys WHERE id = 'k12'".to_owned(),
            each(&[12]),
        ),
        (
            "DELETE FROM api_keys WHERE id IN ('k13', 'k14')".to_owned(),
            each(&[13, 14]),
        ),
        ("DELETE FROM api_keys WHERE id = 'k13'".to_owned(), vec![]),
        ("ALTER TABLE api_keys ADD COLUMN note TEXT".to_owned(), vec![]),
        (
            "UPDATE api_keys SET note = 'x' WHERE id = 'k15'".to_owned(),
            each(&[15]),
        ),
        (insertion(1001, 1065), vec![Told::All]),
        ("DELETE FROM api_keys WHERE name = ''".to_owned(), vec![Told::All]),
        ("TRUNCATE api_keys".to_owned(), vec![Told::All]),
    ];
    for (statement, expected) in cases {
        let mark = hearing.mark();
        database.sql(&statement);
        let told = sorted(hearing.all_since(mark).await);
        assert_eq!(told, sorted(expected), "{statement}");
    }
}

#[tokio::test]
async fn an_owner_who_changes_in_a_table_of_the_applications_changes_everything() {
    let Some(database) = Database::create() else {
        return;
    };
    let hearing = Hearing::begun(open(&database).await.feed()).await;
    // As it says in the documentation.
    database.sql(
        "CREATE SCHEMA app; CREATE TABLE app.users (id TEXT, suspended_at BIGINT, last_login_at BIGINT); \
         CREATE TRIGGER api_key_owner_changed AFTER UPDATE OF suspended_at OR DELETE ON app.users \
         FOR EACH STATEMENT EXECUTE FUNCTION api_key_owner_changed(); \
         INSERT INTO app.users VALUES ('alice')",
    );
    for (statement, expected) in [
        ("UPDATE app.users SET last_login_at = 1", vec![]),
        ("UPDATE app.users SET suspended_at = 1", vec![Told::All]),
        ("DELETE FROM app.users", vec![Told::All]),
    ] {
        let mark = hearing.mark();
        database.sql(statement);
        assert_eq!(hearing.all_since(mark).await, expected, "{statement}");
    }
}

#[tokio::test]
async fn what_is_not_understood_changes_everything() {
    let Some(database) = Database::create() else {
        return;
    };
    let hearing = Hearing::begun(open(&database).await.feed()).await;
    for (word, expected) in [
        ("", vec![Told::All]),
        ("key:", vec![Told::All]),
        ("key:00", vec![Told::All]),
        ("of a version to come", vec![Told::All]),
        ("ask:", vec![Told::All]),
        ("beat:of somebody else", vec![]),
    ] {
        let mark = hearing.mark();
        database.sql(&format!("NOTIFY api_key_changes, '{word}'"));
        assert_eq!(hearing.all_since(mark).await, expected, "{word}");
    }
}

#[tokio::test]
async fn a_listener_whose_backend_is_killed_comes_back_and_takes_everything_for_changed() {
    let Some(database) = Database::create() else {
        return;
    };
    let hearing = Hearing::begun(open(&database).await.feed()).await;
    for _ in 0..3 {
        let mark = hearing.mark();
        database.value(&format!("SELECT count(pg_terminate_backend(pid)) {LISTENER}"));
        let lost_at = hearing.lost(mark).await;
        hearing.assert_back(lost_at).await;
    }
}

#[tokio::test]
async fn one_feed_is_one_node_and_leaves_with_its_store() {
    let Some(database) = Database::create() else {
        return;
    };
    let (one, two) = (open(&database).await, open(&database).await);
    let hearings = [
        Hearing::begun(one.feed()).await,
        Hearing::begun(one.clone().feed()).await,
        Hearing::begun(two.feed()).await,
    ];
    const NODES: &str = "SELECT count(*) FROM api_key_nodes";
    assert_eq!(database.value(NODES), "3");
    one.close().await;
    assert_eq!(database.value(NODES), "1");
    for hearing in &hearings[..2] {
        assert!(hearing.since(0).last().is_some_and(is_lost));
    }
    assert!(!hearings[2].since(0).iter().any(is_lost));
}

#[tokio::test]
async fn a_feed_that_is_dropped_says_so_and_leaves() {
    let Some(database) = Database::create() else {
        return;
    };
    let store = open(&database).await;
    let hearing = Hearing::begun(store.feed()).await;
    hearing.end();
    let told = hearing.until(0, is_lost).await;
    assert_eq!(told.last(), Some(&Told::Lost("the feed has ended".to_owned())));
    // Waits for it.
    store.close().await;
    assert_eq!(database.value("SELECT count(*) FROM api_key_nodes"), "0");
    assert_eq!(database.value(&format!("SELECT count(*) {LISTENER}")), "0");
}

#[tokio::test]
async fn a_node_of_long_ago_is_forgotten_by_the_next_that_comes() {
    let Some(database) = Database::create() else {
        return;
    };
    let store = open(&database).await;
    database.sql(
        "INSERT INTO api_key_nodes VALUES ('old', now() - interval '25 hours'), ('new', now() - interval '23 hours')",
    );
    let _hearing = Hearing::begun(store.feed()).await;
    let known = "SELECT count(*) FROM api_key_nodes WHERE node_id IN ('old', 'new')";
    assert_eq!(database.value(known), "1");
}

#[tokio::test]
async fn many_are_found_at_once() {
    let Some(database) = Database::create() else {
        return;
    };
    let store = open(&database).await;
    database.sql(&insertion(1, 3));
    database.sql(&format!(
        "UPDATE api_keys SET id = '{}' WHERE id = 'k2'",
        KeyId::generate()
    ));
    database.sql("DELETE FROM api_keys WHERE id IN ('k1', 'k3')");
    let found = store
        .find_many(&[digest_of(1), digest_of(2)])
        .await
        .expect("an answer");
    let found: Vec<KeyDigest> = found.iter().map(|found| found.record.digest).collect();
    assert_eq!(found, [digest_of(2)]);
}
