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

#[tokio::test]
async fn what_was_renamed_and_narrowed_is_told_in_the_words_it_had() {
    let auth = auth();
    let app = site(&auth);
    let id = issued(&auth, Grants::all()).await.record.id;
    let at = format!("/keys/{id}");
    let keys = auth.keys().expect("there is a store");
    for name in ["{}", "prod"] {
        keys.change(id, KeyChange::new().name(name))
            .await
            .expect("renamed");
    }
    let narrowed = KeyChange::new().scopes(Scopes::new(["issues:read"]).expect("scopes"));
    keys.change(id, narrowed).await.expect("narrowed");
    let page = shown(&app, &at).await;
    for text in [
        "Name: ci to {}",
        "Name: {} to prod",
        "Scopes: Every scope to issues:read",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(!page.contains("Scopes: *"), "{page}");
}

async fn use_of(app: &Router, key: &IssuedKey) -> u16 {
    let bearer = format!("Bearer {}", key.key.expose());
    send(app, "GET", "/work", &[("authorization", &bearer)], "")
        .await
        .status
}

#[tokio::test]
async fn a_key_in_use_is_not_said_to_be_unused() {
    let auth = auth();
    let app = site(&auth);
    let key = issued(&auth, Grants::none()).await;
    let at = format!("/keys/{}", key.record.id);
    let pages = [at.clone(), format!("{at}/revoke"), format!("{at}/rotate")];
    for path in &pages {
        let page = shown(&app, path).await;
        assert!(page.contains("No use is known yet"), "{path}: {page}");
        assert!(page.contains("written down with a delay"), "{path}: {page}");
    }
    assert_eq!(use_of(&app, &key).await, 200);
    // Nothing is written down yet, but it has been counted.
    for path in &pages {
        let page = shown(&app, path).await;
        assert!(!page.contains("No use is known"), "{path}: {page}");
        assert!(page.to_lowercase().contains("last used"), "{path}: {page}");
        assert!(page.contains("today"), "{path}: {page}");
        assert!(!page.to_lowercase().contains("never used"), "{path}: {page}");
    }
    let list = shown(&app, "/keys").await;
    assert!(list.contains("today"), "{list}");
    // By its end everything is written.
    auth.close().await;
    for path in &pages {
        let page = shown(&app, path).await;
        assert!(page.contains("just now"), "{path}: {page}");
    }
}

#[tokio::test]
async fn where_uses_are_not_written_down_nothing_is_said_of_them() {
    let builder = of(MemoryStore::new().expect("a store")).last_used_every(Duration::ZERO);
    let auth = builder.build().expect("a configuration");
    let app = site(&auth);
    let key = issued(&auth, Grants::none()).await;
    let rotated = auth.keys().expect("there is a store").rotate(key.record.id, DAY);
    let new = rotated.await.expect("a successor").record.id;
    assert_eq!(use_of(&app, &key).await, 200);
    let id = key.record.id;
    for path in [
        "/keys".to_owned(),
        format!("/keys/{id}"),
        format!("/keys/{id}/revoke"),
        format!("/keys/{new}"),
        format!("/keys/{new}/rotate"),
    ] {
        let page = shown(&app, &path).await.to_lowercase();
        for text in [
            "last used",
            "never used",
            "been used",
            "no use ",
            "uses are written",
            "in use",
            "counted",
        ] {
            assert!(!page.contains(text), "{path} {text}: {page}");
        }
    }
}

struct Rotated {
    auth: ApiKeyAuth,
    app: Router,
    old: IssuedKey,
    new: IssuedKey,
}

impl Rotated {
    async fn now() -> Self {
        let auth = auth();
        let app = site(&auth);
        let old = issued(&auth, Grants::none()).await;
        let rotated = auth
            .keys()
            .expect("there is a store")
            .rotate(old.record.id, DAY)
            .await;
        let new = rotated.expect("a successor");
        Self { auth, app, old, new }
    }

    async fn seen(&self, id: KeyId) -> String {
        shown(&self.app, &format!("/keys/{id}")).await
    }
}

#[tokio::test]
async fn a_rotation_is_over_when_the_old_key_is_and_quiet_when_that_is_known() {
    let place = Rotated::now().await;
    let Rotated { auth, app, old, new } = &place;
    let (id, to) = (old.record.id, new.record.id);
    assert!(
        place
            .seen(to)
            .await
            .contains("No use of the new key is known yet")
    );
    assert_eq!(use_of(app, new).await, 200);
    let quiet = place.seen(to).await;
    assert!(quiet.contains("No use of the old key is known since"), "{quiet}");
    // Counted, and not yet written down: since the rotation, or before it on the same day.
    assert_eq!(use_of(app, old).await, 200);
    let counted = place.seen(to).await;
    assert!(!counted.contains("No use of the old key is known"), "{counted}");
    auth.close().await;
    let busy = place.seen(to).await;
    assert!(busy.contains("The old key is still in use"), "{busy}");

    // Switched off it can be switched on again, and revoked for good.
    let keys = auth.keys().expect("there is a store");
    keys.change(id, KeyChange::new().disabled(true))
        .await
        .expect("disabled");
    let off = place.seen(to).await;
    assert!(!off.contains("The rotation is over"), "{off}");
    assert!(off.contains(&format!("/keys/{id}/revoke")), "{off}");
    keys.revoke(id).await.expect("revoked");
    let over = place.seen(to).await;
    assert!(
        over.contains("The rotation is over") && !over.contains(&format!("/keys/{id}/revoke")),
        "{over}"
    );
}
