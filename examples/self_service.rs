//! A low-code platform: users who log in make keys for themselves, which then act for them, and can do no more than they can.
//!
//! The login is a toy: it gives out session tokens, which pages send as bearer tokens, as they send keys. A bearer that begins with `osk_` is a key, and
//! whether it is good is decided by it alone; any other is a session.
//!
//! ```sh
//! cargo run --example self_service --features management,sqlite
//! api=http://127.0.0.1:3000/api/v1
//! export SESSION=$(curl -sS $api/login -H 'Content-Type: application/json' -d '{"user":"alice","password":"wonderland"}')
//! page() { curl -sS -H "Authorization: Bearer $SESSION" -H 'Content-Type: application/json' "$@"; }
//! page $api/keys -d '{"name":"import","scopes":["records:write"]}'                # the key, this once
//! export KEY=osk_...
//! curl -H "Authorization: Bearer $KEY" $api/me
//! curl -H "Authorization: ApiKey $KEY" $api/me
//! curl -H "X-API-Key: $KEY" $api/records -d 'a record'                             # 201
//! curl -i -H "X-API-Key: $KEY" $api/records                                        # 403: not what the key is for
//! page $api/keys -d '{"name":"forged","scopes":[],"user_id":"bob"}'               # 400: the owner is whoever asks
//! page $api/keys -d '{"name":"greedy","scopes":["records:delete"]}'               # 403: more than its maker
//! page $api/keys; page -X DELETE $api/keys/ID                                      # list; revoke
//! ```
//!
//! Arguments: the address, `127.0.0.1:3000` if not given, and the file of keys, `platform.db`.

use std::{
    collections::HashMap,
    env,
    error::Error,
    sync::{Arc, PoisonError, RwLock},
};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header::CACHE_CONTROL, request::Parts},
    response::IntoResponse,
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tower_api_key::{
    ApiKeyAuth,
    access::Grants,
    authn::{Fallback, OwnerState, Unavailable},
    credential::Sources,
    key::KeyDigest,
    middleware::RequireScope,
    principal::{Identity, Principal},
    store::SqliteStore,
};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "whoever started the program is to read it")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let file = arguments.next().unwrap_or_else(|| "platform.db".to_owned());

    let sessions = Sessions::default();
    let auth = ApiKeyAuth::builder(SqliteStore::open(file).await?)
        .prefix("osk")
        .sources(Sources::none().bearer().api_key_scheme().header("X-API-Key"))
        .fallback(sessions.clone())
        // The most that a user may do, by session or by key.
        .owners(async |name: String| {
            let user = USERS.iter().find(|user| user.name == name);
            let grants = user.map(|user| Grants::scopes(user.scopes.iter().copied()));
            Ok(grants
                .transpose()?
                .map(|grants| OwnerState::active().grants(grants)))
        })
        .build()?;
    let read = get(records).route_layer(RequireScope::new("records:read")?);
    let write = post(async || StatusCode::CREATED).route_layer(RequireScope::new("records:write")?);
    let api = Router::new()
        .route("/me", get(me))
        .route("/records", read.merge(write))
        .nest("/keys", auth.router())
        .layer(auth)
        .route("/login", post(login).with_state(sessions));
    let app = Router::new().nest("/api/v1", api);

    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    // For brevity: it waits for ever for the headers of a request. The example `server` shows a server with a time limit.
    axum::serve(listener, app).await?;
    Ok(())
}

async fn me(caller: Principal) -> Json<Value> {
    Json(json!({"user": caller.owner(), "by": caller.kind().as_str(), "name": caller.name()}))
}

async fn records(caller: Principal) -> String {
    format!("the records of {}", caller.owner())
}

/// In place of the application's own tables. Passwords of real users are kept as slow hashes.
const USERS: [User; 2] = [
    User {
        name: "alice",
        password: "wonderland",
        scopes: &["keys:read", "keys:write", "records:read", "records:write"],
    },
    User {
        name: "bob",
        password: "builder",
        scopes: &["keys:read", "keys:write", "records:read"],
    },
];

struct User {
    name: &'static str,
    password: &'static str,
    scopes: &'static [&'static str],
}

/// Who is logged in, by the digest of their token.
#[derive(Clone, Default)]
struct Sessions(Arc<RwLock<HashMap<KeyDigest, &'static str>>>);

impl Fallback for Sessions {
    async fn authenticate(&self, _: &Parts) -> Result<Option<Identity>, Unavailable> {
        // Without a bearer token nobody is logged in here.
        Ok(None)
    }

    /// Of those that begin with `osk_` it is not asked.
    fn claims_bearer(&self, _token: &str) -> bool {
        true
    }

    async fn authenticate_bearer(&self, token: &str, _: &Parts) -> Result<Option<Identity>, Unavailable> {
        let sessions = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let user = sessions.get(&KeyDigest::of(token.as_bytes()));
        // What such a user may do is for `owners` to say.
        Ok(user.map(|user| Identity::new(*user).name("session").grants(Grants::all())))
    }
}

#[derive(Deserialize)]
struct Login {
    user: String,
    password: String,
}

async fn login(
    State(sessions): State<Sessions>,
    Json(Login { user, password }): Json<Login>,
) -> Result<impl IntoResponse, StatusCode> {
    let user = USERS.iter().find(|known| known.name == user);
    let user = user.filter(|known| bool::from(known.password.as_bytes().ct_eq(password.as_bytes())));
    let user = user.ok_or(StatusCode::UNAUTHORIZED)?;
    let half = || getrandom::u64().map_err(|_| StatusCode::SERVICE_UNAVAILABLE);
    let token = format!("{:016x}{:016x}", half()?, half()?);
    let mut sessions = sessions.0.write().unwrap_or_else(PoisonError::into_inner);
    sessions.insert(KeyDigest::of(token.as_bytes()), user.name);
    Ok(([(CACHE_CONTROL, "no-store")], token))
}
