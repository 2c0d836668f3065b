//! A key of another system that one process takes over, at another that has just heard that there are none.

use tower_api_key::{
    ApiKeyAuth, Preset,
    clock::ManualClock,
    key::KeyDigest,
    manage::{ImportedKey, NewKey},
};

use crate::{
    database::Database,
    opened::{keys, open, status_of},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_key_that_is_imported_is_let_in_everywhere_when_that_is_answered_strictly() {
    let Some(database) = Database::create() else {
        return;
    };
    // Its clock stands still: it remembers what it is told for ever.
    let builder = ApiKeyAuth::builder(open(&database).await).clock(ManualClock::default());
    let there = builder.build().expect("a configuration");
    assert_eq!(status_of(&there, "legacy").await, 401);
    while database.value("SELECT count(*) FROM api_key_nodes") != "1" {
        tokio::task::yield_now().await;
    }
    assert_eq!(status_of(&there, "legacy").await, 401);
    let here = ApiKeyAuth::builder(open(&database).await).preset(Preset::Strict);
    let here = here.build().expect("a configuration");
    let imported = ImportedKey::new(KeyDigest::of(b"legacy"), NewKey::new("alice"));
    keys(&here).import(vec![imported]).await.expect("imported");
    assert_eq!(status_of(&there, "legacy").await, 200);
}
