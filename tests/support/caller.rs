//! Somebody who comes through the layer with a key of theirs, to act with it.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::{
    ApiKeyAuth,
    access::Grants,
    manage::{Caller, CallerKeys, NewKey},
    principal::Principal,
};

pub(crate) async fn caller(auth: &ApiKeyAuth, owner: &str, scope: &str) -> CallerKeys {
    let keys = auth.keys().expect("a store");
    let new = NewKey::new(owner).grants(Grants::scopes([scope]).expect("scopes"));
    let issued = keys.issue(new).await.expect("a key");
    let inner = service_fn(async |request: Request<()>| {
        let mut response = Response::new(Full::<Bytes>::default());
        let principal = request.extensions().get::<Principal>().cloned();
        response.extensions_mut().insert(principal.expect("let in"));
        Ok::<_, Infallible>(response)
    });
    let request = Request::get("/").header("X-Key", issued.key.expose()).body(());
    let Ok(response) = auth.layer(inner).oneshot(request.expect("a request")).await;
    let principal = response.extensions().get::<Principal>().cloned();
    keys.by(Caller::new(principal.expect("let in")))
}
