//! Topics: what is sent to one is passed on to all who listen to it, and kept for nobody else.
//!
//! Nothing here looks at whether the key of a listener is still good. Event streams are bodies, which the library ends by itself, and a
//! `RevocableUpgrade` makes WebSockets that it closes.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json,
    extract::{
        Path, State,
        rejection::PathRejection,
        ws::{CloseFrame, Message, close_code, rejection::WebSocketUpgradeRejection},
    },
    http::{StatusCode, header::CACHE_CONTROL},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{Stream, stream};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{broadcast, watch};
use tower_api_key::{
    access::Requirement,
    extract::{Requires, RevocableUpgrade, RevocableWebSocket, Scoped},
};
use utoipa::ToSchema;

use crate::{json::Body, problem::Problem};

/// A listener that falls further behind loses what is oldest.
const BACKLOG: usize = 64;
/// When the clients of a server that stops should come back.
const RETRY: Duration = Duration::from_secs(1);

/// May send to the topic that the path names.
pub(crate) struct SendTopic;

impl Requires for SendTopic {
    const REQUIREMENT: Requirement = Requirement::all_of(&["topics:send"]).on("topic:{topic}");
}

/// May listen to the topic that the path names.
pub(crate) struct ReadTopic;

impl Requires for ReadTopic {
    const REQUIREMENT: Requirement = Requirement::all_of(&["topics:read"]).on("topic:{topic}");
}

/// The topics that somebody listens to.
#[derive(Clone)]
pub(crate) struct Topics {
    listened: Arc<Mutex<HashMap<String, broadcast::Sender<String>>>>,
    /// Each listener holds an end of it, which is waited for when the server stops.
    stopping: watch::Sender<()>,
}

impl Topics {
    pub(crate) fn new(stopping: watch::Sender<()>) -> Self {
        Self {
            listened: Arc::default(),
            stopping,
        }
    }

    fn send(&self, topic: &str, message: String) {
        let listened = self.listened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(listeners) = listened.get(topic) {
            // Nobody is there to hear it when the last of them has just left.
            let _ = listeners.send(message);
        }
    }

    fn listen(&self, topic: String) -> Listener {
        let mut listened = self.listened.lock().unwrap_or_else(PoisonError::into_inner);
        let listeners = listened
            .entry(topic.clone())
            .or_insert_with(|| broadcast::Sender::new(BACKLOG));
        Listener {
            messages: Some(listeners.subscribe()),
            topics: self.clone(),
            topic,
            stopping: self.stopping.subscribe(),
        }
    }
}

struct Listener {
    /// Always there, but for the end.
    messages: Option<broadcast::Receiver<String>>,
    topics: Topics,
    topic: String,
    stopping: watch::Receiver<()>,
}

impl Listener {
    /// The next message; `None` when the server stops.
    async fn next(&mut self) -> Option<String> {
        let messages = self.messages.as_mut()?;
        loop {
            tokio::select! {
                _ = self.stopping.changed() => return None,
                message = messages.recv() => match message {
                    Ok(message) => return Some(message),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        }
    }

    fn into_events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(Some(self), async |listener| {
            let mut listener = listener?;
            Some(match listener.next().await {
                Some(message) => (Ok(Event::default().data(message)), Some(listener)),
                // For `EventSource`, which connects again by itself.
                None => (Ok(Event::default().retry(RETRY)), None),
            })
        })
    }

    async fn talk(mut self, mut socket: RevocableWebSocket) {
        loop {
            let message = tokio::select! {
                message = self.next() => message,
                // What the client says is not for anybody, but for that it has had enough.
                said = socket.recv() => match said {
                    Some(Ok(_)) => continue,
                    Some(Err(_)) | None => return,
                },
            };
            let (message, last) = match message {
                Some(message) => (Message::Text(message.into()), false),
                None => {
                    let frame = CloseFrame {
                        code: close_code::AWAY,
                        reason: "the server stops".into(),
                    };
                    (Message::Close(Some(frame)), true)
                }
            };
            if socket.send(message).await.is_err() || last {
                return;
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.messages = None;
        let mut listened = self
            .topics
            .listened
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if listened
            .get(&self.topic)
            .is_some_and(|listeners| listeners.receiver_count() == 0)
        {
            listened.remove(&self.topic);
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewMessage {
    text: String,
}

type Topic = Result<Path<String>, PathRejection>;

fn name(topic: Topic) -> Result<String, Problem> {
    topic.map(|Path(topic)| topic).map_err(|_| Problem::NOT_FOUND)
}

/// Sends a message to all who listen. A key that is bound to resources must be bound to `topic:{topic}`.
#[utoipa::path(post, path = "/api/v1/topics/{topic}/messages", tag = "topics", params(("topic" = String, Path)),
    request_body = NewMessage, security(("bearer" = ["topics:send"])),
    responses((status = 201, description = "It was sent.")))]
pub(crate) async fn send(
    caller: Scoped<SendTopic>,
    State(topics): State<Topics>,
    topic: Topic,
    Body(new): Body<NewMessage>,
) -> Result<impl IntoResponse, Problem> {
    let topic = name(topic)?;
    let message = json!({ "topic": topic, "from": caller.owner(), "text": new.text });
    topics.send(&topic, message.to_string());
    Ok((StatusCode::CREATED, Json(message)))
}

/// Listens, by server-sent events. A last event `auth-revoked` says that the key is no longer good.
#[utoipa::path(get, path = "/api/v1/topics/{topic}/events", tag = "topics", params(("topic" = String, Path)),
    security(("bearer" = ["topics:read"])),
    responses((status = 200, description = "The messages from now on, as JSON.", content_type = "text/event-stream", body = String)))]
pub(crate) async fn events(
    _: Scoped<ReadTopic>,
    State(topics): State<Topics>,
    topic: Topic,
) -> Result<impl IntoResponse, Problem> {
    let events = topics.listen(name(topic)?).into_events();
    let events = Sse::new(events).keep_alive(KeepAlive::default());
    Ok(([(CACHE_CONTROL, "no-store")], events))
}

/// Listens, by WebSocket, which is closed with code 4401 when the key is no longer good, and with 1001 when the server stops.
#[utoipa::path(get, path = "/api/v1/topics/{topic}/ws", tag = "topics", params(("topic" = String, Path)),
    security(("bearer" = ["topics:read"])),
    responses((status = 101, description = "The messages from now on, as JSON in text frames.")))]
pub(crate) async fn socket(
    caller: Scoped<ReadTopic>,
    State(topics): State<Topics>,
    topic: Topic,
    upgrade: Result<RevocableUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let topic = name(topic)?;
    let upgrade =
        upgrade.map_err(|_| Problem::invalid("This address takes the handshake of a WebSocket."))?;
    let listener = topics.listen(topic);
    Ok(upgrade.on_upgrade(&caller, |socket| listener.talk(socket)))
}
