//! What an issuer's connections are before they are HTTP, if they ever are.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::Sender,
    },
};

use axum::serve::Listener;
use rustls::{AlertDescription, Error as TlsError, ServerConfig};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

#[derive(Clone)]
pub(crate) enum Transport {
    Plain,
    Tls(Arc<ServerConfig>),
    /// Takes whoever comes, and says nothing.
    Mute,
    /// Says a byte now and then of something that does not end.
    Dripping,
    /// Knows this version of TLS and no newer one.
    Only([u8; 2]),
}

/// What whoever came said last, where no request came of it: why it does not go on, or nothing.
pub(crate) type Parting = Option<AlertDescription>;

pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    pub(crate) transport: Transport,
    pub(crate) opened: Arc<AtomicUsize>,
    pub(crate) partings: Sender<Parting>,
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Listener for Door {
    type Io = Box<dyn Stream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            self.opened.fetch_add(1, Ordering::Relaxed);
            match self.transport.enter(stream).await {
                Ok(stream) => return (stream, address),
                // Nobody may be there to hear it any more.
                Err(parting) => drop(self.partings.send(parting)),
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

impl Transport {
    async fn enter(&self, mut stream: TcpStream) -> Result<Box<dyn Stream>, Parting> {
        match self {
            Self::Plain => Ok(Box::new(stream)),
            Self::Tls(config) => {
                let accepted = TlsAcceptor::from(config.clone()).accept(stream).await;
                let accepted = accepted.map_err(|error| match error.get_ref()?.downcast_ref()? {
                    TlsError::AlertReceived(alert) => Some(*alert),
                    _ => None,
                });
                Ok(Box::new(accepted?))
            }
            Self::Mute => Err(last_word(&mut stream).await),
            Self::Dripping => {
                // The head of a handshake of 16 KiB, of which there will be no end.
                let mut next: &[u8] = &[22, 3, 3, 0x40, 0];
                while stream.write_all(next).await.is_ok() {
                    next = &[2];
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
                Err(None)
            }
            Self::Only(version) => {
                let mut hello = [0; 4096];
                stream.read(&mut hello).await.map_err(|_| None)?;
                stream
                    .write_all(&server_hello(*version))
                    .await
                    .map_err(|_| None)?;
                Err(last_word(&mut stream).await)
            }
        }
    }
}

/// The alert among the records that still come, until the other side is gone.
async fn last_word(stream: &mut TcpStream) -> Parting {
    let mut said = Vec::new();
    // However it goes.
    let _ = stream.read_to_end(&mut said).await;
    let mut records = said.as_slice();
    while let [kind, _, _, high, low, rest @ ..] = records {
        let (record, more) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
        if let (21, [_, alert]) = (kind, record) {
            return Some(AlertDescription::from(*alert));
        }
        records = more;
    }
    None
}

/// As RFC 2246, 4346 and 5246 alike have it: with no session, ECDHE-ECDSA with AES-128-CBC, no compression, and no extension.
fn server_hello(version: [u8; 2]) -> Vec<u8> {
    let random = [7; 32];
    let hello = [&version[..], &random, &[0], &[0xc0, 0x09], &[0]].concat();
    let length = u8::try_from(hello.len()).expect("short");
    let handshake = [&[2, 0, 0, length][..], &hello].concat();
    [&[22][..], &version, &[0, length + 4], &handshake].concat()
}
