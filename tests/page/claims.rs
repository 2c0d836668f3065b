//! What a page says of a key is so.

use std::time::Duration;

use axum::Router;
use tower_api_key::{
    ApiKeyAuth,
    access::{Grants, Scopes},
    key::KeyId,
    manage::{IssuedKey, KeyChange, NewKey},
    store::MemoryStore,
};

use crate::inside::{HTML, ask, auth, of, send, site};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn issued(auth: &ApiKeyAuth, grants: Grants) -> IssuedKey {
    let keys = auth.keys().expect("there is a store");
    let new = NewKey::new("alice").name("ci").grants(grants);
    keys.issue(new).await.expect("a key")
}

async fn shown(app: &Router, path: &str) -> String {
    let answer = ask(app, "GET", path, HTML, None).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.body
}

async fn post(app: &Router, path: &str, form: &str) -> String {
    let answer = ask(app, "POST", path, HTML, Some(form)).await;
    assert_eq!(answer.status, 303, "{path}: {}", answer.body);
    answer.location
}

const DONE: [(&str, &str); 4] = [
    ("revoked", "The key is revoked."),
    ("disabled", "The key is disabled."),
    ("enabled", "The key is enabled."),
    ("renamed", "The key has a new name."),
];

#[tokio::test]
async fn an_address_claims_nothing_of_a_key_that_is_not_so() {
    let auth = auth();
    let app = site(&auth);
    let at = format!("/keys/{}", issued(&auth, Grants::none()).await.record.id);
    let claimed = async |at: &str, but_for: &[&str]| {
        for (done, note) in DONE {
            let page = shown(&app, &format!("{at}?done={done}")).await;
            let is_said = page.contains("class=\"note good\"") && page.contains(note);
            assert_eq!(is_said, but_for.contains(&done), "{done}: {page}");
        }
    };
    // Nothing leads to the list with such a claim.
    claimed("/keys", &[]).await;
    claimed(&at, &["enabled"]).await;
    for (verb, form, so) in [
        ("rename", "name=deploy", &["renamed", "enabled"][..]),
        ("disable", "", &["disabled"]),
        ("enable", "", &["enabled"]),
        ("revoke", "", &["revoked"]),
    ] {
        let location = post(&app, &format!("{at}/{verb}"), form).await;
        let page = shown(&app, &location).await;
        assert!(page.contains("class=\"note good\""), "{location}: {page}");
        claimed(&at, so).await;
    }
}
