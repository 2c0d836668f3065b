//! Issuers that are down, slow, in error or after something; and strangers who would have us ask them for ever.

use std::time::Duration;

use serde_json::json;
use tower_api_key::{exchange::TrustPolicies, manage::Policy};

use crate::{
    issuer::Behaviour,
    signer::{EC, FORGER, NEXT, RSA},
    world::{World, deploy},
};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn keys_are_got_once_for_all_who_ask() {
    let world = World::new();
    let tokens: Vec<String> = (0..20).map(|_| world.token()).collect();
    let answers = futures_util::future::join_all(tokens.iter().map(|token| world.exchange(token))).await;
    answers.iter().for_each(|answer| drop(answer.key()));
    assert_eq!(world.issuer.asked(), 1);
    world.clock.advance(Duration::from_secs(10 * 60 - 1));
    world.exchange(&world.token()).await.key();
    assert_eq!(world.issuer.asked(), 0);
    world.clock.advance(Duration::from_secs(1));
    world.exchange(&world.token()).await.key();
    assert_eq!(world.issuer.asked(), 1);
}

#[tokio::test]
async fn names_of_keys_that_are_not_there_are_asked_for_once_a_minute() {
    let world = World::new();
    world.exchange(&world.token()).await.key();
    assert_eq!(world.issuer.asked(), 1);
    for round in 0..3 {
        for i in 0..100 {
            let header = json!({"alg": "RS256", "kid": format!("unknown-{round}-{i}")});
            let token = FORGER.token_with(&header, &world.claims());
            world.exchange(&token).await.assert_error(400, "invalid_grant");
        }
        assert_eq!(world.issuer.asked(), 1, "round {round}");
        world.clock.advance(MINUTE);
    }
    assert_eq!(world.refusals().await, [""; 0], "strangers wrote into the log");
}

#[tokio::test]
async fn a_key_that_is_new_is_found_and_one_that_is_gone_is_not_used_for_long() {
    let world = World::new();
    world.exchange(&world.token()).await.key();
    world.issuer.publish(&[NEXT.jwk(), EC.jwk()]);
    world.exchange(&NEXT.token(&world.claims())).await.key();
    assert_eq!(world.issuer.asked(), 2);
    // What was got with it says that the old one is gone.
    world.assert_refused(&world.token(), None).await;
    world.issuer.publish(&[RSA.jwk()]);
    world.exchange(&EC.token(&world.claims())).await.key();
    world.clock.advance(Duration::from_secs(10 * 60));
    world.assert_refused(&EC.token(&world.claims()), None).await;
}

#[tokio::test]
async fn while_the_issuer_is_down_what_is_known_goes_on_for_six_hours() {
    let mut world = World::new();
    world.exchange(&world.token()).await.key();
    world.issuer.stop();
    for hour in 0..6 {
        world.exchange(&world.token()).await.key();
        // What it may have made since nobody knows.
        let unknown = world.exchange(&NEXT.token(&world.claims())).await;
        unknown.assert_error(503, "temporarily_unavailable");
        let advanced = if hour == 5 { 3599 } else { 3600 };
        world.clock.advance(Duration::from_secs(advanced));
    }
    world.exchange(&world.token()).await.key();
    world.clock.advance(MINUTE);
    let token = world.token();
    world
        .exchange(&token)
        .await
        .assert_error(503, "temporarily_unavailable");
    world.issuer.restart();
    world.clock.advance(Duration::from_secs(1));
    // The token was not spent meanwhile.
    world.exchange(&token).await.key();
}

#[tokio::test]
async fn an_issuer_that_is_back_is_asked_a_second_later() {
    let mut world = World::new();
    world.issuer.stop();
    let token = world.token();
    for _ in 0..3 {
        world
            .exchange(&token)
            .await
            .assert_error(503, "temporarily_unavailable");
    }
    world.issuer.restart();
    world.clock.advance(Duration::from_secs(1));
    world.exchange(&token).await.key();
}

#[tokio::test]
async fn an_issuer_that_does_not_behave_is_not_waited_for_nor_followed() {
    let world = World::new();
    let token = world.token();
    let keys = format!("{}/jwks", world.issuer.url());
    for behaviour in [
        Behaviour::Failing,
        Behaviour::Redirecting,
        Behaviour::Oversized,
        Behaviour::Lying,
        Behaviour::Garbled,
        Behaviour::Silent,
        Behaviour::Endless,
        Behaviour::KeysAt(keys.replace("http://", "https://")),
        Behaviour::KeysAt("https://127.0.0.1:1/jwks".to_owned()),
        Behaviour::KeysAt("https://10.0.0.1/jwks".to_owned()),
        Behaviour::KeysAt("https://[fd00::1]/jwks".to_owned()),
        Behaviour::KeysAt("https://169.254.169.254/latest/meta-data".to_owned()),
        Behaviour::KeysAt("http://169.254.169.254/latest/meta-data".to_owned()),
        Behaviour::KeysAt("http://192.0.2.1/jwks".to_owned()),
        Behaviour::KeysAt("file:///etc/passwd".to_owned()),
        Behaviour::KeysAt("http://user:password@127.0.0.1/".to_owned()),
    ] {
        world.issuer.behave(behaviour.clone());
        let answer = world.exchange(&token).await;
        assert_eq!(answer.status, 503, "{behaviour:?} {answer:?}");
        answer.assert_error(503, "temporarily_unavailable");
        world.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(world.issuer.asked_elsewhere(), 0, "a redirect was followed");
    assert_eq!(world.key_count().await, 0);
    world.issuer.behave(Behaviour::Well);
    world.exchange(&token).await.key();
}

/// Those who wait are told to come again, and somebody with a good token is served meanwhile.
async fn assert_not_kept_by(world: &World, stuck: &[String], token: &str) {
    let waiting = futures_util::future::join_all(stuck.iter().map(|token| world.exchange(token)));
    let (waited, given) = tokio::join!(waiting, world.exchange(token));
    given.key();
    waited
        .iter()
        .for_each(|answer| answer.assert_error(503, "temporarily_unavailable"));
}

#[tokio::test]
async fn whoever_waits_for_one_issuer_does_not_keep_those_of_another() {
    let slow = crate::issuer::Issuer::start();
    let both = |issuer: &str| {
        let second = deploy(slow.url())
            .replace("danger_allow_http_loopback = true", "")
            .replace("\"deploy\"", "\"slow\"");
        format!("{}{second}", deploy(issuer))
    };
    let world = World::with(both, Policy::new());
    slow.behave(Behaviour::Silent);
    let stuck: Vec<String> = (0..100)
        .map(|_| RSA.token(&world.claims_but(json!({"iss": slow.url()}))))
        .collect();
    let token = world.token();
    assert_not_kept_by(&world, &stuck, &token).await;
    assert_eq!(slow.asked(), 1);
}

#[tokio::test]
async fn whoever_waits_for_keys_that_are_not_there_does_not_keep_those_who_need_no_others() {
    let world = World::new();
    world.exchange(&world.token()).await.key();
    world.issuer.behave(Behaviour::Silent);
    let stuck: Vec<String> = (0..100).map(|_| NEXT.token(&world.claims())).collect();
    let token = world.token();
    assert_not_kept_by(&world, &stuck, &token).await;
}

#[test]
fn an_issuer_is_asked_over_tls_or_not_at_all() {
    for (issuer, more, told) in [
        ("http://127.0.0.1:1", "", "https"),
        ("http://issuer.example", "", "https"),
        ("ftp://issuer.example", "", "https"),
        ("issuer.example", "", "https"),
        ("https://user@issuer.example", "", "user"),
        ("https://issuer.example/?a=b", "", "query"),
        (
            "https://issuer.example",
            "jwks_uri = \"http://issuer.example/keys\"",
            "https",
        ),
        (
            "https://issuer.example",
            "ca_file = \"/nowhere/ca.pem\"",
            "/nowhere/ca.pem",
        ),
    ] {
        let policies = deploy(issuer).replace("danger_allow_http_loopback = true", "");
        let more = match more {
            "" => String::new(),
            more => format!("[[issuer]]\nurl = \"{issuer}\"\n{more}\n"),
        };
        let refused = TrustPolicies::from_toml(&format!("{policies}\n{more}"));
        let refused = refused.expect_err(issuer).to_string();
        assert!(refused.contains(told) && refused.contains(issuer), "{refused}");
    }
}
