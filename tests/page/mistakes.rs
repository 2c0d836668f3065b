//! Forms that cannot be meant.

use crate::{
    forms::minted,
    people::{alice, post_form, setup},
    place::{FROM_HERE, listed, token},
};

#[test]
fn what_cannot_be_meant_is_told_beside_its_field_and_makes_nothing() {
    let server = setup().start();
    let cookie = alice(&server);
    for (form, status, complaint) in [
        ("name=&scopes=issues:read", 400, "A name is 1 to 100 characters"),
        (
            "name=%20%20&scopes=issues:read",
            400,
            "A name is 1 to 100 characters",
        ),
        (
            "name=a%E2%80%AEb&scopes=issues:read",
            400,
            "A name is 1 to 100 characters",
        ),
        ("name=ci", 400, "Pick at least one scope"),
        ("name=ci&scopes=%22", 400, "A scope is 1 to 128"),
        ("name=ci&scopes=keys:admin", 403, "more than you may give"),
        ("name=ci&scopes=issues:*", 403, "more than you may give"),
        (
            "name=ci&scopes=issues:read&resources=agent",
            400,
            "A resource is kind:name",
        ),
        (
            "name=ci&scopes=issues:read&expires=date",
            400,
            "The expiry must be",
        ),
        (
            "name=ci&scopes=issues:read&expires=date&date=2020-01-01",
            400,
            "The expiry must be",
        ),
        ("name=ci&scopes=issues:read&expires=-1", 400, "The expiry must be"),
        (
            "name=ci&scopes=issues:read&expires=18446744073709551615",
            400,
            "The expiry must be",
        ),
        (
            "name=ci&scopes=issues:read&allowed_ips=1.2.3.4/33",
            400,
            "at most 100 addresses",
        ),
        (
            "name=ci&scopes=issues:read&rate_limit=fast",
            400,
            "A limit is a number",
        ),
    ] {
        let token = token(&server, &cookie);
        let expires = if form.contains("expires=") {
            ""
        } else {
            "&expires=never"
        };
        let sent = format!("token={token}&{form}{expires}");
        let answer = post_form(&server, "/keys/new", &[&cookie, FROM_HERE], &sent);
        assert_eq!(answer.status, status, "{form}: {answer:?}");
        assert!(answer.body.contains(complaint), "{form}: {answer:?}");
        assert!(
            answer.body.contains(&format!("value=\"{token}\"")),
            "{form}: it can be sent again"
        );
    }
    assert!(listed(&server.get("/keys?status=all", &[&cookie]).body).is_empty());

    let no_form = server.exchange(&crate::support::http::json_request(
        "POST",
        "/keys/new",
        &[&cookie, FROM_HERE],
        "{}",
    ));
    assert_eq!(no_form.status, 415, "{no_form:?}");
    let large = post_form(
        &server,
        "/keys/new",
        &[&cookie, FROM_HERE],
        &format!("name={}", "a".repeat(70_000)),
    );
    assert_eq!(large.status, 413, "{large:?}");
}

#[test]
fn what_is_said_twice_or_not_at_all_is_not_taken_for_nothing() {
    let server = setup().start();
    let cookie = alice(&server);
    for (form, complaint) in [
        // Everything but the name would make a key that is good for ever, or without a limit.
        ("name=ci&scopes=issues:read", "Say when the key expires"),
        ("name=ci&scopes=issues:read&expires=", "Say when the key expires"),
        ("name=ci&scopes=issues:read&expires=7&expires=7", "came twice"),
        (
            "name=ci&scopes=issues:read&expires=date&date=2031-01-01&date=2032-01-01",
            "came twice",
        ),
        (
            "name=ci&scopes=issues:read&expires=7&rate_limit=1/1m&rate_limit=1/1m",
            "came twice",
        ),
        ("name=ci&name=ci&scopes=issues:read&expires=7", "came twice"),
        ("name=ci&scopes=issues:read&expires=7&expires=never", "came twice"),
    ] {
        let token = token(&server, &cookie);
        let sent = format!("token={token}&{form}");
        let answer = post_form(&server, "/keys/new", &[&cookie, FROM_HERE], &sent);
        assert_eq!(answer.status, 400, "{form}: {answer:?}");
        assert!(
            answer.body.contains(complaint) && answer.body.contains("class=\"wrong\""),
            "{form}: {answer:?}"
        );
        assert!(answer.body.contains(&format!("value=\"{token}\"")), "{form}");
    }
    // Nor is one of two reservations picked.
    let (one, other) = (token(&server, &cookie), token(&server, &cookie));
    let sent = format!("token={one}&token={other}&name=ci&scopes=issues:read&expires=7");
    assert_eq!(
        post_form(&server, "/keys/new", &[&cookie, FROM_HERE], &sent).status,
        409
    );
    assert!(listed(&server.get("/keys?status=all", &[&cookie]).body).is_empty());

    let (id, key) = minted(&server, &cookie, "");
    let sent = |verb: &str, form: &str| {
        post_form(
            &server,
            &format!("/keys/{id}/{verb}"),
            &[&cookie, FROM_HERE],
            form,
        )
    };
    for overlap in [
        "overlap=0&overlap=0",
        "overlap=abc",
        "overlap=",
        "overlap=-1",
        "overlap=2592001",
    ] {
        let answer = sent("rotate", overlap);
        assert_eq!(answer.status, 400, "{overlap}: {answer:?}");
    }
    assert_eq!(sent("rename", "name=a&name=b").status, 400);
    let seen = server.get("/api/v1/whoami", &[&format!("X-Key: {key}")]).json();
    assert_eq!(seen["name"], "ci");
    // Not to say for how long is to leave it at a day.
    assert_eq!(sent("rotate", "").status, 201);
}
