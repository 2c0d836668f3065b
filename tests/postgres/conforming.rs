//! What every store must do.

use std::sync::atomic::{AtomicUsize, Ordering};

use tower_api_key::store::conformance;

use crate::{
    database::Database,
    opened::{open_at, url_with},
};

/// Checks stores that are each in a schema of its own.
async fn check() {
    let Some(database) = Database::create() else {
        return;
    };
    let schemas = AtomicUsize::new(0);
    conformance::check(|| async {
        let schema = format!("s{}", schemas.fetch_add(1, Ordering::Relaxed));
        database.sql(&format!("CREATE SCHEMA {schema}"));
        open_at(&url_with(&database, &format!("options[search_path]={schema}"))).await
    })
    .await;
}

#[tokio::test]
async fn postgres_conforms() {
    check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_conforms_on_several_threads() {
    check().await;
}
