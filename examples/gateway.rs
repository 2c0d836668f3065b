//! A gateway: users with a session, keys of workspaces (`oc_`) and of the whole organisation (`oc_org_`), members who come and go, and changes that
//! another process makes.
//!
//! ```sh
//! cargo run --example gateway --features management,sqlite
//! api=http://127.0.0.1:3000
//! curl -sS -c jar $api/login -H 'Content-Type: application/json' -d '{"user":"alice","password":"wonderland"}'
//! page() { curl -sS -b jar -H "Origin: $api" -H 'Content-Type: application/json' "$@"; }
//! page $api/keys -d '{"name":"ci","scopes":["secrets:read"],"resources":["workspace:blue"]}'
//! page $api/organisation/keys -d '{"name":"audit","scopes":["secrets:read"]}'          # for administrators only
//! curl -H "Authorization: Bearer oc_..." $api/secret                                    # of its workspace
//! curl -H "Authorization: Bearer oc_org_..." -H 'X-Workspace: red' $api/secret          # it must name one
//! page -X PUT $api/members/bob -d '{"suspended":true,"admin":false}'                    # all of Bob's keys stop
//! apikey --database-url sqlite://gateway.db revoke ID --yes                             # another process; the gateway hears of it
//! ```
//!
//! - A bearer that begins with `oc_` commits the request: where it is no good key the answer is 401, whoever is logged in.
//! - Nothing here invalidates a cache. Changes of keys are told by the store, whoever makes them; what changes members goes through
//!   [`ApiKeyAuth::change_owner`]. Other programs may change members, too: that counts within the two seconds that a verdict is cached.
//!
//! Arguments: the address, `127.0.0.1:3000` if not given, and the file of keys and members, `gateway.db`.

use std::{
    collections::HashMap,
    env,
    error::Error,
    future::Future,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::{
        HeaderMap, StatusCode,
        header::{AUTHORIZATION, COOKIE, SET_COOKIE},
        request::Parts,
    },
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use serde::Deserialize;
use serde_json::json;
use sqlx::{Row, SqlitePool, sqlite::SqliteConnectOptions};
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tower::ServiceExt;
use tower_api_key::{
    ApiKeyAuth,
    access::{Grants, Requirement},
    authn::{OwnerState, Unavailable},
    key::KeyDigest,
    middleware::RequireScope,
    principal::{Identity, Principal, PrincipalKind},
    store::SqliteStore,
};

const READ: Requirement = Requirement::all_of(&["secrets:read"]).on("workspace:{workspace}");

const MEMBER: &[&str] = &["secrets:read", "keys:read", "keys:write"];
const ADMIN: &[&str] = &["secrets:read", "keys:read", "keys:write", "members:write"];

/// In place of an identity provider. Passwords of real users are kept as slow hashes.
const USERS: [(&str, &str, bool); 3] = [
    ("alice", "wonderland", true),
    ("bob", "builder", false),
    ("carol", "christmas", true),
];

#[derive(Clone)]
struct Gateway {
    workspace: ApiKeyAuth,
    organisation: ApiKeyAuth,
    members: Members,
    sessions: Sessions,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "whoever started the program is to read it")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let file = arguments.next().unwrap_or_else(|| "gateway.db".to_owned());
    let store = SqliteStore::open(&file).await?;
    let members = Members::open(&file).await?;
    let sessions = Sessions::default();

    let (of_anybody, of_admins) = (members.clone(), members.clone());
    let workspace = ApiKeyAuth::builder(store.clone())
        .prefix("oc")
        .fallback(sessions.clone())
        .owners(move |name: String| {
            let members = of_anybody.clone();
            async move { members.state(&name, false).await }
        })
        .cache_ttl(Duration::from_secs(2))
        .build()?;
    let organisation = ApiKeyAuth::builder(store)
        .prefix("oc_org")
        .owners(move |name: String| {
            let members = of_admins.clone();
            async move { members.state(&name, true).await }
        })
        .cache_ttl(Duration::from_secs(2))
        .build()?;
    let gateway = Gateway {
        workspace: workspace.clone(),
        organisation: organisation.clone(),
        members,
        sessions,
    };

    // What an administrator may do with keys of the organisation, a session of one may, and no key.
    let administration = Router::new()
        .route("/members/{name}", put(change_member))
        .nest("/organisation/keys", organisation.router())
        .route_layer(RequireScope::new("members:write")?)
        .route_layer(from_fn(session_only));
    let of_workspace = Router::new()
        .route("/secret", get(secret_of_workspace))
        .nest("/keys", workspace.router())
        .merge(administration)
        .layer(workspace)
        .route("/login", post(login))
        .with_state(gateway);
    let of_organisation = Router::new()
        .route("/secret", get(secret_of_organisation))
        .layer(organisation);
    let app = Router::new()
        .fallback(by_kind)
        .with_state((of_workspace, of_organisation));

    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    // For brevity: it waits for ever for the headers of a request. The example `server` shows a server with a time limit.
    axum::serve(listener, app).await?;
    Ok(())
}

/// A scope does not tell a session from a key that was given the same scope.
async fn session_only(caller: Principal, request: Request, next: Next) -> Response {
    match caller.kind() {
        PrincipalKind::Session => next.run(request).await,
        _ => (StatusCode::FORBIDDEN, "log in for that\n").into_response(),
    }
}

/// Which of the two is asked. Nothing depends on this being right: each refuses the keys of the other.
async fn by_kind(
    State((of_workspace, of_organisation)): State<(Router, Router)>,
    request: Request,
) -> Response {
    let bearer = request.headers().get(AUTHORIZATION);
    let bearer = bearer.and_then(|field| field.to_str().ok()?.split_once(' '));
    let app = match bearer {
        Some((_, token)) if token.trim_start().starts_with("oc_org_") => of_organisation,
        _ => of_workspace,
    };
    app.oneshot(request).await.into_response()
}

fn named(headers: &HeaderMap) -> Option<&str> {
    headers.get("X-Workspace")?.to_str().ok()
}

/// A key of a workspace is bound to it, and need not name it.
async fn secret_of_workspace(caller: Principal, headers: HeaderMap) -> Response {
    let bound = caller.grants().resources().listed();
    let only = match bound {
        Some([only]) => only.as_str().strip_prefix("workspace:"),
        _ => None,
    };
    secret(&caller, named(&headers).or(only))
}

async fn secret_of_organisation(caller: Principal, headers: HeaderMap) -> Response {
    secret(&caller, named(&headers))
}

fn secret(caller: &Principal, workspace: Option<&str>) -> Response {
    let Some(workspace) = workspace else {
        return (StatusCode::BAD_REQUEST, "name the workspace in X-Workspace\n").into_response();
    };
    match caller.require_with(&READ, |_| Some(workspace)) {
        Ok(()) => format!("a secret of {workspace} for {}\n", caller.owner()).into_response(),
        Err(rejection) => IntoResponse::into_response(rejection),
    }
}

#[derive(Deserialize)]
struct Member {
    suspended: bool,
    admin: bool,
}

/// Around the change, so that no verdict from before outlives it, for either kind of key.
async fn change_member(
    State(gateway): State<Gateway>,
    Path(name): Path<String>,
    Json(member): Json<Member>,
) -> StatusCode {
    let Gateway {
        workspace,
        organisation,
        members,
        ..
    } = gateway;
    let owner = name.clone();
    let inner = async move {
        let change = async move { members.change(&name, &member).await };
        organisation.change_owner(&owner, change).await
    };
    match workspace.change_owner("a member", inner).await {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The table of members, which other programs may write to.
#[derive(Clone)]
struct Members(SqlitePool);

impl Members {
    async fn open(file: &str) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
        let pool = SqlitePool::connect_with(options).await?;
        let table = "CREATE TABLE IF NOT EXISTS members (name TEXT PRIMARY KEY, suspended INTEGER NOT NULL, admin INTEGER NOT NULL)";
        sqlx::query(table).execute(&pool).await?;
        for (name, _, admin) in USERS {
            let insert = sqlx::query("INSERT OR IGNORE INTO members VALUES (?, 0, ?)");
            insert.bind(name).bind(admin).execute(&pool).await?;
        }
        Ok(Self(pool))
    }

    /// What a member may do now; `None` for somebody who is none, or is no administrator where that is asked for.
    async fn state(&self, name: &str, of_organisation: bool) -> Result<Option<OwnerState>, Unavailable> {
        let select = sqlx::query("SELECT suspended, admin FROM members WHERE name = ?");
        let Some(row) = select.bind(name).fetch_optional(&self.0).await? else {
            return Ok(None);
        };
        let (suspended, admin): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
        if of_organisation && !admin {
            return Ok(None);
        }
        let scopes = if admin { ADMIN } else { MEMBER };
        Ok(Some(match suspended {
            true => OwnerState::suspended(),
            false => OwnerState::active().grants(Grants::scopes(scopes)?),
        }))
    }

    async fn change(&self, name: &str, member: &Member) -> Result<(), sqlx::Error> {
        let update = sqlx::query("UPDATE members SET suspended = ?, admin = ? WHERE name = ?");
        let update = update.bind(member.suspended).bind(member.admin).bind(name);
        update.execute(&self.0).await.map(|_| ())
    }
}

/// Users who are logged in, by the digest of what their cookie holds. They end with the program.
#[derive(Clone, Default)]
struct Sessions(Arc<RwLock<HashMap<KeyDigest, String>>>);

impl tower_api_key::authn::Fallback for Sessions {
    fn authenticate(
        &self,
        request: &Parts,
    ) -> impl Future<Output = Result<Option<Identity>, Unavailable>> + Send {
        let cookies = request.headers.get(COOKIE).and_then(|field| field.to_str().ok());
        let mut cookies = cookies.unwrap_or_default().split("; ");
        let session = cookies.find_map(|cookie| cookie.strip_prefix("session="));
        let user = session.and_then(|session| {
            let sessions = self.0.read().unwrap_or_else(PoisonError::into_inner);
            sessions.get(&KeyDigest::of(session.as_bytes())).cloned()
        });
        // As much as the member may do.
        async move { Ok(user.map(|user| Identity::new(user).grants(Grants::all()))) }
    }
}

#[derive(Deserialize)]
struct Login {
    user: String,
    password: String,
}

async fn login(
    State(gateway): State<Gateway>,
    Json(login): Json<Login>,
) -> Result<impl IntoResponse, StatusCode> {
    let known = USERS.iter().find(|(name, ..)| *name == login.user);
    let password = known.map_or("", |(_, password, _)| password);
    let same = KeyDigest::of(login.password.as_bytes())
        .as_bytes()
        .ct_eq(KeyDigest::of(password.as_bytes()).as_bytes());
    if known.is_none() || !bool::from(same) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let half = || getrandom::u64().map_err(|_| StatusCode::SERVICE_UNAVAILABLE);
    let session = format!("{:016x}{:016x}", half()?, half()?);
    let mut sessions = gateway.sessions.0.write().unwrap_or_else(PoisonError::into_inner);
    sessions.insert(KeyDigest::of(session.as_bytes()), login.user);
    let cookie = format!("session={session}; HttpOnly; SameSite=Lax; Path=/");
    Ok(([(SET_COOKIE, cookie)], Json(json!({"status": "ok"}))))
}
