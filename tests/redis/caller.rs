//! Processes that count together, and those who call them.

use std::{
    convert::Infallible,
    future::ready,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::{task::JoinSet, time::timeout};
use tower::{Layer, ServiceExt, service_fn};
use tower_api_key::{
    ApiKeyAuth,
    access::RateLimits,
    authn::{StaticKey, Unavailable},
    key::KeyDigest,
    limit::RedisLimits,
    middleware::RequireScope,
    principal::Identity,
};

use crate::server::PATIENCE;

/// What each key may do that is not told otherwise: in a test nothing of it comes back.
pub(crate) const EACH: u32 = 20;
const LIMIT: &str = "20/30d";
/// One that is in the configuration.
pub(crate) const STATIC: &str = "correct-horse-battery-staple";

/// One process. Every text is a good key, of alice.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    auth: ApiKeyAuth,
    /// Of keys that have limits of their own.
    own: Arc<Mutex<Option<RateLimits>>>,
}

/// How many requests were answered how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    pub(crate) let_in: u32,
    pub(crate) refused: u32,
    /// 503, each of them with the time to come back.
    pub(crate) unavailable: u32,
}

impl Process {
    pub(crate) fn new(limits: RedisLimits) -> Self {
        Self::with(limits, None)
    }

    /// All keys together have this limit besides.
    pub(crate) fn with(limits: RedisLimits, of_owner: Option<&str>) -> Self {
        let own = Arc::<Mutex<Option<RateLimits>>>::default();
        let given = own.clone();
        let resolver = move |digest: KeyDigest| {
            let identity = Identity::new("alice").key_id(digest.to_hex());
            let own = given.lock().expect("the lock").clone();
            ready(Ok::<_, Unavailable>(Some(match own {
                Some(limits) => identity.rate_limit(limits),
                None => identity,
            })))
        };
        let mut builder = ApiKeyAuth::resolver(resolver)
            .static_key(StaticKey::new(STATIC))
            .cache_ttl(Duration::ZERO)
            .rate_limit(rates(LIMIT))
            .shared_limits(limits);
        if let Some(limit) = of_owner {
            builder = builder.owner_rate_limit(rates(limit));
        }
        Self {
            auth: builder.build().expect("a configuration"),
            own,
        }
    }

    /// From now on all keys have these limits of their own.
    pub(crate) fn set(&self, limits: &str) {
        *self.own.lock().expect("the lock") = Some(rates(limits));
    }

    pub(crate) async fn status(&self, key: &str) -> u16 {
        let inner =
            service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))));
        let asked = self.auth.layer(inner).oneshot(request(key));
        let Ok(response) = timeout(PATIENCE, asked).await.expect("an answer");
        let status = response.status().as_u16();
        if matches!(status, 429 | 503) {
            let seconds = response.headers()["retry-after"].to_str().expect("text");
            assert!(seconds.parse::<u64>().expect("a number") > 0);
        }
        status
    }

    /// Where something is asked for that no key has.
    pub(crate) async fn status_where_nobody_may(&self, key: &str) -> u16 {
        let inner =
            service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))));
        let inner = RequireScope::new("nobody:has-it").expect("a scope").layer(inner);
        let asked = self.auth.layer(inner).oneshot(request(key));
        let Ok(response) = timeout(PATIENCE, asked).await.expect("an answer");
        response.status().as_u16()
    }

    /// One after the other.
    pub(crate) async fn call(&self, key: &str, times: u32) -> Answers {
        let mut answers = Answers::default();
        for _ in 0..times {
            match self.status(key).await {
                200 => answers.let_in += 1,
                429 => answers.refused += 1,
                503 => answers.unavailable += 1,
                other => panic!("{other}"),
            }
        }
        answers
    }
}

/// So many clients of each process at once, each so often.
pub(crate) async fn at_once(processes: &[Process], key: &str, clients: u32, times: u32) -> Vec<Answers> {
    let mut calling = JoinSet::new();
    for (number, process) in processes.iter().enumerate() {
        for _ in 0..clients {
            let (process, key) = (process.clone(), key.to_owned());
            calling.spawn(async move { (number, process.call(&key, times).await) });
        }
    }
    let mut all = vec![Answers::default(); processes.len()];
    for (number, answers) in calling.join_all().await {
        all[number].let_in += answers.let_in;
        all[number].refused += answers.refused;
        all[number].unavailable += answers.unavailable;
    }
    all
}

fn request(key: &str) -> Request<()> {
    let request = Request::get("/").header("X-Key", key);
    request.body(()).expect("a request")
}

fn rates(limits: &str) -> RateLimits {
    limits.parse().expect("limits")
}
