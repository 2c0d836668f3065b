//! The connection, and whether there is one worth asking.

use std::{
    error::Error,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use redis::{AsyncConnectionConfig, Client, RedisError, aio::MultiplexedConnection};
use tokio::{
    runtime::Handle,
    sync::Mutex as AsyncMutex,
    time::{Instant, sleep, timeout},
};

use super::script::{Call, Digests, Script};
use crate::{metric, trace};

/// From one attempt to find out whether the server is back to the next.
const PAUSE: Duration = Duration::from_secs(1);
/// A connection that nothing was heard through for so long may have been closed, by the server or on the way.
const IDLE: Duration = Duration::from_secs(1);

const AWAY: &str = "the server was away a moment ago";

type Failure = Box<dyn Error + Send + Sync>;

/// One connection for all, by which the server is asked while it answers.
pub(super) struct Link {
    client: Client,
    state: Mutex<State>,
    /// Who connects: one at a time, and the others use what has come of it.
    opening: AsyncMutex<()>,
}

#[derive(Default)]
struct State {
    open: Option<Open>,
    /// How many connections there have been.
    number: u64,
    /// Nobody asks until somebody has found out that it is back.
    is_away: bool,
    /// Somebody is about to.
    is_probed: bool,
}

#[derive(Clone)]
struct Open {
    number: u64,
    connection: MultiplexedConnection,
    digests: Arc<Digests>,
    heard: Instant,
}

impl State {
    fn opened(&mut self, connection: MultiplexedConnection, digests: Digests) -> Open {
        self.number += 1;
        let open = Open {
            number: self.number,
            connection,
            digests: Arc::new(digests),
            heard: Instant::now(),
        };
        self.open.insert(open).clone()
    }
}

impl Link {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            state: Mutex::default(),
            opening: AsyncMutex::default(),
        }
    }

    /// Runs a script, or fails within the time: at once while the server is away.
    ///
    /// # Errors
    ///
    /// When it cannot be known whether it was run.
    pub(super) async fn ask(self: Arc<Self>, call: &Call, probe: &Probe) -> Result<Vec<u64>, Failure> {
        let (is_away, newest) = {
            let state = self.state.lock();
            (state.is_away, state.number)
        };
        if is_away {
            // Whoever was to find out may have ended with the runtime it ran in.
            self.find_out(probe);
            return Err(AWAY.into());
        }
        let mut used = newest;
        let asking = async {
            let mut open = self.open().await?;
            used = open.number;
            if open.heard.elapsed() > IDLE
                && redis::cmd("PING").exec_async(&mut open.connection).await.is_err()
            {
                // Nothing that counts was said through it.
                self.forget(open.number);
                open = self.open().await?;
                used = open.number;
            }
            let answer = call.send(&mut open.connection, &open.digests).await?;
            self.heard(open.number);
            Ok::<_, Failure>(answer)
        };
        let failure = match timeout(probe.within, asking).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(failure)) => failure,
            Err(_) => "the server has not answered in time".into(),
        };
        self.failed(used, &*failure, probe);
        Err(failure)
    }

    /// The connection there is, or else a new one.
    async fn open(&self) -> Result<Open, Failure> {
        if let Some(open) = self.state.lock().open.clone() {
            return Ok(open);
        }
        let _alone = self.opening.lock().await;
        let (open, is_away) = {
            let state = self.state.lock();
            (state.open.clone(), state.is_away)
        };
        match open {
            Some(open) => Ok(open),
            // Whoever has just tried has failed.
            None if is_away => Err(AWAY.into()),
            None => {
                let (connection, digests) = self.connect().await?;
                metric::limits_shared(true);
                Ok(self.state.lock().opened(connection, digests))
            }
        }
    }

    async fn connect(&self) -> Result<(MultiplexedConnection, Digests), RedisError> {
        // Whoever waits knows how long.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = connecting.await?;
        let mut loading = redis::pipe();
        for script in Script::ALL {
            loading.cmd("SCRIPT").arg("LOAD").arg(script.text());
        }
        let digests = loading.query_async(&mut connection).await?;
        Ok((connection, digests))
    }

    fn heard(&self, number: u64) {
        let mut state = self.state.lock();
        if let Some(open) = state.open.as_mut().filter(|open| open.number == number) {
            open.heard = Instant::now();
        }
    }

    fn forget(&self, number: u64) {
        let mut state = self.state.lock();
        drop(state.open.take_if(|open| open.number == number));
    }

    /// Something went wrong with this connection, or with the attempt to have one after it.
    fn failed(self: &Arc<Self>, used: u64, cause: &(dyn Error + 'static), probe: &Probe) {
        let mut state = self.state.lock();
        if used < state.number {
            // There has been a better one since.
            return;
        }
        state.open = None;
        if !std::mem::replace(&mut state.is_away, true) {
            metric::limits_shared(false);
            trace::limits_not_shared(cause);
        }
        drop(state);
        self.find_out(probe);
    }

    /// Sees to it that somebody finds out when the server is back. No request waits for that.
    fn find_out(self: &Arc<Self>, probe: &Probe) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if std::mem::replace(&mut self.state.lock().is_probed, true) {
            return;
        }
        let probing = Probing(Arc::downgrade(self));
        let probe = probe.clone();
        runtime.spawn(async move {
            loop {
                sleep(PAUSE).await;
                let Some(link) = probing.0.upgrade() else {
                    return;
                };
                if let Ok(Ok(())) = timeout(probe.within, link.probe(&probe.key)).await {
                    return;
                }
            }
        });
    }

    /// By a new connection, and by writing: a server that is full, or has become a replica, answers to all else.
    async fn probe(&self, key: &str) -> Result<(), RedisError> {
        let (mut connection, digests) = self.connect().await?;
        let mut set = redis::cmd("SET");
        set.arg(key).arg(1).arg("PX").arg(1000);
        set.exec_async(&mut connection).await?;
        let mut state = self.state.lock();
        state.opened(connection, digests);
        state.is_away = false;
        metric::limits_shared(true);
        trace::limits_shared();
        Ok(())
    }
}

/// How to find out whether the server is there.
#[derive(Debug, Clone)]
pub(super) struct Probe {
    pub(super) key: Arc<str>,
    pub(super) within: Duration,
}

/// Whoever finds out; another can begin when it has ended, however it has.
struct Probing(Weak<Link>);

impl Drop for Probing {
    fn drop(&mut self) {
        if let Some(link) = self.0.upgrade() {
            link.state.lock().is_probed = false;
        }
    }
}
