//! Tokens that the issuer has made, for somebody or something that no policy trusts.

use serde_json::{Value, json};
use tower_api_key::manage::Policy;

use crate::{
    signer::RSA,
    world::{AUDIENCE, World, deploy},
};

#[tokio::test]
async fn each_claim_that_is_pinned_must_be_the_same() {
    let world = World::new();
    for others in [
        // A name that somebody else has been given.
        json!({"repository_id": "1002"}),
        json!({"repository_owner_id": "2003"}),
        json!({"repository_id": "1002", "repository_owner_id": "2003"}),
        // A fork, which has another id.
        json!({"repository_id": "9001", "repository": "mallory/app", "repository_owner": "mallory", "repository_owner_id": "9002"}),
        // Another branch, or what only looks like it.
        json!({"ref": "refs/heads/dev"}),
        json!({"ref": "refs/tags/main"}),
        json!({"ref": "refs/pull/1/merge"}),
        json!({"ref": "refs/heads/main2"}),
        json!({"ref": "refs/heads/Main"}),
        json!({"ref": "main"}),
        json!({"ref": " refs/heads/main"}),
        json!({"ref": ["refs/heads/main"]}),
        json!({"ref": {"refs/heads/main": true}}),
        json!({"ref": null}),
        json!({"environment": "staging"}),
        json!({"environment": null}),
        json!({"environment": ""}),
        json!({"repository_id": null}),
        json!({"repository_id": ""}),
        json!({"repository_id": "01001"}),
        json!({"repository_id": 1001.0}),
        json!({"repository_id": true}),
        json!({"repository_id": ["1001"]}),
        // Where code of a stranger runs with the rights of the repository.
        json!({"event_name": "pull_request_target"}),
        json!({"pipeline_source": "merge_request_event"}),
        json!({"pipeline_source": "external_pull_request_event"}),
    ] {
        world
            .assert_refused(&RSA.token(&world.claims_but(others)), Some("no-policy"))
            .await;
    }
}

#[tokio::test]
async fn what_is_not_pinned_may_be_anything() {
    let world = World::new();
    for others in [
        json!({"repository": "renamed/app", "repository_owner": "renamed"}),
        // Both forms of the subject that GitHub has.
        json!({"sub": "repo:octo/app:environment:production"}),
        json!({"sub": "repo:octo@2002/app@1001:environment:production"}),
        json!({"event_name": "workflow_dispatch"}),
        json!({"pipeline_source": "push"}),
        json!({"event_name": "pull_request"}),
        json!({"event_name": null}),
        // An issuer that does not quote its ids.
        json!({"repository_id": 1001, "repository_owner_id": 2002}),
    ] {
        world.exchange(&RSA.token(&world.claims_but(others))).await.key();
    }
}

#[tokio::test]
async fn a_token_is_for_us_and_nobody_beside_us() {
    let world = World::new();
    for audience in [
        json!("https://other.example"),
        json!("https://api.example.com/"),
        json!("HTTPS://api.example.com"),
        json!(""),
        json!([]),
        json!(["https://other.example"]),
        json!([AUDIENCE, "https://other.example"]),
        json!(["https://other.example", AUDIENCE]),
        json!([AUDIENCE, AUDIENCE]),
        json!({ "aud": AUDIENCE }),
        json!(1),
    ] {
        let token = RSA.token(&world.claims_but(json!({"aud": audience})));
        let before = world.refusals().await.len();
        world.exchange(&token).await.assert_error(400, "invalid_grant");
        let refusals = world.refusals().await;
        assert_eq!(refusals.len(), before + 1, "{audience}");
        assert!(
            ["exchange: audience; ", "exchange: claims; "]
                .iter()
                .any(|start| refusals[0].starts_with(start)),
            "{audience}: {}",
            refusals[0]
        );
    }
    assert_eq!(world.key_count().await, 0);
}

#[tokio::test]
async fn what_every_token_must_say_is_missed() {
    let world = World::new();
    for claim in ["exp", "iat", "sub", "jti", "aud"] {
        for value in [Value::Null, json!(""), json!([1]), json!(true)] {
            if claim == "aud" && value != Value::Null {
                continue;
            }
            let token = RSA.token(&world.claims_but(json!({ claim: value })));
            world.assert_refused(&token, Some("claims")).await;
        }
    }
    for (claim, value) in [
        ("jti", json!("j".repeat(2000))),
        ("sub", json!("s".repeat(2000))),
        ("jti", json!(7)),
    ] {
        world
            .assert_refused(
                &RSA.token(&world.claims_but(json!({ claim: value }))),
                Some("claims"),
            )
            .await;
    }
    world.assert_refused(&RSA.token(&json!([])), None).await;
    world.assert_refused(&RSA.token(&json!("claims")), None).await;
}

#[tokio::test]
async fn code_of_strangers_is_taken_where_a_policy_says_so() {
    let named = |issuer: &str| {
        deploy(issuer).replace(
            "[policy.claims]",
            "[policy.claims]\nevent_name = \"pull_request_target\"",
        )
    };
    let world = World::with(named, Policy::new());
    let token = RSA.token(&world.claims_but(json!({"event_name": "pull_request_target"})));
    world.exchange(&token).await.key();
    world.assert_refused(&world.token(), Some("no-policy")).await;
}

#[tokio::test]
async fn service_accounts_of_kubernetes_and_projects_of_gitlab_have_policies_of_their_own() {
    let both = |issuer: &str| {
        format!(
            r#"
danger_allow_http_loopback = true

[[policy]]
name = "cluster"
issuer = "{issuer}"
audience = "{AUDIENCE}"
scopes = ["issues:read"]
[policy.claims]
sub = "system:serviceaccount:prod:deployer"
[policy.claims."kubernetes.io".serviceaccount]
uid = "6a7f3f2e"

[[policy]]
name = "project"
issuer = "{issuer}"
audience = "{AUDIENCE}"
scopes = ["issues:write"]
claims = {{ project_id = 22, namespace_id = "72", ref = "main", ref_type = "branch", ref_protected = true }}
"#
        )
    };
    let world = World::with(both, Policy::new());
    let pod = |uid: &str| {
        json!({"sub": "system:serviceaccount:prod:deployer", "repository_id": null,
            "kubernetes.io": {"namespace": "prod", "serviceaccount": {"name": "deployer", "uid": uid}}})
    };
    let given = world
        .exchange(&RSA.token(&world.claims_but(pod("6a7f3f2e"))))
        .await;
    assert_eq!(given.json()["scope"], "issues:read", "{given:?}");
    // Another account of the same name, made after the first was deleted.
    world
        .assert_refused(&RSA.token(&world.claims_but(pod("0b1c2d3e"))), Some("no-policy"))
        .await;

    let job = json!({"sub": "project_path:g/p:ref_type:branch:ref:main", "project_id": "22", "namespace_id": "72",
        "ref": "main", "ref_type": "branch", "ref_protected": "true"});
    let given = world.exchange(&RSA.token(&world.claims_but(job.clone()))).await;
    assert_eq!(given.json()["scope"], "issues:write", "{given:?}");
    for (claim, value) in [
        ("ref_type", "tag"),
        ("ref_protected", "false"),
        ("project_id", "23"),
    ] {
        let mut other = job.clone();
        other[claim] = json!(value);
        world
            .assert_refused(&RSA.token(&world.claims_but(other)), Some("no-policy"))
            .await;
    }
}

#[tokio::test]
async fn strangers_cannot_fill_the_log() {
    let world = World::new();
    for _ in 0..300 {
        let token = RSA.token(&world.claims_but(json!({"repository_id": "9001"})));
        world.exchange(&token).await.assert_error(400, "invalid_grant");
    }
    let written = world.refusals().await.len();
    assert!((200..=202).contains(&written), "{written}");
    world.clock.advance(std::time::Duration::from_secs(10));
    for _ in 0..50 {
        let token = RSA.token(&world.claims_but(json!({"repository_id": "9001"})));
        world.exchange(&token).await.assert_error(400, "invalid_grant");
    }
    let more = world.refusals().await.len() - written;
    assert!((10..=11).contains(&more), "{more}");
    // Nor keep those who are trusted from getting a key, or out of the log.
    world.exchange(&world.token()).await.key();
    assert!(
        world.events().await[0]
            .event
            .reason
            .as_deref()
            .is_some_and(|reason| reason.contains("policy deploy"))
    );
}
