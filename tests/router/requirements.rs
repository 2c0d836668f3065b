//! `RequireScope` wherever it may be put, and requirements checked by handlers.

use axum::{Router, extract::Path, http::Method, routing::get as route};
use tower_api_key::{
    access::{Grants, ParseScopeError, Requirement},
    middleware::{Rejection, RequireScope},
    principal::Principal,
};

use crate::answer::{KEY, ask, bound, get, granting, is, request, scopes};

const RUN: Requirement = Requirement::all_of(&["agents:run"]).on("agent:{agent}");

fn run_agent() -> RequireScope {
    RequireScope::new("agents:run")
        .expect("a scope")
        .on("agent:{agent}")
}

#[tokio::test]
async fn one_all_or_any_of_the_scopes_are_required() {
    const READ: &str = "issues:read";
    const WRITE: &str = "issues:write";
    let guarded = |layer: Result<RequireScope, ParseScopeError>| {
        route(async || "in").route_layer(layer.expect("scopes"))
    };
    let app = Router::new()
        .route("/one", guarded(RequireScope::new(READ)))
        .route("/all", guarded(RequireScope::all_of([READ, WRITE])))
        .route("/any", guarded(RequireScope::any_of([READ, WRITE])))
        .route("/nothing", guarded(RequireScope::all_of([""; 0])));
    for (grants, one, all, any) in [
        (Grants::none(), 403, 403, 403),
        (scopes(&[READ]), 200, 403, 200),
        (scopes(&[WRITE]), 403, 403, 200),
        (scopes(&[READ, WRITE]), 200, 200, 200),
        (scopes(&["issues:*"]), 200, 200, 200),
        (Grants::all(), 200, 200, 200),
        // A resource is no matter where none is named.
        (bound(&[READ], &["agent:alpha"]), 200, 403, 200),
    ] {
        let app = app.clone().layer(granting(grants.clone()));
        for (path, status) in [("/one", one), ("/all", all), ("/any", any), ("/nothing", 403)] {
            assert_eq!(get(&app, path, KEY).await.0, status, "{path} with {grants:?}");
        }
        assert_eq!(get(&app, "/one", "").await, is(401, "missing-credentials"));
        assert_eq!(get(&app, "/one", "nonsense").await, is(401, "invalid-key"));
    }
    for bad in ["", "issues read", "issues:*", "\"", "issu\u{e9}s"] {
        assert!(RequireScope::new(bad).is_err(), "{bad}");
        assert!(RequireScope::all_of([READ, bad]).is_err(), "{bad}");
        assert!(RequireScope::any_of([READ, bad]).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn a_head_request_is_refused_without_a_body_and_with_its_length() {
    let layer = RequireScope::new("issues:read").expect("a scope");
    let app = Router::new()
        .route("/", route(async || "in").route_layer(layer))
        .layer(granting(Grants::none()));
    let of_get = ask(app.clone(), request(Method::GET, "/", KEY)).await;
    let of_head = ask(app, request(Method::HEAD, "/", KEY)).await;
    assert_eq!((of_head.status, of_head.body.as_str()), (403, ""));
    assert_eq!(of_head.headers, of_get.headers);
    assert_eq!(of_get.all("content-length"), [of_get.body.len().to_string()]);
}

/// Routers on which a bound key is measured against the path.
fn measuring() -> [(&'static str, Router); 4] {
    let handler = || route(async |Path(agent): Path<String>| agent);
    [
        (
            "on the route",
            Router::new().route("/agents/{agent}", handler().route_layer(run_agent())),
        ),
        (
            "on a router",
            Router::new()
                .route("/agents/{agent}", handler())
                .route_layer(run_agent()),
        ),
        (
            "below a nested router",
            Router::new().nest(
                "/agents",
                Router::new().route("/{agent}", handler().route_layer(run_agent())),
            ),
        ),
        (
            "below the parameter",
            Router::new().nest(
                "/agents/{agent}",
                Router::new().route("/", handler()).route_layer(run_agent()),
            ),
        ),
    ]
}

#[tokio::test]
async fn a_bound_key_acts_on_its_resource_only() {
    for (place, app) in measuring() {
        let alpha = app
            .clone()
            .layer(granting(bound(&["agents:run"], &["agent:alpha"])));
        assert_eq!(
            get(&alpha, "/agents/alpha", KEY).await,
            is(200, "alpha"),
            "{place}"
        );
        assert_eq!(
            get(&alpha, "/agents/%61lpha", KEY).await,
            is(200, "alpha"),
            "{place}"
        );
        for other in ["beta", "ALPHA", "alpha%00", "alpha%2F..%2Fbeta", "%FF"] {
            let found = get(&alpha, &format!("/agents/{other}"), KEY).await;
            assert_eq!(found, is(403, "resource-not-allowed"), "{place}: {other}");
        }
        let unbound = app.clone().layer(granting(scopes(&["agents:run"])));
        assert_eq!(
            get(&unbound, "/agents/beta", KEY).await,
            is(200, "beta"),
            "{place}"
        );
        let scopeless = app.layer(granting(bound(&["agents:see"], &["agent:alpha"])));
        assert_eq!(
            get(&scopeless, "/agents/alpha", KEY).await,
            is(403, "insufficient-scope"),
            "{place}"
        );
    }
}

#[tokio::test]
async fn where_the_parameter_is_not_known_a_bound_key_gets_500_and_never_in() {
    let inner = || Router::new().route("/agents/{agent}", route(async || "in"));
    let outside = [
        (
            "a service around a router",
            Router::new().fallback_service(tower::Layer::layer(&run_agent(), inner())),
        ),
        (
            "a route with another name",
            Router::new().route("/agents/{name}", route(async || "in").route_layer(run_agent())),
        ),
        (
            "a fallback",
            Router::new().fallback(async || "in").layer(run_agent()),
        ),
    ];
    for (place, app) in outside {
        let alpha = app.clone().layer(granting(bound(&["agents:run"], &["agent:*"])));
        let answer = get(&alpha, "/agents/alpha", KEY).await;
        assert_eq!(answer, is(500, "auth-misconfigured"), "{place}");
        let unbound = app.layer(granting(scopes(&["agents:run"])));
        assert_eq!(
            get(&unbound, "/agents/alpha", KEY).await,
            is(200, "in"),
            "{place}"
        );
    }
}

#[tokio::test]
async fn a_handler_checks_a_requirement_of_its_own() {
    const READ: Requirement = Requirement::all_of(&["issues:read"]);

    async fn read(caller: Principal) -> Result<&'static str, Rejection> {
        caller.require(&READ)?;
        Ok("in")
    }

    async fn run(caller: Principal, Path(agent): Path<String>) -> Result<String, Rejection> {
        caller.require_with(&RUN, |name| (name == "agent").then_some(&agent))?;
        Ok(agent)
    }

    async fn run_blindly(caller: Principal) -> Result<&'static str, Rejection> {
        caller.require(&RUN)?;
        Ok("in")
    }

    let app = Router::new()
        .route("/read", route(read))
        .route("/agents/{agent}", route(run))
        .route("/blindly/{agent}", route(run_blindly))
        .layer(granting(bound(&["agents:run"], &["agent:alpha"])));
    for (path, expected) in [
        ("/read", is(403, "insufficient-scope")),
        ("/agents/alpha", is(200, "alpha")),
        ("/agents/beta", is(403, "resource-not-allowed")),
        ("/blindly/alpha", is(500, "auth-misconfigured")),
    ] {
        assert_eq!(get(&app, path, KEY).await, expected, "{path}");
    }
    let answer = ask(app, request(Method::GET, "/read", KEY)).await;
    let challenge = r#"Bearer realm="api", error="insufficient_scope", scope="issues:read""#;
    assert_eq!(answer.all("www-authenticate"), [challenge]);
    // What the layer adds to an answer from inside does not weaken a refusal.
    assert_eq!(answer.all("cache-control"), ["no-store"]);
}
