//! The application's own login beside keys: when it is asked, and what it may not make up for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use axum::{Router, body::Body, extract::Request, routing::any};
use http::{Method, header::COOKIE, request::Parts};
use tower_api_key::{
    ApiKeyAuth, Builder,
    authn::{Fallback, StaticKey, Unavailable},
    credential::Sources,
    key::KeyDigest,
    manage::NewKey,
    principal::{Identity, Principal},
    store::MemoryStore,
};

use crate::answer::{Answer, KEY, ask, is, scopes};

/// Knows whoever is named in the cookie `user`, or in a bearer token `session.NAME`; counts how often it is asked. It claims whatever begins
/// with `session.`, and `claimed` besides.
#[derive(Clone, Default)]
struct Login(Arc<AtomicUsize>);

impl Login {
    fn asked(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

impl Fallback for Login {
    async fn authenticate(&self, request: &Parts) -> Result<Option<Identity>, Unavailable> {
        self.0.fetch_add(1, Ordering::Relaxed);
        assert!(
            request.extensions.get::<Principal>().is_none(),
            "a planted principal"
        );
        for value in request.headers.values() {
            assert!(
                !format!("{value:?}").contains("user="),
                "a cookie that could be logged"
            );
        }
        let cookie = request
            .headers
            .get("cookie")
            .and_then(|cookie| cookie.to_str().ok());
        known(cookie.and_then(|cookie| cookie.strip_prefix("user="))).await
    }

    fn claims_bearer(&self, token: &str) -> bool {
        assert_ne!(token, "panic", "the login has a bug");
        token.starts_with("session.") || token == "claimed"
    }

    async fn authenticate_bearer(&self, token: &str, _: &Parts) -> Result<Option<Identity>, Unavailable> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let name = token.strip_prefix("session.");
        known(name.map(|name| name.split('.').next().expect("a part"))).await
    }
}

async fn known(name: Option<&str>) -> Result<Option<Identity>, Unavailable> {
    let past = SystemTime::now() - Duration::from_secs(1);
    tokio::task::yield_now().await;
    Ok(match name {
        Some("error") => std::fs::read("/nonexistent/sessions").map(|_| None)?,
        Some("panic") => panic!("the login has a bug"),
        Some("slow") => std::future::pending().await,
        Some("expired") => Some(Identity::new("expired").expires_at(past)),
        Some("disabled") => Some(Identity::new("disabled").disabled()),
        Some("") | None => None,
        Some(name) => Some(Identity::new(name).grants(scopes(&["issues:read"]))),
    })
}

async fn who(caller: Option<Principal>, request: Request) -> String {
    let mut cookies = request.headers().get_all(COOKIE).iter();
    assert!(cookies.all(http::HeaderValue::is_sensitive));
    match caller {
        Some(caller) => format!("{} {}", caller.kind().as_str(), caller.owner()),
        None => "nobody".to_owned(),
    }
}

fn routed(auth: ApiKeyAuth) -> Router {
    Router::new().route("/", any(who)).layer(auth)
}

fn built(builder: Builder) -> ApiKeyAuth {
    builder.build().expect("a configuration")
}

/// Every kind of key, a login, and a key of `bob`.
async fn everything() -> (ApiKeyAuth, Login, String) {
    let login = Login::default();
    let auth = built(
        ApiKeyAuth::builder(MemoryStore::new().expect("a store"))
            .static_key(StaticKey::new(KEY))
            .reserved_prefix("oc_")
            .fallback(login.clone()),
    );
    let issued = auth
        .keys()
        .expect("there is a store")
        .issue(NewKey::new("bob"))
        .await;
    (auth, login, issued.expect("a key").key.expose().to_owned())
}

fn with(method: Method, fields: &[(&str, &str)]) -> Request {
    let request = Request::builder().method(method).uri("/");
    let request = fields
        .iter()
        .fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(Body::empty()).expect("a request")
}

async fn get(app: &Router, fields: &[(&str, &str)]) -> Answer {
    ask(app.clone(), with(Method::GET, fields)).await
}

const ALICE: (&str, &str) = ("cookie", "user=alice");

#[tokio::test]
async fn a_key_decides_alone_and_the_login_is_asked_where_there_is_none() {
    let (auth, login, key) = everything().await;
    let app = routed(auth);
    let bearer = |token: &str| format!("Bearer {token}");
    let wrong_check = format!("{}{}", &key[..51], if key.ends_with('x') { 'y' } else { 'x' });
    let long = "x".repeat(600);
    let long_session = format!("Bearer session.carol.{long}");
    let invalid = || is(401, "invalid-key");
    let alice = || is(200, "session alice");
    for (fields, expected, asked) in [
        (vec![], is(401, "missing-credentials"), 1),
        (vec![("cookie", "user=")], is(401, "missing-credentials"), 1),
        (vec![ALICE], alice(), 1),
        (vec![ALICE, ("authorization", "Basic YTpi")], alice(), 1),
        // A good key, wherever it is.
        (
            vec![ALICE, ("authorization", &bearer(&key))],
            is(200, "key bob"),
            0,
        ),
        (vec![ALICE, ("x-key", &key)], is(200, "key bob"), 0),
        (
            vec![ALICE, ("authorization", &bearer(KEY))],
            is(200, "external external"),
            0,
        ),
        // A bad one is not made up for.
        (
            vec![ALICE, ("authorization", &bearer(&wrong_check))],
            invalid(),
            0,
        ),
        (vec![ALICE, ("authorization", "Bearer ak_nonsense")], invalid(), 0),
        (vec![ALICE, ("authorization", "Bearer ak_")], invalid(), 0),
        (
            vec![ALICE, ("authorization", "bearer   AK_nonsense")],
            invalid(),
            0,
        ),
        (vec![ALICE, ("authorization", "Bearer oc_nonsense")], invalid(), 0),
        (vec![ALICE, ("authorization", "Bearer OC_nonsense")], invalid(), 0),
        (vec![ALICE, ("authorization", "Bearer")], invalid(), 0),
        (vec![ALICE, ("authorization", "Bearer ")], invalid(), 0),
        (vec![ALICE, ("authorization", "Bearer/nonsense")], invalid(), 0),
        (vec![ALICE, ("authorization", "Bearer two words")], invalid(), 0),
        (vec![ALICE, ("authorization", "ApiKey nonsense")], invalid(), 0),
        (vec![ALICE, ("x-key", "nonsense")], invalid(), 0),
        (vec![ALICE, ("x-key", "")], invalid(), 0),
        (vec![ALICE, ("x-key", &long)], invalid(), 0),
        (
            vec![ALICE, ("x-key", "nonsense"), ("authorization", "Basic YTpi")],
            invalid(),
            0,
        ),
        // A bearer token that cannot be a key.
        (
            vec![("authorization", "Bearer session.carol")],
            is(200, "session carol"),
            1,
        ),
        (
            vec![("authorization", &long_session)],
            is(200, "session carol"),
            1,
        ),
        (
            vec![ALICE, ("authorization", "Bearer session.carol")],
            is(200, "session carol"),
            1,
        ),
        (vec![ALICE, ("authorization", "Bearer claimed")], invalid(), 1),
        // Nobody claims it, and whoever is logged in has no say.
        (vec![("authorization", "Bearer nonsense")], invalid(), 0),
        (vec![("authorization", "Bearer ak-nonsense")], invalid(), 0),
        (vec![ALICE, ("authorization", "Bearer nonsense")], invalid(), 0),
        (vec![ALICE, ("authorization", "Bearer ak")], invalid(), 0),
        (vec![ALICE, ("authorization", "Bearer panic")], invalid(), 0),
        // More than one.
        (
            vec![ALICE, ("x-key", &key), ("authorization", &bearer(&key))],
            is(400, "ambiguous-credentials"),
            0,
        ),
        (
            vec![ALICE, ("x-key", &key), ("authorization", "Bearer session.carol")],
            is(400, "ambiguous-credentials"),
            0,
        ),
        (
            vec![
                ALICE,
                ("authorization", "Bearer session.carol"),
                ("authorization", "Bearer session.carol"),
            ],
            is(400, "ambiguous-credentials"),
            0,
        ),
        (vec![ALICE, ("x-key", "a,b")], is(400, "ambiguous-credentials"), 0),
    ] {
        let answer = get(&app, &fields).await;
        assert_eq!((answer.summary(), login.asked()), (expected, asked), "{fields:?}");
    }
}

#[tokio::test]
async fn an_optional_layer_asks_too_and_a_preflight_does_not() {
    let (auth, login, key) = everything().await;
    let app = routed(auth.optional());
    for (fields, expected, asked) in [
        (vec![], is(200, "nobody"), 1),
        (vec![ALICE], is(200, "session alice"), 1),
        (vec![ALICE, ("x-key", &key)], is(200, "key bob"), 0),
        (vec![ALICE, ("x-key", "nonsense")], is(401, "invalid-key"), 0),
        (
            vec![("authorization", "Bearer nonsense")],
            is(401, "invalid-key"),
            0,
        ),
        (
            vec![("authorization", "Bearer claimed")],
            is(401, "invalid-key"),
            1,
        ),
        (vec![("cookie", "user=error")], is(503, "auth-unavailable"), 1),
        (vec![("cookie", "user=disabled")], is(401, "key-disabled"), 1),
    ] {
        let answer = get(&app, &fields).await;
        assert_eq!((answer.summary(), login.asked()), (expected, asked), "{fields:?}");
    }
    let nobody = get(&app, &[]).await;
    assert_eq!(nobody.all("vary"), ["Authorization, X-Key, Cookie"]);
    assert!(nobody.all("cache-control").is_empty());
    login.asked();

    let (auth, login, _) = everything().await;
    let preflight = with(
        Method::OPTIONS,
        &[
            ALICE,
            ("origin", "https://evil.example"),
            ("access-control-request-method", "POST"),
        ],
    );
    assert_eq!(ask(routed(auth), preflight).await.summary(), is(200, "nobody"));
    assert_eq!(login.asked(), 0);
}

// Time is paused: the time-out comes when nothing else can happen.
#[tokio::test(start_paused = true)]
async fn a_login_that_cannot_say_is_unavailable_and_never_unknown() {
    let (auth, _, _) = everything().await;
    for app in [routed(auth.clone()), routed(auth.optional())] {
        for field in [
            ("cookie", "user=error"),
            ("cookie", "user=panic"),
            ("cookie", "user=slow"),
            ("authorization", "Bearer session.error"),
        ] {
            let answer = get(&app, &[field]).await;
            assert_eq!(answer.summary(), is(503, "auth-unavailable"), "{field:?}");
            assert_eq!(answer.all("retry-after"), ["1"]);
            assert_eq!(answer.all("cache-control"), ["no-store"]);
            assert!(answer.all("www-authenticate").is_empty() && !answer.body.contains("nonexistent"));
        }
    }
    let at_once = built(ApiKeyAuth::static_keys_only().fallback(
        |_: &Parts| -> std::future::Ready<Result<Option<Identity>, Unavailable>> {
            panic!("before it has a future")
        },
    ));
    assert_eq!(
        get(&routed(at_once), &[]).await.summary(),
        is(503, "auth-unavailable")
    );
}

#[tokio::test]
async fn an_answer_to_a_session_is_private_and_varies_with_the_cookie() {
    let (auth, _, key) = everything().await;
    let app = routed(auth);
    for field in [ALICE, ("x-key", key.as_str())] {
        let answer = get(&app, &[field]).await;
        assert_eq!(answer.all("vary"), ["Authorization, X-Key, Cookie"], "{field:?}");
        assert_eq!(answer.all("cache-control"), ["private"], "{field:?}");
    }
    let both = ApiKeyAuth::static_keys_only()
        .sources(Sources::none().header("X-Key").cookie("key"))
        .fallback(Login::default());
    assert_eq!(
        get(&routed(built(both)), &[ALICE]).await.all("vary"),
        ["X-Key, Cookie"]
    );
}

#[tokio::test]
async fn an_identity_that_is_not_good_is_refused_with_its_reason() {
    let (auth, _, _) = everything().await;
    let app = routed(auth);
    for (cookie, code) in [("user=expired", "key-expired"), ("user=disabled", "key-disabled")] {
        assert_eq!(get(&app, &[("cookie", cookie)]).await.summary(), is(401, code));
    }
}

#[tokio::test]
async fn a_principal_that_somebody_planted_is_gone() {
    let (auth, _, _) = everything().await;
    let inner = routed(auth.clone().optional());
    // The layer outside lets bob in; the one inside knows nobody.
    let strip = tower::util::MapRequestLayer::new(|mut request: Request| {
        request.headers_mut().remove("cookie");
        request
    });
    let app = inner.layer(strip).layer(auth);
    assert_eq!(get(&app, &[ALICE]).await.summary(), is(200, "nobody"));
}

#[tokio::test]
async fn beside_a_resolver_a_bearer_token_is_a_key_until_a_prefix_is_named() {
    let resolver = |digest: KeyDigest| {
        let known = digest == KeyDigest::of(b"tk_known");
        std::future::ready(Ok(known.then(|| Identity::new("bob"))))
    };
    let silent = || ApiKeyAuth::resolver(resolver).fallback(Login::default());
    let session = |app: &Router| {
        let app = app.clone();
        async move {
            get(&app, &[ALICE, ("authorization", "Bearer session.x")])
                .await
                .summary()
        }
    };
    let app = routed(built(silent()));
    assert_eq!(session(&app).await, is(401, "invalid-key"));
    assert_eq!(get(&app, &[ALICE]).await.summary(), is(200, "session alice"));
    for named in [silent().prefix("tk"), silent().reserved_prefix("tk_")] {
        let app = routed(built(named));
        assert_eq!(session(&app).await, is(200, "session x"));
        for (token, expected) in [
            ("Bearer tk_known", is(200, "key bob")),
            ("Bearer tk_other", is(401, "invalid-key")),
            ("Bearer ak_other", is(401, "invalid-key")),
        ] {
            assert_eq!(
                get(&app, &[ALICE, ("authorization", token)]).await.summary(),
                expected,
                "{token}"
            );
        }
    }
}

#[tokio::test]
async fn a_login_may_be_all_there_is_and_an_empty_prefix_is_a_mistake() {
    let app = routed(built(ApiKeyAuth::static_keys_only().fallback(Login::default())));
    assert_eq!(get(&app, &[ALICE]).await.summary(), is(200, "session alice"));
    assert_eq!(
        get(&app, &[ALICE, ("x-key", "nonsense")]).await.summary(),
        is(401, "invalid-key")
    );
    let empty = ApiKeyAuth::static_keys_only()
        .reserved_prefix("")
        .fallback(Login::default());
    let error = empty.build().expect_err("an empty prefix").to_string();
    assert!(error.contains("prefix") && !error.contains('\n'), "{error}");
}

#[tokio::test]
async fn a_session_changes_things_only_from_a_page_of_the_same_origin() {
    let (auth, _, key) = everything().await;
    let host = ("host", "app.example");
    for app in [routed(auth.clone()), routed(auth.optional())] {
        for (field, allowed) in [
            (("accept", "*/*"), false),
            (("sec-fetch-site", "same-origin"), true),
            (("sec-fetch-site", "cross-site"), false),
            (("origin", "https://app.example"), true),
            (("origin", "https://evil.example"), false),
            (("origin", "null"), false),
        ] {
            let bearer = [("authorization", "Bearer session.alice"), ALICE, host, field];
            let answer = ask(app.clone(), with(Method::POST, &bearer)).await;
            assert_eq!(answer.summary(), is(200, "session alice"), "{bearer:?}");
            {
                let fields = [ALICE, host, field];
                let answer = ask(app.clone(), with(Method::POST, &fields)).await;
                if allowed {
                    assert_eq!(answer.summary(), is(200, "session alice"), "{fields:?}");
                } else {
                    assert_eq!(answer.summary(), is(403, "cross-origin-request"), "{fields:?}");
                    assert_eq!(answer.all("cache-control"), ["no-store"]);
                    assert!(answer.all("www-authenticate").is_empty());
                }
                let read = ask(app.clone(), with(Method::GET, &fields)).await;
                assert_eq!(read.summary(), is(200, "session alice"), "{fields:?}");
            }
            for credential in [("x-key", key.as_str()), ("x-key", KEY)] {
                let fields = [credential, ALICE, host, field];
                assert_eq!(
                    ask(app.clone(), with(Method::DELETE, &fields)).await.status,
                    200,
                    "{fields:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_session_can_do_what_it_was_granted_and_no_more() {
    use tower_api_key::middleware::RequireScope;

    let may = |scope| {
        let layer = RequireScope::new(scope).expect("a scope");
        Router::new().route("/", axum::routing::get(who).route_layer(layer))
    };
    let auth = built(ApiKeyAuth::static_keys_only().fallback(Login::default()));
    for (scope, expected) in [
        ("issues:read", is(200, "session alice")),
        ("issues:write", is(403, "insufficient-scope")),
    ] {
        let app = may(scope).layer(auth.clone());
        assert_eq!(get(&app, &[ALICE]).await.summary(), expected, "{scope}");
    }
}
