//! `Principal`, `Option<Principal>` and `Scoped`.

use axum::{Router, extract::Path, routing::get as route};
use tower_api_key::{
    access::{Grants, Requirement},
    extract::{Owner, Requires, Scoped},
    middleware::RequireScope,
    principal::Principal,
};

use crate::answer::{KEY, ask, bound, get, granting, is, request, scopes};

struct Read;

impl Requires for Read {
    const REQUIREMENT: Requirement = Requirement::all_of(&["issues:read"]);
}

struct ReadAndWrite;

impl Requires for ReadAndWrite {
    const REQUIREMENT: Requirement = Requirement::all_of(&["issues:read", "issues:write"]);
}

struct ReadOrWrite;

impl Requires for ReadOrWrite {
    const REQUIREMENT: Requirement = Requirement::any_of(&["issues:read", "issues:write"]);
}

struct Nothing;

impl Requires for Nothing {
    const REQUIREMENT: Requirement = Requirement::all_of(&[]);
}

struct Run;

impl Requires for Run {
    const REQUIREMENT: Requirement = Requirement::all_of(&["agents:run"]).on("agent:{agent}");
}

struct RunMisnamed;

impl Requires for RunMisnamed {
    const REQUIREMENT: Requirement = Requirement::all_of(&["agents:run"]).on("agent:{agnet}");
}

async fn scoped<R>(caller: Scoped<R>) -> String {
    caller.owner().to_owned()
}

/// A route for each way to ask who is calling.
fn every_way() -> Router {
    Router::new()
        .route("/principal", route(async |_: Principal| "in"))
        .route("/optional", route(async |_: Option<Principal>| "in"))
        .route("/scoped", route(scoped::<Read>))
        .route("/owner", route(async |_: Owner<String>| "in"))
        .route(
            "/layer",
            route(async || "in").route_layer(RequireScope::new("issues:read").expect("a scope")),
        )
}

#[tokio::test]
async fn without_the_layer_each_answers_500_and_names_it() {
    // Also where the layer is on something else.
    let elsewhere = Router::new()
        .route("/guarded", route(async || "in"))
        .layer(granting(Grants::all()));
    let app = every_way().merge(elsewhere);
    for path in ["/principal", "/optional", "/scoped", "/owner", "/layer"] {
        for key in ["", KEY] {
            let answer = ask(app.clone(), request(http::Method::GET, path, key)).await;
            assert_eq!(answer.summary(), is(500, "auth-layer-missing"), "{path}");
            let detail = answer.problem()["detail"].to_string();
            assert!(detail.contains("ApiKeyAuth"), "{detail}");
            assert!(answer.all("www-authenticate").is_empty(), "{path}");
        }
    }
    assert_eq!(get(&app, "/guarded", KEY).await, is(200, "in"));
}

#[tokio::test]
async fn without_a_key_an_optional_route_tells_that_from_a_missing_layer() {
    let app = every_way().layer(granting(Grants::all()).optional());
    assert_eq!(get(&app, "/optional", "").await, is(200, "in"));
    for path in ["/principal", "/scoped", "/owner", "/layer"] {
        let answer = ask(app.clone(), request(http::Method::GET, path, "")).await;
        assert_eq!(answer.summary(), is(401, "missing-credentials"), "{path}");
        let challenges = [
            r#"Bearer realm="api""#,
            r#"ApiKey realm="api", in="header", name="X-Key""#,
        ];
        assert_eq!(answer.all("www-authenticate"), challenges, "{path}");
        assert_eq!(answer.all("cache-control"), ["no-store"], "{path}");
    }
}

#[tokio::test]
async fn the_principal_says_who_is_calling() {
    async fn who(caller: Option<Principal>) -> String {
        caller.map_or_else(
            || "nobody".to_owned(),
            |caller| format!("{caller} by {:?}", caller.kind()),
        )
    }

    let auth = granting(Grants::none());
    let app = Router::new().route("/", route(who));
    let required = app.clone().layer(auth.clone());
    let optional = app.layer(auth.optional());
    assert_eq!(get(&required, "/", KEY).await, is(200, "external by External"));
    assert_eq!(get(&optional, "/", KEY).await, is(200, "external by External"));
    assert_eq!(get(&optional, "/", "").await, is(200, "nobody"));
    assert_eq!(get(&required, "/", "").await, is(401, "missing-credentials"));
    // A bad key is not nobody, and neither are two.
    assert_eq!(
        get(&optional, "/", "the-key-of-this-test,").await,
        is(401, "invalid-key")
    );
    assert_eq!(
        get(&optional, "/", &format!("{KEY},{KEY}")).await,
        is(400, "ambiguous-credentials")
    );
    for bad in ["nonsense", "the-key-of-this-tes", "the-key-of-this-test "] {
        assert_eq!(get(&optional, "/", bad).await, is(401, "invalid-key"), "{bad:?}");
    }
}

#[tokio::test]
async fn scoped_lets_in_who_has_one_all_or_any_of_the_scopes() {
    let app = Router::new()
        .route("/one", route(scoped::<Read>))
        .route("/all", route(scoped::<ReadAndWrite>))
        .route("/any", route(scoped::<ReadOrWrite>))
        .route("/nothing", route(scoped::<Nothing>));
    for (granted, one, all, any) in [
        (&[][..], 403, 403, 403),
        (&["issues:read"], 200, 403, 200),
        (&["issues:write"], 403, 403, 200),
        (&["issues:read", "issues:write"], 200, 200, 200),
        (&["issues:*"], 200, 200, 200),
        (&["other:*", "issues:reader"], 403, 403, 403),
    ] {
        let app = app.clone().layer(granting(scopes(granted)));
        for (path, status) in [("/one", one), ("/all", all), ("/any", any), ("/nothing", 403)] {
            let found = get(&app, path, KEY).await.0;
            assert_eq!(found, status, "{path} with {granted:?}");
        }
    }
    let everything = app.layer(granting(Grants::all()));
    for (path, status) in [("/one", 200), ("/all", 200), ("/any", 200), ("/nothing", 403)] {
        assert_eq!(
            get(&everything, path, KEY).await.0,
            status,
            "{path} with everything"
        );
    }
}

#[tokio::test]
async fn scoped_says_what_is_required_and_not_what_is_granted() {
    let app = Router::new()
        .route("/", route(scoped::<ReadAndWrite>))
        .layer(granting(scopes(&["issues:read", "wiki:secret"])));
    let answer = ask(app, request(http::Method::GET, "/", KEY)).await;
    assert_eq!(answer.summary(), is(403, "insufficient-scope"));
    let required = serde_json::json!(["issues:read", "issues:write"]);
    assert_eq!(answer.problem()["required"], required);
    let challenge = r#"Bearer realm="api", error="insufficient_scope", scope="issues:read issues:write""#;
    assert_eq!(answer.all("www-authenticate"), [challenge]);
    assert!(!answer.body.contains("wiki"), "{}", answer.body);
}

#[tokio::test]
async fn scoped_measures_a_bound_key_against_the_path() {
    let run = async |_: Scoped<Run>, Path(agent): Path<String>| agent;
    let app = Router::new()
        .route("/agents/{agent}/runs", route(run))
        .route("/misnamed/{agent}", route(scoped::<RunMisnamed>));
    let not_allowed = || is(403, "resource-not-allowed");
    let agents = app
        .clone()
        .layer(granting(bound(&["agents:run"], &["agent:alpha", "agent:team-*"])));
    for (path, expected) in [
        ("/agents/alpha/runs", is(200, "alpha")),
        ("/agents/%61lpha/runs", is(200, "alpha")),
        ("/agents/team-a/runs", is(200, "team-a")),
        ("/agents/beta/runs", not_allowed()),
        ("/agents/ALPHA/runs", not_allowed()),
        ("/agents/alpha%20/runs", not_allowed()),
        ("/agents/alpha%2Fbeta/runs", not_allowed()),
        ("/agents/team-/runs", not_allowed()),
        ("/agents/%FF/runs", not_allowed()),
        ("/misnamed/alpha", is(500, "auth-misconfigured")),
    ] {
        assert_eq!(get(&agents, path, KEY).await, expected, "{path}");
    }
    let topics = app.clone().layer(granting(bound(&["agents:run"], &["topic:*"])));
    assert_eq!(get(&topics, "/agents/alpha/runs", KEY).await, not_allowed());
    // Without the scope, the resource is no matter.
    let scopeless = app.clone().layer(granting(bound(&[], &["agent:alpha"])));
    assert_eq!(
        get(&scopeless, "/agents/alpha/runs", KEY).await,
        is(403, "insufficient-scope")
    );
    let unbound = app.layer(granting(scopes(&["agents:run"])));
    for path in ["/agents/alpha/runs", "/agents/beta/runs", "/misnamed/alpha"] {
        assert_eq!(get(&unbound, path, KEY).await.0, 200, "{path}");
    }
}
