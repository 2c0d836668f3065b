//! What every store must do.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::{
    ApiKeyAuth,
    clock::ManualClock,
    manage::NewKey,
    store::{MemoryStore, SqliteStore, conformance},
};

use crate::{opened::Folder, shelf::Shelf};

#[tokio::test]
async fn the_store_in_memory_conforms() {
    conformance::check(|| async { MemoryStore::new().expect("a store") }).await;
    conformance::check(|| async { MemoryStore::with_clock(ManualClock::default()).expect("a store") }).await;
}

#[tokio::test]
async fn sqlite_in_a_file_conforms() {
    let folder = Folder::new();
    conformance::check(|| folder.another()).await;
}

#[tokio::test]
async fn sqlite_in_memory_conforms() {
    let open = || async { SqliteStore::open("sqlite::memory:").await.expect("a store") };
    conformance::check(open).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_in_a_file_conforms_on_several_threads() {
    let folder = Folder::new();
    conformance::check(|| folder.another()).await;
}

#[tokio::test]
async fn the_store_of_a_third_party_conforms() {
    conformance::check(|| async { Shelf::default() }).await;
}

#[tokio::test]
async fn the_store_of_a_third_party_serves() {
    let auth = ApiKeyAuth::builder(Shelf::default())
        .build()
        .expect("a configuration");
    let keys = auth.keys().expect("there is a store");
    let issued = keys.issue(NewKey::new("alice")).await.expect("a key");
    let inner = service_fn(async |_: Request<()>| {
        Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let service = auth.layer(inner);
    let status = async || {
        let request = Request::get("/").header("X-Key", issued.key.expose());
        let Ok(response) = service
            .clone()
            .oneshot(request.body(()).expect("a request"))
            .await;
        response.status().as_u16()
    };
    assert_eq!((status().await, status().await), (200, 200));
    keys.revoke(issued.record.id).await.expect("revoked");
    assert_eq!(status().await, 401);
}
