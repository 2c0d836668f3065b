use std::time::Duration;

use axum::{Router, body::Body, routing::get};
use http::{Request, StatusCode, header::AUTHORIZATION};
use tempfile::TempDir;
use tower::ServiceExt;
use tower_api_key::{
    ApiKeyAuth,
    key::KeyId,
    manage::{IssuedKey, Keys, NewKey},
    principal::Principal,
    store::SqliteStore,
};

use crate::watched::Watched;

/// An application with one guarded route, over a store in a file of its own.
pub(crate) struct App {
    router: Router,
    pub(crate) keys: Keys,
    pub(crate) store: Watched,
    _directory: TempDir,
}

impl App {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys.db");
        let store = SqliteStore::open(path.to_str().expect("a path in UTF-8")).await;
        let store = Watched::new(store.expect("a store"));
        let auth = ApiKeyAuth::builder(store.clone())
            // Nothing here is forgotten because time passes, nor unavailable because the machine is busy.
            .cache_ttl(Duration::from_secs(3600))
            .lookup_timeout(Duration::from_secs(3600))
            .build()
            .expect("a configuration");
        let keys = auth.keys().expect("there is a store").clone();
        let greet = async |who: Principal| who.to_string();
        Self {
            router: Router::new().route("/", get(greet)).layer(auth),
            keys,
            store,
            _directory: directory,
        }
    }

    pub(crate) async fn mint(&self) -> IssuedKey {
        self.keys.issue(NewKey::new("alice")).await.expect("a key")
    }

    /// A request. It begins when this is polled first.
    pub(crate) async fn ask(&self, key: &str) -> StatusCode {
        let request = Request::get("/")
            .header(AUTHORIZATION, format!("Bearer {key}"))
            .body(Body::empty())
            .expect("a request");
        let response = self.router.clone().oneshot(request).await;
        response.expect("an answer").status()
    }

    /// Whether the row says so.
    pub(crate) async fn is_revoked(&self, id: KeyId) -> bool {
        let row = self.keys.get(id).await.expect("a row");
        row.is_some_and(|row| row.record.revoked_at.is_some())
    }
}
