//! What operators read.

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::Method,
    routing::{get, post},
};
use tower::ServiceExt;
use tower_api_key::{
    ApiKeyAuth,
    access::Requirement,
    authn::{StaticKey, Unavailable},
    extract::{Owner, Requires, Scoped},
    key::KeyDigest,
    middleware::RequireScope,
    principal::{Identity, Principal},
};
use tracing::Level;

use crate::recorder::{Line, Recorder};

struct Write;

impl Requires for Write {
    const REQUIREMENT: Requirement = Requirement::all_of(&["issues:write"]);
}

async fn resolve(digest: KeyDigest) -> Result<Option<Identity>, Unavailable> {
    let keys = [
        "good",
        "expired",
        "revoked",
        "disabled",
        "failing",
        "panicking",
        "slow",
    ];
    let known = Identity::new("bob");
    match keys
        .into_iter()
        .find(|key| KeyDigest::of(key.as_bytes()) == digest)
    {
        Some("good") => Ok(Some(known)),
        Some("expired") => Ok(Some(known.expires_at(std::time::SystemTime::UNIX_EPOCH))),
        Some("revoked") => Ok(Some(known.revoked())),
        Some("disabled") => Ok(Some(known.disabled())),
        Some("failing") => Err(Unavailable::new("the table is locked")),
        Some("panicking") => panic!("the resolver has a bug"),
        Some("slow") => std::future::pending().await,
        _ => Ok(None),
    }
}

fn app() -> Router {
    let layer = RequireScope::new("issues:read").expect("a scope");
    let auth = ApiKeyAuth::resolver(resolve).build().expect("a configuration");
    Router::new()
        .route("/", get(async || ()))
        .route("/layer", post(async || ()).route_layer(layer))
        .route("/scoped", post(async |_: Scoped<Write>| ()))
        .route("/owner", post(async |_: Owner<String>| ()))
        .layer(auth)
        .route("/without", post(async |_: Principal| ()))
}

async fn call(method: Method, path: &str, keys: &[&str]) -> u16 {
    let mut request = Request::builder().method(method).uri(path);
    for key in keys {
        request = request.header("X-Key", *key);
    }
    let request = request.body(Body::empty()).expect("a request");
    let Ok(response) = app().oneshot(request).await;
    response.status().as_u16()
}

fn at(level: Level, lines: &[Line]) -> Vec<&Line> {
    lines.iter().filter(|line| line.level == level).collect()
}

#[tokio::test(start_paused = true)]
async fn every_refusal_is_a_line_at_debug_with_its_code_and_reason() {
    let recorder = Recorder::start();
    for (path, keys, code, reason) in [
        ("/", &[][..], "missing-credentials", ""),
        ("/", &["good", "good"], "ambiguous-credentials", ""),
        (
            "/",
            &["a b"],
            "invalid-key",
            "not 1 to 512 visible ASCII characters",
        ),
        ("/", &["unknown"], "invalid-key", "unknown"),
        ("/", &["expired"], "key-expired", ""),
        ("/", &["revoked"], "key-revoked", ""),
        ("/", &["disabled"], "key-disabled", ""),
        ("/", &["failing"], "auth-unavailable", "the table is locked"),
        ("/", &["panicking"], "auth-unavailable", "without an answer"),
        ("/", &["slow"], "auth-unavailable", "timed out"),
        (
            "/layer",
            &["good"],
            "insufficient-scope",
            "a required scope is not granted",
        ),
        (
            "/scoped",
            &["good"],
            "insufficient-scope",
            "a required scope is not granted",
        ),
        ("/owner", &["good"], "auth-misconfigured", "no value of the type"),
        ("/without", &["good"], "auth-layer-missing", ""),
    ] {
        let method = if path == "/" { Method::GET } else { Method::POST };
        assert_ne!(call(method, path, keys).await, 200, "{path} {keys:?}");
        let lines = recorder.take();
        let refusals = at(Level::DEBUG, &lines);
        let [line] = refusals.as_slice() else {
            panic!("one line for one refusal: {lines:?}");
        };
        assert_eq!(line.fields["auth.refusal"], code, "{path} {keys:?}");
        let message = line.message();
        assert!(message.contains(code) && message.contains(reason), "{message}");
    }
    assert_eq!(call(Method::GET, "/", &["good"]).await, 200);
    assert!(
        recorder.take().is_empty(),
        "nothing is said of a request that is let in"
    );
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_fails_is_a_warning_once_and_a_bad_key_is_none() {
    let recorder = Recorder::start();
    for (key, reason) in [
        ("failing", "the table is locked"),
        ("panicking", "panicked"),
        ("slow", "timed out"),
    ] {
        assert_eq!(call(Method::GET, "/", &[key]).await, 503);
        let lines = recorder.take();
        let warnings = at(Level::WARN, &lines);
        let [line] = warnings.as_slice() else {
            panic!("one warning for one failure of {key}: {lines:?}");
        };
        assert_eq!(line.message(), "key look-up failed");
        assert!(line.fields["error"].contains(reason), "{line:?}");
    }
    for key in ["good", "unknown", "expired", "revoked", "disabled", "a b", ""] {
        call(Method::GET, "/", &[key]).await;
        let lines = recorder.take();
        assert!(
            lines.iter().all(|line| line.level >= Level::DEBUG),
            "{key}: {lines:?}"
        );
    }
}

#[test]
fn a_short_static_key_is_a_warning_that_names_it_and_does_not_show_it() {
    let recorder = Recorder::start();
    for (value, warned) in [("fifteen-bytes-x", true), ("sixteen-bytes-xx", false)] {
        let key = StaticKey::new(value).named("deploy");
        let auth = ApiKeyAuth::static_keys_only().static_key(key).build();
        assert!(auth.is_ok());
        let lines = recorder.take();
        assert_eq!(lines.len(), usize::from(warned), "{lines:?}");
        for line in lines {
            assert_eq!(
                (line.level, line.fields["key.name"].as_str()),
                (Level::WARN, "deploy")
            );
            assert!(!format!("{line:?}").contains(value), "{line:?}");
        }
    }
}
