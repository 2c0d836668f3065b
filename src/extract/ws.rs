use std::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use axum::{
    Error,
    extract::{
        FromRequestParts,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    response::Response,
};
use futures_core::Stream;
use futures_sink::Sink;
use http::request::Parts;
use parking_lot::Mutex;
use tokio::{sync::oneshot, time::timeout};

use crate::principal::{Ended, Principal};

/// The code of the close frame that says that the key is no longer good: of those that are free to use, the one like 401.
pub const CLOSE_REVOKED: u16 = 4401;

/// What a peer gets to take the close frame before the connection is dropped.
const GRACE: Duration = Duration::from_millis(250);

/// An extractor like axum's [`WebSocketUpgrade`], for WebSockets that are closed when the key of their request stops being good: with code
/// [4401](CLOSE_REVOKED) and the reason in a word, such as `key-revoked`. A peer that does not read is cut off a quarter of a second later.
///
/// It must come after [`Scoped`](super::Scoped) and whatever else asks something of the caller, so that it is known by
/// [`on_upgrade`](RevocableUpgrade::on_upgrade) what the route needs.
///
/// ```
/// use tower_api_key::{extract::{RevocableUpgrade, RevocableWebSocket}, principal::Principal};
///
/// async fn echo(caller: Principal, upgrade: RevocableUpgrade) -> axum::response::Response {
///     upgrade.on_upgrade(&caller, async |mut socket: RevocableWebSocket| {
///         while let Some(Ok(message)) = socket.recv().await {
///             if socket.send(message).await.is_err() {
///                 return;
///             }
///         }
///     })
/// }
/// # let _: axum::Router = axum::Router::new().route("/echo", axum::routing::any(echo));
/// ```
#[derive(Debug)]
#[must_use]
pub struct RevocableUpgrade(WebSocketUpgrade);

impl RevocableUpgrade {
    /// Sets limits and protocols, with the methods of axum's.
    pub fn configure(self, change: impl FnOnce(WebSocketUpgrade) -> WebSocketUpgrade) -> Self {
        Self(change(self.0))
    }

    /// Answers the handshake, and then runs `talk` in a task of its own. What it does with the socket can go on elsewhere, too: the socket is closed
    /// wherever it is.
    ///
    /// `caller` is whose key it is about.
    pub fn on_upgrade<F, Fut>(self, caller: &Principal, talk: F) -> Response
    where
        F: FnOnce(RevocableWebSocket) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        // Here, where what the route asked of its caller is known, and before the handshake is answered.
        let ended = caller.revoked();
        self.0.on_upgrade(move |socket| keep(socket, ended, talk))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RevocableUpgrade {
    type Rejection = WebSocketUpgradeRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        WebSocketUpgrade::from_request_parts(parts, state).await.map(Self)
    }
}

async fn keep<F, Fut>(socket: WebSocket, ended: impl Future<Output = Ended>, talk: F)
where
    F: FnOnce(RevocableWebSocket) -> Fut,
    Fut: Future<Output = ()>,
{
    let shared = Arc::new(Mutex::new(Shared {
        socket: Some(socket),
        waiting: [None, None],
    }));
    let (held, mut dropped) = oneshot::channel::<()>();
    let socket = RevocableWebSocket {
        shared: shared.clone(),
        _held: held,
    };
    let reason = {
        let mut talk = Some(Box::pin(talk(socket)));
        let mut ended = pin!(ended);
        poll_fn(|context| {
            if let Poll::Ready(reason) = ended.as_mut().poll(context) {
                return Poll::Ready(Some(reason));
            }
            if let Some(talking) = &mut talk {
                ready!(talking.as_mut().poll(context));
                talk = None;
            }
            // It may have handed the socket to somebody else.
            Pin::new(&mut dropped).poll(context).map(|_| None)
        })
        .await
    };
    let (socket, waiting) = {
        let mut shared = shared.lock();
        (shared.socket.take(), std::mem::take(&mut shared.waiting))
    };
    // Whoever waits for the socket elsewhere finds that it is gone.
    waiting.into_iter().flatten().for_each(Waker::wake);
    if let (Some(mut socket), Some(reason)) = (socket, reason) {
        let farewell = CloseFrame {
            code: CLOSE_REVOKED,
            reason: reason.code().into(),
        };
        // A peer that does not read is not waited for.
        let _told = timeout(GRACE, async {
            socket.send(Message::Close(Some(farewell))).await?;
            // Until it answers: to close at once could lose the frame.
            while socket.recv().await.transpose()?.is_some() {}
            Ok::<_, Error>(())
        })
        .await;
    }
}

/// A WebSocket that is taken away when the key of its request stops being good: from then on there is nothing to receive, and sending fails.
///
/// It is a [`Stream`] and a [`Sink`] of messages, as axum's is.
pub struct RevocableWebSocket {
    shared: Arc<Mutex<Shared>>,
    _held: oneshot::Sender<()>,
}

struct Shared {
    /// `None` once it was taken away.
    socket: Option<WebSocket>,
    /// Whoever reads, and whoever writes.
    waiting: [Option<Waker>; 2],
}

const READER: usize = 0;
const WRITER: usize = 1;

impl RevocableWebSocket {
    /// The next message; `None` when the socket is closed.
    pub async fn recv(&mut self) -> Option<Result<Message, Error>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Sends a message.
    ///
    /// # Errors
    ///
    /// When the socket is closed.
    pub async fn send(&mut self, message: Message) -> Result<(), Error> {
        poll_fn(|context| Pin::new(&mut *self).poll_ready(context)).await?;
        Pin::new(&mut *self).start_send(message)?;
        poll_fn(|context| Pin::new(&mut *self).poll_flush(context)).await
    }

    /// Does something with the socket, or says that it was taken away.
    fn poll<T>(
        &self,
        side: usize,
        context: &mut Context<'_>,
        work: impl FnOnce(Pin<&mut WebSocket>, &mut Context<'_>) -> Poll<T>,
    ) -> Option<Poll<T>> {
        let mut shared = self.shared.lock();
        let polled = work(Pin::new(shared.socket.as_mut()?), context);
        shared.waiting[side] = polled.is_pending().then(|| context.waker().clone());
        Some(polled)
    }

    fn poll_write(
        &self,
        context: &mut Context<'_>,
        work: impl FnOnce(Pin<&mut WebSocket>, &mut Context<'_>) -> Poll<Result<(), Error>>,
    ) -> Poll<Result<(), Error>> {
        self.poll(WRITER, context, work)
            .unwrap_or_else(|| Poll::Ready(Err(gone())))
    }
}

fn gone() -> Error {
    Error::new("the key of this WebSocket is no longer good")
}

impl Stream for RevocableWebSocket {
    type Item = Result<Message, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(READER, context, Stream::poll_next)
            .unwrap_or(Poll::Ready(None))
    }
}

impl Sink<Message> for RevocableWebSocket {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_write(context, Sink::poll_ready)
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        match &mut self.shared.lock().socket {
            Some(socket) => Pin::new(socket).start_send(message),
            None => Err(gone()),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_write(context, Sink::poll_flush)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_write(context, Sink::poll_close)
    }
}

impl fmt::Debug for RevocableWebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocableWebSocket").finish_non_exhaustive()
    }
}
