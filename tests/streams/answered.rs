//! Who ends their own key hears what came of it, also where their request looked like an upload.

use axum::body::Body;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::json;
use tower::{ServiceBuilder, ServiceExt};
use tower_api_key::{ApiKeyAuth, Preset, manage::NewKey, store::SqliteStore};

use crate::{
    client::{KEYS, Key},
    support::{
        http::{Connection, Response, request},
        server::{Server, Setup},
    },
};

/// With a body whose length is not told beforehand.
fn in_chunks(server: &Server, method: &str, target: &str, key: &Key, body: &str) -> Response {
    let fields = [
        &key.field(),
        "Content-Type: application/json",
        "Transfer-Encoding: chunked",
    ];
    let mut connection = Connection::open(server.address);
    connection.send(&request(method, target, &fields));
    let chunk = format!("{:x}\r\n{body}\r\n", body.len());
    let chunk = if body.is_empty() { "" } else { &chunk };
    connection.send(format!("{chunk}0\r\n\r\n").as_bytes());
    connection.receive(false)
}

/// The preset `strict` waits before it answers, and by then its own process has long seen that the key is over.
#[test]
fn a_caller_that_ends_its_own_key_is_answered() {
    let setup = Setup::with_external_key().arguments(&["--preset=strict"]);
    let server = setup.start();

    let key = Key::mint(&server, &["keys:write"], None);
    let target = format!("{KEYS}/{}/rotate", key.id);
    let body = json!({"overlap_seconds": 0}).to_string();
    let answer = in_chunks(&server, "POST", &target, &key, &body);
    assert_eq!(answer.status, 201, "{answer:?}");
    let successor = Key {
        id: answer.json()["id"].as_str().expect("an id").to_owned(),
        text: answer.json()["key"].as_str().expect("a key").to_owned(),
    };

    let answer = in_chunks(&server, "DELETE", &format!("{KEYS}/current"), &successor, "");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["of"], 1);

    let key = Key::mint(&server, &["keys:write"], None);
    let target = format!("{KEYS}/{}", key.id);
    let answer = in_chunks(
        &server,
        "PATCH",
        &target,
        &key,
        &json!({"disabled": true}).to_string(),
    );
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// In a stack of which the layer does not know the bodies.
#[tokio::test]
async fn the_router_says_itself_that_it_has_read_the_request() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("keys.db");
    let store = SqliteStore::open(file.to_str().expect("a path")).await;
    let auth = ApiKeyAuth::builder(store.expect("a store")).preset(Preset::Strict);
    let auth = auth.build().expect("a configuration");
    let keys = auth.keys().expect("there is a store");
    let key = keys.issue(NewKey::new("alice")).await.expect("a key");
    let router = auth.router::<()>();
    let app = ServiceBuilder::new()
        .layer(auth.clone())
        .map_request(|request: Request<Full<Bytes>>| request.map(Body::new))
        .service(router);
    let revoke = Request::delete("/current").header("X-Key", key.key.expose());
    let revoke = revoke
        .header("Transfer-Encoding", "chunked")
        .body(Full::default());
    let answer = app.oneshot(revoke.expect("a request")).await.expect("an answer");
    assert_eq!(answer.status(), 200);
}
