//! A store in a database of its own, and how requests are answered from it.

use std::{convert::Infallible, error::Error, future::ready, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::{
    ApiKeyAuth,
    manage::{IssuedKey, Keys, NewKey},
    store::PostgresStore,
};

use crate::database::Database;

pub(crate) async fn open(database: &Database) -> PostgresStore {
    open_at(&database.url()).await
}

pub(crate) async fn open_at(url: &str) -> PostgresStore {
    let opened = PostgresStore::connect(url).await;
    opened.unwrap_or_else(|error| panic!("a store: {}", chain(&error)))
}

/// Where the database is, with one more parameter.
pub(crate) fn url_with(database: &Database, parameter: &str) -> String {
    let url = database.url();
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{parameter}")
}

/// Every request is looked up: what is cached is not the matter here.
pub(crate) fn uncached(store: &PostgresStore) -> ApiKeyAuth {
    let builder = ApiKeyAuth::builder(store.clone())
        .cache_ttl(Duration::ZERO)
        .unknown_ttl(Duration::ZERO);
    builder.build().expect("a configuration")
}

pub(crate) fn keys(auth: &ApiKeyAuth) -> &Keys {
    auth.keys().expect("there is a store")
}

pub(crate) async fn issue(auth: &ApiKeyAuth) -> IssuedKey {
    keys(auth).issue(NewKey::new("alice")).await.expect("a key")
}

/// An error and all that caused it.
pub(crate) fn chain(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", chain(cause)),
        None => error.to_string(),
    }
}

/// How a request with this key is answered.
pub(crate) async fn status(auth: &ApiKeyAuth, issued: &IssuedKey) -> u16 {
    status_of(auth, issued.key.expose()).await
}

pub(crate) async fn status_of(auth: &ApiKeyAuth, key: &str) -> u16 {
    let inner =
        service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))));
    let request = Request::get("/").header("X-Key", key);
    let request = request.body(()).expect("a request");
    let Ok(response) = auth.layer(inner).oneshot(request).await;
    response.status().as_u16()
}
