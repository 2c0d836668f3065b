//! A channel of its own for a test.

use std::{
    collections::HashMap,
    env, process,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::time::timeout;
use tower_api_key::{
    event::RedisFeed,
    limit::{RedisLimits, WhenAway},
};

const SERVER: &str = "redis://127.0.0.1:6379";
/// Long enough for a busy machine; what takes longer hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A channel that nobody else uses.
#[derive(Debug)]
pub(crate) struct Server {
    url: String,
    channel: String,
}

impl Server {
    /// `None` where there is no server, and then it says so: the test must not go on.
    pub(crate) async fn find() -> Option<Self> {
        static FOUND: AtomicUsize = AtomicUsize::new(0);
        let url = env::var("TEST_REDIS_URL").unwrap_or_else(|_| SERVER.to_owned());
        let number = FOUND.fetch_add(1, Ordering::Relaxed);
        let server = Self {
            url,
            channel: format!("api-key-test-{}-{number}", process::id()),
        };
        let answer = timeout(PATIENCE, server.ping()).await.expect("an answer");
        if let Err(error) = answer {
            skip(&format!("no Redis server ({error}); set TEST_REDIS_URL"));
            return None;
        }
        Some(server)
    }

    /// `HOST:PORT`.
    pub(crate) fn address(&self) -> &str {
        let (_, rest) = self.url.split_once("://").expect("a URL");
        let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
        rest.split_once('/').map_or(rest, |(address, _)| address)
    }

    /// A feed of a process of its own.
    pub(crate) fn feed(&self) -> RedisFeed {
        self.feed_at(self.address())
    }

    /// As [`Server::feed`], by way of another address.
    pub(crate) fn feed_at(&self, address: &str) -> RedisFeed {
        let url = self.url.replacen(self.address(), address, 1);
        RedisFeed::new(&url).expect("a URL").channel(&self.channel)
    }

    /// For limits that nobody else counts under. On a busy machine nothing is away that is only slow.
    pub(crate) fn limits(&self) -> RedisLimits {
        let limits = RedisLimits::new(&self.url).expect("a URL").prefix(&self.channel);
        limits.timeout(PATIENCE).when_away(WhenAway::Refuse)
    }

    /// The names and values of all that is kept for them.
    pub(crate) async fn kept(&self) -> Vec<(String, HashMap<String, String>)> {
        let client = redis::Client::open(self.url.as_str()).expect("a URL");
        let connecting = client.get_multiplexed_async_connection();
        let mut connection = connecting.await.expect("the server");
        let mut keys = redis::cmd("KEYS");
        keys.arg(format!("*{}:*", self.channel));
        let keys: Vec<String> = keys.query_async(&mut connection).await.expect("keys");
        let mut kept = Vec::new();
        for key in keys {
            let mut all = redis::cmd("HGETALL");
            let fields = all.arg(&key).query_async(&mut connection).await.expect("a hash");
            kept.push((key, fields));
        }
        kept
    }

    /// As any other program could.
    pub(crate) async fn publish(&self, word: &[u8]) {
        let client = redis::Client::open(self.url.as_str()).expect("a URL");
        let mut connection = client
            .get_multiplexed_async_connection()
            .await
            .expect("the server");
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(&self.channel).arg(word);
        publish.exec_async(&mut connection).await.expect("published");
    }

    async fn ping(&self) -> Result<(), redis::RedisError> {
        let client = redis::Client::open(self.url.as_str())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd("PING").exec_async(&mut connection).await
    }
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests has to see it")]
fn skip(why: &str) {
    assert!(env::var("CI").as_deref() != Ok("true"), "{why}");
    eprintln!("SKIPPED: {why}");
}
