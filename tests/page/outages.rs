//! The page while the store cannot be reached.

use crate::{
    people::{alice, post_form, setup},
    place::{FROM_HERE, listed, token},
    support::{http::Response, server::Server},
};

/// That the form is back as it was filled in, to be sent again.
fn assert_kept(answer: &Response, token: &str) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some("1"), "{answer:?}");
    for kept in [
        &format!("name=\"token\" value=\"{token}\""),
        "name=\"name\" value=\"ci\"",
        "value=\"issues:read\" checked",
        "value=\"30\" checked",
        "10.0.0.0/8</textarea>",
        "The keys cannot be reached",
        "a form that is sent again makes no second key",
    ] {
        assert!(answer.body.contains(kept), "{kept}: {answer:?}");
    }
    assert!(
        !answer.body.contains("The key was not created"),
        "nobody knows: {answer:?}"
    );
}

/// A form of alice's for a key, to be sent as often as need be; and its token.
fn filled_in(server: &Server) -> (String, String, impl Fn() -> Response) {
    let cookie = alice(server);
    let token = token(server, &cookie);
    let form = format!("token={token}&name=ci&scopes=issues:read&expires=30&allowed_ips=10.0.0.0/8");
    let sender = cookie.clone();
    let send = move || post_form(server, "/keys/new", &[&sender, FROM_HERE], &form);
    (cookie, token, send)
}

#[test]
fn a_form_that_met_an_outage_is_kept_and_makes_one_key_when_it_is_sent_again() {
    let setup = setup();
    let server = setup.start();
    let database = setup.database();
    let (cookie, token, sent) = filled_in(&server);

    database.sql("ALTER TABLE api_keys RENAME TO gone".into());
    assert_kept(&sent(), &token);
    assert_kept(&sent(), &token);
    // A form cannot be had meanwhile: it carries the time of the store.
    let new = server.get("/keys/new", &[&cookie]);
    assert_eq!(
        (new.status, new.header("retry-after")),
        (503, Some("1")),
        "{new:?}"
    );
    database.sql("ALTER TABLE gone RENAME TO api_keys".into());

    let made = sent();
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(sent().status, 409);
    assert_eq!(listed(&server.get("/keys", &[&cookie]).body), [&token[..36]]);
}

/// The answer of the store may be late rather than lost: whether there is a key is not known then.
#[test]
fn a_form_whose_answer_was_late_makes_one_key_when_it_is_sent_again() {
    let setup = setup();
    let server = setup.start();
    let database = setup.database();
    let (cookie, token, sent) = filled_in(&server);
    let lock = database.lock();
    assert_kept(&sent(), &token);
    drop(lock);
    let again = sent();
    assert!([201, 409].contains(&again.status), "{again:?}");
    assert_eq!(sent().status, 409);
    assert_eq!(listed(&server.get("/keys", &[&cookie]).body), [&token[..36]]);
}
