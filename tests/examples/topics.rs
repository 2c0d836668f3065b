use std::{
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::{Value, json};

use crate::process::{Answer, Example, Server, refused};

fn start(example: &Example) -> (Server, String) {
    let server = example.start(&["127.0.0.1:0", "mesh.db"]);
    let admin = server
        .printed
        .iter()
        .find_map(|line| line.strip_prefix("export ADMIN="));
    let admin = admin.expect("the first key").to_owned();
    (server, admin)
}

fn post(server: &Server, path: &str, key: &str, kind: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {key}");
    server.send_body(
        "POST",
        path,
        &[("Authorization", &bearer), ("Content-Type", kind)],
        body,
    )
}

fn create(server: &Server, key: &str, new: &Value) -> Answer {
    post(server, "/keys", key, "application/json", &new.to_string())
}

/// The id and the key.
fn created(server: &Server, admin: &str, new: &Value) -> (String, String) {
    let answer = create(server, admin, new);
    assert_eq!(answer.status, 201, "{answer:?}");
    let part = |name: &str| answer.json()[name].as_str().expect(name).to_owned();
    (part("id"), part("key"))
}

fn deploy_bot() -> Value {
    json!({"label": "deploy bot", "capabilities": ["send", "read"], "topics": ["#deploys"]})
}

#[test]
fn a_deploy_bot_sends_and_reads_on_its_topic_only_and_cannot_write_state() {
    let example = Example::new("topics");
    let (server, admin) = start(&example);
    let (_, bot) = created(&server, &admin, &deploy_bot());

    let sent = post(
        &server,
        "/topics/%23deploys/messages",
        &bot,
        "text/plain",
        "v2 is live",
    );
    assert_eq!(sent.status, 201);
    let read = server.get("/topics/%23deploys/messages", &bot);
    assert_eq!(read.json(), json!(["deploy bot: v2 is live"]));

    let elsewhere = server.get("/topics/%23random/messages", &bot);
    assert_eq!(elsewhere.problem(), refused(403, "resource-not-allowed"));
    let elsewhere = post(&server, "/topics/deploys/messages", &bot, "text/plain", "x");
    assert_eq!(elsewhere.problem(), refused(403, "resource-not-allowed"));
    let state = server.send("PUT", "/state/version", &[("X-Key", &bot)]);
    assert_eq!(state.problem(), refused(403, "insufficient-scope"));
    assert_eq!(
        server.send("PUT", "/state/version", &[("X-Key", &admin)]).status,
        204
    );
    assert_eq!(
        server.get("/keys", &bot).problem(),
        refused(403, "insufficient-scope")
    );

    let verified = server.get("/keys/verify", &bot).json();
    assert_eq!(verified["capabilities"], json!(["read", "send"]));
    assert_eq!(verified["topics"], json!(["#deploys"]));
}

#[test]
fn nobody_makes_a_key_that_can_do_more_than_their_own() {
    let example = Example::new("topics");
    let (server, admin) = start(&example);
    let lesser = json!({"label": "lesser", "capabilities": ["admin", "read"], "topics": ["#deploys"]});
    let (_, lesser) = created(&server, &admin, &lesser);
    for more in [
        json!({"label": "x", "capabilities": ["send"], "topics": ["#deploys"]}),
        json!({"label": "x", "capabilities": ["read"], "topics": ["#random"]}),
        json!({"label": "x", "capabilities": ["read"]}),
    ] {
        assert_eq!(create(&server, &lesser, &more).status, 403, "{more}");
    }
    for bad in [
        json!({"label": "x", "capabilities": ["root"]}),
        json!({"label": "x", "capabilities": ["keys:*"]}),
        json!({"label": "x", "capabilities": ["read"], "topics": []}),
        json!({"label": "\u{202e}x", "capabilities": ["read"]}),
        json!({"label": "x", "capabilities": ["read"], "expires_at": 1}),
    ] {
        assert_eq!(create(&server, &admin, &bad).status, 400, "{bad}");
    }
    let list = server.get("/keys", &admin).json();
    assert_eq!(list.as_array().map(Vec::len), Some(2));
}

#[test]
fn a_key_is_revoked_by_its_id_or_by_a_prefix_that_names_only_it() {
    let example = Example::new("topics");
    let (server, admin) = start(&example);
    let (id, bot) = created(&server, &admin, &deploy_bot());
    let delete = |id: &str| server.send("DELETE", &format!("/keys/{id}"), &[("X-Key", &admin)]);

    // Ids begin with the time, so keys of one minute begin alike.
    let ambiguous = delete(&id[..4]);
    assert_eq!(ambiguous.status, 409);
    assert!(ambiguous.body.contains("ambiguous"), "{ambiguous:?}");
    assert_eq!(delete("ffff").status, 404);
    assert_eq!(delete("%25").status, 404);
    assert_eq!(server.get("/keys/verify", &bot).status, 200);

    assert_eq!(delete(&id).status, 204);
    assert_eq!(
        server.get("/keys/verify", &bot).problem(),
        refused(401, "key-revoked")
    );
    assert_eq!(server.get("/keys/verify", &admin).status, 200);
}

/// A frame of a server: its first byte, and what is in it.
fn frame(socket: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    socket.read_exact(&mut head).expect("a frame");
    let mut payload = vec![0; usize::from(head[1])];
    socket.read_exact(&mut payload).expect("all of it");
    (head[0], payload)
}

#[test]
fn a_socket_tells_what_is_sent_and_is_closed_when_its_key_is_revoked() {
    let example = Example::new("topics");
    let (server, admin) = start(&example);
    let (id, bot) = created(&server, &admin, &deploy_bot());
    let mut socket = TcpStream::connect(server.address()).expect("a connection");
    socket
        .set_read_timeout(Some(std::time::Duration::from_secs(60)))
        .expect("a time limit");
    let handshake = format!(
        "GET /topics/%23deploys/ws HTTP/1.1\r\nHost: x\r\nX-Key: {bot}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(handshake.as_bytes()).expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).expect("an answer");
        head.push(byte[0]);
    }
    assert!(
        head.starts_with(b"HTTP/1.1 101"),
        "{}",
        String::from_utf8_lossy(&head)
    );

    for topic in ["%23random", "%23deploys"] {
        let sent = post(
            &server,
            &format!("/topics/{topic}/messages"),
            &admin,
            "text/plain",
            topic,
        );
        assert_eq!(sent.status, 201);
    }
    assert_eq!(frame(&mut socket), (0x81, b"first key: %23deploys".to_vec()));
    let revoked = server.send("DELETE", &format!("/keys/{id}"), &[("X-Key", &admin)]);
    assert_eq!(revoked.status, 204);
    let close = [&4401_u16.to_be_bytes()[..], b"key-revoked"].concat();
    assert_eq!(frame(&mut socket), (0x88, close));
}
