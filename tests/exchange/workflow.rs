//! What a workflow has and sends: the claims of its token, a policy that takes it, and the request.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use crate::support::http::with_body;

pub(crate) const AUDIENCE: &str = "https://api.example.com";

/// What the router is asked for.
pub(crate) const GRANT: (&str, &str) = ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange");
pub(crate) const ID_TOKEN: (&str, &str) = ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token");

/// A policy for a repository of GitHub, with the issuer in place of GitHub.
pub(crate) fn deploy(issuer: &str) -> String {
    format!(
        r#"
danger_allow_http_loopback = true

[[policy]]
name = "deploy"
issuer = "{issuer}"
audience = "{AUDIENCE}"
scopes = ["issues:read", "issues:write"]
resources = ["agent:alpha"]

[policy.claims]
repository_id = "1001"
repository_owner_id = "2002"
ref = "refs/heads/main"
environment = "production"
"#
    )
}

/// The claims of a token that the policy takes; each has an id of its own.
pub(crate) fn claims(issuer: &str, now: SystemTime) -> Value {
    static IDS: AtomicUsize = AtomicUsize::new(0);
    let now = now.duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    json!({
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": "repo:octo/app:environment:production",
        "jti": format!("id-{}", IDS.fetch_add(1, Ordering::Relaxed)),
        "iat": now,
        "nbf": now,
        "exp": now + 300,
        "repository": "octo/app",
        "repository_id": "1001",
        "repository_owner": "octo",
        "repository_owner_id": "2002",
        "ref": "refs/heads/main",
        "environment": "production",
        "event_name": "push",
        "job_workflow_ref": "octo/app/.github/workflows/deploy.yml@refs/heads/main",
    })
}

pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}

/// To the demo server.
pub(crate) fn request(token: &str) -> Vec<u8> {
    let body = form(&[GRANT, ID_TOKEN, ("subject_token", token)]);
    let fields = ["Content-Type: application/x-www-form-urlencoded"];
    with_body("POST", "/api/v1/token", &fields, Some(&body))
}
