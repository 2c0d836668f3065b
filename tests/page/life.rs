//! The life of a key, by clicks.

use crate::{
    browser::{Browser, Start},
    place::{alone, at, create, visit},
    support::server::Server,
};

fn quiet(browser: &Browser) {
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

fn status(server: &Server, key: &str) -> u16 {
    server
        .get("/api/v1/whoami", &[&format!("Authorization: Bearer {key}")])
        .status
}

/// Nowhere in the document, the address, or what a page can keep.
fn assert_gone(browser: &Browser, key: &str) {
    assert!(!browser.source().contains(key), "it is in the document");
    assert!(!browser.url().contains(key), "it is in the address");
    let kept = browser.run(
        "return JSON.stringify([{...localStorage}, {...sessionStorage}, history.state, document.cookie, window.name, \
         [...document.querySelectorAll('input,textarea')].map(i => i.value)])",
    );
    assert!(!kept.as_str().expect("a text").contains(key), "{kept}");
}

#[test]
fn created_copied_used_rotated_and_revoked() {
    let _alone = alone();
    let Some((server, browser)) = visit(&Start::default()) else {
        return;
    };
    assert_eq!(browser.title(), "Issue tracker");
    assert!(browser.text("main").contains("No active keys"));
    browser.devtools(
        "Browser.grantPermissions",
        &serde_json::json!({ "origin": at(&server, ""), "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] }),
    );

    create(&server, &browser, "deploy workflow");
    let key = browser.value("#key");
    assert!(key.starts_with("ak_") && key.len() == 52, "{key}");
    assert_eq!(status(&server, &key), 200);
    // The address is that of the key by now: a reload is one of that.
    assert!(!browser.url().ends_with("/new"), "{}", browser.url());
    browser.click("[data-copy=key]");
    let copied = browser.run_async(
        "const done = arguments[0]; navigator.clipboard.readText().then(done, e => done(String(e)))",
    );
    assert_eq!(copied, key.as_str());
    assert!(browser.text("[data-copy=key]").contains("Copied"));
    let curl = browser.text("#curl");
    assert_eq!(
        curl,
        format!(
            "curl -H \"Authorization: Bearer $TRACKER_KEY\" \\\n  {}",
            at(&server, "/api/v1/whoami")
        )
    );
    assert_eq!(browser.text("#file"), format!("TRACKER_KEY={key}"));
    quiet(&browser);

    browser.reload();
    browser.accept_alert();
    assert_gone(&browser, &key);
    assert!(
        browser.text("h1").contains("deploy workflow"),
        "{}",
        browser.text("main")
    );
    browser.back();
    assert_gone(&browser, &key);
    browser.forward();
    browser.accept_alert();
    assert_gone(&browser, &key);
    assert_eq!(status(&server, &key), 200);
    browser.open(&at(&server, "/keys"));
    assert_eq!(
        browser.run("return document.querySelectorAll('tbody tr').length"),
        1,
        "no second key was made"
    );
    quiet(&browser);

    browser.follow("tbody th a");
    browser.follow("a[href$='/rotate']");
    browser.follow("form .primary");
    let successor = browser.value("#key");
    assert_ne!(successor, key);
    assert_eq!((status(&server, &key), status(&server, &successor)), (200, 200));
    browser.follow(".actions .primary");
    assert!(
        browser.text("main").contains("Rotation"),
        "{}",
        browser.text("main")
    );
    assert_gone(&browser, &successor);
    browser.back();
    browser.accept_alert();
    assert_gone(&browser, &successor);
    quiet(&browser);

    // The old one, by its dialog.
    browser.open(&at(&server, "/keys"));
    browser.follow("tbody tr:last-child th a");
    browser.click("[data-dialog=revoke]");
    assert_eq!(browser.property("#revoke", "open"), true);
    assert!(browser.text("#revoke").contains("This cannot be undone"));
    browser.click("#revoke [data-close]");
    assert_eq!(browser.property("#revoke", "open"), false);
    assert_eq!(status(&server, &key), 200);
    browser.click("[data-dialog=revoke]");
    browser.follow("#revoke .solid");
    assert!(
        browser.text("main").contains("The key is revoked"),
        "{}",
        browser.text("main")
    );
    assert_eq!((status(&server, &key), status(&server, &successor)), (401, 200));
    quiet(&browser);
}

#[test]
fn whoever_signs_out_leaves_no_page_to_go_back_to() {
    let _alone = alone();
    let Some((server, browser)) = visit(&Start::default()) else {
        return;
    };
    create(&server, &browser, "night build");
    browser.follow(".actions .primary");
    browser.follow(".crumbs a");
    assert!(browser.text("tbody").contains("night build"));
    browser.follow(".out button");
    assert_eq!(browser.url(), at(&server, "/login"));
    quiet(&browser);
    for _ in 0..2 {
        browser.back();
        assert!(
            browser.has("a[href='/login']") && !browser.source().contains("night build"),
            "{}",
            browser.source()
        );
    }
}

#[test]
fn leaving_wipes_the_key_also_where_the_page_is_kept_to_go_back_to() {
    let _alone = alone();
    let Some((server, browser)) = visit(&Start::default()) else {
        return;
    };
    create(&server, &browser, "short-lived");
    let key = browser.value("#key");
    // What the browser says of a page that it keeps: this one keeps none for long enough to be asked.
    browser.run("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))");
    assert_gone(&browser, &key);
    assert!(browser.text("#file").contains("no longer on this page"));
    browser.leave(|| {
        browser.run("location.href = '/keys'");
    });
    assert!(browser.text("h1").contains("API keys"));
    browser.leave(|| {
        browser.run("history.go(-1)");
    });
    browser.accept_alert();
    assert!(
        browser.text("h1").contains("short-lived"),
        "the page of the key: {}",
        browser.text("main")
    );
    assert_gone(&browser, &key);
    quiet(&browser);

    // One that was kept after all, and is shown again as it was, goes to the page of its key by itself.
    create(&server, &browser, "kept");
    let kept = browser.value("#key");
    let stays = browser.run(
        "dispatchEvent(new PageTransitionEvent('pageshow', { persisted: false })); return document.getElementById('key').value",
    );
    assert_eq!(stays, kept.as_str(), "as every page is shown at first");
    let address = browser.url();
    browser.leave(|| {
        browser.run("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))");
    });
    assert_eq!(browser.url(), address);
    assert_eq!(browser.text("h1"), "kept");
    assert_gone(&browser, &kept);
    quiet(&browser);
}

#[test]
fn a_keyboard_is_enough() {
    const TAB: &str = "\u{e004}";
    const ENTER: &str = "\u{e007}";
    const SPACE: &str = " ";
    let _alone = alone();
    let Some((server, browser)) = visit(&Start::default()) else {
        return;
    };
    let focused =
        |expression: &str| browser.run(&format!("const at = document.activeElement; return {expression}"));
    let tab_to = |what: &str| {
        let there = |_: &i32| {
            browser.press(TAB);
            focused(what) == true
        };
        assert!((0..60).any(|press| there(&press)), "{what} is not reached");
    };
    tab_to("at.className === 'skip'");
    browser.press("/");
    assert_eq!(focused("at.id"), "q");
    browser.open(&at(&server, "/keys/new"));
    assert_eq!(focused("at.id"), "name");
    for letter in ["c", "i"] {
        browser.press(letter);
    }
    tab_to("at.name === 'scopes'");
    browser.press(SPACE);
    tab_to("at.matches('form .primary')");
    browser.leave(|| browser.press(ENTER));
    assert!(browser.value("#key").starts_with("ak_"));
    tab_to("at.dataset.copy === 'key'");
    // What has the focus can be seen.
    assert_ne!(focused("getComputedStyle(at).outlineStyle"), "none");
    tab_to("at.matches('.actions .primary')");
    browser.leave(|| browser.press(ENTER));
    tab_to("at.dataset.dialog === 'revoke'");
    browser.press(ENTER);
    assert_eq!(
        focused("at.closest('dialog') !== null && at.textContent"),
        "Cancel",
        "what does no harm"
    );
    browser.press("\u{e00c}");
    assert_eq!(browser.property("#revoke", "open"), false);
    quiet(&browser);
}

#[test]
fn hostile_names_do_nothing() {
    let _alone = alone();
    let Some((server, browser)) = visit(&Start::default()) else {
        return;
    };
    let name = "</title></bdi><script>document.title='stolen'</script><img src=x onerror=\"document.title='stolen'\">";
    create(&server, &browser, name);
    assert_eq!(browser.text(".lead bdi"), name);
    browser.follow(".actions .primary");
    assert_eq!(browser.text("h1"), name);
    browser.open(&at(&server, "/keys"));
    assert_eq!(browser.text("tbody th a"), name);
    assert_eq!(browser.title(), "Issue tracker");
    assert!(!browser.has("main img") && !browser.has("main script"));
    quiet(&browser);
}
