//! What `{:?}`, `{:#?}` and `{}` show of every public type that has to do with a key.

use std::{
    convert::Infallible,
    error::Error,
    fmt::{Debug, Display},
    time::SystemTime,
};

use axum::{body::Body, extract::Request, response::Response};
use tower::{Layer, Service};
use tower_api_key::{
    ApiKeyAuth,
    authn::{Refusal, StaticKey, Unavailable},
    event::{Actor, KeyEvent, KeyEventKind},
    extract::Owner,
    key::{CheckKey, KeyDigest, KeyFormat, KeyId, KeyRecord, Pepper, Secret},
    manage::{ChangeError, NewKey},
    middleware::RequireScope,
    principal::Identity,
    store::{
        Decide, EventQuery, KeyQuery, KeyStore, MemoryStore, Reads, SqliteStore, StoreError, StoreErrorKind,
        StoredKey, Writes,
    },
};

use crate::search::Secrets;

const STATIC: &str = "static-canary-0123456789-abcdef";

/// Everything that was shown.
#[derive(Default)]
struct Shown(String);

impl Shown {
    fn debug(&mut self, value: &(impl Debug + ?Sized)) {
        self.0.push_str(&format!("{value:?}\n{value:#?}\n"));
    }

    fn both(&mut self, value: &(impl Debug + Display + ?Sized)) {
        self.debug(value);
        self.0.push_str(&format!("{value}\n{value:#}\n"));
    }

    /// And all that it was caused by.
    fn error(&mut self, error: &dyn Error) {
        self.both(error);
        if let Some(cause) = error.source() {
            self.error(cause);
        }
    }
}

#[test]
fn a_static_key_and_what_is_wrong_with_it_do_not_show_it() {
    let mut shown = Shown::default();
    let digest = KeyDigest::of(STATIC.as_bytes()).to_hex();
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), STATIC).expect("written");
    let good = [
        StaticKey::new(STATIC),
        StaticKey::new(format!("sha256:{digest}")).named("by digest"),
        StaticKey::from_file(file.path()).named("from a file"),
    ];
    for key in &good {
        shown.debug(key);
        let builder = ApiKeyAuth::static_keys_only().static_key(key.clone());
        shown.debug(&builder);
        shown.debug(&builder.build().expect("a configuration"));
    }
    let bad = [
        format!("{STATIC} "),
        format!("{STATIC}\n"),
        format!("{STATIC},{STATIC}"),
        format!("{STATIC}\u{e9}"),
        STATIC.repeat(20),
        format!("sha256:{digest}0"),
        format!("sha256: {digest}"),
    ];
    let mut builder = ApiKeyAuth::static_keys_only().static_keys(good);
    for value in bad {
        shown.debug(&StaticKey::new(value.clone()));
        builder = builder.static_key(StaticKey::new(value));
    }
    shown.debug(&builder);
    let error = builder.build().expect_err("a bad configuration");
    shown.error(&error);
    // Two of the same value, and seven that cannot be.
    assert_eq!(error.complaints().count(), 9, "{error}");
    error.complaints().for_each(|complaint| shown.error(complaint));
    Secrets::new([STATIC]).assert_unseen(&shown.0);
}

#[tokio::test]
async fn a_minted_key_is_shown_by_nothing_but_its_secret() {
    let mut shown = Shown::default();
    let store = MemoryStore::new().expect("a store");
    let pepper = || Pepper::new(STATIC.repeat(2).as_bytes()).expect("long enough");
    let auth = ApiKeyAuth::builder(store.clone())
        .pepper(pepper())
        .build()
        .expect("a configuration");
    let keys = auth.keys().expect("there is a store");
    let new = NewKey::new("alice")
        .name("deploy")
        .expires_at(SystemTime::UNIX_EPOCH);
    shown.debug(&new);
    let issued = keys.issue(new).await.expect("a key");
    let secrets = Secrets::new([issued.key.expose(), STATIC]);
    let digest = KeyDigest::of(issued.key.expose().as_bytes());

    shown.debug(&issued);
    shown.debug(&issued.key);
    shown.debug(&issued.key.clone());
    shown.debug(&Secret::from(STATIC.to_owned()));
    shown.debug(&Some(&issued.record));
    shown.debug(&digest);
    shown.debug(&pepper());
    shown.debug(&store.check_key());
    shown.debug(&CheckKey::from_bytes(digest.as_bytes()));
    let format = KeyFormat::new("ak", &store.check_key()).expect("a prefix");
    shown.debug(&format);
    shown.both(
        &format
            .check(&issued.key.expose().as_bytes()[1..])
            .expect_err("no key"),
    );
    shown.error(&issued.key.expose().parse::<KeyDigest>().expect_err("no digest"));
    shown.error(&issued.key.expose().parse::<KeyId>().expect_err("no id"));
    shown.error(&KeyFormat::new(issued.key.expose(), &store.check_key()).expect_err("no prefix"));
    shown.both(&issued.record.id);
    shown.debug(&KeyRecord::new(
        issued.record.id,
        digest,
        "alice",
        SystemTime::UNIX_EPOCH,
    ));
    shown.debug(&StoredKey::new(issued.record.clone(), SystemTime::UNIX_EPOCH));
    let minted = KeyEvent::new(
        KeyEventKind::Minted,
        &issued.record,
        SystemTime::UNIX_EPOCH,
        &Actor::application(),
    );
    shown.debug(&minted.before(&issued.record).after(&issued.record));
    shown.debug(&keys.events(&EventQuery::newest(10)).await.expect("events"));
    shown.debug(&keys.verify_log().await.expect("an answer").expect("a whole log"));
    shown.debug(&keys.list(&KeyQuery::newest(10)).await.expect("keys"));
    shown.debug(
        &Identity::from_record(&issued.record, SystemTime::UNIX_EPOCH).user(Secret::new(STATIC.to_owned())),
    );
    shown.debug(&Owner(std::sync::Arc::new(Secret::new(STATIC.to_owned()))));
    shown.debug(keys);
    shown.debug(&auth);
    shown.debug(&store);
    secrets.assert_unseen(&shown.0);
    // It is known that the store's digest is another, because of the pepper.
    assert!(!format!("{issued:?}").contains(&issued.record.digest.to_hex()));
    assert!(
        issued.record.prefix.len() < 12,
        "what a list shows of a key is short"
    );
}

#[tokio::test]
async fn the_errors_of_a_store_do_not_show_the_key_they_are_about() {
    let mut shown = Shown::default();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.db");
    let store = SqliteStore::open(path.to_str().expect("text"))
        .await
        .expect("a store");
    shown.debug(&store);
    let auth = ApiKeyAuth::builder(store.clone())
        .build()
        .expect("a configuration");
    let keys = auth.keys().expect("there is a store");
    let issued = keys.issue(NewKey::new("alice")).await.expect("a key");
    let secrets = Secrets::new([issued.key.expose()]);
    let mut again = Writes::nothing();
    again.insert.push(issued.record.clone());
    shown.debug(&again);
    let again = Decide::new(move |_| again);
    shown.debug(&again);
    let conflict = store.transact(Reads::nothing(), again).await;
    shown.error(&conflict.expect_err("a conflict"));
    store.close().await;
    let failed = store.find(&issued.record.digest).await.expect_err("closed");
    shown.debug(&Unavailable::new("why"));
    shown.both(&Unavailable::from(StoreError::new(
        StoreErrorKind::Unavailable,
        "why",
    )));
    shown.error(&failed);
    shown.error(&ChangeError::Failed(failed));
    shown.error(&keys.revoke(issued.record.id).await.expect_err("closed"));
    shown.error(&keys.issue(NewKey::new("alice")).await.expect_err("closed"));
    secrets.assert_unseen(&shown.0);
}

#[tokio::test]
async fn a_request_and_its_response_do_not_show_the_key_on_the_way() {
    let mut shown = Shown::default();
    let auth = ApiKeyAuth::builder(MemoryStore::new().expect("a store"))
        .static_key(StaticKey::new(STATIC))
        .build()
        .expect("a configuration");
    let issued = auth
        .keys()
        .expect("a store")
        .issue(NewKey::new("alice"))
        .await
        .expect("a key");
    let unknown = issued.key.expose().to_uppercase();
    let secrets = Secrets::new([STATIC, issued.key.expose(), &unknown]);
    let inner = tower::service_fn(async |request: Request| {
        let whole = format!("{request:?} {:?}", request.headers());
        let shown = format!("{whole} {:?}", request.into_parts().0);
        Ok::<_, Infallible>(Response::new(Body::from(shown)))
    });
    let layer = RequireScope::new("issues:read").expect("a scope");
    shown.debug(&layer);
    shown.debug(&auth.layer("a service"));
    shown.debug(&layer.layer(auth.layer("a service")));
    let mut open = auth.layer(inner);
    let mut scoped = auth.layer(layer.layer(inner));
    // Looked up, from the cache, static, and refused.
    for key in [issued.key.expose(), issued.key.expose(), STATIC, &unknown] {
        let request = || {
            let request = Request::get("/")
                .header("X-Key", key)
                .header("Authorization", "Basic x");
            request.body(Body::empty()).expect("a request")
        };
        let answering = open.call(request());
        shown.debug(&answering);
        let checking = scoped.call(request());
        shown.debug(&checking);
        let (Ok(answered), Ok(refused)) = (answering.await, checking.await);
        for response in [&answered, &refused] {
            shown.debug(response);
            if let Some(refusal) = response.extensions().get::<Refusal>() {
                shown.error(refusal);
            }
        }
        let body = axum::body::to_bytes(axum::body::Body::new(answered.into_body()), usize::MAX)
            .await
            .expect("a body");
        shown.0.push_str(&String::from_utf8_lossy(&body));
    }
    assert!(shown.0.contains("Sensitive") && shown.0.contains("ResponseFuture"));
    secrets.assert_unseen(&shown.0);
}
