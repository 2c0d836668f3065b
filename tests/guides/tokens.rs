//! Guides in which a workload shows a token of its own: the issuer is one that the test has, and the policy the one of the guide.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tower_api_key::exchange::TrustPolicies;

use crate::{
    blocks::fenced,
    issuer::Issuer,
    place::{Place, lacks},
    signer::RSA,
    support::server::Setup,
};

const KUBERNETES: &str = include_str!("../../docs/guides/cron-and-kubernetes.md");
pub(crate) const AUDIENCE: &str = "https://api.example.com";

/// The policies that a guide shows, which must be such as are taken.
fn policies(guide: &str) -> &str {
    let at = guide.find("```toml").expect("policies");
    let (toml, _) = fenced(&guide[at..], &["toml"]).expect("their end");
    // A file of a cluster.
    let here: Vec<&str> = toml.lines().filter(|line| !line.starts_with("ca_file")).collect();
    TrustPolicies::from_toml(&here.join("\n")).expect("policies");
    toml
}

/// A place whose server trusts this issuer in place of the one that the guide names.
pub(crate) fn place(guide: &str, named: &str, issuer: &Issuer) -> Place {
    let (policy, _) = policies(guide)
        .split_once("[[issuer]]")
        .unwrap_or((policies(guide), ""));
    assert!(policy.contains(named), "{policy}");
    let policy = policy.replace(named, issuer.url());
    let trust = format!("danger_allow_http_loopback = true\n{policy}");
    let setup = Setup::with_external_key().file("trust.toml", &trust);
    Place::with(&setup.arguments(&["--oidc-config", "trust.toml"]))
}

/// A token with these claims, and those that every token has.
pub(crate) fn token(issuer: &Issuer, claims: Value) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let now = now.as_secs();
    let mut all = json!({"iss": issuer.url(), "aud": [AUDIENCE], "iat": now, "nbf": now, "exp": now + 600});
    let (Some(members), Value::Object(claims)) = (all.as_object_mut(), claims) else {
        panic!("claims are an object");
    };
    members.extend(claims);
    RSA.token(&all)
}

#[test]
fn a_cron_job_and_a_pod_have_keys_as_their_guide_says() {
    if lacks(&["curl", "jq"]) {
        return;
    }
    let issuer = Issuer::start();
    let place = place(
        KUBERNETES,
        "https://kubernetes.default.svc.cluster.local",
        &issuer,
    );
    let claims = json!({
        "jti": "7f1c4d5e", "sub": "system:serviceaccount:prod:report",
        "kubernetes.io": {"namespace": "prod", "serviceaccount": {"name": "report", "uid": "0f4ba8f5"}},
    });
    place.write("run/token", &token(&issuer, claims));
    place.run(KUBERNETES);
}
