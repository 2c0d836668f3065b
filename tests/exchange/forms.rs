//! What is no request for a key at all.

use axum::body::Body;
use http::{Request, header::CONTENT_TYPE};

use crate::world::{AUDIENCE, GRANT, ID_TOKEN, World, form};

#[tokio::test]
async fn a_form_that_cannot_be_meant_is_told_so() {
    let world = World::new();
    let token = world.token();
    let subject = ("subject_token", token.as_str());
    for (fields, error) in [
        (&[][..], "invalid_request"),
        (&[subject, ID_TOKEN], "invalid_request"),
        (&[("grant_type", ""), subject, ID_TOKEN], "invalid_request"),
        (
            &[("grant_type", "client_credentials"), subject, ID_TOKEN],
            "unsupported_grant_type",
        ),
        (
            &[("grant_type", "token-exchange"), subject, ID_TOKEN],
            "unsupported_grant_type",
        ),
        (&[GRANT, ID_TOKEN], "invalid_request"),
        (&[GRANT, subject], "invalid_request"),
        (&[GRANT, ("subject_token", ""), ID_TOKEN], "invalid_request"),
        (
            &[
                GRANT,
                subject,
                (
                    "subject_token_type",
                    "urn:ietf:params:oauth:token-type:access_token",
                ),
            ],
            "invalid_request",
        ),
        (
            &[
                GRANT,
                subject,
                ("subject_token_type", "urn:ietf:params:oauth:token-type:saml2"),
            ],
            "invalid_request",
        ),
        (
            &[GRANT, subject, ("subject_token_type", "jwt")],
            "invalid_request",
        ),
        (
            &[
                GRANT,
                subject,
                ID_TOKEN,
                (
                    "requested_token_type",
                    "urn:ietf:params:oauth:token-type:refresh_token",
                ),
            ],
            "invalid_request",
        ),
        (
            &[GRANT, subject, ID_TOKEN, ("actor_token", "x")],
            "invalid_request",
        ),
        (
            &[GRANT, subject, ID_TOKEN, ("actor_token_type", "x")],
            "invalid_request",
        ),
        (&[GRANT, GRANT, subject, ID_TOKEN], "invalid_request"),
        (&[GRANT, subject, subject, ID_TOKEN], "invalid_request"),
        (&[GRANT, subject, ID_TOKEN, ID_TOKEN], "invalid_request"),
        (
            &[
                GRANT,
                subject,
                ID_TOKEN,
                ("audience", AUDIENCE),
                ("audience", AUDIENCE),
            ],
            "invalid_request",
        ),
        (
            &[GRANT, subject, ID_TOKEN, ("scope", ""), ("scope", "issues:read")],
            "invalid_request",
        ),
        (
            &[GRANT, subject, ID_TOKEN, ("unknown", "1"), ("unknown", "2")],
            "invalid_request",
        ),
    ] {
        let answer = world.post(&form(fields)).await;
        answer.assert_error(400, error);
        assert!(!answer.text.contains(&token), "{answer:?}");
    }
    for body in ["subject_token=%ff&%zz", "&&&=", "{}", "grant_type"] {
        world.post(body).await.assert_error(400, "invalid_request");
    }
    assert_eq!(world.key_count().await, 0);
    assert_eq!(world.issuer.asked(), 0, "nobody had to be asked for that");
    // What is not known is ignored (RFC 6749, section 3.2).
    let more = [
        (
            "requested_token_type",
            "urn:ietf:params:oauth:token-type:access_token",
        ),
        ("client_id", "x"),
    ];
    world.exchange_for(&token, &more).await.key();
}

#[tokio::test]
async fn a_body_that_is_no_form_or_too_large_is_not_read() {
    let world = World::new();
    let body = form(&[GRANT, ID_TOKEN, ("subject_token", &world.token())]);
    for content_type in [
        None,
        Some("application/json"),
        Some("text/plain"),
        Some("multipart/form-data"),
        Some(""),
    ] {
        let mut request = Request::post("/token");
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let request = request.body(Body::from(body.clone())).expect("a request");
        world.send(request).await.assert_error(415, "invalid_request");
    }
    let large = format!("{body}&padding={}", "x".repeat(32 * 1024));
    world.post(&large).await.assert_error(413, "invalid_request");
    let with_charset =
        Request::post("/token").header(CONTENT_TYPE, "Application/X-WWW-Form-Urlencoded; charset=UTF-8");
    world
        .send(with_charset.body(Body::from(body)).expect("a request"))
        .await
        .key();
}

#[tokio::test]
async fn no_key_is_asked_for_and_none_is_read() {
    let world = World::new();
    for field in ["Bearer ak_bad", "Basic eDp5", "ApiKey x", "Bearer"] {
        let body = form(&[GRANT, ID_TOKEN, ("subject_token", &world.token())]);
        let request = Request::post("/token")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("Authorization", field)
            .header("X-Key", "ak_bad");
        world
            .send(request.body(Body::from(body)).expect("a request"))
            .await
            .key();
    }
    let key = world.exchange(&world.token()).await.key();
    // Nor is a good one, beside a token that is not.
    let body = form(&[GRANT, ID_TOKEN, ("subject_token", "x.y.z")]);
    let request = Request::post("/token")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header("Authorization", format!("Bearer {key}"));
    let refused = world
        .send(request.body(Body::from(body)).expect("a request"))
        .await;
    refused.assert_error(400, "invalid_grant");
}

#[tokio::test]
async fn other_methods_are_told_which_there_is() {
    let world = World::new();
    for method in ["GET", "PUT", "DELETE", "PATCH"] {
        let request = Request::builder()
            .method(method)
            .uri("/token")
            .body(Body::empty());
        let refused = world.send(request.expect("a request")).await;
        assert_eq!(
            (refused.status, refused.headers["allow"].as_str()),
            (405, "POST"),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_form_of_very_many_fields_is_refused_before_they_are_compared() {
    let world = World::new();
    let token = world.token();
    let good = form(&[GRANT, ID_TOKEN, ("subject_token", &token)]);
    let others = |count: usize| (0..count).map(|i| format!("&x{i}")).collect::<String>();
    let answer = world.post(&format!("{good}{}", others(30))).await;
    answer.assert_error(400, "invalid_request");
    assert!(answer.text.contains("too many fields"), "{answer:?}");
    world.post(&format!("{good}{}", others(29))).await.key();
}
