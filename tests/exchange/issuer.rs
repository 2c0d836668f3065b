//! An issuer on this machine, which can be told how to behave.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver},
    },
    thread::{self, JoinHandle},
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime::Builder, sync::oneshot};

use crate::{
    signer::{EC, RSA},
    support::PATIENCE,
    transport::{Door, Parting, Transport},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Well,
    /// Takes the request, and answers nothing.
    Silent,
    /// Begins an answer, and does not end it.
    Endless,
    Oversized,
    Redirecting,
    /// Says that what it says about itself is with another.
    Moved(String),
    /// Says that its keys are with another.
    KeysMoved(String),
    Failing,
    /// Says that it is another.
    Lying,
    /// Says that its keys are there.
    KeysAt(String),
    Garbled,
}

struct Shared {
    url: String,
    behaviour: Mutex<Behaviour>,
    keys: Mutex<Value>,
    discovered: AtomicUsize,
    got: AtomicUsize,
    elsewhere: AtomicUsize,
    /// Connections, whether or not anything was asked on them.
    opened: Arc<AtomicUsize>,
}

/// Runs until it is dropped.
pub(crate) struct Issuer {
    shared: Arc<Shared>,
    address: SocketAddr,
    origin: String,
    transport: Transport,
    partings: Receiver<Parting>,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
}

impl Issuer {
    pub(crate) fn start() -> Self {
        Self::start_as("http://127.0.0.1", Transport::Plain)
    }

    /// What it says that its address is, but for the port, and what it is like to connect to.
    pub(crate) fn start_as(origin: &str, transport: Transport) -> Self {
        let keys = json!({"keys": [RSA.jwk(), EC.jwk()]});
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), origin, transport, keys)
    }

    fn start_at(address: SocketAddr, origin: &str, transport: Transport, keys: Value) -> Self {
        let listener = std::net::TcpListener::bind(address).expect("a port");
        listener.set_nonblocking(true).expect("non-blocking");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            url: format!("{origin}:{}", address.port()),
            behaviour: Mutex::new(Behaviour::Well),
            keys: Mutex::new(keys),
            discovered: AtomicUsize::new(0),
            got: AtomicUsize::new(0),
            elsewhere: AtomicUsize::new(0),
            opened: Arc::default(),
        });
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .fallback(elsewhere)
            .with_state(shared.clone());
        let (parting, partings) = mpsc::channel();
        let (opened, door) = (shared.opened.clone(), transport.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let running = thread::spawn(move || {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let door = Door {
                    listener: TcpListener::from_std(listener).expect("a listener"),
                    transport: door,
                    opened,
                    partings: parting,
                };
                tokio::select! {
                    _ = axum::serve(door, app) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            shared,
            address,
            origin: origin.to_owned(),
            transport,
            partings,
            stop: Some(stop),
            running: Some(running),
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.shared.url
    }

    pub(crate) fn behave(&self, how: Behaviour) {
        *self.shared.behaviour.lock().expect("the lock") = how;
    }

    pub(crate) fn publish(&self, keys: &[Value]) {
        *self.shared.keys.lock().expect("the lock") = json!({ "keys": keys });
    }

    /// How often its keys were asked for since this was last asked.
    pub(crate) fn asked(&self) -> usize {
        self.shared.discovered.swap(0, Ordering::Relaxed);
        self.shared.got.swap(0, Ordering::Relaxed)
    }

    /// How often what it should not be asked for was asked for.
    pub(crate) fn asked_elsewhere(&self) -> usize {
        self.shared.elsewhere.load(Ordering::Relaxed)
    }

    /// How often it was connected to, and how often it was then asked for anything.
    pub(crate) fn reached(&self) -> (usize, usize) {
        let shared = &self.shared;
        let asked = [&shared.discovered, &shared.got, &shared.elsewhere];
        let asked = asked.iter().map(|count| count.load(Ordering::Relaxed));
        (shared.opened.load(Ordering::Relaxed), asked.sum())
    }

    /// How the next of those went away who connected and did not get as far as a request.
    pub(crate) fn parting(&self) -> Parting {
        self.partings
            .recv_timeout(PATIENCE)
            .expect("somebody who goes away")
    }

    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(running) = self.running.take() {
            running.join().expect("no panic");
        }
    }

    /// At the same address as before.
    pub(crate) fn restart(&mut self) {
        self.restart_as(self.transport.clone());
    }

    /// At the same address as before, and another thing to connect to.
    pub(crate) fn restart_as(&mut self, transport: Transport) {
        self.stop();
        let keys = self.shared.keys.lock().expect("the lock").clone();
        let (address, origin) = (self.address, self.origin.clone());
        *self = Self::start_at(address, &origin, transport, keys);
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn discovery(State(shared): State<Arc<Shared>>) -> Response {
    shared.discovered.fetch_add(1, Ordering::Relaxed);
    let behaviour = shared.behaviour.lock().expect("the lock").clone();
    let url = &shared.url;
    if let Behaviour::Moved(to) = &behaviour {
        let to = format!("{to}/.well-known/openid-configuration");
        return (StatusCode::FOUND, [(LOCATION, to)]).into_response();
    }
    let (issuer, jwks) = match &behaviour {
        Behaviour::Lying => ("https://issuer.example".to_owned(), format!("{url}/jwks")),
        Behaviour::KeysAt(jwks) => (url.clone(), jwks.clone()),
        _ => (url.clone(), format!("{url}/jwks")),
    };
    json!({"issuer": issuer, "jwks_uri": jwks, "more": 1})
        .to_string()
        .into_response()
}

async fn jwks(State(shared): State<Arc<Shared>>) -> Response {
    shared.got.fetch_add(1, Ordering::Relaxed);
    let keys = shared.keys.lock().expect("the lock").to_string();
    let behaviour = shared.behaviour.lock().expect("the lock").clone();
    match behaviour {
        Behaviour::Silent => std::future::pending().await,
        Behaviour::Endless => {
            let begun = futures_util::stream::once(async move { Ok::<_, std::io::Error>(keys) });
            let endless = futures_util::StreamExt::chain(begun, futures_util::stream::pending());
            Body::from_stream(endless).into_response()
        }
        // The keys are there, and then there is more.
        Behaviour::Oversized => format!("{keys}{}", " ".repeat(256 * 1024)).into_response(),
        Behaviour::Redirecting => {
            let to = format!("{}/moved", shared.url);
            (StatusCode::FOUND, [(LOCATION, to)]).into_response()
        }
        Behaviour::KeysMoved(to) => (StatusCode::FOUND, [(LOCATION, format!("{to}/jwks"))]).into_response(),
        Behaviour::Failing => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Behaviour::Garbled => "<html>".into_response(),
        _ => keys.into_response(),
    }
}

async fn elsewhere(State(shared): State<Arc<Shared>>) -> String {
    shared.elsewhere.fetch_add(1, Ordering::Relaxed);
    shared.keys.lock().expect("the lock").to_string()
}
