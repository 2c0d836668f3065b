//! A hand-written HTTP/1.1 client: it sends what no library would, and hides nothing of the answer.

use std::{
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
};

use serde_json::Value;

use super::PATIENCE;

/// One answer, as it came.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// Everything up to the empty line.
    pub head: String,
    pub body: String,
}

impl Response {
    /// The values of a field, a line each, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }

    /// The value of a field that comes once; `None` when it does not come at all.
    pub fn header(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} comes more than once: {}", self.head);
        all.first().copied()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Every byte but the date.
    pub fn without_date(&self) -> String {
        let lines = self.head.lines().filter(|line| !line.starts_with("date:"));
        let head: Vec<&str> = lines.collect();
        format!("{}\n\n{}", head.join("\n"), self.body)
    }

    /// Checks the parts of a problem document that all of them have in common.
    pub fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let problem = self.json();
        assert_eq!(problem["status"], status, "{self:?}");
        assert_eq!(problem["code"], code, "{self:?}");
        for member in ["type", "title", "detail"] {
            assert!(
                problem[member].as_str().is_some_and(|text| !text.is_empty()),
                "{member}: {self:?}"
            );
        }
    }
}

/// A request without a body. Fields are whole lines.
pub fn request(method: &str, target: &str, fields: &[&str]) -> Vec<u8> {
    with_body(method, target, fields, None)
}

/// A request with a JSON body.
pub fn json_request(method: &str, target: &str, fields: &[&str], body: &str) -> Vec<u8> {
    with_body(
        method,
        target,
        &[fields, &["Content-Type: application/json"]].concat(),
        Some(body),
    )
}

pub fn with_body(method: &str, target: &str, fields: &[&str], body: Option<&str>) -> Vec<u8> {
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: demo\r\n");
    for field in fields {
        text.push_str(field);
        text.push_str("\r\n");
    }
    if let Some(body) = body {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    text.push_str(body.unwrap_or_default());
    text.into_bytes()
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Self {
            stream: BufReader::new(stream),
        }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("sent");
    }

    /// As [`Self::send`], where the server may have had enough before everything is sent.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.get_mut().write_all(bytes).is_ok()
    }

    /// The next answer. A `HEAD` has none of the body that it announces.
    pub fn receive(&mut self, to_head: bool) -> Response {
        self.try_receive(to_head)
            .unwrap_or_else(|error| panic!("there is no answer: {error}"))
    }

    /// As [`Self::receive`], where the server may end in the middle of it.
    pub fn try_receive(&mut self, to_head: bool) -> io::Result<Response> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                let cut = format!("the connection ended in the middle of a head: {head:?}");
                return Err(io::Error::new(ErrorKind::UnexpectedEof, cut));
            }
        }
        let head = head.trim_end().to_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut response = Response {
            status: status.unwrap_or_else(|| panic!("a status: {head}")),
            head,
            body: String::new(),
        };
        // What follows is for whoever reads events.
        let is_events = response.header("content-type") == Some("text/event-stream");
        assert!(
            is_events || response.header("transfer-encoding").is_none(),
            "answers here have a length"
        );
        let bodiless = to_head || response.status < 200 || response.status == 204;
        if let (false, Some(length)) = (bodiless, response.header("content-length")) {
            let mut body = vec![0; length.parse().expect("a length")];
            self.stream.read_exact(&mut body)?;
            response.body = String::from_utf8(body).expect("text");
        }
        Ok(response)
    }

    /// Waits until the server has closed the connection; what it says before is returned.
    pub fn until_closed(&mut self) -> String {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("the server did not close the connection: {error}"),
        }
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// Whether the server has closed the connection, without waiting.
    pub fn is_closed(&mut self) -> bool {
        let stream = self.stream.get_ref();
        stream.set_nonblocking(true).expect("non-blocking");
        let peeked = stream.peek(&mut [0]);
        stream.set_nonblocking(false).expect("blocking");
        match peeked {
            Ok(read) => read == 0,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        }
    }
}
