//! Tokens that their issuer has not made, or has made for something else.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde_json::json;

use crate::{
    signer::{EC, FORGER, NEXT, RSA, message},
    world::World,
};

#[tokio::test]
async fn the_algorithm_is_the_one_of_the_key_and_no_other() {
    let world = World::new();
    let claims = world.claims();
    for alg in [
        "none", "None", "NONE", "nOnE", "", "HS256", "HS512", "PS256", "EdDSA", "ES256", "ES384", "RS384",
        "RS512",
    ] {
        let header = json!({"alg": alg, "kid": "rsa-1", "typ": "JWT"});
        let unsigned = message(&header, &claims);
        for token in [
            format!("{unsigned}."),
            format!("{unsigned}.AA"),
            RSA.token_with(&header, &claims),
        ] {
            world.assert_refused(&token, None).await;
        }
    }
    for token in RSA.confused(&claims) {
        world.assert_refused(&token, None).await;
    }
    // The key of the one kind, named by a token of the other.
    let header = json!({"alg": "RS256", "kid": "ec-1"});
    world
        .assert_refused(&RSA.token_with(&header, &claims), None)
        .await;
    let header = json!({"alg": "ES256", "kid": "rsa-1"});
    world.assert_refused(&EC.token_with(&header, &claims), None).await;
    world.exchange(&RSA.token(&claims)).await.key();
}

#[tokio::test]
async fn keys_that_a_token_brings_along_are_not_looked_at() {
    let world = World::new();
    let claims = world.claims();
    let forged = format!("{}/forged", world.issuer.url());
    for (field, value) in [
        ("jku", json!(forged)),
        ("x5u", json!(forged)),
        ("jwk", FORGER.jwk()),
        ("jwk", json!({"kty": "oct", "k": "c2VjcmV0"})),
        ("x5c", json!(["MIIB"])),
        ("kid", json!("../../../../dev/null")),
        ("kid", json!("' OR 1=1 --")),
        ("kid", json!("http://127.0.0.1/")),
        ("kid", json!("rsa-1\u{0}")),
        ("kid", json!(["rsa-1"])),
        ("kid", json!(null)),
        ("kid", json!("")),
    ] {
        let mut header = FORGER.header();
        header[field] = value;
        world
            .assert_refused(&FORGER.token_with(&header, &claims), None)
            .await;
    }
    assert_eq!(
        world.issuer.asked_elsewhere(),
        0,
        "somebody looked where the token said"
    );
    // Beside a right signature they change nothing.
    let mut header = RSA.header();
    header["jku"] = json!(forged);
    world.exchange(&RSA.token_with(&header, &claims)).await.key();
    assert_eq!(world.issuer.asked_elsewhere(), 0);
}

#[tokio::test]
async fn what_would_have_to_be_understood_is_refused() {
    let world = World::new();
    let claims = world.claims();
    for crit in [json!(["exp"]), json!(["b64"]), json!([]), json!(null), json!("x")] {
        let mut header = RSA.header();
        header["crit"] = crit;
        world
            .assert_refused(&RSA.token_with(&header, &claims), None)
            .await;
    }
    for typ in ["at+jwt", "JWE", "logout+jwt"] {
        let mut header = RSA.header();
        header["typ"] = json!(typ);
        world
            .assert_refused(&RSA.token_with(&header, &claims), None)
            .await;
    }
}

#[tokio::test]
async fn a_token_that_was_changed_or_is_somebody_elses_is_refused() {
    let world = World::new();
    world.assert_refused(&FORGER.token(&world.claims()), None).await;
    world.assert_refused(&NEXT.token(&world.claims()), None).await;
    let [one, two] = [
        world.token(),
        RSA.token(&world.claims_but(json!({"ref": "refs/heads/other"}))),
    ];
    let parts: Vec<&str> = one.split('.').collect();
    let others: Vec<&str> = two.split('.').collect();
    let altered = BASE64.encode(world.claims().to_string());
    for token in [
        format!("{}.{}.{}", parts[0], parts[1], others[2]),
        format!("{}.{altered}.{}", parts[0], others[2]),
        format!("{}.{}.{}", parts[0], parts[1], &parts[2][..40]),
        format!("{}.{}.{}A", parts[0], parts[1], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{one}."),
        format!("{one}.{}", parts[2]),
        format!("{}=.{}.{}", parts[0], parts[1], parts[2]),
        one.replacen('.', "..", 1),
        String::from("."),
        String::from("..."),
        "a".repeat(20_000),
        format!("{one}{}", "A".repeat(20_000)),
    ] {
        world.assert_refused(&token, None).await;
    }
    // Another issuer, which nobody has a policy for, whoever has signed it.
    for issuer in [
        "https://token.actions.githubusercontent.com",
        "http://127.0.0.1:1",
        "",
    ] {
        world
            .assert_refused(&RSA.token(&world.claims_but(json!({"iss": issuer}))), None)
            .await;
    }
    for issuer in [
        format!("{}/", world.issuer.url()),
        world.issuer.url().replace("http", "HTTP"),
    ] {
        world
            .assert_refused(&RSA.token(&world.claims_but(json!({"iss": issuer}))), None)
            .await;
    }
    world
        .assert_refused(
            &RSA.token(&world.claims_but(json!({"iss": [world.issuer.url()]}))),
            None,
        )
        .await;
    world.exchange(&one).await.key();
}

#[tokio::test]
async fn a_token_is_good_once() {
    let world = World::new();
    let claims = world.claims();
    let token = RSA.token(&claims);
    world.exchange(&token).await.key();
    // Whoever brings it again is written down; from then on its text is known.
    world.assert_refused(&token, Some("token-spent")).await;
    world.assert_refused(&token, None).await;
    let again = EC.token(&claims);
    world.assert_refused(&again, Some("token-spent")).await;
    world.assert_refused(&again, None).await;
    assert_eq!(world.key_count().await, 1);
}

#[tokio::test]
async fn of_many_who_bring_a_token_at_once_one_gets_a_key() {
    let world = World::new();
    let token = world.token();
    let all = (0..20).map(|_| world.exchange(&token));
    let answers = futures_util::future::join_all(all).await;
    let given = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(given, 1, "{answers:?}");
    let refused = answers.iter().filter(|answer| answer.status != 200);
    refused.for_each(|answer| answer.assert_error(400, "invalid_grant"));
    assert_eq!(world.key_count().await, 1);
}
