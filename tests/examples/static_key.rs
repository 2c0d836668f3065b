use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::process::{Answer, Example, Server, refused};

const EXTERNAL: &str = "an-external-key-of-some-length";
const VARIABLE: &str = "MESA_API_KEY_EXTERNAL";
const PLACE: &[&str] = &["--listen", "127.0.0.1:0", "--database", "runs.db"];

fn start_with_key(example: &Example) -> Server {
    example.start(&[PLACE, &["--api-key", EXTERNAL]].concat())
}

fn me(server: &Server, key: &str) -> Answer {
    server.get("/api/v1/me", key)
}

fn external(server: &Server, method: &str, path: &str) -> Answer {
    server.send(method, path, &[("Authorization", &format!("Bearer {EXTERNAL}"))])
}

/// The id and the key of a new run.
fn start_run(server: &Server, agent: &str) -> (String, String) {
    let answer = external(server, "POST", &format!("/api/v1/agents/{agent}/runs"));
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let started = answer.json();
    let text = |name: &str| started[name].as_str().expect("a text").to_owned();
    (text("run"), text("key"))
}

#[test]
fn the_external_key_is_an_agent_like_any_other() {
    let example = Example::new("static_key");
    let mut from_variable = example.command();
    from_variable.args(PLACE).env(VARIABLE, EXTERNAL);

    for server in [start_with_key(&example), Server::start(from_variable)] {
        let (run, key) = start_run(&server, "alpha");
        let agent = |id: &str, name: &str, slug: &str| json!({"id": id, "name": name, "slug": slug});
        assert_eq!(
            me(&server, EXTERNAL).json(),
            json!({"agent": agent("external", "external", "external"), "run": null})
        );
        assert_eq!(
            me(&server, &key).json(),
            json!({"agent": agent("1", "Alpha", "alpha"), "run": run})
        );
    }
}

#[test]
fn a_wrong_or_missing_external_key_is_refused() {
    let example = Example::new("static_key");
    let server = start_with_key(&example);

    for wrong in ["an-external-key-of-some-lengtH", &EXTERNAL[1..], "x"] {
        assert_eq!(
            me(&server, wrong).problem(),
            refused(401, "invalid-key"),
            "{wrong}"
        );
    }
    let absent = refused(401, "missing-credentials");
    assert_eq!(server.send("GET", "/api/v1/me", &[]).problem(), absent);
    // A key without the word `Bearer` is none.
    let bare = server.send("GET", "/api/v1/me", &[("Authorization", EXTERNAL)]);
    assert_eq!(bare.problem(), absent);
}

#[test]
fn without_the_flag_the_database_alone_decides() {
    let example = Example::new("static_key");
    let (run, key) = start_run(&start_with_key(&example), "alpha");

    let server = example.start(PLACE);
    assert_eq!(me(&server, EXTERNAL).problem(), refused(401, "invalid-key"));
    let found = me(&server, &key);
    assert_eq!((found.status, &found.json()["run"]), (200, &json!(run)));
}

#[test]
fn a_flag_that_cannot_be_meant_stops_the_server() {
    let example = Example::new("static_key");
    for value in ["", "changeme"] {
        let stopped = example
            .command()
            .args(PLACE)
            .env(VARIABLE, value)
            .output()
            .expect("it ends");
        assert!(!stopped.status.success(), "{value:?}");
        assert!(!String::from_utf8_lossy(&stopped.stdout).contains("listening"));
    }
}

#[test]
fn issues_of_all_agents_are_for_callers_that_may() {
    let example = Example::new("static_key");
    let server = start_with_key(&example);
    let titles = |query: &str| -> Vec<String> {
        let answer = external(&server, "GET", &format!("/api/v1/issues{query}"));
        assert_eq!(answer.status, 200);
        let issues = answer.json();
        let issues = issues.as_array().expect("a list").iter();
        issues
            .map(|issue| issue["title"].as_str().expect("a title").to_owned())
            .collect()
    };

    let (red, blank, off) = ("the build is red", "the page is blank", "the light is off");
    assert_eq!(titles(""), [red, blank, off]);
    assert_eq!(titles("?status=open"), [red, blank]);
    assert_eq!(titles("?status=closed"), [off]);
    assert_eq!(titles("?limit=2"), [red, blank]);
    assert_eq!(titles("?status=open&limit=1"), [red]);
    assert!(titles("?status=unheard-of").is_empty());

    let (_, key) = start_run(&server, "alpha");
    let denied = server.get("/api/v1/issues", &key);
    assert_eq!(denied.problem(), refused(403, "insufficient-scope"));
}

#[test]
fn the_end_of_a_run_ends_its_key_and_no_other() {
    let example = Example::new("static_key");
    let server = start_with_key(&example);
    let (run, key) = start_run(&server, "alpha");
    let (_, of_another_run) = start_run(&server, "alpha");
    // Both are in the cache from here on.
    assert_eq!(me(&server, &key).status, 200);
    assert_eq!(me(&server, &of_another_run).status, 200);

    let path = format!("/api/v1/runs/{run}");
    let with_its_own_key = [("Authorization", format!("Bearer {key}"))];
    let headers = with_its_own_key
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    for (method, path) in [("DELETE", path.as_str()), ("POST", "/api/v1/agents/alpha/runs")] {
        let denied = server.send(method, path, &headers);
        assert_eq!(denied.problem(), refused(403, "insufficient-scope"), "{method}");
    }
    assert_eq!(me(&server, &key).status, 200);

    assert_eq!(external(&server, "DELETE", &path).status, 204);
    assert_eq!(me(&server, &key).problem(), refused(401, "key-revoked"));
    assert_eq!(me(&server, &of_another_run).status, 200);
    assert_eq!(external(&server, "DELETE", &path).status, 204);

    for unknown in [
        "/api/v1/runs/none",
        "/api/v1/runs/00000000-0000-7000-8000-000000000000",
    ] {
        assert_eq!(external(&server, "DELETE", unknown).status, 404, "{unknown}");
    }
    assert_eq!(external(&server, "POST", "/api/v1/agents/gamma/runs").status, 404);
}

#[tokio::test]
async fn a_run_key_lasts_an_hour_and_goes_with_its_agent() {
    let example = Example::new("static_key");
    let server = start_with_key(&example);
    let milliseconds = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        i64::try_from((now + Duration::from_secs(3600)).as_millis()).expect("before the year 292277026")
    };
    let earliest = milliseconds();
    let (run, key) = start_run(&server, "alpha");
    let latest = milliseconds();

    let database = example.database("runs.db").await;
    let expiry: i64 = sqlx::query_scalar("SELECT expires_at FROM api_keys WHERE id = ?1")
        .bind(&run)
        .fetch_one(&database)
        .await
        .expect("a date");
    assert!(
        (earliest..=latest).contains(&expiry),
        "{earliest} {expiry} {latest}"
    );

    // As if the hour were over; the key has not been used, so nothing is known of it yet.
    let change = async |statement: &'static str, run: &str| {
        let changed = sqlx::query(statement).bind(run).execute(&database).await;
        assert_eq!(changed.expect("changed").rows_affected(), 1);
    };
    change("UPDATE api_keys SET expires_at = created_at WHERE id = ?1", &run).await;
    assert_eq!(me(&server, &key).problem(), refused(401, "key-expired"));

    let (run, key) = start_run(&server, "beta");
    change("UPDATE api_keys SET owner = 'dismissed' WHERE id = ?1", &run).await;
    assert_eq!(me(&server, &key).problem(), refused(401, "key-disabled"));
}

#[tokio::test]
async fn a_database_in_trouble_is_no_wrong_key_and_does_not_stop_the_external_one() {
    let example = Example::new("static_key");
    let server = start_with_key(&example);
    let (_, key) = start_run(&server, "alpha");
    let database = example.database("runs.db").await;
    let run = async |statement: &'static str| {
        sqlx::query(statement).execute(&database).await.expect("done");
    };

    run("ALTER TABLE api_keys RENAME TO gone").await;
    assert_eq!(me(&server, &key).problem(), refused(503, "auth-unavailable"));
    assert_eq!(me(&server, EXTERNAL).status, 200);
    let start = external(&server, "POST", "/api/v1/agents/alpha/runs");
    assert_eq!(start.status, 503);

    run("ALTER TABLE gone RENAME TO api_keys").await;
    assert_eq!(me(&server, &key).status, 200);
}
