//! The application: its routes, and what each asks of its caller.

use std::{collections::BTreeSet, time::Duration};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, Request, State, rejection::PathRejection},
    http::{
        Method, StatusCode,
        header::{CACHE_CONTROL, RETRY_AFTER},
    },
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::{get, patch, post},
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use tokio::time::timeout;
use tower_api_key::{
    ApiKeyAuth,
    access::Requirement,
    extract::{Requires, Scoped},
    manage::Keys,
    middleware::RequireScope,
    principal::Principal,
    router::{GithubAlerts, TokenRouter},
};
use utoipa::ToSchema;

use crate::{
    database::TIMEOUT,
    first_start::SCOPES,
    issues::{self, Issues},
    openapi, page,
    problem::Problem,
    sessions::{self, Users},
    topics::{self, Topics},
};

const MAX_BODY: usize = 64 * 1024;
/// Until a request is answered: one whose body never comes must not stay for ever. The body of the answer takes as long as it likes.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

const READ_ISSUES: Requirement = Requirement::all_of(&["issues:read"]);

/// May run the agent that the path names.
pub(crate) struct RunAgent;

impl Requires for RunAgent {
    const REQUIREMENT: Requirement = Requirement::all_of(&["agents:run"]).on("agent:{agent}");
}

pub(crate) fn app(
    auth: ApiKeyAuth,
    exchange: Option<TokenRouter>,
    alerts: Option<GithubAlerts>,
    keys: Keys,
    issues: Issues,
    topics: Topics,
    users: Users,
) -> Router {
    // What a route needs can stand here, as a layer, or in the signature of its handler, as `Scoped`.
    let list_issues = get(issues::list).route_layer(RequireScope::meeting(READ_ISSUES));
    let messages = Router::new()
        .route("/topics/{topic}/messages", post(topics::send))
        .route("/topics/{topic}/events", get(topics::events))
        .route("/topics/{topic}/ws", get(topics::socket))
        .with_state(topics);
    // Questions about keys that are not the caller's own credential.
    let services = auth.services().scopes(SCOPES.iter().cloned());
    let guarded = Router::new()
        .route("/whoami", get(whoami))
        .route("/issues", list_issues.post(issues::create))
        .route("/issues/{id}", patch(issues::change))
        .route("/agents/{agent}/runs", post(run_agent))
        .with_state(issues)
        .merge(messages)
        // Everybody's own keys.
        .nest(
            "/keys",
            auth.keys_router().scopes(SCOPES.iter().cloned()).into_router(),
        )
        .route("/introspect", services.introspection())
        .merge(services.forward_auth("/verify"))
        .method_not_allowed_fallback(other_method)
        .fallback(not_found)
        .layer(auth.clone());
    let page = page::routes(&auth);
    let open_to_all = Router::new()
        .route("/greeting", get(greeting))
        .method_not_allowed_fallback(other_method)
        .layer(auth.optional())
        // Holding a key is enough to end it.
        .route("/revoke", services.revocation());
    let (exchanges, takes_alerts) = (exchange.is_some(), alerts.is_some());
    // Not under the layer: what is asked for there is the key.
    let tokens = exchange.map_or_else(Router::new, |exchange| {
        Router::new().nest("/token", exchange.into_router())
    });
    // Believed for its signature.
    let alerts = alerts.map_or_else(Router::new, |alerts| {
        Router::new().route("/leaks/github", services.github_alerts(alerts))
    });
    Router::new()
        .nest("/api/v1", guarded.merge(open_to_all).merge(tokens).merge(alerts))
        .route("/healthz", get(healthz))
        .route(
            "/openapi.json",
            get(move || openapi::serve(exchanges, takes_alerts)),
        )
        .with_state(keys)
        .merge(sessions::routes(users))
        .merge(page)
        .method_not_allowed_fallback(other_method)
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn(within_timeout))
        .layer(sessions::layer())
}

/// Whether the server can do its work.
#[utoipa::path(get, path = "/healthz", tag = "server", security(()),
    responses((status = 200, description = "It can."), (status = 503, description = "The store is down.")))]
pub(crate) async fn healthz(State(keys): State<Keys>) -> impl IntoResponse {
    let fresh = (CACHE_CONTROL, "no-store");
    match timeout(TIMEOUT, keys.ping()).await {
        Ok(Ok(())) => ([fresh], Json(json!({ "status": "ok" }))).into_response(),
        Ok(Err(_)) | Err(_) => {
            let body = Json(json!({ "status": "unavailable" }));
            (StatusCode::SERVICE_UNAVAILABLE, [fresh, (RETRY_AFTER, "1")], body).into_response()
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct WhoAmI {
    kind: &'static str,
    owner: String,
    key_id: Option<String>,
    name: String,
    scopes: BTreeSet<String>,
    resources: Option<Vec<String>>,
    expires_at: Option<String>,
}

/// Says who is calling, and what they may do.
#[utoipa::path(get, path = "/api/v1/whoami", tag = "server", security(("bearer" = [])),
    responses((status = 200, description = "The caller.", body = WhoAmI)))]
pub(crate) async fn whoami(caller: Principal) -> Json<WhoAmI> {
    let grants = caller.grants();
    let granted = grants.granted_scopes();
    // A pattern is shown as the scopes it covers.
    let covered = SCOPES
        .iter()
        .filter(|scope| granted.contains(scope))
        .map(ToString::to_string);
    let listed = granted
        .iter()
        .map(ToString::to_string)
        .filter(|scope| !scope.ends_with('*'));
    let resources = grants.resources().listed();
    let expires_at = caller
        .expires_at()
        .and_then(|moment| Timestamp::try_from(moment).ok());
    Json(WhoAmI {
        kind: caller.kind().as_str(),
        owner: caller.owner().to_owned(),
        key_id: caller.key_id().map(str::to_owned),
        name: caller.name().to_owned(),
        scopes: covered.chain(listed).collect(),
        resources: resources.map(|listed| listed.iter().map(ToString::to_string).collect()),
        expires_at: expires_at.map(|moment| format!("{moment:.3}")),
    })
}

/// Greets callers, whether they say who they are or not.
#[utoipa::path(get, path = "/api/v1/greeting", tag = "server", security((), ("bearer" = [])),
    responses((status = 200, description = "A greeting.")))]
pub(crate) async fn greeting(caller: Option<Principal>) -> Json<serde_json::Value> {
    let name = caller.map_or_else(|| "stranger".to_owned(), |caller| caller.to_string());
    Json(json!({ "greeting": format!("Hello, {name}!") }))
}

/// Starts an agent. A key that is bound to resources must be bound to `agent:{agent}`.
#[utoipa::path(post, path = "/api/v1/agents/{agent}/runs", tag = "agents", params(("agent" = String, Path)),
    security(("bearer" = ["agents:run"])), responses((status = 202, description = "It runs.")))]
pub(crate) async fn run_agent(
    caller: Scoped<RunAgent>,
    agent: Result<Path<String>, PathRejection>,
) -> Result<impl IntoResponse, Problem> {
    let agent = match agent {
        Ok(Path(agent)) if !agent.is_empty() => agent,
        _ => return Err(Problem::NOT_FOUND),
    };
    let body = json!({ "agent": agent, "started_by": caller.owner(), "status": "accepted" });
    Ok((StatusCode::ACCEPTED, Json(body)))
}

async fn not_found() -> Problem {
    Problem::NOT_FOUND
}

/// axum adds `Allow`. `OPTIONS` asks for nothing but that; no other origin is allowed anything.
pub(crate) async fn other_method(method: Method) -> Response {
    match method {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => Problem::METHOD_NOT_ALLOWED.into_response(),
    }
}

async fn within_timeout(request: Request, next: Next) -> Response {
    match timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::TIMEOUT.into_response(),
    }
}
