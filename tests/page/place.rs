//! A demo server with a user who is logged in, by hand or with a browser.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{
    browser::{Browser, Start, is_here},
    people::{PASSWORD, setup},
    support::server::Server,
};

/// What a browser says of a request that comes from the page itself.
pub(crate) const FROM_HERE: &str = "Sec-Fetch-Site: same-origin";

/// One browser at a time: they are heavy.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server, and a browser in which Alice is logged in and sees her keys. `None` where there is no browser.
pub(crate) fn visit(start: &Start) -> Option<(Server, Browser)> {
    if !is_here() {
        return None;
    }
    let server = setup().start();
    let browser = Browser::with(start);
    log_in(&server, &browser);
    Some((server, browser))
}

pub(crate) fn log_in(server: &Server, browser: &Browser) {
    browser.open(&at(server, "/login"));
    browser.fill("#user", "alice");
    browser.fill("#password", PASSWORD);
    browser.follow("button.primary");
    assert_eq!(browser.url(), at(server, "/keys"));
}

pub(crate) fn at(server: &Server, path: &str) -> String {
    format!("http://{}{path}", server.address)
}

/// Fills in the form for a new key and sends it.
pub(crate) fn create(server: &Server, browser: &Browser, name: &str) {
    browser.open(&at(server, "/keys/new"));
    browser.fill("#name", name);
    browser.click("input[value='issues:read']");
    browser.follow("form .primary");
}

/// What stands between two texts.
pub(crate) fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let rest = text
        .split_once(before)
        .unwrap_or_else(|| panic!("no {before} in {text}"))
        .1;
    rest.split_once(after)
        .unwrap_or_else(|| panic!("no {after} in {rest}"))
        .0
}

/// The reservation in a form for a new key.
pub(crate) fn token(server: &Server, cookie: &str) -> String {
    let form = server.get("/keys/new", &[cookie]);
    assert_eq!(form.status, 200, "{form:?}");
    between(&form.body, "name=\"token\" value=\"", "\"").to_owned()
}

/// A key in the clear in an answer.
pub(crate) fn key_in(html: &str) -> String {
    between(html, "class=\"mono\" value=\"", "\"").to_owned()
}

/// The ids of the keys that a list shows, in its order.
pub(crate) fn listed(html: &str) -> Vec<String> {
    let rows = html.split("<th scope=\"row\"><a href=\"/keys/").skip(1);
    rows.map(|row| row[..36].to_owned()).collect()
}
