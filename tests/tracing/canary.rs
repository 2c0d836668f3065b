//! Canary keys, sent in every way there is, while everything is logged.

use std::{
    io,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use axum::{Router, body::Body, extract::Request, http::Method, routing::any};
use http_body_util::BodyExt;
use sqlx::{Connection, SqliteConnection};
use tower::ServiceExt;
use tower_api_key::{
    ApiKeyAuth,
    access::{Grants, Requirement},
    authn::StaticKey,
    credential::Sources,
    manage::NewKey,
    middleware::RequireScope,
    principal::Principal,
    store::SqliteStore,
};
use tower_http::trace::{DefaultMakeSpan, DefaultOnRequest, DefaultOnResponse, TraceLayer};
use tracing::Level;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::search::Secrets;

const STATIC: &str = "static-canary-0123456789-abcdef";

/// Everything that was logged, by whatever thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        let bytes = self.0.lock().expect("the lock").clone();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("the lock").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Places {
    Default,
    Every,
}

/// Requests that carry a key wherever it may be, or nearly so; in cookies and protocols only where those are read: what
/// an application does not name as a place for keys is not ours to conceal.
fn requests(key: &str, places: Places) -> Vec<Request> {
    let with = |fields: &[(&str, String)]| {
        let mut builder = Request::builder().uri("/shown");
        for (name, value) in fields {
            builder = builder.header(*name, value);
        }
        builder.body(Body::empty()).expect("a request")
    };
    let bearer = format!("Bearer {key}");
    let mut requests: Vec<Request> = [
        bearer.clone(),
        format!("ApiKey {key}"),
        format!("bearer    {key}"),
        format!("Bearer\t{key}"),
        format!("Bearer/{key}"),
        format!("Bearer {key}, Bearer {key}"),
        format!("Basic {key}"),
        format!("Bearer {key}{}", "x".repeat(500)),
        format!("Bearer {key}\u{e9}"),
        key.to_owned(),
    ]
    .into_iter()
    .map(|value| with(&[("authorization", value)]))
    .collect();
    for lines in [
        &[("x-key", key.to_owned())][..],
        &[("x-key", format!("{key},{key}"))],
        &[("x-key", key.to_owned()), ("authorization", bearer.clone())],
        &[("x-key", key.to_owned()), ("x-key", key.to_owned())],
    ] {
        requests.push(with(lines));
    }
    if places == Places::Every {
        requests.push(with(&[("cookie", format!("a=b; key={key}"))]));
        requests.push(with(&[("sec-websocket-protocol", format!("chat, key.{key}"))]));
        requests.push(with(&[
            ("x-key", key.to_owned()),
            ("cookie", format!("key={key}")),
        ]));
    }
    let mut preflight = with(&[
        ("x-key", key.to_owned()),
        ("origin", "https://app.example".to_owned()),
        ("access-control-request-method", "POST".to_owned()),
    ]);
    *preflight.method_mut() = Method::OPTIONS;
    requests.push(preflight);
    for path in ["/scope", "/run/alpha", "/owner", "/elsewhere"] {
        let mut elsewhere = with(&[("x-key", key.to_owned())]);
        *elsewhere.uri_mut() = path.parse().expect("an address");
        requests.push(elsewhere);
    }
    requests
}

/// Nearly the key: what is in the log of one is in the log of the other.
fn variants(key: &str) -> Vec<String> {
    let last = if key.ends_with('x') { "y" } else { "x" };
    vec![
        key.to_owned(),
        format!("{}{last}", &key[..key.len() - 1]),
        key.to_uppercase(),
        key[1..].to_owned(),
        format!("{key} "),
        key.repeat(2),
    ]
}

fn app(auth: ApiKeyAuth) -> Router {
    const RUN: Requirement = Requirement::all_of(&["agents:run"]).on("agent:{agent}");
    // A log that shows all headers, inside of the layer, where they are marked.
    let headers = TraceLayer::new_for_http()
        .make_span_with(DefaultMakeSpan::new().include_headers(true).level(Level::TRACE))
        .on_request(DefaultOnRequest::new().level(Level::TRACE))
        .on_response(DefaultOnResponse::new().include_headers(true).level(Level::TRACE));
    let scope = RequireScope::new("issues:read").expect("a scope");
    Router::new()
        .route(
            "/shown",
            any(async |request: Request| format!("{request:?} {request:#?} {:?}", request.headers())),
        )
        .route("/scope", axum::routing::get(async || "in").route_layer(scope))
        .route(
            "/run/{agent}",
            axum::routing::get(async || "in").route_layer(RequireScope::meeting(RUN)),
        )
        .route(
            "/owner",
            any(async |caller: Principal| format!("{caller:?} {caller:#?} {caller}")),
        )
        .layer(headers)
        .layer(auth)
        // And one around it, as most applications have.
        .layer(TraceLayer::new_for_http().make_span_with(DefaultMakeSpan::new().level(Level::TRACE)))
}

/// Sends all of it; every byte of every answer is looked at.
async fn send_all(app: &Router, places: Places, keys: &[&str], secrets: &Secrets) {
    for key in keys.iter().flat_map(|key| variants(key)) {
        for request in requests(&key, places) {
            let Ok(response) = app.clone().oneshot(request).await;
            secrets.assert_unseen(&format!("{response:?} {:?}", response.extensions()));
            let body = response.into_body().collect().await.expect("a body").to_bytes();
            secrets.assert_unseen(&String::from_utf8_lossy(&body));
        }
    }
}

async fn sql(path: &str, statement: &'static str) {
    let mut connection = SqliteConnection::connect(path).await.expect("opened");
    sqlx::raw_sql(statement)
        .execute(&mut connection)
        .await
        .expect("executed");
    connection.close().await.expect("closed");
}

#[tokio::test]
async fn no_line_shows_a_key_in_whatever_way_it_was_sent() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(Level::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // For every thread: the store has some of its own. The other tests here have theirs for one thread, which comes first.
    tracing::subscriber::set_global_default(subscriber).expect("no other global subscriber");

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.db");
    let path = path.to_str().expect("a path in UTF-8");
    let store = SqliteStore::open(path).await.expect("a store");
    let static_key = || {
        StaticKey::new(STATIC)
            .grant(Grants::all())
            .user("a user".to_owned())
    };
    let auth = ApiKeyAuth::builder(store.clone())
        .static_key(static_key())
        .build()
        .expect("a configuration");
    let keys = auth.keys().expect("there is a store");
    let bound = Grants::scopes(["issues:write", "agents:run"])
        .expect("scopes")
        .on(["agent:beta"]);
    let issued = keys
        .issue(NewKey::new("alice").grants(bound.expect("resources")))
        .await
        .expect("a key");
    let revoked = keys.issue(NewKey::new("revoked")).await.expect("a key");
    keys.revoke(revoked.record.id).await.expect("revoked");
    let expired = NewKey::new("expired").expires_at(SystemTime::UNIX_EPOCH);
    let expired = keys.issue(expired).await.expect("a key");
    let canaries = [
        STATIC,
        issued.key.expose(),
        revoked.key.expose(),
        expired.key.expose(),
    ];
    let secrets = Secrets::new(canaries);

    send_all(&app(auth.clone()), Places::Default, &canaries, &secrets).await;
    send_all(
        &app(auth.clone().optional()),
        Places::Default,
        &canaries,
        &secrets,
    )
    .await;
    let every = Sources::default()
        .cookie("key")
        .web_socket_protocol("key")
        .danger_query_parameter("key");
    let every = ApiKeyAuth::builder(store.clone())
        .static_key(static_key())
        .sources(every)
        .build();
    send_all(
        &app(every.expect("a configuration")),
        Places::Every,
        &canaries,
        &secrets,
    )
    .await;

    // A row that is no key, and then no table at all; nothing is cached here.
    let anew = || {
        ApiKeyAuth::builder(store.clone())
            .build()
            .expect("a configuration")
    };
    sql(path, "UPDATE api_keys SET scopes = '\"'").await;
    send_all(&app(anew()), Places::Default, &canaries, &secrets).await;
    let refused = anew()
        .keys()
        .expect("there is a store")
        .revoke(issued.record.id)
        .await;
    secrets.assert_unseen(&format!("{refused:?}"));
    sql(path, "ALTER TABLE api_keys RENAME TO api_keys_gone").await;
    send_all(&app(anew()), Places::Default, &canaries, &secrets).await;
    let unkept = anew()
        .keys()
        .expect("there is a store")
        .issue(NewKey::new("alice"))
        .await;
    secrets.assert_unseen(&format!("{unkept:?}"));
    store.close().await;
    send_all(&app(anew()), Places::Default, &canaries, &secrets).await;

    let text = log.text();
    secrets.assert_unseen(&text);
    // The log is one of everything: of this crate, of its store, and of the request as an application logs it.
    for told in [
        "request refused: invalid-key: wrong check",
        "key look-up failed",
        "no such table: api_keys",
        "FROM api_keys WHERE digest",
        "api_key{auth.kind=\"external\"",
        "\"x-key\": Sensitive",
    ] {
        assert!(
            text.contains(told),
            "{told} is not in the log of {} bytes",
            text.len()
        );
    }
}
