//! What can go from thread to thread: a promise that no compiler holds a library to.

use std::convert::Infallible;

use axum::body::Body;
use http::{Request, Response};
use tower::{Layer, util::BoxCloneSyncService};
use tower_api_key::{
    ApiKeyAuth, BuildError, Builder,
    access::{
        Denied, Grants, ParseResourceError, ParseScopeError, Requirement, Resource, ResourcePattern,
        Resources, Scope, ScopePattern, Scopes,
    },
    authn::{Refusal, StaticKey, StaticKeyError, Unavailable},
    clock::{ManualClock, SystemClock},
    credential::{Sources, SourcesError},
    event::KeyEvent,
    extract::{Owner, Scoped},
    key::{CheckKey, KeyDigest, KeyFormat, KeyId, KeyRecord, Pepper, Secret},
    manage::{ChangeError, IssuedKey, Keys, ManageError, NewKey},
    middleware::{
        AnyBody, Authenticate, Rejection, Require, RequireScope, ResponseBody,
        futures::{AnyBodyFuture, AuthenticateFuture, RequireFuture},
    },
    principal::{Identity, Principal},
    store::{MemoryStore, StoreError, StoredKey},
};

/// Of a type that is neither `Send` nor `Sync`.
type Neither = std::rc::Rc<()>;

type Inner = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

fn send_and_sync<T: Send + Sync + 'static>() {}

fn send<T: Send>(_: &T) {}

#[test]
fn every_public_type_is_send_and_sync() {
    send_and_sync::<(ApiKeyAuth, Builder, BuildError)>();
    send_and_sync::<(Grants, Requirement, Denied, Resource, ResourcePattern, Resources)>();
    send_and_sync::<(Scope, ScopePattern, Scopes, ParseScopeError, ParseResourceError)>();
    send_and_sync::<(Refusal, StaticKey, StaticKeyError, Unavailable)>();
    send_and_sync::<(ManualClock, SystemClock, Sources, SourcesError, KeyEvent)>();
    send_and_sync::<(CheckKey, KeyDigest, KeyFormat, KeyId, KeyRecord, Pepper, Secret)>();
    send_and_sync::<(ChangeError<StoreError>, IssuedKey, Keys, ManageError, NewKey)>();
    send_and_sync::<(Identity, Principal, MemoryStore, StoreError, StoredKey)>();
    send_and_sync::<(
        AnyBody,
        Rejection,
        RequireScope,
        Authenticate<Inner>,
        Require<Inner>,
    )>();
    send_and_sync::<(Owner<String>, Scoped<Neither>, ResponseBody<String>)>();
}

#[test]
fn a_response_can_be_waited_for_on_another_thread() {
    fn futures(_: &AuthenticateFuture<Inner, Body>, _: &RequireFuture<Ready>, _: &AnyBodyFuture<Ready>) {}

    type Ready = std::future::Ready<Result<Response<Body>, Infallible>>;

    let _their_names = futures;
    let inner = tower::service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let auth = crate::answer::granting(Grants::none());
    let mut service = auth.layer(inner);
    send(&tower::Service::call(&mut service, Request::new(Body::empty())));
    let changed = KeyDigest::of(b"");
    send(&auth.change(changed, async { Ok::<(), Infallible>(()) }));
}
