//! Runs of agents: keys bound to resources, and paths that try to name another one.

use serde_json::json;
use tower_api_key::access::Grants;

use crate::{
    support::{
        http::Response,
        keys::{Database, Minted},
        server::{Server, Setup, X_EXTERNAL},
    },
    table::{ELSEWHERE, MISSING},
};

fn bound(database: &Database, resources: &[&str]) -> Minted {
    let grants = Grants::scopes(["agents:run"]).expect("scopes");
    database.mint(grants.on(resources).expect("resources"))
}

fn run(server: &Server, agent: &str, field: &str) -> Response {
    server.send("POST", &format!("/api/v1/agents/{agent}/runs"), &[field])
}

#[test]
fn a_run_is_accepted_of_bound_and_unbound_keys() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let database = setup.database();
    let unbound = database.mint_scopes(&["agents:run"]).bearer();
    let alpha = bound(&database, &["agent:alpha"]).bearer();
    for (field, owner) in [(X_EXTERNAL, "external"), (&unbound, "alice"), (&alpha, "alice")] {
        let accepted = run(&server, "alpha", field);
        assert_eq!(accepted.status, 202, "{accepted:?}");
        assert_eq!(
            accepted.json(),
            json!({"agent": "alpha", "started_by": owner, "status": "accepted"})
        );
        assert_eq!(accepted.header("cache-control"), Some("private"));
    }
}

#[test]
fn a_key_runs_the_agents_it_is_bound_to_and_no_others() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let database = setup.database();
    for (resources, allowed, refused) in [
        (
            &["agent:alpha"][..],
            &["alpha"][..],
            &["beta", "alph", "alphabet", "Alpha", "ALPHA", "*", "alpha:x"][..],
        ),
        (&["agent:alpha", "agent:beta"], &["alpha", "beta"], &["gamma"]),
        (&["agent:*"], &["alpha", "beta", "a:b"], &["*"]),
        (
            &["agent:team-*"],
            &["team-a", "team-a:b"],
            &["team-", "team", "Team-a", "alpha", "team-*"],
        ),
        (&["topic:alpha", "topic:*"], &[], &["alpha"]),
        (&[], &[], &["alpha", "*", "%2A"]),
    ] {
        let key = bound(&database, resources).bearer();
        for agent in allowed {
            assert_eq!(run(&server, agent, &key).status, 202, "{resources:?} {agent}");
        }
        for agent in refused {
            ELSEWHERE.assert(&run(&server, agent, &key));
        }
        // Where a route names no resource there is nothing to be bound by.
        assert_eq!(server.get("/api/v1/whoami", &[&key]).status, 200);
    }
}

#[test]
fn an_agent_is_the_one_that_the_path_names_once_decoded() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let database = setup.database();
    let alpha = bound(&database, &["agent:alpha"]).bearer();
    let every = bound(&database, &["agent:*"]).bearer();
    for same in ["%61lpha", "alph%61", "%61%6C%70%68%61", "%61%6c%70%68%61"] {
        let accepted = run(&server, same, &alpha);
        assert_eq!(accepted.status, 202, "{same}");
        assert_eq!(accepted.json()["agent"], "alpha");
    }
    for other in [
        "alpha%2Fbeta",
        "beta%2F..%2Falpha",
        "..%2Falpha",
        "%2e%2e",
        "alpha%00",
        "alpha%20",
        "%20alpha",
        "alpha%0a",
        "%2561lpha",
        "%C3%A4lpha",
        "%D0%B0lpha",
        "%EF%BD%81lpha",
        "alpha;beta",
        "alpha%3Fbeta",
        "beta%23alpha",
        "alpha,beta",
    ] {
        ELSEWHERE.assert(&run(&server, other, &alpha));
    }
    // What no resource can be called is not what a wildcard stands for either.
    for unspeakable in [
        "%20",
        "a%20b",
        "alpha%00",
        "%C3%A4lpha",
        "a%22b",
        "a%5Cb",
        "%ff",
        "alpha%c3",
    ] {
        ELSEWHERE.assert(&run(&server, unspeakable, &every));
        ELSEWHERE.assert(&run(&server, unspeakable, &alpha));
    }
    // A key that is not bound may run it, if it is a name at all.
    assert_eq!(run(&server, "a%2Fb", X_EXTERNAL).json()["agent"], "a/b");
    run(&server, "%ff", X_EXTERNAL).assert_problem(404, "not-found");
}

#[test]
fn a_path_that_is_not_quite_the_route_is_another_one() {
    let setup = Setup::with_external_key();
    let server = setup.start();
    let alpha = bound(&setup.database(), &["agent:alpha"]).bearer();
    for target in [
        "/api/v1/agents/alpha/runs/",
        "/api/v1/agents/alpha//runs",
        "/api/v1/agents//alpha/runs",
        "/api/v1//agents/alpha/runs",
        "//api/v1/agents/alpha/runs",
        "/api//v1/agents/alpha/runs",
        "/api/v1/agents/beta/../alpha/runs",
        "/api/v1/agents/beta/%2e%2e/alpha/runs",
        "/api/v1/./agents/alpha/runs",
        "/api/v1/agents/alpha/%72uns",
        "/api/v1/%61gents/alpha/runs",
        "/api/v1/agents/alpha/runs%2f",
        "/api/v1/agents/alpha/runs;x",
        "/api/v1/Agents/alpha/runs",
        "/api/v1/agents/alpha/RUNS",
        "/API/v1/agents/alpha/runs",
        "/api/V1/agents/alpha/runs",
    ] {
        for field in [X_EXTERNAL, &alpha] {
            server
                .send("POST", target, &[field])
                .assert_problem(404, "not-found");
        }
        // Without a key there is no more to find out, and nothing to get at.
        let stranger = server.send("POST", target, &[]);
        match target.starts_with("/api/v1/") {
            true => MISSING.assert(&stranger),
            false => stranger.assert_problem(404, "not-found"),
        }
    }
    // An agent without a name is none.
    server
        .send("POST", "/api/v1/agents//runs", &[X_EXTERNAL])
        .assert_problem(404, "not-found");
    ELSEWHERE.assert(&server.send("POST", "/api/v1/agents//runs", &[&alpha]));
    // A query, and the absolute form of an address, are no part of the path.
    for target in [
        "/api/v1/agents/alpha/runs?agent=beta",
        "http://demo/api/v1/agents/alpha/runs",
    ] {
        assert_eq!(server.send("POST", target, &[&alpha]).status, 202, "{target}");
    }
}
