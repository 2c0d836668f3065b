//! Keys of others.

use crate::{
    forms::minted,
    people::{alice, post_form, session, setup},
    place::{FROM_HERE, between, key_in, listed},
};

#[test]
fn nobody_sees_or_changes_the_keys_of_others_unless_they_administrate() {
    let server = setup().start();
    let (cookie, other) = (alice(&server), session(&server, "bob", "pa:ss"));
    let (id, key) = minted(&server, &cookie, "");
    let missing = server.get("/keys/01a225f0-548f-7770-8012-42b3c97c34a0", &[&other]);
    assert_eq!(missing.status, 404, "{missing:?}");
    for path in [
        format!("/keys/{id}"),
        format!("/keys/{id}/revoke"),
        format!("/keys/{id}/rotate"),
        "/keys/x".to_owned(),
    ] {
        let theirs = server.get(&path, &[&other]);
        assert_eq!((theirs.status, &theirs.body), (404, &missing.body), "{path}");
    }
    for verb in ["revoke", "rotate", "disable", "rename"] {
        let answer = post_form(
            &server,
            &format!("/keys/{id}/{verb}"),
            &[&other, FROM_HERE],
            "name=mine",
        );
        assert_eq!((answer.status, &answer.body), (404, &missing.body), "{verb}");
    }
    assert!(listed(&server.get("/keys?status=all", &[&other]).body).is_empty());
    assert_eq!(
        server.get("/api/v1/whoami", &[&format!("X-Key: {key}")]).status,
        200
    );

    let all = server.get("/keys", &["X-Key: external-key-of-the-tests-0123"]);
    assert!(
        all.body.contains("<bdi>alice</bdi>") && listed(&all.body) == [id.as_str()],
        "{all:?}"
    );
    // A key that may only read has nothing to press.
    let reader = server
        .send_json(
            "POST",
            "/api/v1/keys",
            r#"{"name":"reader","scopes":["keys:read"]}"#,
        )
        .json();
    let reader = format!("X-Key: {}", reader["key"].as_str().expect("a key"));
    let list = server.get("/keys", &[&reader]);
    assert!(list.status == 200 && !list.body.contains("/keys/new"), "{list:?}");
    let new = server.get("/keys/new", &[&reader]);
    assert_eq!(new.status, 403, "{new:?}");
    assert_eq!(post_form(&server, "/keys/new", &[&reader], "").status, 403);
}

#[test]
fn the_other_key_of_a_rotation_and_what_happened_to_a_key_are_its_owners() {
    let setup = setup();
    let server = setup.start();
    let (cookie, other) = (alice(&server), session(&server, "bob", "pa:ss"));
    let (old, _) = minted(&server, &cookie, "");
    let rename = format!("/keys/{old}/rename");
    let named = post_form(&server, &rename, &[&cookie, FROM_HERE], "name=of-the-old-one");
    assert_eq!(named.status, 303, "{named:?}");
    let rotated = post_form(
        &server,
        &format!("/keys/{old}/rotate"),
        &[&cookie, FROM_HERE],
        "overlap=3600",
    );
    assert_eq!(rotated.status, 201, "{rotated:?}");
    let new = between(&rotated.body, "data-after=\"/keys/", "\"").to_owned();
    let shown = |id: &str, cookie: &str| server.get(&format!("/keys/{id}"), &[cookie]);
    assert!(shown(&new, &cookie).body.contains(&old));

    // Events of others, by whatever way there is to ask for them.
    let missing = server.get("/keys/01a225f0-548f-7770-8012-42b3c97c34a0", &[&other]);
    for query in ["", "?before=1000000", "?before=-1", "?done=revoked"] {
        let theirs = server.get(&format!("/keys/{old}{query}"), &[&other]);
        assert_eq!((theirs.status, &theirs.body), (404, &missing.body), "{query}");
    }
    let events = server.get(&format!("/api/v1/keys/{old}/events"), &[&other]);
    assert_eq!(events.status, 404, "{events:?}");

    // From here on the old one is Bob's: whoever has the new one knows of no other, and Bob of nothing that happened to his before.
    setup.database().sql(format!(
        "UPDATE api_keys SET owner = 'bob', name = 'secret-plan' WHERE id = '{old}'"
    ));
    let seen = shown(&new, &cookie);
    assert_eq!(seen.status, 200, "{seen:?}");
    for text in ["secret-plan", &old, "id=\"rotation\""] {
        assert!(!seen.body.contains(text), "{text}: {seen:?}");
    }
    assert_eq!(shown(&old, &cookie).status, 404);
    let seen = shown(&old, &other);
    assert!(
        seen.status == 200 && !seen.body.contains(&new) && !seen.body.contains("of-the-old-one"),
        "{seen:?}"
    );
    let revoked = post_form(&server, &format!("/keys/{new}/revoke"), &[&other, FROM_HERE], "");
    assert_eq!(revoked.status, 404, "{revoked:?}");
    assert_eq!(
        server
            .get("/api/v1/whoami", &[&format!("X-Key: {}", key_in(&rotated.body))])
            .status,
        200
    );
}
