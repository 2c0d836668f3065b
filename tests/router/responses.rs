//! What the layer adds to the answers of others.

use axum::{
    Router,
    http::Method,
    response::AppendHeaders,
    routing::{get as route, post},
};
use http::header::{CACHE_CONTROL, VARY};
use tower_api_key::{ApiKeyAuth, access::Grants, authn::StaticKey, credential::Sources};

use crate::answer::{Answer, KEY, ask, get, granting, is, request};

const OURS: &str = "Authorization, X-Key";

fn app(auth: ApiKeyAuth) -> Router {
    Router::new()
        .route("/plain", route(async || "in"))
        .route(
            "/public",
            route(async || ([(CACHE_CONTROL, "public, max-age=60")], "in")),
        )
        .route("/vary", route(async || ([(VARY, "Accept-Encoding")], "in")))
        .route(
            "/vary-twice",
            route(async || (AppendHeaders([(VARY, "Accept"), (VARY, OURS)]), "in")),
        )
        .route("/vary-all", route(async || ([(VARY, "*")], "in")))
        .layer(auth)
}

async fn answer(app: &Router, path: &str, key: &str) -> Answer {
    ask(app.clone(), request(Method::GET, path, key)).await
}

#[tokio::test]
async fn caches_are_told_what_an_answer_depends_on() {
    let app = app(granting(Grants::none()));
    for (path, vary, cache_control) in [
        ("/plain", &[OURS][..], "private"),
        ("/public", &[OURS], "public, max-age=60"),
        ("/vary", &["Accept-Encoding", OURS], "private"),
        ("/vary-twice", &["Accept", OURS], "private"),
        ("/vary-all", &["*"], "private"),
        // Also where the router has no handler: that is an answer to somebody, too.
        ("/missing", &[OURS], "private"),
    ] {
        let answer = answer(&app, path, KEY).await;
        assert_eq!(answer.all("vary"), vary, "{path}");
        assert_eq!(answer.all("cache-control"), [cache_control], "{path}");
    }
    let mut post = request(Method::POST, "/plain", KEY);
    post.headers_mut()
        .insert("accept", "text/html".parse().expect("a value"));
    let other_method = ask(app, post).await;
    assert_eq!(other_method.status, 405);
    assert_eq!(other_method.all("vary"), [OURS]);
}

#[tokio::test]
async fn an_answer_to_nobody_varies_but_is_not_private() {
    let app = app(granting(Grants::none()).optional());
    let nobody = answer(&app, "/plain", "").await;
    assert_eq!(
        (nobody.all("vary"), nobody.all("cache-control")),
        (vec![OURS], vec![])
    );
    let somebody = answer(&app, "/plain", KEY).await;
    assert_eq!(
        (somebody.all("vary"), somebody.all("cache-control")),
        (vec![OURS], vec!["private"])
    );
    let bad = answer(&app, "/plain", "nonsense").await;
    assert_eq!((bad.status, bad.all("cache-control")), (401, vec!["no-store"]));
}

#[tokio::test]
async fn vary_names_the_sources_that_are_on() {
    for (sources, expected) in [
        (Sources::none().header("X-Gofannon-Key"), &["X-Gofannon-Key"][..]),
        (Sources::none().header("X-A").cookie("key"), &["X-A, Cookie"]),
        (Sources::none().danger_query_parameter("key"), &[]),
    ] {
        let auth = ApiKeyAuth::static_keys_only()
            .static_key(StaticKey::new(KEY))
            .sources(sources)
            .build()
            .expect("a configuration");
        let mut request = request(Method::GET, "/plain?key=the-key-of-this-test", "");
        if expected != [""; 0] {
            *request.uri_mut() = "/plain".parse().expect("an address");
            let name = expected[0].split(',').next().expect("a name");
            let name = http::HeaderName::try_from(name).expect("a name");
            request.headers_mut().insert(name, KEY.parse().expect("a value"));
        }
        let answer = ask(app(auth), request).await;
        assert_eq!((answer.status, answer.all("vary")), (200, expected.to_vec()));
        assert_eq!(answer.all("cache-control"), ["private"]);
    }
}

#[tokio::test]
async fn layers_in_layers_and_side_by_side_keep_to_their_own() {
    let user = StaticKey::new("the-key-of-a-user").owner("user");
    let admin = StaticKey::new("the-key-of-an-admin").owner("admin");
    let build = |key| {
        ApiKeyAuth::static_keys_only()
            .static_key(key)
            .build()
            .expect("a configuration")
    };
    let (users, admins) = (build(user.clone()), build(admin.clone()));
    let both = ApiKeyAuth::static_keys_only()
        .static_keys([user, admin])
        .build()
        .expect("a configuration");
    let routes = || {
        Router::new()
            .route("/", route(async || "in"))
            .route("/post", post(async || "in"))
    };
    let app = Router::new()
        .nest("/users", routes().layer(users.clone()))
        .nest("/admins", routes().layer(admins.clone()))
        .nest("/twice", routes().layer(admins.clone()).layer(both))
        .merge(Router::new().route("/merged", route(async || "in")).layer(admins))
        .route("/open", route(async || "in"))
        .fallback_service(Router::new().fallback(async || "fallback").layer(users));
    let (user, admin) = ("the-key-of-a-user", "the-key-of-an-admin");
    for (path, of_user, of_admin, of_nobody) in [
        ("/users", 200, 401, 401),
        ("/admins", 401, 200, 401),
        ("/twice", 401, 200, 401),
        ("/merged", 401, 200, 401),
        ("/open", 200, 200, 200),
        ("/elsewhere", 200, 401, 401),
        // Which methods there are is told to callers only.
        ("/users/post", 405, 401, 401),
    ] {
        for (key, status) in [(user, of_user), (admin, of_admin), ("", of_nobody)] {
            assert_eq!(get(&app, path, key).await.0, status, "{path} {key}");
        }
    }
    assert_eq!(get(&app, "/elsewhere", user).await, is(200, "fallback"));
    assert_eq!(answer(&app, "/twice", admin).await.all("vary"), [OURS]);
    assert_eq!(answer(&app, "/open", admin).await.all("vary"), [""; 0]);
}
