//! Without JavaScript.

use crate::{
    browser::Start,
    place::{alone, at, create, visit},
};

#[test]
fn listed_created_and_revoked_without_a_script() {
    let _alone = alone();
    let start = Start {
        without_script: true,
        ..Start::default()
    };
    let Some((server, browser)) = visit(&start) else {
        return;
    };
    let status = |key: &str| server.get("/api/v1/whoami", &[&format!("X-Key: {key}")]).status;
    create(&server, &browser, "by hand");
    let key = browser.value("#key");
    assert_eq!(status(&key), 200);
    assert!(
        !browser.has("[data-copy]:not([hidden])"),
        "a button that does nothing is not shown"
    );
    assert!(
        browser.url().ends_with("/keys/new"),
        "no script has run: {}",
        browser.url()
    );

    // Sent again by a reload, it makes nothing, and shows nothing.
    browser.reload();
    browser.accept_alert();
    assert!(
        browser.text("h1").contains("This key was made already"),
        "{}",
        browser.text("main")
    );
    assert!(!browser.source().contains(&key));
    browser.follow("main .primary");
    assert_eq!(browser.text("h1"), "by hand");
    browser.back();
    browser.accept_alert();
    assert!(!browser.source().contains(&key));

    // Left by a link, and gone back to.
    create(&server, &browser, "second");
    let second = browser.value("#key");
    browser.follow(".actions .primary");
    assert_eq!(browser.text("h1"), "second");
    browser.back();
    browser.accept_alert();
    assert!(!browser.source().contains(&second), "{}", browser.text("body"));

    browser.open(&at(&server, "/keys"));
    assert!(browser.text("tbody").contains("by hand"));
    browser.follow("tbody tr:last-child th a");
    browser.follow("a.danger");
    assert!(
        browser.url().ends_with("/revoke"),
        "a page of its own: {}",
        browser.url()
    );
    browser.follow(".solid");
    assert!(
        browser.text("main").contains("The key is revoked"),
        "{}",
        browser.text("main")
    );
    assert_eq!((status(&key), status(&second)), (401, 200));
    let complaints = browser.complaints();
    let unexpected = |complaint: &&String| !complaint.contains("status of 409");
    assert_eq!(complaints.iter().find(unexpected), None);
}
