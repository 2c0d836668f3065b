//! When a token is good, by the clock of the store, and how long it is remembered.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;
use tower_api_key::clock::Clock;

use crate::{
    signer::{EC, RSA},
    world::World,
};

/// Seconds from now as the world has it.
fn later(world: &World, seconds: i64) -> u64 {
    let now = world.clock.now().duration_since(UNIX_EPOCH).expect("after 1970");
    now.as_secs().saturating_add_signed(seconds)
}

#[tokio::test]
async fn a_token_has_thirty_seconds_to_spare_either_way_and_not_one_more() {
    let world = World::new();
    let at = |seconds| later(&world, seconds);
    for (times, fault) in [
        (json!({"iat": at(-300), "nbf": at(-300), "exp": at(-29)}), None),
        (
            json!({"iat": at(-300), "nbf": at(-300), "exp": at(-30)}),
            Some("token-expired"),
        ),
        (
            json!({"iat": at(-300), "nbf": at(-300), "exp": at(-3600)}),
            Some("claims"),
        ),
        (
            json!({"iat": at(-7200), "nbf": at(-7200), "exp": at(-3600)}),
            Some("token-expired"),
        ),
        (json!({"iat": at(30), "nbf": at(-300)}), None),
        (
            json!({"iat": at(31), "nbf": at(-300)}),
            Some("token-not-yet-good"),
        ),
        (json!({"iat": at(0), "nbf": at(30)}), None),
        (json!({"iat": at(0), "nbf": at(31)}), Some("token-not-yet-good")),
        (
            json!({"iat": at(0), "nbf": at(86_400)}),
            Some("token-not-yet-good"),
        ),
        (json!({"iat": at(0), "exp": at(86_400)}), None),
        (json!({"iat": at(0), "exp": at(86_401)}), Some("lifetime")),
        (json!({"iat": at(0), "exp": u64::MAX}), Some("claims")),
        (json!({"iat": 0, "exp": at(300)}), Some("lifetime")),
    ] {
        let token = RSA.token(&world.claims_but(times.clone()));
        match fault {
            None => drop(world.exchange(&token).await.key()),
            Some(fault) => world.assert_refused(&token, Some(fault)).await,
        }
    }
    for times in [
        json!({"exp": "tomorrow"}),
        json!({"exp": at(300).to_string()}),
        json!({"exp": 1e30}),
        json!({"exp": -1}),
        json!({"exp": at(300) as f64 + 0.5}),
        json!({"iat": "now"}),
        json!({"nbf": "now"}),
        json!({"nbf": {}}),
    ] {
        world
            .assert_refused(&RSA.token(&world.claims_but(times)), Some("claims"))
            .await;
    }
}

#[tokio::test]
async fn what_is_not_good_yet_can_become_so_and_what_has_expired_cannot() {
    let world = World::new();
    let early = RSA.token(&world.claims_but(json!({"nbf": later(&world, 90)})));
    world.assert_refused(&early, Some("token-not-yet-good")).await;
    world.clock.advance(Duration::from_secs(60));
    world.exchange(&early).await.key();

    let late = world.token();
    world.clock.advance(Duration::from_secs(330));
    world.assert_refused(&late, Some("token-expired")).await;
    // Once is enough: what can never be good again costs nothing.
    world.assert_refused(&late, None).await;
}

#[tokio::test]
async fn a_token_is_remembered_for_as_long_as_it_could_be_brought_again_and_then_forgotten() {
    let world = World::new();
    let claims = world.claims();
    world.exchange(&RSA.token(&claims)).await.key();
    world.clock.advance(Duration::from_secs(329));
    world.keys.prune(Duration::ZERO).await.expect("pruned");
    world
        .assert_refused(&EC.token(&claims), Some("token-spent"))
        .await;
    // Past its time it is refused for its age, whether it is remembered or not.
    world.clock.advance(Duration::from_secs(1 + 60 * 60));
    let but_for_a_little = json!({"sub": "x"});
    let mut same = claims.clone();
    same["sub"] = but_for_a_little["sub"].clone();
    world.assert_refused(&RSA.token(&same), Some("token-spent")).await;
    world.clock.advance(Duration::from_secs(1));
    world.keys.prune(Duration::ZERO).await.expect("pruned");
    same["sub"] = json!("y");
    world
        .assert_refused(&RSA.token(&same), Some("token-expired"))
        .await;
}
