//! A token that a policy takes, and the key that is given for it.

use std::time::Duration;

use serde_json::json;
use tower_api_key::{event::KeyEventKind, manage::Policy, store::KeyQuery};

use crate::{
    signer::{EC, RSA},
    world::{AUDIENCE, World, deploy},
};

#[tokio::test]
async fn a_key_is_given_for_a_token_and_does_what_the_policy_says() {
    let world = World::new();
    let answer = world.exchange(&world.token()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    let body = answer.json();
    let members: Vec<&String> = body.as_object().expect("an object").keys().collect();
    assert_eq!(
        members,
        [
            "access_token",
            "expires_in",
            "issued_token_type",
            "scope",
            "token_type"
        ]
    );
    assert_eq!(
        (&body["token_type"], &body["expires_in"], &body["scope"]),
        (&json!("Bearer"), &json!(900), &json!("issues:read issues:write"))
    );
    assert_eq!(
        body["issued_token_type"],
        "urn:ietf:params:oauth:token-type:access_token"
    );

    let keys = world.keys.list(&KeyQuery::newest(10)).await.expect("a list");
    let [record] = keys.keys.as_slice() else {
        panic!("{keys:?}")
    };
    assert_eq!(
        (record.owner.as_str(), record.name.as_str()),
        ("oidc:deploy", "deploy")
    );
    assert_eq!(
        record.expires_at,
        Some(record.created_at + Duration::from_secs(900))
    );
    assert!(record.exchanged);
    let resources = record.grants.resources().listed().expect("bound");
    assert_eq!(resources[0].to_string(), "agent:alpha");

    // It is a key as any other, until it expires.
    let shown = world.by_key(&answer.key(), "GET", "/keys", json!(null)).await;
    assert_eq!(shown.status, 403, "it is known, and may not read keys: {shown:?}");
    world.clock.advance(Duration::from_secs(900));
    let expired = world.by_key(&answer.key(), "GET", "/keys", json!(null)).await;
    assert_eq!(expired.status, 401, "{expired:?}");
}

#[tokio::test]
async fn the_log_says_which_token_it_was_for() {
    let world = World::new();
    let mut claims = world.claims();
    claims["sub"] = json!("repo:octo/\u{202e}app\n: x");
    let answer = world.exchange(&RSA.token(&claims)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let events = world.events().await;
    assert_eq!(events.len(), 1, "{events:?}");
    let event = &events[0].event;
    assert_eq!(
        (event.kind, event.actor.kind.as_str()),
        (KeyEventKind::Minted, "token")
    );
    let reason = event.reason.as_deref().expect("a reason");
    let start = format!(
        "exchange: policy deploy, issuer {}, sub repo:octo/?app?:?x, token ",
        world.issuer.url()
    );
    let token = reason.strip_prefix(&start).unwrap_or_else(|| panic!("{reason}"));
    assert!(token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert!(
        !reason.contains(claims["jti"].as_str().expect("an id")),
        "{reason}"
    );
    assert!(world.keys.verify_log().await.expect("a log").is_ok());
}

#[tokio::test]
async fn tokens_of_both_kinds_of_keys_are_taken() {
    let world = World::new();
    for signer in [&*RSA, &*EC] {
        world.exchange(&signer.token(&world.claims())).await.key();
    }
    let listed = world.claims_but(json!({"aud": [AUDIENCE], "nbf": null}));
    world.exchange(&RSA.token(&listed)).await.key();
    let untyped = RSA.token_with(&json!({"alg": "RS256", "kid": "rsa-1"}), &world.claims());
    world.exchange(&untyped).await.key();
    let fields = [("subject_token_type", "urn:ietf:params:oauth:token-type:jwt")];
    let token = world.token();
    let body = crate::world::form(&[crate::world::GRANT, fields[0], ("subject_token", &token)]);
    world.post(&body).await.key();
}

#[tokio::test]
async fn the_first_policy_that_matches_counts() {
    let two = |issuer: &str| {
        let second = deploy(issuer)
            .replace("danger_allow_http_loopback = true", "")
            .replace("\"deploy\"", "\"wider\"\nowner = \"robots\"\nttl_seconds = 60")
            .replace("environment = \"production\"\n", "");
        format!("{}{second}", deploy(issuer))
    };
    let world = World::with(two, Policy::new());
    let first = world.exchange(&world.token()).await;
    assert_eq!(first.json()["expires_in"], 900);
    let elsewhere = world.claims_but(json!({"environment": "staging"}));
    let second = world.exchange(&RSA.token(&elsewhere)).await;
    assert_eq!(second.json()["expires_in"], 60);
    let keys = world.keys.list(&KeyQuery::newest(10)).await.expect("a list");
    let owners: Vec<&str> = keys.keys.iter().map(|key| key.owner.as_str()).collect();
    assert_eq!(owners, ["robots", "oidc:deploy"]);
}

#[tokio::test]
async fn less_can_be_asked_for_and_not_more() {
    let world = World::new();
    let asked = async |token: &str, scope: &str| world.exchange_for(token, &[("scope", scope)]).await;
    let token = world.token();
    for scope in [
        "issues:delete",
        "issues:read agents:run",
        "*",
        "issues:*",
        "issues:read\u{e9}",
        "keys:write",
    ] {
        asked(&token, scope).await.assert_error(400, "invalid_scope");
        assert!(world.refusals().await[0].starts_with("exchange: scope; policy deploy"));
    }
    for (field, value) in [
        ("audience", "https://other.example"),
        ("resource", "https://api.example.com/"),
    ] {
        let answer = world.exchange_for(&token, &[(field, value)]).await;
        answer.assert_error(400, "invalid_target");
        assert!(world.refusals().await[0].starts_with("exchange: target; policy deploy"));
    }
    assert_eq!(world.key_count().await, 0);
    // None of this has spent it.
    let more = [
        ("scope", "issues:read"),
        ("audience", AUDIENCE),
        ("resource", AUDIENCE),
    ];
    let given = world.exchange_for(&token, &more).await;
    assert_eq!(given.json()["scope"], "issues:read", "{given:?}");
    // An empty field is as if it were not there.
    let given = world
        .exchange_for(&world.token(), &[("scope", ""), ("audience", "")])
        .await;
    assert_eq!(given.json()["scope"], "issues:read issues:write", "{given:?}");
}

#[tokio::test]
async fn a_key_lasts_no_longer_than_any_may_and_an_owner_has_no_more_than_any_may() {
    let short = Policy::new()
        .max_lifetime(Duration::from_secs(120))
        .max_keys_per_owner(2);
    let world = World::with(deploy, short);
    for _ in 0..2 {
        let given = world.exchange(&world.token()).await;
        assert_eq!(given.json()["expires_in"], 120, "{given:?}");
    }
    let token = world.token();
    let full = world.exchange(&token).await;
    full.assert_error(503, "temporarily_unavailable");
    assert!(world.refusals().await[0].starts_with("exchange: too-many-keys; policy deploy"));
    // It is not spent: once there is room it is good.
    world.clock.advance(Duration::from_secs(120));
    assert_eq!(world.exchange(&token).await.status, 200);
}
