//! Changes that processes tell one another through Redis, and uses that they count in it together, at the server that `TEST_REDIS_URL` names.

#[cfg(unix)]
mod away;

mod caller;

mod feed;

#[path = "../support/hearing.rs"]
mod hearing;

mod node;

#[cfg(unix)]
#[path = "../support/redis.rs"]
mod own;

#[path = "../support/proxy.rs"]
#[expect(dead_code, reason = "tests of PostgreSQL need other parts of it")]
mod proxy;

mod server;

mod shared;

mod telling;

mod troubled;
