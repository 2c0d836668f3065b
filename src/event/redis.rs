//! Changes told through Redis.

use std::{convert::Infallible, fmt, pin::Pin, sync::Arc};

use futures_core::Stream;
use parking_lot::Mutex;
use redis::{
    AsyncConnectionConfig, Client, RedisError,
    aio::{MultiplexedConnection, PubSubStream},
};
use tokio::{
    sync::Mutex as AsyncMutex,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    Change, Channel, ChannelError, Feed, FeedSink, Outage,
    beat::{BEAT, BEAT_TIMEOUT, CONNECT_TIMEOUT, Lost, nonce},
};
use crate::key::KeyDigest;

/// So many keys are told one by one.
const MOST: usize = 64;
const DEFAULT_CHANNEL: &str = "api-keys";

/// Changes told through a channel of a Redis server; for [`Builder::feed`](crate::Builder::feed).
///
/// ```no_run
/// use tower_api_key::{ApiKeyAuth, event::RedisFeed, key::KeyDigest};
/// # use tower_api_key::authn::Unavailable;
/// # use tower_api_key::principal::Identity;
///
/// # async fn find(_: KeyDigest) -> Result<Option<Identity>, Unavailable> { Ok(None) }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let feed = RedisFeed::new("redis://127.0.0.1:6379")?.channel("myapp:keys");
/// let auth = ApiKeyAuth::resolver(find).feed(feed).build()?;
/// # Ok(())
/// # }
/// ```
///
/// Whatever is changed through [`ApiKeyAuth::change`](crate::ApiKeyAuth::change), [`change_owner`](crate::ApiKeyAuth::change_owner) or
/// [`Keys`](crate::manage::Keys) is told. Another program tells its own with `PUBLISH myapp:keys keys:` and the SHA-256 of the keys that it has
/// changed, in hex, with commas between them, up to 64, as a resolver is given them; or with `PUBLISH myapp:keys all`, which is what anything else
/// is taken for.
///
/// Each process has two connections, and hears a beat of its own through both twice a second; while it does not, nothing that is cached is
/// used. What is told carries no verdict: whoever can publish can have keys looked up anew, and nothing more. The server can be a primary
/// or have replicas, and needs no memory for this. [`Channel`] says what is not promised; and besides:
///
/// - In a Redis Cluster messages of different nodes can overtake one another, and during a fail-over two servers can both be taken for the
///   primary. Then, too, a change is noticed elsewhere when what is cached runs out.
/// - Channels are of the whole server, whichever database the URL names.
/// - `rediss://` takes an application that switches on TLS in the crate `redis` itself, and sees to its provider of cryptography.
#[derive(Clone)]
pub struct RedisFeed {
    client: Client,
    channel: String,
    mouth: Arc<Mouth>,
}

impl RedisFeed {
    /// At the server with this URL: `redis://[USER][:PASSWORD@]HOST[:PORT]` or `unix://PATH`. Connects when it is needed.
    ///
    /// # Errors
    ///
    /// When the URL is none, or takes what is not there, such as TLS.
    pub fn new(url: &str) -> Result<Self, ChannelError> {
        Ok(Self {
            client: Client::open(url).map_err(ChannelError::new)?,
            channel: DEFAULT_CHANNEL.to_owned(),
            mouth: Arc::default(),
        })
    }

    /// The channel; `api-keys` if not set. The same for all processes over the same table, and for nobody else.
    #[must_use]
    pub fn channel(mut self, name: impl Into<String>) -> Self {
        self.channel = name.into();
        self
    }

    async fn publish(&self, word: &str) -> Result<(), RedisError> {
        let (mut connection, is_new) = self.mouth.connection(&self.client).await?;
        let mut speaking = Speaking {
            mouth: &self.mouth,
            number: connection.0,
            done: false,
        };
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(&self.channel).arg(word);
        let published = publish.exec_async(&mut connection.1).await;
        speaking.done = published.is_ok();
        drop(speaking);
        match published {
            // It may have been closed long ago: servers do that. To say it twice does no harm.
            Err(_) if !is_new => Box::pin(self.publish(word)).await,
            published => published,
        }
    }

    async fn subscribe(&self) -> Result<PubSubStream, RedisError> {
        let (mut asks, ear) = self.client.get_async_pubsub().await?.split();
        // Comes back when the server has said that it is done.
        asks.subscribe(&self.channel).await?;
        Ok(ear)
    }
}

impl Channel for RedisFeed {
    fn feed(&self) -> Feed {
        let feed = self.clone();
        Feed::new(move |sink| async move {
            let mut node = Node {
                feed,
                sink,
                outage: Outage::none(),
            };
            node.run().await;
        })
    }

    async fn tell(&self, change: &Change) -> Result<(), ChannelError> {
        let word = match change {
            Change::Keys(digests) if digests.len() <= MOST => {
                let digests: Vec<String> = digests.iter().map(KeyDigest::to_hex).collect();
                format!("keys:{}", digests.join(","))
            }
            Change::Keys(_) | Change::Everything => "all".to_owned(),
        };
        self.publish(&word).await.map_err(ChannelError::new)
    }
}

impl fmt::Debug for RedisFeed {
    /// Not the URL, which can hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisFeed")
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

/// The connection that is published through. It says nothing that is not answered: one that has failed to once is not used again.
#[derive(Default)]
struct Mouth {
    open: Mutex<Option<Numbered>>,
    /// Who connects: one at a time, and the others use what has come of it.
    opening: AsyncMutex<u64>,
}

type Numbered = (u64, MultiplexedConnection);

impl Mouth {
    /// And whether it is a new one.
    async fn connection(&self, client: &Client) -> Result<(Numbered, bool), RedisError> {
        if let Some(open) = self.open.lock().clone() {
            return Ok((open, false));
        }
        let mut number = self.opening.lock().await;
        if let Some(open) = self.open.lock().clone() {
            return Ok((open, false));
        }
        // Whoever waits knows how long.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        *number += 1;
        let open = (*number, connection);
        *self.open.lock() = Some(open.clone());
        Ok((open, true))
    }
}

/// Whoever publishes. Given up, or failed, it leaves nothing to those who come next.
struct Speaking<'m> {
    mouth: &'m Mouth,
    number: u64,
    done: bool,
}

impl Drop for Speaking<'_> {
    fn drop(&mut self) {
        if !self.done {
            let mut open = self.mouth.open.lock();
            drop(open.take_if(|(number, _)| *number == self.number));
        }
    }
}

/// What listens, and proves all the time that it hears.
struct Node {
    feed: RedisFeed,
    sink: FeedSink,
    outage: Outage,
}

impl Node {
    async fn run(&mut self) {
        loop {
            let Err(Lost(cause)) = self.listen().await;
            let pause = self.outage.go_on(&self.sink, &cause);
            sleep(pause).await;
        }
    }

    /// Connects and hears until it does not. In this order: listen, flush, renew. With any other there is a change that is neither flushed nor
    /// heard of.
    async fn listen(&mut self) -> Result<Infallible, Lost> {
        let mut ear = timeout(CONNECT_TIMEOUT, self.feed.subscribe()).await??;
        self.sink.changed_all();
        loop {
            let begun = Instant::now();
            let sent = self.sink.now();
            let beat = nonce()?;
            let late = begun + BEAT_TIMEOUT;
            // Through the other connection: as anybody's changes come.
            timeout_at(late, self.feed.publish(&format!("beat:{beat}"))).await??;
            if !self.hear(&mut ear, late, Some(&beat)).await? {
                return Err(Lost("what was published did not come back in time".to_owned()));
            }
            // A server hands on one after the other: all that was told before the beat has been heard.
            self.sink.proven(sent);
            self.outage.end();
            self.hear(&mut ear, begun + BEAT, None).await?;
        }
    }

    /// Passes on what it hears, until a moment or until the beat is back, and says whether it is.
    async fn hear(&self, ear: &mut PubSubStream, until: Instant, beat: Option<&str>) -> Result<bool, Lost> {
        // Looked at here, for somebody who tells without end must not keep the heart from beating.
        while Instant::now() < until {
            let next = std::future::poll_fn(|context| Pin::new(&mut *ear).poll_next(context));
            let heard = match timeout_at(until, next).await {
                Ok(Some(heard)) => heard,
                Ok(None) => return Err(Lost("the connection was closed".to_owned())),
                Err(_) => return Ok(false),
            };
            match Word::read(heard.get_payload_bytes()) {
                Word::Keys(digests) => digests.iter().for_each(|digest| self.sink.changed(digest)),
                Word::All => self.sink.changed_all(),
                Word::Beat(text) if Some(text) == beat => return Ok(true),
                Word::Beat(_) => {}
            }
        }
        Ok(false)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.sink.lost("the feed has ended");
    }
}

/// What is told.
#[derive(Debug, PartialEq, Eq)]
enum Word<'a> {
    Keys(Vec<KeyDigest>),
    All,
    Beat(&'a str),
}

impl<'a> Word<'a> {
    fn read(payload: &'a [u8]) -> Self {
        let read = match str::from_utf8(payload).ok().and_then(|text| text.split_once(':')) {
            Some(("keys", digests)) => {
                let digests: Result<_, _> = digests.split(',').map(str::parse).collect();
                digests.ok().map(Self::Keys)
            }
            Some(("beat", beat)) => Some(Self::Beat(beat)),
            _ => None,
        };
        read.unwrap_or(Self::All)
    }
}
