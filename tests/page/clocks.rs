//! Processes whose clocks are not those of their store.

use std::time::{Duration, SystemTime};

use axum::Router;
use tower_api_key::{
    ApiKeyAuth,
    clock::ManualClock,
    store::{KeyQuery, MemoryStore},
};

use crate::inside::{HTML, ask, of, site, token_in};

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn process(store: &MemoryStore, clock: &ManualClock) -> (ApiKeyAuth, Router) {
    let auth = of(store.clone())
        .clock(clock.clone())
        .build()
        .expect("a configuration");
    let app = site(&auth);
    (auth, app)
}

async fn form(app: &Router, expires: &str) -> String {
    let new = ask(app, "GET", "/keys/new", HTML, None).await;
    assert_eq!(new.status, 200, "{}", new.body);
    format!(
        "token={}&name=ci&scopes=issues:read&expires={expires}",
        token_in(&new.body)
    )
}

async fn sent(app: &Router, form: &str) -> u16 {
    ask(app, "POST", "/keys/new", HTML, Some(form)).await.status
}

#[tokio::test]
async fn a_key_ends_by_the_time_of_the_store_whatever_the_time_is_here() {
    // The clock of this machine stands at neither of them.
    let today = SystemTime::now();
    for (store_at, node_at) in [
        (today - 3650 * DAY, today),
        (today + 3650 * DAY, today),
        (today - 3650 * DAY, today - 3650 * DAY),
        (today, today + 3650 * DAY),
        (today, today - 25 * HOUR),
    ] {
        let clock = ManualClock::new(store_at);
        let store = MemoryStore::with_clock(clock.clone()).expect("a store");
        let (auth, app) = process(&store, &ManualClock::new(node_at));
        let new = ask(&app, "GET", "/keys/new", HTML, None).await;
        let answer = sent(&app, &form(&app, "90").await).await;
        assert_eq!(answer, 201, "{store_at:?} {node_at:?}");
        let keys = auth.keys().expect("there is a store");
        let page = keys.list(&KeyQuery::newest(2)).await.expect("a page");
        let [key] = &page.keys[..] else {
            panic!("{} keys", page.keys.len())
        };
        let good_for = key.expires_at.expect("an end").duration_since(key.created_at);
        assert_eq!(good_for.expect("after its making"), 90 * DAY);
        assert_eq!(
            page.now
                .duration_since(key.created_at)
                .expect("no later")
                .as_secs(),
            0
        );
        let date = page.now.duration_since(SystemTime::UNIX_EPOCH).expect("later");
        let date = date_of(date.as_secs());
        assert!(
            new.body.contains(&format!("min=\"{date}\"")),
            "{date}: {}",
            new.body
        );
    }
}

fn date_of(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).expect("a date");
    let stamp = jiff::Timestamp::from_second(seconds).expect("a date");
    stamp.to_string()[..10].to_owned()
}

#[tokio::test]
async fn a_form_is_good_for_a_day_at_processes_that_are_years_apart() {
    let clock = ManualClock::default();
    let store = MemoryStore::with_clock(clock.clone()).expect("a store");
    let (_, ahead) = process(&store, &ManualClock::new(SystemTime::now() + 3650 * DAY));
    let (_, behind) = process(&store, &ManualClock::new(SystemTime::now()));
    let taken = form(&ahead, "never").await;
    let late = form(&behind, "7").await;
    let too_late = form(&ahead, "7").await;
    assert_eq!(sent(&behind, &taken).await, 201);
    for app in [&ahead, &behind] {
        assert_eq!(sent(app, &taken).await, 409, "there is one already");
    }
    clock.advance(DAY - HOUR);
    assert_eq!(sent(&ahead, &late).await, 201);
    clock.advance(2 * HOUR);
    for app in [&ahead, &behind] {
        assert_eq!(sent(app, &too_late).await, 409);
    }
}
