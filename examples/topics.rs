//! A message mesh: bots and dashboards from outside send and read on the topics that their key names, and on no other.
//!
//! A capability (`send`, `read`, `state_write`, `admin`) is a scope, and a topic is a resource. Who has `admin` makes keys, and none that can do
//! more than its own.
//!
//! ```sh
//! cargo run --example topics --features sqlite,ws            # prints the first key, once
//! export ADMIN=ak_...; mesh() { curl -sS -H "Authorization: Bearer $ADMIN" -H 'Content-Type: application/json' "$@"; }
//! mesh http://127.0.0.1:3000/keys -d '{"label":"deploy bot","capabilities":["send","read"],"topics":["#deploys"]}'
//! export BOT=ak_...
//! curl -H "X-Key: $BOT" -d 'v2 is live' http://127.0.0.1:3000/topics/%23deploys/messages      # 201
//! curl -i -H "X-Key: $BOT" http://127.0.0.1:3000/topics/%23random/messages                    # 403
//! websocat -H "X-Key: $BOT" ws://127.0.0.1:3000/topics/%23deploys/ws                           # live; closed with 4401 when the key ends
//! curl -H "X-Key: $BOT" http://127.0.0.1:3000/keys/verify                                     # what it may do
//! mesh http://127.0.0.1:3000/keys; mesh -X DELETE http://127.0.0.1:3000/keys/0199             # list; revoke by a prefix of the id
//! ```
//!
//! Arguments: the address, `127.0.0.1:3000` if not given, and the file of keys, `mesh.db`.

use std::{
    collections::HashMap,
    env,
    error::Error,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    extract::{
        Path, State,
        ws::{Message, Utf8Bytes},
    },
    http::{StatusCode, header::CACHE_CONTROL},
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::broadcast::{self, error::RecvError},
};
use tower_api_key::{
    ApiKeyAuth,
    access::{Grants, Requirement, Resources, Scopes},
    clock::{from_unix_ms, to_unix_ms},
    extract::{Requires, RevocableUpgrade, RevocableWebSocket, Scoped},
    key::{KeyId, KeyRecord, KeyStatus},
    manage::{Caller, CallerKeys, Keys, ManageError, ManageErrorKind, NewKey},
    middleware::RequireScope,
    principal::Principal,
    store::{KeyQuery, SqliteStore},
};

/// What is sent and read here acts on the topic in the path.
struct Send;
impl Requires for Send {
    const REQUIREMENT: Requirement = Requirement::all_of(&["send"]).on("topic:{topic}");
}

struct Read;
impl Requires for Read {
    const REQUIREMENT: Requirement = Requirement::all_of(&["read"]).on("topic:{topic}");
}

#[derive(Clone)]
struct Mesh {
    keys: Keys,
    messages: Arc<Mutex<HashMap<String, Vec<String>>>>,
    /// The same as they come, with their topics.
    live: broadcast::Sender<(String, Utf8Bytes)>,
    state: Arc<Mutex<HashMap<String, String>>>,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "whoever started the program is to read it")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let file = arguments.next().unwrap_or_else(|| "mesh.db".to_owned());
    let auth = ApiKeyAuth::builder(SqliteStore::open(file).await?).build()?;
    let keys = auth.keys().ok_or("there is a store, so there are keys")?.clone();
    if keys.is_empty().await? {
        let all = scopes(&["send", "read", "state_write", "admin"].map(str::to_owned))?;
        let admin = NewKey::new("mesh")
            .name("first key")
            .grants(Grants::new(all, Resources::unbound()));
        println!("export ADMIN={}", keys.issue(admin).await?.key.expose());
    }
    let mesh = Mesh {
        keys,
        messages: Arc::default(),
        live: broadcast::Sender::new(256),
        state: Arc::default(),
    };
    let administration = Router::new()
        .route("/keys", post(create).get(list))
        .route("/keys/{id}", delete(revoke))
        .route_layer(RequireScope::new("admin")?);
    let app = Router::new()
        .route("/topics/{topic}/messages", post(send).get(read))
        .route("/topics/{topic}/ws", get(follow))
        .route(
            "/state/{name}",
            put(write_state).route_layer(RequireScope::new("state_write")?),
        )
        .route("/keys/verify", get(verify))
        .merge(administration)
        .with_state(mesh)
        .layer(auth);

    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    // For brevity: it waits for ever for the headers of a request. The example `server` shows a server with a time limit.
    axum::serve(listener, app).await?;
    Ok(())
}

async fn send(
    caller: Scoped<Send>,
    State(mesh): State<Mesh>,
    Path(topic): Path<String>,
    text: String,
) -> StatusCode {
    let message = format!("{}: {text}", caller.name());
    // Nobody may be listening.
    let _ = mesh.live.send((topic.clone(), message.as_str().into()));
    let mut messages = mesh.messages.lock().unwrap_or_else(PoisonError::into_inner);
    messages.entry(topic).or_default().push(message);
    StatusCode::CREATED
}

/// What is sent from now on. The socket does not outlive the key: it is closed with 4401.
async fn follow(
    caller: Scoped<Read>,
    State(mesh): State<Mesh>,
    Path(topic): Path<String>,
    upgrade: RevocableUpgrade,
) -> Response {
    let mut live = mesh.live.subscribe();
    upgrade.on_upgrade(&caller, async move |mut socket: RevocableWebSocket| {
        loop {
            tokio::select! {
                sent = live.recv() => match sent {
                    Ok((to, message)) if to == topic => {
                        if socket.send(Message::Text(message)).await.is_err() {
                            return;
                        }
                    }
                    // Of another topic, or this listener was too slow for some.
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
                said = socket.recv() => if !matches!(said, Some(Ok(_))) {
                    return;
                },
            }
        }
    })
}

async fn read(_: Scoped<Read>, State(mesh): State<Mesh>, Path(topic): Path<String>) -> Json<Vec<String>> {
    let messages = mesh.messages.lock().unwrap_or_else(PoisonError::into_inner);
    Json(messages.get(&topic).cloned().unwrap_or_default())
}

async fn write_state(State(mesh): State<Mesh>, Path(name): Path<String>, value: String) -> StatusCode {
    mesh.state
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(name, value);
    StatusCode::NO_CONTENT
}

/// What any key may ask of itself.
async fn verify(caller: Principal) -> Json<Value> {
    let grants = caller.grants();
    let topics = grants.resources().listed().map(|listed| {
        let names = listed
            .iter()
            .map(|topic| topic.as_str().trim_start_matches("topic:"));
        names.map(str::to_owned).collect::<Vec<_>>()
    });
    Json(json!({
        "label": caller.name(),
        "capabilities": capabilities(grants),
        "topics": topics,
        "expires_at": caller.expires_at().map(to_unix_ms),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewMeshKey {
    label: String,
    capabilities: Vec<String>,
    /// Left out: all topics.
    topics: Option<Vec<String>>,
    /// In milliseconds since 1970.
    expires_at: Option<i64>,
}

async fn create(
    caller: Principal,
    State(mesh): State<Mesh>,
    Json(new): Json<NewMeshKey>,
) -> Result<impl IntoResponse, Refused> {
    let bad = |_| Refused::status(StatusCode::BAD_REQUEST);
    let topics = match new.topics {
        None => Resources::unbound(),
        Some(topics) if topics.is_empty() => return Err(Refused::status(StatusCode::BAD_REQUEST)),
        Some(topics) => Resources::only(topics.iter().map(|topic| format!("topic:{topic}")))
            .map_err(|_| Refused::status(StatusCode::BAD_REQUEST))?,
    };
    let scopes = scopes(&new.capabilities).map_err(bad)?;
    let mut key = NewKey::new("mesh")
        .name(new.label)
        .grants(Grants::new(scopes, topics));
    if let Some(moment) = new.expires_at {
        let moment = from_unix_ms(moment).ok_or(Refused::status(StatusCode::BAD_REQUEST))?;
        key = key.expires_at(moment);
    }
    let issued = own(&mesh, caller).issue(key).await?;
    let body = json!({"id": issued.record.id.to_string(), "key": issued.key.expose()});
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(body)))
}

async fn list(caller: Principal, State(mesh): State<Mesh>) -> Result<Json<Vec<Value>>, Refused> {
    let page = own(&mesh, caller).list(KeyQuery::newest(100)).await?;
    let show = |key: &KeyRecord| {
        json!({
            "id": key.id.to_string(),
            "label": key.name,
            "prefix": key.prefix,
            "capabilities": capabilities(&key.grants),
            "status": key.status(page.now).as_str(),
        })
    };
    Ok(Json(page.keys.iter().map(show).collect()))
}

/// By the id, or by as much of its beginning as tells it from the others.
async fn revoke(
    caller: Principal,
    State(mesh): State<Mesh>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refused> {
    let keys = own(&mesh, caller);
    let query = KeyQuery::newest(2).status(KeyStatus::Active).id_prefix(id);
    let id: KeyId = match keys.list(query).await?.keys.as_slice() {
        [] => return Err(Refused::status(StatusCode::NOT_FOUND)),
        [key] => key.id,
        _ => {
            return Err(Refused(
                StatusCode::CONFLICT,
                "ambiguous: more than one key begins like this",
            ));
        }
    };
    keys.revoke(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn own(mesh: &Mesh, caller: Principal) -> CallerKeys {
    mesh.keys.by(Caller::new(caller))
}

/// `admin` also manages keys.
fn scopes(capabilities: &[String]) -> Result<Scopes, Box<dyn Error>> {
    const KNOWN: [&str; 4] = ["send", "read", "state_write", "admin"];
    let mut scopes = Vec::new();
    for capability in capabilities {
        let known = KNOWN.iter().find(|known| *known == capability);
        scopes.push(*known.ok_or("no such capability")?);
        if capability == "admin" {
            scopes.push("keys:*");
        }
    }
    Ok(Scopes::new(scopes)?)
}

fn capabilities(grants: &Grants) -> Vec<String> {
    let granted = grants.granted_scopes().iter().map(ToString::to_string);
    granted.filter(|scope| !scope.starts_with("keys:")).collect()
}

/// Why a call was refused; a key that the store cannot look up now is 503, and no missing one.
struct Refused(StatusCode, &'static str);

impl Refused {
    fn status(status: StatusCode) -> Self {
        Self(status, status.canonical_reason().unwrap_or_default())
    }
}

impl From<ManageError> for Refused {
    fn from(error: ManageError) -> Self {
        Self::status(match error.kind() {
            ManageErrorKind::NotFound => StatusCode::NOT_FOUND,
            ManageErrorKind::Invalid(_) => StatusCode::BAD_REQUEST,
            ManageErrorKind::Exceeds(_) | ManageErrorKind::MissingScope(_) => StatusCode::FORBIDDEN,
            ManageErrorKind::CallerNotGood(_) => StatusCode::UNAUTHORIZED,
            ManageErrorKind::Conflict(_) | ManageErrorKind::Quota => StatusCode::CONFLICT,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        })
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": self.1}))).into_response()
    }
}
