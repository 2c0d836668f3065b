//! How it looks, and what a reader of screens makes of it: pictures of every view in `target/screenshots`, and axe-core on every view.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde_json::Value;
use tower_api_key::{
    ApiKeyAuth,
    access::{Grants, Resources, Scopes},
    manage::NewKey,
    store::SqliteStore,
};

use crate::{
    browser::{Browser, Start, is_here, skip},
    people::setup,
    place::{alone, at, create, log_in},
    support::server::{Server, Setup},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// `axe.min.js`, where `.ci/run` has put it.
fn axe() -> Option<String> {
    let file = target().join("axe/package/axe.min.js");
    let source = fs::read_to_string(&file).ok();
    if source.is_none() {
        skip("axe-core is not at hand: (cd target/axe && npm pack axe-core && tar xzf axe-core-*.tgz)");
    }
    source
}

fn target() -> PathBuf {
    let test = env::current_exe().expect("this test");
    let target = test.ancestors().nth(3).map(Path::to_owned);
    target.expect("target/PROFILE/deps/TEST")
}

/// Keys of Alice in every state, as an application in use has them.
fn furnish(setup: &Setup, server: &Server) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let minted = runtime.block_on(async {
        let path = setup.path("demo.db");
        let store = SqliteStore::open(path.to_str().expect("a path"))
            .await
            .expect("a store");
        let auth = ApiKeyAuth::builder(store).build().expect("a configuration");
        let keys = auth.keys().expect("there is a store");
        let mut minted = Vec::new();
        for (name, scopes, resources, days) in [
            ("legacy importer", &["issues:write"][..], &[][..], Some(90)),
            ("grafana", &["topics:read"], &[], None),
            (
                "night shift agent",
                &["agents:run", "topics:read", "topics:send"],
                &["agent:night-*"],
                Some(365),
            ),
            (
                "mobile app, beta testers",
                &["issues:read", "issues:write", "topics:read", "topics:send"],
                &[],
                Some(30),
            ),
            ("backup", &["issues:read"], &[], Some(6)),
            (
                "release workflow",
                &["issues:read", "issues:write"],
                &["agent:release"],
                Some(90),
            ),
            (
                "deploy workflow",
                &["agents:run"],
                &["agent:staging", "agent:production"],
                Some(180),
            ),
        ] {
            let resources = if resources.is_empty() {
                Resources::unbound()
            } else {
                Resources::only(resources).expect("resources")
            };
            let grants = Grants::new(Scopes::new(scopes).expect("scopes"), resources);
            let mut new = NewKey::new("alice").name(name).grants(grants);
            if let Some(days) = days {
                new = new.expires_at(SystemTime::now() + DAY * days);
            }
            minted.push(keys.issue(new).await.expect("a key"));
        }
        minted
    });
    let database = setup.database();
    for (i, issued) in minted.iter().enumerate() {
        let id = issued.record.id;
        let age = i64::try_from(minted.len() - i).expect("small") * 9 * 86_400_000;
        let used = [
            None,
            Some(40_000),
            Some(3_600_000 * 5),
            Some(86_400_000 * 3),
            Some(86_400_000),
            Some(7_200_000),
            Some(60_000),
        ][i];
        let used = used.map_or("NULL".to_owned(), |ago: i64| format!("{} - {ago}", now_ms()));
        let state = match i {
            0 => format!(", revoked_at = {}", now_ms() - 86_400_000),
            1 => format!(", disabled_at = {}", now_ms() - 3_600_000),
            _ => String::new(),
        };
        database.sql(format!(
            "UPDATE api_keys SET created_at = created_at - {age}, last_used_at = {used}{state} WHERE id = '{id}'"
        ));
    }
    for _ in 0..9 {
        server.get("/api/v1/whoami", &[&format!("X-Key: {}", minted[6].key.expose())]);
        server.get("/api/v1/issues", &[&format!("X-Key: {}", minted[6].key.expose())]);
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("after 1970");
    i64::try_from(since.as_millis()).expect("small")
}

/// What stands for a way to look at it.
struct Look {
    name: &'static str,
    dark: bool,
    width: u32,
    height: u32,
}

const LOOKS: [Look; 4] = [
    Look {
        name: "light",
        dark: false,
        width: 1280,
        height: 860,
    },
    Look {
        name: "dark",
        dark: true,
        width: 1280,
        height: 860,
    },
    Look {
        name: "phone",
        dark: false,
        width: 390,
        height: 844,
    },
    Look {
        name: "phone-dark",
        dark: true,
        width: 390,
        height: 844,
    },
];

#[test]
fn every_view_in_every_light_is_in_order() {
    let _alone = alone();
    if !is_here() {
        return;
    }
    let axe = axe();
    let pictures = target().join("screenshots");
    fs::create_dir_all(&pictures).expect("a folder");
    for look in &LOOKS {
        let setup = setup();
        let server = setup.start();
        let browser = Browser::with(&Start {
            dark: look.dark,
            ..Start::default()
        });
        browser.resize(look.width, look.height);
        let seen = |view: &str| {
            check(&browser, axe.as_deref(), &format!("{view}, {}", look.name));
            let write = |ending: &str, picture: &str| {
                let file = pictures.join(format!("{view}-{}.{ending}", look.name));
                fs::write(file, base64(picture)).expect("written");
            };
            write("png", &browser.picture());
            // Those of the README.
            if look.width > 600 && ["list-all", "rotation"].contains(&view) {
                write("webp", &browser.thumbnail(look.width, look.height));
            }
        };
        browser.open(&at(&server, "/keys"));
        seen("signed-out");
        browser.open(&at(&server, "/login"));
        seen("login");
        log_in(&server, &browser);
        seen("empty");
        furnish(&setup, &server);
        browser.open(&at(&server, "/keys"));
        seen("list");
        browser.open(&at(&server, "/keys?status=all"));
        seen("list-all");
        browser.open(&at(&server, "/keys?q=nothing"));
        seen("nothing");
        browser.open(&at(&server, "/keys/new"));
        seen("new");
        browser.run("document.querySelector('#name').value = ' '; document.querySelector('[value=date]').checked = true");
        browser.follow("form .primary");
        seen("new-wrong");
        create(&server, &browser, "nightly report");
        seen("secret");
        browser.open(&at(&server, "/keys"));
        browser.follow("tbody tr:nth-child(2) th a");
        seen("key");
        browser.click("[data-dialog=revoke]");
        seen("revoke-dialog");
        browser.click("[data-close]");
        let key = browser.url();
        browser.open(&format!("{key}/revoke"));
        seen("revoke");
        browser.open(&format!("{key}/rotate"));
        seen("rotate");
        browser.follow("form .primary");
        browser.follow(".actions .primary");
        seen("rotation");
        browser.open(&at(&server, "/keys/nothing"));
        seen("missing");
        let complaints = browser.complaints();
        let complaints: Vec<&String> = complaints
            .iter()
            .filter(|complaint| !expected(complaint))
            .collect();
        assert!(complaints.is_empty(), "{}: {complaints:#?}", look.name);
    }
}

/// What is asked for that is not there, or not yet to be had, the browser logs.
fn expected(complaint: &str) -> bool {
    ["status of 401", "status of 404", "status of 400"]
        .iter()
        .any(|status| complaint.contains(status))
}

fn check(browser: &Browser, axe: Option<&str>, view: &str) {
    let wide = browser.run("return document.documentElement.scrollWidth - innerWidth");
    assert!(
        wide.as_i64().expect("a number") <= 0,
        "{view}: it is wider than the screen by {wide}"
    );
    let Some(axe) = axe else { return };
    // In a world of its own, as a debugger: the policy of the page is not touched.
    browser.run(&format!("{axe}; window.axe = axe"));
    let found = browser.run_async(
        "const done = arguments[0]; axe.run(document, { resultTypes: ['violations'] }).then(r => done(r.violations), e => done(String(e)))",
    );
    let found = found.as_array().unwrap_or_else(|| panic!("{view}: {found}"));
    let serious: Vec<String> = found.iter().map(describe).collect();
    assert!(serious.is_empty(), "{view}: {serious:#?}");
}

fn describe(violation: &Value) -> String {
    let nodes = violation["nodes"].as_array().cloned().unwrap_or_default();
    let nodes: Vec<String> = nodes
        .iter()
        .map(|node| format!("{} {}", node["html"], node["failureSummary"]))
        .collect();
    format!(
        "{} {}: {}",
        violation["impact"],
        violation["id"],
        nodes.join(" | ")
    )
}

fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut word, mut bits) = (0_u32, 0);
    for letter in text.bytes() {
        let Some(value) = ALPHABET.iter().position(|known| *known == letter) else {
            break;
        };
        word = (word << 6) | u32::try_from(value).expect("six bits");
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((word >> bits) as u8);
            word &= (1 << bits) - 1;
        }
    }
    bytes
}
