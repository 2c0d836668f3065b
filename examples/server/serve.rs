//! Serving, with the limits that `axum::serve` does not set.

use std::{future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Extension, Router, extract::ConnectInfo, middleware::AddExtension};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};
use tower::Layer;
use tower_api_key::middleware::ConnectionHandle;

use crate::linger::{Lingering, Writing};

/// From the first moment of a connection, or the end of the request before: who sends nothing is closed too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_HEAD: usize = 32 * 1024;
const MAX_FIELDS: usize = 100;
const MAX_CONNECTIONS: usize = 10_000;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What requests in flight get when the server is told to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

type App = TowerToHyperService<AddExtension<AddExtension<Router, ConnectInfo<SocketAddr>>, ConnectionHandle>>;
type Connection = http1::UpgradeableConnection<TokioIo<Lingering>, App>;

/// Serves until `stop` ends, then finishes what is in flight as far as time allows. Whoever holds an end of `stopping` is told, and waited for.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    stopping: watch::Sender<()>,
    stop: impl Future<Output = ()>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_header_size(MAX_HEAD)
        .max_headers(MAX_FIELDS)
        .max_buf_size(2 * MAX_HEAD);
    let slots = Arc::new(Semaphore::new(max_connections()));
    let mut stop = pin!(stop);
    loop {
        let (stream, peer, slot) = tokio::select! {
            () = &mut stop => break,
            Some(accepted) = accept(&listener, &slots) => accepted,
        };
        let writing = Arc::new(Writing::default());
        let io = TokioIo::new(Lingering::new(stream, slot, writing.clone()));
        // Who it is at the other end, for the log of what is done with keys.
        let app = Extension(ConnectInfo(peer)).layer(app.clone());
        // And by this a stream whose key has ended is cut off also where the client does not read.
        let handle = ConnectionHandle::new();
        let app = Extension(handle.clone()).layer(app);
        let connection = http.serve_connection(io, TowerToHyperService::new(app));
        tokio::spawn(drive(
            connection.with_upgrades(),
            stopping.subscribe(),
            handle,
            writing,
        ));
    }
    drop(listener);
    tracing::info!(connections = stopping.receiver_count(), "stopping");
    stopping.send_replace(());
    // Each connection holds its end until it is over.
    if timeout(DRAIN_TIMEOUT, stopping.closed()).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
}

async fn drive(
    connection: Connection,
    mut stopping: watch::Receiver<()>,
    handle: ConnectionHandle,
    writing: Arc<Writing>,
) {
    let mut connection = pin!(connection);
    let mut told = false;
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break ended,
            _ = stopping.changed(), if !told => {
                connection.as_mut().graceful_shutdown();
                told = true;
            }
            () = handle.overdue() => {
                if writing.cut_if_blocked() {
                    tracing::debug!("connection cut off: its key has ended, and it does not read");
                    return;
                }
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection broken off");
    }
}

/// The next connection, once there is a slot for it.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are small and must not wait for one another.
                let _ = stream.set_nodelay(true);
                return Some((stream, peer, slot));
            }
            // The client is gone already.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
                ) => {}
            // Most likely too many open files, by whomever: it passes, and trying at once would only spin.
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// As many as there may be open files, less some for the database, so that running out of them is not how it ends.
#[cfg(unix)]
fn max_connections() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};

    const OTHER_FILES: usize = 64;
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = (MAX_CONNECTIONS + OTHER_FILES) as u64;
    if limit.current.is_some_and(|current| current < wanted) {
        let before = limit.current;
        limit.current = Some(limit.maximum.map_or(wanted, |maximum| maximum.min(wanted)));
        if setrlimit(Resource::Nofile, limit).is_err() {
            limit.current = before;
        }
    }
    let files = limit.current.and_then(|files| usize::try_from(files).ok());
    let room = files.map_or(MAX_CONNECTIONS, |files| files.saturating_sub(OTHER_FILES));
    room.clamp(1, MAX_CONNECTIONS)
}

#[cfg(not(unix))]
fn max_connections() -> usize {
    MAX_CONNECTIONS
}

/// Ends when the process is told to. Listens from the moment this returns.
#[cfg(unix)]
pub(crate) fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(not(unix))]
pub(crate) fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
