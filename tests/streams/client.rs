//! Clients that listen, and keys for them.

use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::TcpStream,
};

use serde_json::{Value, json};

use crate::support::{
    PATIENCE,
    http::request,
    server::{Server, X_EXTERNAL},
};

pub(crate) const KEYS: &str = "/api/v1/keys";

/// A key of the demo.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) text: String,
}

impl Key {
    pub(crate) fn mint(server: &Server, scopes: &[&str], topics: Option<&[&str]>) -> Self {
        let mut body = json!({"name": "listener", "scopes": scopes});
        if let Some(topics) = topics {
            body["resources"] = json!(topics);
        }
        let answer = server.send_json("POST", KEYS, &body.to_string());
        assert_eq!(answer.status, 201, "{answer:?}");
        let text = |member: &str| answer.json()[member].as_str().expect("a text").to_owned();
        Self {
            id: text("id"),
            text: text("key"),
        }
    }

    pub(crate) fn revoke(&self, server: &Server) {
        let answer = server.send("DELETE", &format!("{KEYS}/{}", self.id), &[X_EXTERNAL]);
        assert_eq!(answer.status, 204, "{answer:?}");
    }

    pub(crate) fn change(&self, server: &Server, change: &Value) {
        let answer = server.send_json("PATCH", &format!("{KEYS}/{}", self.id), &change.to_string());
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    pub(crate) fn rotate(&self, server: &Server, overlap_seconds: u32) {
        let body = json!({ "overlap_seconds": overlap_seconds }).to_string();
        let answer = server.send_json("POST", &format!("{KEYS}/{}/rotate", self.id), &body);
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    pub(crate) fn field(&self) -> String {
        format!("Authorization: Bearer {}", self.text)
    }
}

/// Sends to a topic, as the holder of the external key.
pub(crate) fn say(server: &Server, topic: &str, text: &str) {
    let target = format!("/api/v1/topics/{topic}/messages");
    let answer = server.send_json("POST", &target, &json!({ "text": text }).to_string());
    assert_eq!(answer.status, 201, "{answer:?}");
}

/// Somebody who listens to a topic, in either way.
#[derive(Debug)]
pub(crate) struct Listener {
    stream: BufReader<TcpStream>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Events,
    WebSocket,
}

impl Kind {
    pub(crate) const BOTH: [Self; 2] = [Self::Events, Self::WebSocket];
}

/// What a listener is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Message(String),
    /// Its end, in a word: the code of the close frame and its reason, or the reason of the last event.
    End(String),
    /// The stream is over, and came to its end.
    Over,
    /// It broke off.
    Cut,
}

impl Listener {
    pub(crate) fn open(server: &Server, kind: Kind, topic: &str, key: &Key) -> Self {
        let stream = TcpStream::connect(server.address).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let field = key.field();
        let (target, fields, status) = match kind {
            Kind::Events => (
                format!("/api/v1/topics/{topic}/events"),
                vec![field.as_str()],
                "200",
            ),
            Kind::WebSocket => (
                format!("/api/v1/topics/{topic}/ws"),
                vec![
                    field.as_str(),
                    "Connection: Upgrade",
                    "Upgrade: websocket",
                    "Sec-WebSocket-Version: 13",
                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                ],
                "101",
            ),
        };
        let mut stream = BufReader::new(stream);
        stream
            .get_mut()
            .write_all(&request("GET", &target, &fields))
            .expect("sent");
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(stream.read_line(&mut head).expect("a head"), 0, "{head}");
        }
        assert_eq!(head.split(' ').nth(1), Some(status), "{head}");
        Self { stream, kind }
    }

    /// The next thing that it is told.
    pub(crate) fn next(&mut self) -> Told {
        match self.kind {
            Kind::Events => self.next_event(),
            Kind::WebSocket => self.next_frame(),
        }
    }

    /// The text of the next message.
    pub(crate) fn message(&mut self) -> String {
        match self.next() {
            Told::Message(message) => {
                let message: Value = serde_json::from_str(&message).expect("JSON");
                message["text"].as_str().expect("a text").to_owned()
            }
            told => panic!("no message: {told:?}"),
        }
    }

    /// The reason of its end, which is also the end of the connection's use for it.
    pub(crate) fn ends(&mut self) -> String {
        match self.next() {
            Told::End(reason) => {
                assert_eq!(self.next(), Told::Over, "nothing comes after {reason}");
                reason
            }
            told => panic!("no end: {told:?}"),
        }
    }

    /// The server writes an event in one chunk.
    fn next_event(&mut self) -> Told {
        loop {
            let mut size = String::new();
            match self.stream.read_line(&mut size) {
                Ok(0) => return Told::Cut,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Told::Cut,
                Err(error) => panic!("it stays silent: {error}"),
            }
            let size = usize::from_str_radix(size.trim_end(), 16).expect("the size of a chunk");
            let mut chunk = vec![0; size + 2];
            self.stream.read_exact(&mut chunk).expect("a chunk");
            if size == 0 {
                return Told::Over;
            }
            let chunk = String::from_utf8(chunk).expect("text");
            let field = |name: &str| {
                let mut lines = chunk.lines();
                lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
            };
            return match (field("event").as_deref(), field("data"), field("retry")) {
                (Some("auth-revoked"), Some(data), _) => {
                    let data: Value = serde_json::from_str(&data).expect("JSON");
                    Told::End(data["reason"].as_str().expect("a reason").to_owned())
                }
                (None, Some(data), _) => Told::Message(data),
                (None, None, Some(retry)) => Told::End(format!("retry {retry}")),
                // A comment, to keep the connection alive.
                _ => continue,
            };
        }
    }

    /// Frames of a server are not masked, and those of the demo are short.
    fn next_frame(&mut self) -> Told {
        loop {
            let mut head = [0; 2];
            match self.stream.read_exact(&mut head) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Told::Over,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Told::Over,
                Err(error) => panic!("it stays silent: {error}"),
            }
            let length = match head[1] {
                126 => {
                    let mut length = [0; 2];
                    self.stream.read_exact(&mut length).expect("a length");
                    usize::from(u16::from_be_bytes(length))
                }
                length => usize::from(length),
            };
            let mut payload = vec![0; length];
            self.stream.read_exact(&mut payload).expect("a payload");
            match head[0] & 0x0f {
                1 => return Told::Message(String::from_utf8(payload).expect("text")),
                8 => {
                    let code = u16::from_be_bytes([payload[0], payload[1]]);
                    let reason = String::from_utf8_lossy(&payload[2..]).into_owned();
                    return Told::End(match code {
                        4401 => reason,
                        code => code.to_string(),
                    });
                }
                // Pings.
                _ => {}
            }
        }
    }
}
