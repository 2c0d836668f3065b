//! Files of trust policies: what is taken, and what is refused before anything runs.

use tower_api_key::exchange::TrustPolicies;

use crate::{support::server::Setup, world::deploy};

const EXAMPLE: &str = include_str!("../../docs/oidc.example.toml");
const GITHUB: &str = "https://token.actions.githubusercontent.com";

#[test]
fn the_example_is_taken_with_all_that_it_could_say() {
    let policies = TrustPolicies::from_toml(EXAMPLE).expect("policies");
    let names: Vec<&str> = policies.names().collect();
    assert_eq!(names, ["deploy", "gitlab nightly", "reporter"]);
    let optional = EXAMPLE
        .replace("# danger_allow", "danger_allow")
        .replace("# jwks_uri", "jwks_uri");
    assert!(TrustPolicies::from_toml(&optional).is_ok());
    // This one is not there.
    let ca_file = EXAMPLE.replace("# ca_file", "ca_file");
    assert!(TrustPolicies::from_toml(&ca_file).is_err());
}

/// The file, what it is made of, and a word of the complaint.
fn wrong() -> Vec<(String, &'static str)> {
    let plain = deploy(GITHUB);
    let replaced = |from: &str, to: &str| {
        assert!(plain.contains(from), "{from}");
        plain.replace(from, to)
    };
    vec![
        (String::new(), "no [[policy]]"),
        ("policy = 1".to_owned(), "policy"),
        ("[[policy]]\n".to_owned(), "missing field"),
        ("[[policy".to_owned(), "TOML"),
        (replaced("name = ", "nmae = "), "nmae"),
        (replaced("ref = ", "\"ref\" = 1.5 # "), "claims.ref"),
        (
            replaced("ref = \"refs/heads/main\"", "ref = [\"refs/heads/main\"]"),
            "claims.ref",
        ),
        (
            replaced("ref = \"refs/heads/main\"", "ref = \"refs/heads/*\""),
            "pattern",
        ),
        (replaced("\"2002\"", "\"*\""), "pattern"),
        (replaced("\"2002\"", "\"octo\""), "digits"),
        (
            replaced("repository_owner_id = \"2002\"\n", ""),
            "repository_owner_id",
        ),
        (
            replaced("repository_id = \"1001\"\n", "repository = \"octo/app\"\n"),
            "repository_id",
        ),
        (
            replaced("ref = \"refs/heads/main\"\nenvironment = \"production\"\n", ""),
            "environment",
        ),
        (
            replaced("[policy.claims]\n", "[policy.claims]\naud = \"x\"\n"),
            "checked by itself",
        ),
        (
            replaced("resources = ", "ttl_seconds = 59\nresources = "),
            "ttl_seconds",
        ),
        (
            replaced("resources = ", "ttl_seconds = 3601\nresources = "),
            "ttl_seconds",
        ),
        (
            replaced("resources = ", "ttl_seconds = -1\nresources = "),
            "ttl_seconds",
        ),
        (replaced("resources = ", "ttl = 60\nresources = "), "ttl"),
        (replaced("\"issues:write\"]", "\"keys:write\"]"), "keys:write"),
        (replaced("\"issues:write\"]", "\"keys:admin\"]"), "keys:admin"),
        (replaced("\"issues:write\"]", "\"keys:*\"]"), "keys:write"),
        (replaced("\"issues:write\"]", "\"*\"]"), "scopes"),
        (replaced("[\"issues:read\", \"issues:write\"]", "[]"), "scopes"),
        (replaced("\"issues:write\"]", "\"issues write\"]"), "scopes"),
        (replaced("[\"agent:alpha\"]", "[]"), "resources"),
        (replaced("[\"agent:alpha\"]", "[\"agent alpha\"]"), "resources"),
        (replaced("\"deploy\"", "\"\""), "name"),
        (replaced("\"deploy\"", "\"a\\u202eb\""), "name"),
        (replaced("\"deploy\"", "\"deploy\"\nowner = \"\""), "owner"),
        (
            replaced("audience = \"https://api.example.com\"", "audience = \"\""),
            "audience",
        ),
        (
            replaced("audience = \"https://api.example.com\"", "audience = \"*\""),
            "audience",
        ),
        (
            replaced(GITHUB, "http://token.actions.githubusercontent.com")
                .replace("danger_allow_http_loopback = true", ""),
            "https",
        ),
        (
            format!(
                "{plain}\n{}",
                plain.replace("danger_allow_http_loopback = true", "")
            ),
            "two of this name",
        ),
        (
            format!("{plain}\n[[issuer]]\nurl = \"https://gitlab.com\"\n"),
            "no policy is for it",
        ),
        (
            format!("{plain}\n[[issuer]]\nurl = \"{GITHUB}\"\n[[issuer]]\nurl = \"{GITHUB}\"\n"),
            "two of this url",
        ),
        (
            format!("{plain}\n[[issuer]]\nurl = \"{GITHUB}\"\nallow_privat = true\n"),
            "allow_privat",
        ),
        (format!("{plain}\n[more]\n"), "more"),
    ]
}

#[test]
fn what_cannot_be_meant_or_trusts_too_much_is_refused() {
    for (text, told) in wrong() {
        let refused = TrustPolicies::from_toml(&text).expect_err(&text).to_string();
        assert!(refused.contains(told), "{told}: {refused}\n{text}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let text = deploy(GITHUB)
        .replace("\"1001\"", "\"*\"")
        .replace("\"issues:write\"", "\"keys:write\"")
        .replace("resources = ", "ttl_seconds = 1\nresources = ");
    let refused = TrustPolicies::from_toml(&text).expect_err("refused");
    assert!(refused.complaints().count() >= 3, "{refused}");
    for told in [
        "policy \"deploy\": ",
        "claims.repository_id",
        "keys:write",
        "ttl_seconds",
    ] {
        assert!(refused.to_string().contains(told), "{refused}");
    }
}

#[test]
fn the_demo_does_not_start_with_such_a_file() {
    for (text, told) in wrong().into_iter().step_by(4) {
        let setup = Setup::with_external_key()
            .file("trust.toml", &text)
            .arguments(&["--oidc-config", "trust.toml"]);
        let ended = setup.run();
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert_eq!(ended.printed, [""; 0]);
        assert!(
            ended.log.contains("--oidc-config trust.toml") && ended.log.contains(told),
            "{told}: {}",
            ended.log
        );
        assert!(!ended.log.contains("panicked"), "{}", ended.log);
        assert!(!setup.path("demo.db").exists(), "something was made before");
    }
    let large = "#".repeat(300_000);
    let setup = Setup::with_external_key().file("large.toml", &large);
    std::fs::write(setup.path("binary.toml"), b"\xff\xfe\x00").expect("written");
    let mut setup = setup;
    for name in ["missing.toml", ".", "large.toml", "binary.toml", "/dev/zero"] {
        setup = setup.without_arguments().arguments(&["--oidc-config", name]);
        let ended = setup.run();
        assert_eq!(ended.code, Some(2), "{name}: {ended:?}");
        assert!(ended.log.contains(name), "{ended:?}");
    }
}
