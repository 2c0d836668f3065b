#[cfg(target_os = "linux")]
use std::{
    fs,
    process::{Command, Output},
};

use serde_json::{Value, json};
use tower_api_key::key::KeyDigest;

use crate::process::{Answer, Example, Server, refused};

struct Agents {
    server: Server,
    operator: String,
    example: Example,
}

impl Agents {
    fn start() -> Self {
        let example = Example::new("bound_keys");
        let server = example.start(&["127.0.0.1:0", "agents.db"]);
        let operator = server
            .printed
            .iter()
            .find_map(|line| line.strip_prefix("export OPERATOR="));
        Self {
            operator: operator.expect("the first key").to_owned(),
            server,
            example,
        }
    }

    fn manage(&self, method: &str, path: &str, by: &str, body: &str) -> Answer {
        let headers = [("X-Gofannon-Key", by), ("Content-Type", "application/json")];
        self.server
            .send_body(method, &format!("/keys{path}"), &headers, body)
    }

    fn issued(&self, path: &str, body: &Value) -> Issued {
        let answer = self.manage("POST", path, &self.operator, &body.to_string());
        assert_eq!(answer.status, 201, "{answer:?}");
        let view = answer.json();
        let text = |name: &str| view[name].as_str().expect(name).to_owned();
        Issued {
            id: text("id"),
            key: text("key"),
            view,
        }
    }

    fn bound_to(&self, agent: &str) -> Issued {
        let resource = format!("agent:{agent}");
        self.issued(
            "",
            &json!({"name": "nightly", "scopes": ["agents:call"], "resources": [resource]}),
        )
    }

    fn call(&self, agent: &str, key: &str) -> Answer {
        let path = format!("/rest/{agent}");
        self.server
            .send_body("POST", &path, &[("X-Gofannon-Key", key)], "what is new?")
    }
}

struct Issued {
    id: String,
    key: String,
    view: Value,
}

#[test]
fn a_key_calls_the_agent_it_is_bound_to_and_no_other() {
    let agents = Agents::start();
    let reporter = agents.bound_to("reporter");
    assert!(reporter.key.starts_with("gak_"));
    assert_eq!(reporter.view["resources"], json!(["agent:reporter"]));

    let answer = agents.call("reporter", &reporter.key);
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, "reporter was asked by nightly: what is new?")
    );
    for other in [
        "translator",
        "Reporter",
        "reporter%2F",
        "reporter%00",
        "reporter2",
        "nobody",
    ] {
        let answer = agents.call(other, &reporter.key);
        assert_eq!(answer.problem(), refused(403, "resource-not-allowed"), "{other}");
    }
    // Encoded or not, it is the same agent.
    assert_eq!(agents.call("%72eporter", &reporter.key).status, 200);
    let translator = agents.bound_to("translator");
    assert_eq!(agents.call("translator", &translator.key).status, 200);
    assert_eq!(
        agents.call("reporter", &translator.key).problem(),
        refused(403, "resource-not-allowed")
    );
    assert_eq!(agents.call("nobody", &agents.operator).status, 404);
}

#[test]
fn a_key_is_taken_from_its_own_header_only() {
    let agents = Agents::start();
    let reporter = agents.bound_to("reporter");
    let bearer = format!("Bearer {}", reporter.key);
    for header in [
        ("Authorization", bearer.as_str()),
        ("X-Key", &reporter.key),
        ("Cookie", "session=1"),
    ] {
        let answer = agents.server.send("POST", "/rest/reporter", &[header]);
        assert_eq!(
            answer.problem(),
            refused(401, "missing-credentials"),
            "{header:?}"
        );
        let challenge = answer.header("www-authenticate").expect("a challenge");
        assert!(challenge.contains("name=\"X-Gofannon-Key\""), "{challenge}");
    }
    let wrong = agents.call("reporter", "gak_wrong");
    assert_eq!(wrong.problem(), refused(401, "invalid-key"));
}

#[test]
fn a_revoked_key_gets_401_whoever_revoked_it() {
    let agents = Agents::start();
    let (one, other) = (agents.bound_to("reporter"), agents.bound_to("reporter"));
    assert_eq!(agents.call("reporter", &one.key).status, 200);
    assert_eq!(agents.call("reporter", &other.key).status, 200);
    let path = format!("/{}", one.id);
    // A key that may only call does not manage keys.
    let refusal = agents.manage("DELETE", &path, &other.key, "");
    assert_eq!(refusal.problem(), refused(403, "insufficient-scope"));
    assert_eq!(agents.call("reporter", &one.key).status, 200);

    assert_eq!(agents.manage("DELETE", &path, &agents.operator, "").status, 204);
    assert_eq!(
        agents.call("reporter", &one.key).problem(),
        refused(401, "key-revoked")
    );
    // Whoever finds a key can end it.
    assert_eq!(agents.call("reporter", &other.key).status, 200);
    assert_eq!(agents.manage("DELETE", "/current", &other.key, "").status, 204);
    assert_eq!(
        agents.call("reporter", &other.key).problem(),
        refused(401, "key-revoked")
    );
}

#[test]
fn a_key_that_takes_over_is_bound_to_the_same_agent_and_the_old_one_ends() {
    let agents = Agents::start();
    let old = agents.bound_to("reporter");
    let rotate = format!("/{}/rotate", old.id);
    let new = agents.issued(&rotate, &json!({"overlap_seconds": 3600}));
    assert_eq!(
        (&new.view["resources"], &new.view["scopes"], &new.view["name"]),
        (
            &json!(["agent:reporter"]),
            &json!(["agents:call"]),
            &json!("nightly")
        )
    );
    for key in [&old.key, &new.key] {
        assert_eq!(agents.call("reporter", key).status, 200);
        assert_eq!(agents.call("translator", key).status, 403);
    }
    let again = agents.manage("POST", &rotate, &agents.operator, "{}");
    assert_eq!(again.status, 409, "{again:?}");

    let last = agents.issued(&format!("/{}/rotate", new.id), &json!({"overlap_seconds": 0}));
    assert_eq!(agents.call("reporter", &new.key).status, 401);
    assert_eq!(agents.call("reporter", &last.key).status, 200);
}

#[test]
fn a_bound_key_that_may_mint_makes_keys_for_its_own_agent_only() {
    let agents = Agents::start();
    let own = json!(["agent:reporter"]);
    let scopes = json!(["agents:call", "keys:write"]);
    let minter = agents.issued("", &json!({"name": "m", "scopes": scopes, "resources": own}));
    let mint = |resources: Value| {
        let mut body = json!({"name": "x", "scopes": ["agents:call"]});
        if !resources.is_null() {
            body["resources"] = resources;
        }
        agents.manage("POST", "", &minter.key, &body.to_string())
    };
    for more in [json!(["agent:translator"]), json!(["agent:*"]), Value::Null] {
        assert_eq!(
            mint(more.clone()).problem(),
            refused(403, "exceeds-maker"),
            "{more}"
        );
    }
    assert_eq!(mint(own).status, 201);
}

#[test]
fn every_key_ends_after_90_days_at_most() {
    let agents = Agents::start();
    let unasked = agents.bound_to("reporter");
    assert!(unasked.view["expires_at"].is_string(), "{}", unasked.view);
    let body = json!({"name": "x", "scopes": ["agents:call"], "expires_at": "2999-01-01T00:00:00Z"});
    let forever = agents.manage("POST", "", &agents.operator, &body.to_string());
    assert_eq!(forever.problem(), refused(400, "invalid-request"));
    assert_eq!(forever.json()["errors"][0]["field"], "expires_at");
}

#[tokio::test]
async fn only_a_digest_is_kept_and_every_change_is_in_the_log() {
    let agents = Agents::start();
    let key = agents.bound_to("reporter");
    let database = agents.example.database("agents.db").await;
    let (digest, resources): (Vec<u8>, String) =
        sqlx::query_as("SELECT digest, resources FROM api_keys WHERE id = ?1")
            .bind(&key.id)
            .fetch_one(&database)
            .await
            .expect("the row of the key");
    assert_eq!(digest, KeyDigest::of(key.key.as_bytes()).as_bytes());
    assert_eq!(resources, "agent:reporter");

    let path = format!("/{}", key.id);
    assert_eq!(agents.manage("DELETE", &path, &agents.operator, "").status, 204);
    let shown = agents.manage("GET", &path, &agents.operator, "").json();
    assert!(shown["created_at"].is_string() && shown.get("last_used_at").is_some());
    assert_eq!((&shown["status"], shown.get("key")), (&json!("revoked"), None));
    let log = agents.manage("GET", &format!("{path}/events"), &agents.operator, "");
    let log = log.json();
    let events = log["data"].as_array().expect("a list");
    let kinds: Vec<&Value> = events.iter().map(|event| &event["kind"]).collect();
    assert_eq!(kinds, ["revoked", "minted"]);
    for event in events {
        assert_eq!(
            (&event["actor"]["owner"], &event["address"]),
            (&json!("operator"), &json!("127.0.0.1")),
            "{event}"
        );
    }
}

/// The script of the workflow in the guide, run as GitHub's runners do.
#[cfg(target_os = "linux")]
fn run_step(agents: &Agents, key: &str) -> Output {
    let guide = include_str!("../../docs/github-actions.md");
    let (_, script) = guide.split_once("        run: |\n").expect("a script");
    let (script, _) = script.split_once("```").expect("its end");
    let lines = script
        .lines()
        .map(|line| line.strip_prefix("          ").unwrap_or(line));
    let file = agents.example.path("step.sh");
    fs::write(&file, lines.collect::<Vec<_>>().join("\n")).expect("the script is written");
    let mut step = Command::new("bash");
    step.arg("-e")
        .arg(file)
        .current_dir(agents.example.path(""))
        .env("AGENTS_URL", format!("http://{}", agents.server.address()))
        .env("REPORTER_KEY", key);
    step.output().expect("bash")
}

#[test]
#[cfg(target_os = "linux")]
fn the_workflow_of_the_guide_calls_the_agent_and_fails_without_showing_the_key() {
    let agents = Agents::start();
    let key = agents.bound_to("reporter");
    let good = run_step(&agents, &key.key);
    assert!(good.status.success(), "{good:?}");
    assert_eq!(
        String::from_utf8_lossy(&good.stdout),
        "reporter was asked by nightly: What happened last night?"
    );

    let translator = agents.bound_to("translator");
    assert_eq!(agents.manage("DELETE", "/current", &key.key, "").status, 204);
    for (key, said) in [
        (key.key.as_str(), "key-revoked"),
        (&translator.key, "resource-not-allowed"),
        ("", "the secret is not set"),
    ] {
        let bad = run_step(&agents, key);
        let log = String::from_utf8_lossy(&bad.stderr);
        assert!(!bad.status.success() && log.contains(said), "{said}: {bad:?}");
        assert!(bad.stdout.is_empty(), "{bad:?}");
        assert!(key.is_empty() || !log.contains(key), "{bad:?}");
    }
}
