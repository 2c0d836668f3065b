//! A client that asks over one connection, as fast as answers come.

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// Longer than any server takes that can answer at all.
const HANGS: Duration = Duration::from_secs(30);

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn text(&self, member: &str) -> String {
        let json = self.json();
        let text = json[member].as_str();
        text.unwrap_or_else(|| panic!("{member}: {self:?}")).to_owned()
    }
}

/// Where the parts of an answer are among the bytes that came.
struct Parts {
    status: u16,
    head: usize,
    end: usize,
}

/// One connection at a time to one server.
#[derive(Debug)]
pub(crate) struct Wire {
    address: SocketAddr,
    source: Option<IpAddr>,
    stream: Option<TcpStream>,
    bytes: Vec<u8>,
    patience: Duration,
}

impl Wire {
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self {
            address,
            source: None,
            stream: None,
            bytes: Vec::with_capacity(4096),
            patience: HANGS,
        }
    }

    /// As whom it comes: any address of the loopback network is this machine's.
    pub(crate) fn at(mut self, source: IpAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// How long an answer may take.
    pub(crate) fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Connects, unless it is connected.
    pub(crate) async fn connect(&mut self) -> io::Result<&mut TcpStream> {
        if self.stream.is_none() {
            let stream = match self.source {
                None => TcpStream::connect(self.address).await?,
                Some(source) => {
                    let socket = TcpSocket::new_v4()?;
                    socket.bind(SocketAddr::new(source, 0))?;
                    socket.connect(self.address).await?
                }
            };
            stream.set_nodelay(true)?;
            self.stream = Some(stream);
        }
        self.stream.as_mut().ok_or(ErrorKind::NotConnected.into())
    }

    /// The status alone.
    pub(crate) async fn status(&mut self, request: &[u8]) -> io::Result<u16> {
        let parts = self.exchange(request).await?;
        Ok(parts.status)
    }

    pub(crate) async fn ask(&mut self, request: &[u8]) -> io::Result<Answer> {
        let parts = self.exchange(request).await?;
        let text = |range: std::ops::Range<usize>| String::from_utf8_lossy(&self.bytes[range]).into_owned();
        Ok(Answer {
            status: parts.status,
            head: text(0..parts.head),
            body: text(parts.head..parts.end),
        })
    }

    /// After an error the next one connects anew.
    async fn exchange(&mut self, request: &[u8]) -> io::Result<Parts> {
        let done = match timeout(self.patience, self.try_exchange(request)).await {
            Ok(done) => done,
            Err(_) => Err(ErrorKind::TimedOut.into()),
        };
        if done.is_err() {
            self.stream = None;
        }
        done
    }

    async fn try_exchange(&mut self, request: &[u8]) -> io::Result<Parts> {
        self.connect().await?.write_all(request).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> io::Result<Parts> {
        let Some(stream) = &mut self.stream else {
            return Err(ErrorKind::NotConnected.into());
        };
        self.bytes.clear();
        let mut parts: Option<Parts> = None;
        loop {
            if parts.is_none()
                && let Some(end) = self.bytes.windows(4).position(|window| window == b"\r\n\r\n")
            {
                parts = Some(parse(&self.bytes[..end + 4])?);
            }
            if parts.as_ref().is_some_and(|parts| parts.end <= self.bytes.len()) {
                break;
            }
            if stream.read_buf(&mut self.bytes).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        let parts = parts.ok_or(ErrorKind::InvalidData)?;
        if says(&self.bytes[..parts.head], "connection").is_some_and(|value| value == "close") {
            self.stream = None;
        }
        Ok(parts)
    }
}

fn parse(head: &[u8]) -> io::Result<Parts> {
    let status = head
        .get(9..12)
        .and_then(|digits| std::str::from_utf8(digits).ok());
    let status = status.and_then(|digits| digits.parse().ok());
    let status: u16 = status.ok_or(ErrorKind::InvalidData)?;
    let bodiless = status < 200 || status == 204;
    let length = says(head, "content-length").and_then(|length| length.parse().ok());
    Ok(Parts {
        status,
        head: head.len(),
        end: head.len() + length.filter(|_| !bodiless).unwrap_or(0),
    })
}

/// The value of a field.
fn says<'h>(head: &'h [u8], name: &str) -> Option<&'h str> {
    let head = std::str::from_utf8(head).ok()?;
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let mut named = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
    named.next().map(|(_, value)| value)
}

/// `GET` of a target, by the holder of a key.
pub(crate) fn get(target: &str, key: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: demo\r\nX-Key: {key}\r\n\r\n").into_bytes()
}

/// Who am I, says the holder of a key: what a probe asks.
pub(crate) fn whoami(key: &str) -> Vec<u8> {
    get("/api/v1/whoami", key)
}
