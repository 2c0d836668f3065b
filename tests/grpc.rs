//! Services of `tonic` behind the layer, and a client of `tonic` that is told in gRPC's own words.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use tokio::{net::TcpListener, time::timeout};
use tonic::{
    Code, Request, Response, Status, Streaming,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, HealthCheckResponse, health_client::HealthClient},
    server::{HealthReporter, health_reporter},
};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_api_key::{
    ApiKeyAuth,
    access::Grants,
    authn::{RefusalKind, StaticKey, Unavailable},
    key::KeyDigest,
    manage::{IssuedKey, NewKey},
    middleware::{AnyBody, GrpcStatus, RequireScope},
    principal::Identity,
    store::MemoryStore,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Where it is, and by which it says how it is.
async fn serve(auth: ApiKeyAuth) -> (SocketAddr, HealthReporter) {
    let (reporter, health) = health_reporter();
    let incoming = TcpIncoming::from(TcpListener::bind("127.0.0.1:0").await.expect("a port"));
    let address = incoming.local_addr().expect("an address");
    let layers = ServiceBuilder::new()
        .layer(GrpcStatus)
        .layer(auth)
        .layer(RequireScope::new("health:read").expect("a scope"))
        .layer(AnyBody);
    let server = Server::builder().layer(layers).add_service(health);
    tokio::spawn(server.serve_with_incoming(incoming));
    (address, reporter)
}

async fn client(address: SocketAddr) -> HealthClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    HealthClient::new(endpoint.connect().await.expect("connected"))
}

fn request(fields: &[(&'static str, &str)]) -> Request<HealthCheckRequest> {
    let mut request = Request::new(HealthCheckRequest::default());
    for (name, value) in fields {
        request
            .metadata_mut()
            .append(*name, value.parse().expect("a value"));
    }
    request
}

fn bearer(key: &IssuedKey) -> String {
    format!("Bearer {}", key.key.expose())
}

async fn issue(auth: &ApiKeyAuth, scopes: &[&str]) -> IssuedKey {
    let keys = auth.keys().expect("there is a store");
    let new = NewKey::new("alice").grants(Grants::scopes(scopes).expect("scopes"));
    keys.issue(new).await.expect("a key")
}

fn stored() -> ApiKeyAuth {
    let store = MemoryStore::new().expect("a store");
    ApiKeyAuth::builder(store).build().expect("a configuration")
}

type Answer = Result<Response<HealthCheckResponse>, Status>;

fn assert_refused(answer: &Answer, code: Code, problem: &str) {
    let refused = answer.as_ref().expect_err("refused");
    assert_eq!(refused.code(), code, "{refused:?}");
    assert!(refused.message().ends_with('.'), "{refused:?}");
    let metadata = refused.metadata();
    assert_eq!(
        metadata.get("problem-code").expect("a code"),
        problem,
        "{refused:?}"
    );
    assert_eq!(metadata.get("cache-control").expect("a field"), "no-store");
}

#[tokio::test]
async fn who_is_let_in_is_answered_and_who_is_not_hears_why() {
    let auth = stored();
    let (address, _reporter) = serve(auth.clone()).await;
    let mut client = client(address).await;
    let (good, other) = (issue(&auth, &["health:read"]).await, issue(&auth, &[]).await);
    let (bearer, other) = (bearer(&good), bearer(&other));
    for field in [("authorization", bearer.as_str()), ("x-key", good.key.expose())] {
        let answer = client.check(request(&[field])).await.expect("let in");
        assert_eq!(answer.get_ref().status, ServingStatus::Serving as i32);
    }
    let missing = client.check(request(&[])).await;
    assert_refused(&missing, Code::Unauthenticated, "missing-credentials");
    let challenges = missing.as_ref().expect_err("refused").metadata();
    assert_eq!(challenges.get_all("www-authenticate").iter().count(), 2);

    let wrong = client.check(request(&[("x-key", "wrong")])).await;
    assert_refused(&wrong, Code::Unauthenticated, "invalid-key");
    let two = client
        .check(request(&[("x-key", "wrong"), ("authorization", &bearer)]))
        .await;
    assert_refused(&two, Code::InvalidArgument, "ambiguous-credentials");
    let scopeless = client.check(request(&[("authorization", &other)])).await;
    assert_refused(&scopeless, Code::PermissionDenied, "insufficient-scope");

    let keys = auth.keys().expect("there is a store");
    keys.revoke(good.record.id).await.expect("revoked");
    let revoked = client.check(request(&[("authorization", &bearer)])).await;
    assert_refused(&revoked, Code::Unauthenticated, "key-revoked");
    // The connection is none the worse for it.
    let again = issue(&auth, &["health:read"]).await;
    assert!(
        client
            .check(request(&[("x-key", again.key.expose())]))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn whoever_is_to_wait_is_told_for_how_long() {
    let key = StaticKey::new("correct-horse-battery").grant(Grants::all());
    let auth =
        ApiKeyAuth::resolver(async |_: KeyDigest| Err::<Option<Identity>, _>(Unavailable::new("away")))
            .static_key(key)
            .rate_limit("1/1h".parse().expect("a limit"))
            .build()
            .expect("a configuration");
    let (address, _reporter) = serve(auth).await;
    let mut client = client(address).await;
    let good = [("x-key", "correct-horse-battery")];
    let answer = client.check(request(&good)).await.expect("let in");
    assert!(answer.metadata().get("ratelimit").is_some(), "{answer:?}");

    let often = client.check(request(&good)).await;
    assert_refused(&often, Code::ResourceExhausted, "rate-limited");
    let metadata = often.as_ref().expect_err("refused").metadata();
    let number = |name: &str| -> u64 {
        let value = metadata.get(name).expect("a number").to_str().expect("text");
        value.parse().expect("a number")
    };
    assert!((1..=3600).contains(&number("retry-after")));
    assert_eq!(number("grpc-retry-pushback-ms"), number("retry-after") * 1000);
    assert!(metadata.get("ratelimit-policy").is_some());

    let away = client.check(request(&[("x-key", "another-key")])).await;
    assert_refused(&away, Code::Unavailable, "auth-unavailable");
    let metadata = away.as_ref().expect_err("refused").metadata();
    assert_eq!(metadata.get("grpc-retry-pushback-ms").expect("a number"), "1000");
}

async fn next(stream: &mut Streaming<HealthCheckResponse>) -> Result<Option<HealthCheckResponse>, Status> {
    timeout(PATIENCE, stream.message()).await.expect("it goes on")
}

/// With and without axum between.
async fn a_stream_ends_with_its_key(auth: ApiKeyAuth, address: SocketAddr, reporter: HealthReporter) {
    let (first, second) = (
        issue(&auth, &["health:read"]).await,
        issue(&auth, &["health:read"]).await,
    );
    let mut client = client(address).await;
    let mut streams = Vec::new();
    for key in [&first, &second] {
        let watching = client.watch(request(&[("authorization", &bearer(key))])).await;
        let mut stream = watching.expect("let in").into_inner();
        let now = next(&mut stream).await.expect("a status").expect("a status");
        assert_eq!(now.status, ServingStatus::Serving as i32);
        streams.push(stream);
    }
    let keys = auth.keys().expect("there is a store");
    keys.revoke(first.record.id).await.expect("revoked");
    let ended = next(&mut streams[0]).await.expect_err("it ended");
    assert_eq!(
        (ended.code(), ended.message()),
        (Code::Unauthenticated, "ended: key-revoked"),
        "{ended:?}"
    );
    assert_eq!(
        ended.metadata().get("problem-code").expect("a code"),
        "key-revoked"
    );
    // The other goes on.
    reporter.set_service_status("", ServingStatus::NotServing).await;
    let then = next(&mut streams[1]).await.expect("a status").expect("a status");
    assert_eq!(then.status, ServingStatus::NotServing as i32);
}

#[tokio::test]
async fn a_stream_whose_key_is_revoked_ends_with_a_status() {
    let auth = stored();
    let (address, reporter) = serve(auth.clone()).await;
    a_stream_ends_with_its_key(auth, address, reporter).await;
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn so_does_one_of_a_service_among_the_routes_of_axum() {
    let auth = stored();
    let (reporter, health) = health_reporter();
    let app = tonic::service::Routes::new(health)
        .into_axum_router()
        .layer(auth.clone())
        .layer(GrpcStatus);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = Server::builder().add_routes(app.into());
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    a_stream_ends_with_its_key(auth, address, reporter).await;
}

/// What goes over the wire of a refusal, for a request of this type.
async fn on_the_wire(method: &str, content_type: Option<&'static str>) -> http::Response<Bytes> {
    let auth = ApiKeyAuth::static_keys_only()
        .static_key(StaticKey::new("correct-horse-battery"))
        .build()
        .expect("a configuration");
    let inner = service_fn(async |_: http::Request<()>| {
        Ok::<_, Infallible>(http::Response::new(Full::<Bytes>::default()))
    });
    let service = GrpcStatus.layer(auth.layer(inner));
    let mut request = http::Request::builder().method(method).uri("/a.Service/Method");
    if let Some(content_type) = content_type {
        request = request.header(CONTENT_TYPE, content_type);
    }
    let answer = service
        .oneshot(request.body(()).expect("a request"))
        .await
        .expect("answered");
    let at_its_end = answer.body().is_end_stream();
    let (head, body) = answer.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    assert_eq!(at_its_end, body.is_empty(), "{head:?}");
    http::Response::from_parts(head, body)
}

#[tokio::test]
async fn a_refusal_is_trailers_and_nothing_more_and_only_where_grpc_is_spoken() {
    for content_type in [
        "application/grpc",
        "application/grpc+proto",
        "application/grpc;x=y",
    ] {
        let answer = on_the_wire("POST", Some(content_type)).await;
        assert_eq!((answer.status().as_u16(), answer.body().len()), (200, 0));
        let headers = answer.headers();
        assert_eq!(headers[CONTENT_TYPE], content_type);
        assert_eq!(
            (&headers["grpc-status"], &headers["grpc-message"]),
            (
                &"16".parse().expect("a value"),
                &"This request needs an API key.".parse().expect("a value")
            )
        );
        assert!(!headers.contains_key(CONTENT_LENGTH), "{headers:?}");
    }
    // The last is a proxy that asks whether to let a call of gRPC in, with the fields of the call: 200 would mean yes.
    for (method, content_type) in [
        ("POST", None),
        ("POST", Some("application/json")),
        ("POST", Some("application/grpc-web+proto")),
        ("GET", Some("application/grpc")),
    ] {
        let answer = on_the_wire(method, content_type).await;
        assert_eq!(answer.status().as_u16(), 401);
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/problem+json");
        assert!(!answer.headers().contains_key("grpc-status") && !answer.body().is_empty());
    }
}

#[test]
fn the_code_of_a_refusal_is_there_for_handlers() {
    assert_eq!(
        GrpcStatus::code(RefusalKind::InsufficientScope),
        Code::PermissionDenied as i32
    );
    assert_eq!(
        GrpcStatus::code(RefusalKind::AuthUnavailable),
        Code::Unavailable as i32
    );
}
