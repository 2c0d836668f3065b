//! `GET` from a place that a configuration names, with as little trust in it as possible: `https`, no redirect, no address that only this
//! machine or its network can reach unless that is allowed, and so much data in so much time.
//!
//! What is checked is the address that is connected to, after the name was resolved, and not the name: a name that is public when it is looked at
//! and private a moment later gains nothing. No proxy is used, whatever the environment says.

use std::{error::Error, fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Request,
    header::{ACCEPT, HOST, USER_AGENT},
};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsConnector;

mod address;

mod target;

mod tls;

mod kept;

#[cfg(test)]
mod tests;

pub(crate) use kept::{Kept, NotHad};
pub(crate) use target::Target;
pub(crate) use tls::Roots;

use address::Reach;

/// The largest body, in bytes.
pub(crate) const MAX_BODY: usize = 256 * 1024;
/// For everything from the name to the last byte.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(3);
/// For one of several addresses, so that one that swallows packets leaves time for the next.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// For a head.
const MAX_HEAD: usize = 32 * 1024;

/// Gets what is public, and with leave what is not. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Guarded {
    reach: Reach,
    roots: Roots,
}

impl Guarded {
    /// From the public internet, over TLS as the operating system's certificates have it.
    pub(crate) fn new() -> Self {
        Self {
            reach: Reach::default(),
            roots: Roots::of_the_system(),
        }
    }

    /// Also from private networks and from this machine, if so: still over TLS. Link-local addresses, where clouds keep credentials, are never
    /// reached.
    pub(crate) fn allow_private(mut self, allowed: bool) -> Self {
        self.reach.private = allowed;
        self
    }

    /// Also from this machine without TLS, if so: for tests.
    pub(crate) fn danger_allow_http_loopback(mut self, allowed: bool) -> Self {
        self.reach.http_loopback = allowed;
        self
    }

    /// By these certificates and no others.
    pub(crate) fn trusting(mut self, roots: Roots) -> Self {
        self.roots = roots;
        self
    }

    /// Whether this would be asked for, as far as the text of it tells.
    ///
    /// # Errors
    ///
    /// When it would not.
    pub(crate) fn admits(&self, target: &Target) -> Result<(), FetchError> {
        self.reach.admits_scheme(target)
    }

    /// What is there, if it is answered 200, in [`MAX_BODY`] bytes at most, within [`TIMEOUT`].
    ///
    /// # Errors
    ///
    /// When it is not, or may not be asked for.
    pub(crate) async fn get(&self, target: &Target) -> Result<Bytes, FetchError> {
        self.admits(target)?;
        let fetched = timeout(TIMEOUT, self.fetch(target)).await;
        fetched.unwrap_or(Err(FetchError::TooSlow))
    }

    async fn fetch(&self, target: &Target) -> Result<Bytes, FetchError> {
        let stream = connect(&self.addresses(target).await?).await?;
        // What is small must not wait.
        let _ = stream.set_nodelay(true);
        if !target.secure {
            return exchange(stream, target).await;
        }
        let name = ServerName::try_from(target.host.clone()).map_err(FetchError::because)?;
        let connector = TlsConnector::from(self.tls()?);
        let stream = connector.connect(name, stream).await;
        exchange(stream.map_err(FetchError::because)?, target).await
    }

    /// Those of its addresses that may be connected to.
    async fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, FetchError> {
        let found = lookup_host((target.host.as_str(), target.port)).await;
        let addresses: Vec<SocketAddr> = found
            .map_err(FetchError::because)?
            .filter(|address| self.reach.admits(address.ip(), target.secure))
            .collect();
        match addresses.is_empty() {
            true => Err(FetchError::Address),
            false => Ok(addresses),
        }
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, FetchError> {
        self.roots.config().map_err(FetchError::because)
    }
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, FetchError> {
    let mut failed = io::Error::from(io::ErrorKind::TimedOut);
    for address in addresses {
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failed = error,
            Err(_) => {}
        }
    }
    Err(FetchError::because(failed))
}

/// One request on a connection that is then closed.
async fn exchange<I>(io: I, target: &Target) -> Result<Bytes, FetchError>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut http = http1::Builder::new();
    http.max_buf_size(MAX_HEAD);
    let (mut sender, connection) = http
        .handshake(TokioIo::new(io))
        .await
        .map_err(FetchError::because)?;
    // Ends with this, also where this is given up.
    let mut running = JoinSet::new();
    running.spawn(connection);
    let response = sender.send_request(request(target)?).await;
    let response = response.map_err(FetchError::because)?;
    match response.status().as_u16() {
        200 => {}
        // A redirect, too: it would lead to where nobody has looked.
        status => return Err(FetchError::Status(status)),
    }
    let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
    let body = body.map_err(|error| match error.is::<LengthLimitError>() {
        true => FetchError::TooLarge,
        false => FetchError::Failed(error),
    })?;
    Ok(body.to_bytes())
}

fn request(target: &Target) -> Result<Request<Empty<Bytes>>, FetchError> {
    const AGENT: &str = concat!("tower-api-key/", env!("CARGO_PKG_VERSION"));
    let host = HeaderValue::try_from(target.authority.as_str()).map_err(FetchError::because)?;
    let request = Request::get(target.path.as_str())
        .header(HOST, host)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, AGENT);
    request.body(Empty::new()).map_err(FetchError::because)
}

/// Something was not to be had.
#[derive(Debug)]
pub(crate) enum FetchError {
    /// It is no address of the web, or one that may not be asked.
    Url(&'static str),
    /// Its name stands for no address that may be connected to.
    Address,
    /// It was not there, or was not understood.
    Failed(Box<dyn Error + Send + Sync>),
    /// It was answered with another status than 200.
    Status(u16),
    /// It was more than [`MAX_BODY`].
    TooLarge,
    /// It took longer than [`TIMEOUT`].
    TooSlow,
}

impl FetchError {
    fn because(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(cause.into())
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(why) => f.write_str(why),
            Self::Address => f.write_str("its name stands for no address that may be connected to"),
            Self::Failed(_) => f.write_str("it could not be got"),
            Self::Status(status) => write!(f, "it was answered {status} rather than 200"),
            Self::TooLarge => write!(f, "it is more than {MAX_BODY} bytes"),
            Self::TooSlow => write!(f, "it took longer than {} s", TIMEOUT.as_secs()),
        }
    }
}

impl Error for FetchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(cause) => Some(cause.as_ref()),
            _ => None,
        }
    }
}
