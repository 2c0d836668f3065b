//! What is asked of the server: one script, which does all or nothing.

use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, aio::MultiplexedConnection};

use crate::{
    access::RateLimits,
    limit::{
        demand::{Demand, Names, Taken},
        gcra::{Cost, Times},
        shared::Answer,
    },
};

/// In microseconds, by the one clock that all processes have in common.
macro_rules! by_its_clock {
    ($script:literal) => {
        concat!(
            "local time = redis.call('TIME')\n",
            "local now = time[1] * 1000000 + time[2]\n",
            include_str!($script)
        )
    };
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Script {
    Take,
    GiveBack,
}

impl Script {
    pub(super) const ALL: [Self; 2] = [Self::Take, Self::GiveBack];

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Take => by_its_clock!("take.lua"),
            Self::GiveBack => by_its_clock!("give_back.lua"),
        }
    }
}

/// By what the server knows them, in the order of [`Script::ALL`].
pub(super) type Digests = [String; Script::ALL.len()];

/// A script, and what it is given.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) script: Script,
    pub(super) keys: Vec<String>,
    pub(super) arguments: Vec<u64>,
}

impl Call {
    /// `None` where there is nobody to count for.
    pub(super) fn take(prefix: &str, demand: &Demand) -> Option<Self> {
        let uses = demand.uses;
        let of = |limits: &RateLimits, arguments: &mut Vec<u64>| {
            for (_, limit) in limits.iter() {
                let cost = Cost::of(limit);
                arguments.extend([cost.all, cost.of_uses(uses)]);
            }
        };
        Self::of(Script::Take, prefix, demand, [of, of])
    }

    pub(super) fn give_back(prefix: &str, taken: &Taken) -> Option<Self> {
        let uses = taken.demand.uses;
        let of = |times: Times| {
            move |limits: &RateLimits, arguments: &mut Vec<u64>| {
                for ((_, limit), full_at) in limits.iter().zip(times) {
                    arguments.extend([Cost::of(limit).of_uses(uses), full_at]);
                }
            }
        };
        let parts = [of(taken.key), of(taken.owner)];
        let mut call = Self::of(Script::GiveBack, prefix, &taken.demand, parts)?;
        // When it was taken, by the same clock.
        call.arguments.insert(0, taken.now);
        Some(call)
    }

    /// Of each part its mark, how many limits it has, and two numbers of each.
    fn of(
        script: Script,
        prefix: &str,
        demand: &Demand,
        [of_key, of_owner]: [impl Fn(&RateLimits, &mut Vec<u64>); 2],
    ) -> Option<Self> {
        let Names { key, owner } = demand.names.as_deref()?;
        // What is in braces decides where in a cluster a key is.
        let tag = format!("{{{prefix}:{owner}}}");
        let mut call = Self {
            script,
            keys: Vec::with_capacity(2),
            arguments: Vec::with_capacity(8),
        };
        if let Some((_, limits)) = &demand.key {
            call.keys.push(format!("{tag}:k:{key}"));
            call.arguments.extend([limits.mark(), limits.iter().len() as u64]);
            of_key(limits, &mut call.arguments);
        }
        if let Some((_, limits)) = &demand.owner {
            call.keys.push(format!("{tag}:o"));
            call.arguments.extend([limits.mark(), limits.iter().len() as u64]);
            of_owner(limits, &mut call.arguments);
        }
        (!call.keys.is_empty()).then_some(call)
    }

    /// Sends it, once; a second time only to a server that says that it has not run it, for it does not know it yet.
    pub(super) async fn send(
        &self,
        connection: &mut MultiplexedConnection,
        digests: &Digests,
    ) -> Result<Vec<u64>, RedisError> {
        let known = self.command("EVALSHA", &digests[self.script as usize]);
        match known.query_async(connection).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.command("EVAL", self.script.text())
                    .query_async(connection)
                    .await
            }
            answer => answer,
        }
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(self.keys.len());
        command.arg(&self.keys).arg(&self.arguments);
        command
    }
}

/// What the server has said to [`Script::Take`]; `None` where that is nothing it says.
pub(super) fn read(demand: &Demand, answer: &[u64]) -> Option<Answer> {
    let (&[let_in, now], times) = answer.split_first_chunk()?;
    let (parts, rest) = times.as_chunks();
    let mut parts = parts.iter().copied();
    let mut part = |is_there: bool| {
        if is_there {
            parts.next()
        } else {
            Some(Times::default())
        }
    };
    let (key, owner) = (part(demand.key.is_some())?, part(demand.owner.is_some())?);
    (parts.next().is_none() && rest.is_empty()).then_some(Answer {
        let_in: let_in == 1,
        now,
        key,
        owner,
    })
}
