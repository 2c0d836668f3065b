//! A demo server with users who log in, and what a browser keeps of it.

use crate::support::{
    http::{Response, with_body},
    server::{Server, Setup},
};

pub(crate) const PASSWORD: &str = "correct-horse-battery";

pub(crate) fn setup() -> Setup {
    Setup::with_external_key().arguments(&["--user", "alice:correct-horse-battery", "--user", "bob:pa:ss"])
}

pub(crate) fn login(server: &Server, user: &str, password: &str) -> Response {
    post_form(server, "/login", &[], &format!("user={user}&password={password}"))
}

pub(crate) fn post_form(server: &Server, target: &str, fields: &[&str], form: &str) -> Response {
    let form_type = ["Content-Type: application/x-www-form-urlencoded"];
    server.exchange(&with_body(
        "POST",
        target,
        &[fields, &form_type].concat(),
        Some(form),
    ))
}

/// The field that a browser sends for a cookie it was given.
pub(crate) fn cookie(response: &Response) -> String {
    let set = response.header("set-cookie").expect("a cookie");
    format!("Cookie: {}", set.split(';').next().expect("a pair"))
}

/// A session of this user, as the field of its cookie.
pub(crate) fn session(server: &Server, user: &str, password: &str) -> String {
    let response = login(server, user, password);
    assert_eq!(response.status, 204, "{response:?}");
    cookie(&response)
}

pub(crate) fn alice(server: &Server) -> String {
    session(server, "alice", PASSWORD)
}
