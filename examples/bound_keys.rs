//! Deployed agents: each is called by programs at `/rest/{friendly_name}`, with a key that is bound to it and calls no other.
//!
//! ```sh
//! cargo run --example bound_keys --features management,sqlite      # prints the operator's key, once
//! export OPERATOR=gak_...
//! operator() { curl -sS -H "X-Gofannon-Key: $OPERATOR" -H 'Content-Type: application/json' "$@"; }
//! operator http://127.0.0.1:3000/keys -d '{"name":"nightly","scopes":["agents:call"],"resources":["agent:reporter"]}'
//! export KEY=gak_...
//! curl -H "X-Gofannon-Key: $KEY" -d 'last night' http://127.0.0.1:3000/rest/reporter       # the agent answers
//! curl -i -H "X-Gofannon-Key: $KEY" -d 'last night' http://127.0.0.1:3000/rest/translator  # 403: it is bound to the other
//! operator -X POST http://127.0.0.1:3000/keys/ID/rotate -d '{"overlap_seconds":3600}'      # the next key; this one lasts an hour
//! operator http://127.0.0.1:3000/keys/ID/events; operator -X DELETE http://127.0.0.1:3000/keys/ID
//! ```
//!
//! Arguments: the address, `127.0.0.1:3000` if not given, and the file of keys, `agents.db`. How a workflow of GitHub Actions calls such an
//! agent is told in `docs/github-actions.md`.
//!
//! What is asked about such keys:
//!
//! - **Scoping.** A scope says what, a resource says on which: `agent:reporter` is one agent. Workspaces and organisations would be longer names:
//!   `agent:acme/*` is a whole workspace where the requirement is on `agent:{workspace}/{friendly_name}`. A key without resources is bound to none, and calls
//!   every agent. A key cannot be made into more than its maker has, so a bound key that may mint at all mints keys for its own agent only.
//! - **Rotation.** `POST /keys/ID/rotate` makes a key with the same rights; the old one stays good for the overlap, a day if not said, so that
//!   nothing stands still while it is replaced. `Policy` sees to it that every key ends: here after 30 days, or what its maker asks for, 90 at most.
//! - **Revocation.** `DELETE /keys/ID`, for good, and for every request that starts after the answer. `DELETE /keys/current` needs nothing but the key: for whoever finds
//!   one that leaked.
//! - **Audit.** Every change, and every one that was refused, is a row with who, when, from which address, before and after, written with the change or not at all: `GET /keys/ID/events`,
//!   and for `keys:admin` `GET /keys/events`. The rows are chained by hashes; `apikey verify-log` finds the first that was tampered with.
//! - **Created, last used.** Both are shown; the second is written down a minute later at most.
//! - **A page to manage them** is the application's. The router's calls are what it needs.

use std::{env, error::Error, net::SocketAddr, time::Duration};

use axum::{Router, extract::Path, http::StatusCode, routing::post};
use tokio::net::TcpListener;
use tower_api_key::{
    ApiKeyAuth,
    access::{Grants, Requirement},
    credential::Sources,
    extract::{Requires, Scoped},
    manage::{NewKey, Policy},
    store::SqliteStore,
};

/// The scope, and a key that is bound to the agent in the path or to none.
struct CallAgent;
impl Requires for CallAgent {
    const REQUIREMENT: Requirement = Requirement::all_of(&["agents:call"]).on("agent:{friendly_name}");
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// In place of the application's own table.
const AGENTS: [&str; 2] = ["reporter", "translator"];

#[tokio::main]
#[expect(clippy::print_stdout, reason = "whoever started the program is to read it")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let file = arguments.next().unwrap_or_else(|| "agents.db".to_owned());
    let auth = ApiKeyAuth::builder(SqliteStore::open(file).await?)
        .prefix("gak")
        .sources(Sources::none().header("X-Gofannon-Key"))
        .policy(Policy::new().default_lifetime(30 * DAY).max_lifetime(90 * DAY))
        .build()?;
    let keys = auth.keys().ok_or("there is a store, so there are keys")?;
    if keys.is_empty().await? {
        let all = Grants::scopes(["agents:call", "keys:*"])?;
        let operator = NewKey::new("operator").name("first key").grants(all);
        println!("export OPERATOR={}", keys.issue(operator).await?.key.expose());
    }
    let app = Router::new()
        .route("/rest/{friendly_name}", post(call))
        .nest("/keys", auth.router())
        .layer(auth);

    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    // For brevity: it waits for ever for the headers of a request. The example `server` shows a server with a time limit.
    // With the address of the client, for the log.
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

/// Whoever is bound to another agent does not learn whether there is one of this name.
async fn call(
    caller: Scoped<CallAgent>,
    Path(agent): Path<String>,
    question: String,
) -> Result<String, StatusCode> {
    if !AGENTS.contains(&agent.as_str()) {
        return Err(StatusCode::NOT_FOUND);
    }
    let by = caller.name();
    Ok(format!("{agent} was asked by {by}: {question}"))
}
