//! An application whose users manage their keys, a few lines over the library, and requests to it.

use std::{
    convert::Infallible,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use http::StatusCode;
use http_body_util::BodyExt;
use tokio::{sync::Semaphore, task::JoinSet};
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::{
    ApiKeyAuth,
    access::Grants,
    key::KeyId,
    manage::{Caller, CallerKeys, Keys, ManageError, ManageErrorKind, NewKey},
    principal::Principal,
};

/// How many may go through the gate at the same time.
const PERMITS: u32 = 1000;

#[derive(Clone)]
struct Shared {
    keys: Keys,
    /// Requests that were let in stop here while it has no permits.
    gate: Arc<Semaphore>,
    arrived: Arc<AtomicUsize>,
}

impl Shared {
    async fn by(&self, caller: Principal) -> CallerKeys {
        self.arrived.fetch_add(1, Ordering::SeqCst);
        let _through = self.gate.acquire().await;
        self.keys.by(Caller::new(caller))
    }
}

/// One process.
#[derive(Clone)]
pub(crate) struct App {
    router: Router,
    gate: Arc<Semaphore>,
    arrived: Arc<AtomicUsize>,
}

impl App {
    pub(crate) fn new(auth: &ApiKeyAuth) -> Self {
        let (gate, arrived) = (Arc::new(Semaphore::new(PERMITS as usize)), Arc::default());
        let shared = Shared {
            keys: auth.keys().expect("there is a store").clone(),
            gate: gate.clone(),
            arrived: Arc::clone(&arrived),
        };
        let router = Router::new()
            .route("/me", get(async |_: Principal| StatusCode::OK))
            .route("/keys", post(mint))
            .route("/keys/current", delete(revoke_current))
            .route("/keys/{id}", delete(revoke))
            .route("/keys/{id}/rotate/{seconds}", post(rotate))
            .with_state(shared)
            .layer(auth.clone());
        Self {
            router,
            gate,
            arrived,
        }
    }

    /// Requests that are let in from now on wait for [`Self::open_the_gate`].
    pub(crate) async fn close_the_gate(&self) {
        self.gate.acquire_many(PERMITS).await.expect("open").forget();
        self.arrived.store(0, Ordering::SeqCst);
    }

    pub(crate) fn open_the_gate(&self) {
        self.gate.add_permits(PERMITS as usize);
    }

    /// How many stand at the gate, or have gone through, since it was closed.
    pub(crate) fn arrived(&self) -> usize {
        self.arrived.load(Ordering::SeqCst)
    }

    /// Status and body of an answer.
    pub(crate) async fn call(&self, method: &str, path: &str, key: &str) -> (u16, String) {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("Authorization", format!("Bearer {key}"));
        let request = request.body(Body::empty()).expect("a request");
        let Ok(response) = self.router.clone().oneshot(request).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8(body.into()).expect("text"))
    }

    pub(crate) async fn status(&self, key: &str) -> u16 {
        self.call("GET", "/me", key).await.0
    }
}

/// Whoever a key lets in.
pub(crate) async fn principal_of(auth: &ApiKeyAuth, key: &str) -> Principal {
    let inner = service_fn(|mut request: Request| {
        let mut response = Response::new(Body::empty());
        response
            .extensions_mut()
            .extend(std::mem::take(request.extensions_mut()));
        ready(Ok::<_, Infallible>(response))
    });
    let request = Request::get("/").header("X-Key", key);
    let request = request.body(Body::empty()).expect("a request");
    let Ok(mut response) = auth.layer(inner).oneshot(request).await;
    response.extensions_mut().remove().expect("a principal")
}

/// The same request so many times at once, shared out among processes.
pub(crate) async fn at_once(
    apps: &[App],
    times: usize,
    method: &'static str,
    path: &str,
    key: &str,
) -> Vec<(u16, String)> {
    let mut calling = JoinSet::new();
    for app in apps.iter().cycle().take(times) {
        let (app, path, key) = (app.clone(), path.to_owned(), key.to_owned());
        calling.spawn(async move { app.call(method, &path, &key).await });
    }
    calling.join_all().await
}

pub(crate) fn with_status(answers: &[(u16, String)], status: u16) -> Vec<&str> {
    let answers = answers.iter().filter(|(other, _)| *other == status);
    answers.map(|(_, body)| body.as_str()).collect()
}

async fn mint(State(shared): State<Shared>, caller: Principal) -> Result<Response, Refused> {
    let new = NewKey::new("")
        .name("minted")
        .grants(Grants::scopes(["keys:write"]).expect("scopes"));
    let issued = shared.by(caller).await.issue(new).await?;
    let told = format!("{} {}", issued.record.id, issued.key.expose());
    Ok((StatusCode::CREATED, told).into_response())
}

async fn rotate(
    State(shared): State<Shared>,
    Path((id, seconds)): Path<(String, u64)>,
    caller: Principal,
) -> Result<Response, Refused> {
    let keys = shared.by(caller).await;
    let issued = keys.rotate(parsed(&id)?, Duration::from_secs(seconds)).await?;
    let told = format!("{} {}", issued.record.id, issued.key.expose());
    Ok((StatusCode::CREATED, told).into_response())
}

async fn revoke(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    caller: Principal,
) -> Result<StatusCode, Refused> {
    shared.by(caller).await.revoke(parsed(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn revoke_current(State(shared): State<Shared>, caller: Principal) -> Result<StatusCode, Refused> {
    shared.by(caller).await.revoke_current().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn parsed(id: &str) -> Result<KeyId, Refused> {
    id.parse().map_err(|_| Refused(ManageErrorKind::NotFound.into()))
}

struct Refused(ManageError);

impl From<ManageError> for Refused {
    fn from(error: ManageError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match self.0.kind() {
            ManageErrorKind::NotFound => StatusCode::NOT_FOUND,
            ManageErrorKind::Conflict(_) => StatusCode::CONFLICT,
            ManageErrorKind::CallerNotGood(_) => StatusCode::UNAUTHORIZED,
            ManageErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::FORBIDDEN,
        };
        (status, self.0.kind().as_str()).into_response()
    }
}
