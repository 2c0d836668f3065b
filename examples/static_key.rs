//! An agent orchestrator: each run of an agent has a key of its own, and one static key lets the outside in.
//!
//! The static key stands for an agent that does not exist, but is of the type of those that do, so no handler knows the difference.
//!
//! ```sh
//! export MESA_API_KEY_EXTERNAL=$(openssl rand -hex 24)
//! cargo run --example static_key --features sqlite
//! alias mesa='curl -sS -H "Authorization: Bearer $MESA_API_KEY_EXTERNAL"'
//! mesa http://127.0.0.1:3000/api/v1/me                                # the agent `external`
//! mesa 'http://127.0.0.1:3000/api/v1/issues?status=open&limit=1'      # of all agents
//! mesa -X POST http://127.0.0.1:3000/api/v1/agents/alpha/runs         # starts a run, and shows its key once
//! curl -H "Authorization: Bearer ak_..." http://127.0.0.1:3000/api/v1/me
//! mesa -X DELETE http://127.0.0.1:3000/api/v1/runs/RUN                # ends it, and its key with it
//! ```

use std::{
    error::Error,
    time::{Duration, SystemTime},
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{StatusCode, header::CACHE_CONTROL},
    response::IntoResponse,
    routing::{delete, get, post},
};
use clap::Parser;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_api_key::{
    ApiKeyAuth,
    access::Grants,
    authn::{OwnerState, StaticKey},
    extract::Owner,
    key::KeyId,
    manage::{Keys, ManageError, ManageErrorKind, NewKey},
    middleware::RequireScope,
    principal::Principal,
    store::SqliteStore,
};

#[derive(Parser)]
struct Arguments {
    /// The key for callers from outside. Everyone on this machine can read an argument: better use the variable.
    #[arg(long, env = "MESA_API_KEY_EXTERNAL", hide_env_values = true)]
    api_key: Option<String>,
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: String,
    /// The file with the keys of the runs.
    #[arg(long, default_value = "mesa.db")]
    database: String,
}

const RUN_LASTS_AT_MOST: Duration = Duration::from_secs(60 * 60);

#[tokio::main]
#[expect(clippy::print_stdout, reason = "whoever started the program is to read it")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    // Compared before the database is asked, and never written to it. Without one, nothing else changes.
    let external = arguments
        .api_key
        .map(|key| StaticKey::new(key).user(EXTERNAL).grant(Grants::all()));
    let auth = ApiKeyAuth::builder(SqliteStore::open(&arguments.database).await?)
        .static_keys(external)
        // An agent that is gone takes its keys with it.
        .owners(async |owner: String| Ok(find_agent(&owner).map(|agent| OwnerState::active().user(agent))))
        .build()?;
    let keys = auth.keys().ok_or("there is a store, so there are keys")?;
    let manage_runs = Router::new()
        .route("/agents/{slug}/runs", post(start_run))
        .route("/runs/{id}", delete(end_run))
        .route_layer(RequireScope::new("runs:write")?)
        .with_state(keys.clone());
    let api = Router::new()
        .route("/me", get(me))
        .route(
            "/issues",
            get(all_issues).route_layer(RequireScope::new("issues:read")?),
        )
        .merge(manage_runs);
    let app = Router::new().nest("/api/v1", api).layer(auth);

    let listener = TcpListener::bind(arguments.listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    // For brevity: it waits for ever for the headers of a request. The example `server` shows a server with a time limit.
    axum::serve(listener, app).await?;
    Ok(())
}

/// Which agent is this? Whether it is a real one is no concern of a handler.
async fn me(Owner(agent): Owner<Agent>, caller: Principal) -> Json<Value> {
    Json(json!({"agent": *agent, "run": caller.key_id()}))
}

#[derive(Deserialize)]
struct Filter {
    status: Option<String>,
    limit: Option<usize>,
}

/// For callers that are not one agent.
async fn all_issues(Query(filter): Query<Filter>) -> Json<Vec<Issue>> {
    let wanted = |issue: &Issue| filter.status.as_ref().is_none_or(|status| issue.status == status);
    let limit = filter.limit.unwrap_or(100);
    Json(ISSUES.into_iter().filter(wanted).take(limit).collect())
}

/// A run goes by the id of its key, so ending it revokes that key and no other of the agent. Mesa's scheduler would do both itself.
///
/// The key has no scopes: what an agent does for itself needs none.
async fn start_run(
    State(keys): State<Keys>,
    Path(slug): Path<String>,
) -> Result<impl IntoResponse, StatusCode> {
    let agent = find_agent(&slug).ok_or(StatusCode::NOT_FOUND)?;
    let key = NewKey::new(agent.slug).expires_at(SystemTime::now() + RUN_LASTS_AT_MOST);
    let issued = keys.issue(key).await.map_err(|error| status(&error))?;
    let started = json!({"run": issued.record.id.to_string(), "key": issued.key.expose()});
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(started)))
}

async fn end_run(State(keys): State<Keys>, Path(id): Path<String>) -> Result<StatusCode, StatusCode> {
    let id: KeyId = id.parse().map_err(|_| StatusCode::NOT_FOUND)?;
    keys.revoke(id).await.map_err(|error| status(&error))?;
    Ok(StatusCode::NO_CONTENT)
}

fn status(error: &ManageError) -> StatusCode {
    match error.kind() {
        ManageErrorKind::NotFound => StatusCode::NOT_FOUND,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

#[derive(Clone, Serialize)]
struct Agent {
    id: &'static str,
    name: &'static str,
    slug: &'static str,
}

// In place of the application's own tables.
const EXTERNAL: Agent = agent("external", "external", "external");
const AGENTS: [Agent; 2] = [agent("1", "Alpha", "alpha"), agent("2", "Beta", "beta")];
const ISSUES: [Issue; 3] = [
    issue("alpha", "open", "the build is red"),
    issue("beta", "open", "the page is blank"),
    issue("alpha", "closed", "the light is off"),
];

fn find_agent(slug: &str) -> Option<Agent> {
    AGENTS.into_iter().find(|agent| agent.slug == slug)
}

const fn agent(id: &'static str, name: &'static str, slug: &'static str) -> Agent {
    Agent { id, name, slug }
}

#[derive(Serialize)]
struct Issue {
    agent: &'static str,
    status: &'static str,
    title: &'static str,
}

const fn issue(agent: &'static str, status: &'static str, title: &'static str) -> Issue {
    Issue { agent, status, title }
}
