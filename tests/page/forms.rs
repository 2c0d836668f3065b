//! What forms do, and when they do nothing.

use crate::{
    people::{alice, post_form, session, setup},
    place::{FROM_HERE, key_in, listed, token},
    support::server::Server,
};

/// The id of a key of whoever is logged in, and the key.
pub(crate) fn minted(server: &Server, cookie: &str, more: &str) -> (String, String) {
    let expires = if more.contains("expires=") {
        ""
    } else {
        "&expires=never"
    };
    let form = format!(
        "token={}&name=ci&scopes=issues:read{expires}{more}",
        token(server, cookie)
    );
    let answer = post_form(server, "/keys/new", &[cookie, FROM_HERE], &form);
    assert_eq!(answer.status, 201, "{answer:?}");
    let id = form[6..42].to_owned();
    (id, key_in(&answer.body))
}

#[test]
fn a_form_makes_one_key_however_often_it_is_sent() {
    let server = setup().start();
    let cookie = alice(&server);
    let token = token(&server, &cookie);
    let form = format!("token={token}&name=ci&scopes=issues:read&scopes=issues:write&expires=30");
    let answer = post_form(&server, "/keys/new", &[&cookie, FROM_HERE], &form);
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    let key = key_in(&answer.body);
    let known = server.get("/api/v1/whoami", &[&format!("X-Key: {key}")]);
    assert_eq!(known.json()["owner"], "alice");
    assert_eq!(
        known.json()["scopes"],
        serde_json::json!(["issues:read", "issues:write"])
    );
    assert_eq!(known.json()["key_id"], token[..36]);

    for again in [form.clone(), form.replace("name=ci", "name=other")] {
        let answer = post_form(&server, "/keys/new", &[&cookie, FROM_HERE], &again);
        assert_eq!(answer.status, 409, "{answer:?}");
        assert!(answer.body.contains("This key was made already"), "{answer:?}");
        assert!(
            !answer.body.contains(&key) && !answer.body.contains("class=\"mono\""),
            "{answer:?}"
        );
    }
    let list = server.get("/keys", &[&cookie]);
    assert_eq!(listed(&list.body), [token[..36].to_owned()]);
    assert!(!list.body.contains(&key[8..]), "{list:?}");
    let one = server.get(&format!("/keys/{}", &token[..36]), &[&cookie]);
    assert_eq!(one.status, 200, "{one:?}");
    assert!(!one.body.contains(&key[8..]), "{one:?}");
}

#[test]
fn a_form_that_is_sent_to_two_processes_makes_one_key() {
    let setup = setup();
    let (one, other) = (setup.start(), setup.start());
    let token = token(&one, &alice(&one));
    let form = format!("token={token}&name=ci&scopes=issues:read&expires=never");
    let sent = |server: &Server| post_form(server, "/keys/new", &[&alice(server), FROM_HERE], &form);
    assert_eq!(sent(&other).status, 201);
    let again = sent(&one);
    assert_eq!(again.status, 409, "{again:?}");
    assert!(again.body.contains("This key was made already"), "{again:?}");
}

#[test]
fn a_reservation_is_good_for_whom_it_was_made_and_as_it_was_made() {
    let server = setup().start();
    let (cookie, other) = (alice(&server), session(&server, "bob", "pa:ss"));
    let token = token(&server, &cookie);
    let last = if token.ends_with('0') { "1" } else { "0" };
    let forged = format!("{}{last}", &token[..token.len() - 1]);
    let bare = &token[..36];
    for (cookie, token) in [
        (&other, token.as_str()),
        (&cookie, &forged),
        (&cookie, bare),
        (&cookie, ""),
        (&cookie, "x.y"),
    ] {
        let form = format!("token={token}&name=ci&scopes=issues:read&expires=never");
        let answer = post_form(&server, "/keys/new", &[cookie, FROM_HERE], &form);
        assert_eq!(answer.status, 409, "{token}: {answer:?}");
        assert!(answer.body.contains("This form had expired"), "{answer:?}");
        // What was filled in is still there.
        assert!(answer.body.contains("name=\"name\" value=\"ci\""), "{answer:?}");
    }
    assert!(listed(&server.get("/keys?status=all", &[&cookie]).body).is_empty());
}

#[test]
fn limits_and_resources_are_the_key_s() {
    let server = setup().start();
    let cookie = alice(&server);
    let more = "&resources=agent:alpha%0D%0Aagent:b*&allowed_ips=10.0.0.0/8%0A127.0.0.1&rate_limit=5/1m&expires=date&date=2031-02-03";
    let (id, key) = minted(&server, &cookie, more);
    let seen = server.get(&format!("/api/v1/keys/{id}"), &[&cookie]).json();
    assert_eq!(seen["resources"], serde_json::json!(["agent:alpha", "agent:b*"]));
    assert_eq!(
        seen["allowed_ips"],
        serde_json::json!(["10.0.0.0/8", "127.0.0.1"])
    );
    assert_eq!(seen["rate_limit"], "5/1m");
    assert_eq!(seen["expires_at"], "2031-02-04T00:00:00.000Z");
    assert_eq!(
        server.get("/api/v1/whoami", &[&format!("X-Key: {key}")]).status,
        200
    );
}

#[test]
fn a_key_is_renamed_switched_off_and_on_rotated_once_and_revoked() {
    let server = setup().start();
    let cookie = alice(&server);
    let (id, key) = minted(&server, &cookie, "");
    let field = format!("X-Key: {key}");
    let whoami = || server.get("/api/v1/whoami", &[&field]).status;
    let form = |verb: &str, form: &str| {
        post_form(
            &server,
            &format!("/keys/{id}/{verb}"),
            &[&cookie, FROM_HERE],
            form,
        )
    };

    let renamed = form("rename", "name=deploy");
    assert_eq!(
        (renamed.status, renamed.header("location")),
        (303, Some(&*format!("/keys/{id}?done=renamed")))
    );
    assert_eq!(form("rename", "name=").status, 400);
    assert_eq!(form("disable", "").status, 303);
    assert_eq!(whoami(), 401);
    assert_eq!(form("rotate", "overlap=60").status, 409);
    assert_eq!(form("enable", "").status, 303);
    assert_eq!(whoami(), 200);

    let rotated = form("rotate", "overlap=3600");
    assert_eq!(rotated.status, 201, "{rotated:?}");
    assert_eq!(rotated.header("cache-control"), Some("no-store"));
    let successor = format!("X-Key: {}", key_in(&rotated.body));
    assert_eq!(
        (
            whoami(),
            server.get("/api/v1/whoami", &[&successor]).json()["name"].clone()
        ),
        (200, "deploy".into())
    );
    let again = form("rotate", "overlap=3600");
    assert_eq!(again.status, 409, "{again:?}");
    assert!(!again.body.contains("class=\"mono\""), "{again:?}");
    let seen = server.get(&format!("/keys/{id}"), &[&cookie]);
    for text in [
        "Old key",
        "New key",
        "Whether that was since then is not known yet.",
        "Rotated",
        "Renamed",
        "ci to deploy",
    ] {
        assert!(text == "Renamed" || seen.body.contains(text), "{text}: {seen:?}");
    }

    let revoked = form("revoke", "");
    assert_eq!(
        (revoked.status, revoked.header("location")),
        (303, Some(&*format!("/keys/{id}?done=revoked")))
    );
    assert_eq!(
        (whoami(), server.get("/api/v1/whoami", &[&successor]).status),
        (401, 200)
    );
    assert_eq!(form("revoke", "").status, 303, "again is the same as once");
    assert_eq!(form("enable", "").status, 409);
    for form in ["revoke", "rotate"] {
        let over = server.get(&format!("/keys/{id}/{form}"), &[&cookie]);
        assert_eq!(over.header("location"), Some(&*format!("/keys/{id}")), "{over:?}");
    }
    let seen = server.get(&format!("/keys/{id}"), &[&cookie]);
    assert!(
        seen.body.contains("badge revoked") && !seen.body.contains("/revoke\""),
        "{seen:?}"
    );
    // Nobody waits for a revoked key to expire.
    assert!(seen.body.contains("<dt>Revoked</dt>"), "{seen:?}");
    let list = server.get("/keys?status=revoked", &[&cookie]);
    assert!(
        list.body
            .contains("data-label=\"Expires\"><span class=\"dim\">–</span>"),
        "{list:?}"
    );
}
