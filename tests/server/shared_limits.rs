//! Limits of several servers together, counted in a Redis server.

use std::thread;

use crate::{
    own::OwnRedis,
    support::server::{Server, Setup, X_EXTERNAL},
};

const WHOAMI: &str = "/api/v1/whoami";

/// How many of those who ask all servers at once are answered so.
fn at_once(servers: &[Server], key: &str, clients: usize, times: usize, statuses: [u16; 3]) -> [usize; 3] {
    let asked: Vec<u16> = thread::scope(|scope| {
        let clients: Vec<_> = (0..clients * servers.len())
            .map(|number| {
                let server = &servers[number % servers.len()];
                scope.spawn(move || {
                    let asked = (0..times).map(|_| server.get(WHOAMI, &[key]).status);
                    asked.collect::<Vec<u16>>()
                })
            })
            .collect();
        let asked = clients.into_iter();
        asked.flat_map(|client| client.join().expect("asked")).collect()
    });
    assert!(asked.iter().all(|status| statuses.contains(status)), "{asked:?}");
    statuses.map(|status| asked.iter().filter(|one| **one == status).count())
}

#[test]
fn three_servers_let_in_together_as_many_as_the_limit_says_and_none_while_that_cannot_be_known() {
    let Some(mut redis) = OwnRedis::start() else {
        return;
    };
    let (url, limit) = (redis.url(), ["--rate-limit", "100/30d"]);
    let shared = ["--redis-url", &url, "--limits-when-away", "refuse"];
    let setup = Setup::with_external_key().arguments(&limit).arguments(&shared);
    let servers = [(); 3].map(|()| setup.start());
    let key = setup.database().mint_scopes(&["issues:read"]).x_key();
    // A server that is slow for a moment is taken to be away, and a busy machine is slow: then once more.
    let exact = (0..10).any(|_| {
        redis::cmd("FLUSHALL")
            .exec(&mut redis.connection())
            .expect("flushed");
        let [let_in, _, unavailable] = at_once(&servers, &key, 8, 10, [200, 429, 503]);
        assert!(let_in <= 100, "{let_in}");
        assert!(unavailable > 0 || let_in == 100, "{let_in}");
        unavailable == 0
    });
    assert!(exact, "it was always away");
    redis.kill();
    for server in &servers {
        let answer = server.get(WHOAMI, &[&key]);
        answer.assert_problem(503, "auth-unavailable");
        assert!(answer.header("retry-after").is_some());
        // Static keys are counted by each server for itself, and who is not limited is not asked for.
        assert_eq!(server.get(WHOAMI, &[X_EXTERNAL]).status, 200);
        assert_eq!(server.get("/healthz", &[]).status, 200);
    }
}

#[test]
fn a_redis_server_that_is_not_there_keeps_no_server_from_starting() {
    let Some(mut redis) = OwnRedis::start() else {
        return;
    };
    redis.kill();
    let url = redis.url();
    let setup = Setup::with_external_key().arguments(&["--rate-limit", "30/30d", "--redis-url", &url]);
    let servers = [setup.start()];
    let key = setup.database().mint_scopes(&["issues:read"]).x_key();
    assert_eq!(at_once(&servers, &key, 8, 10, [200, 429, 503]), [30, 50, 0]);
    let [server] = servers;
    let log = server.stop().log;
    let told = log
        .matches("cannot be counted for all processes together")
        .count();
    assert_eq!(told, 1, "{log}");
}
