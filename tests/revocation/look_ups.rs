use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Poll, Waker},
};

use http::StatusCode;
use tokio::sync::Barrier;

use crate::{app::App, random};

const FIRST_REQUESTS: usize = 10_000;
const RANDOM_KEYS: usize = 50_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_first_requests_that_wait_for_one_key_cost_one_read() {
    let app = Arc::new(App::start().await);
    let key: Arc<str> = app.mint().await.key.expose().into();
    app.store.after_read().close();
    let begun = Arc::new(Barrier::new(FIRST_REQUESTS + 1));
    let requests: Vec<_> = (0..FIRST_REQUESTS)
        .map(|_| {
            let (app, key, begun) = (app.clone(), key.clone(), begun.clone());
            tokio::spawn(async move {
                let mut request = pin!(app.ask(&key));
                // Begun, with nobody to wake: it is polled again below.
                let first = request
                    .as_mut()
                    .poll(&mut std::task::Context::from_waker(Waker::noop()));
                assert_eq!(first, Poll::Pending, "it cannot know yet");
                begun.wait().await;
                request.await
            })
        })
        .collect();
    begun.wait().await;
    app.store.after_read().open();
    for request in requests {
        assert_eq!(request.await.expect("no panic"), StatusCode::OK);
    }
    assert_eq!(app.store.reads(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_first_requests_that_come_as_they_come_cost_one_read() {
    let app = Arc::new(App::start().await);
    let key: Arc<str> = app.mint().await.key.expose().into();
    let start = Arc::new(Barrier::new(FIRST_REQUESTS));
    let requests: Vec<_> = (0..FIRST_REQUESTS)
        .map(|_| {
            let (app, key, start) = (app.clone(), key.clone(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                app.ask(&key).await
            })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.expect("no panic"), StatusCode::OK);
    }
    assert_eq!(app.store.reads(), 1);
}

#[tokio::test]
async fn fifty_thousand_random_keys_of_the_right_shape_cost_no_read() {
    let app = App::start().await;
    let minted = app.mint().await;
    let shape = minted.key.expose().len();
    for _ in 0..RANDOM_KEYS {
        let key = format!("ak_{}", random::letters(49));
        assert_eq!(key.len(), shape);
        assert_eq!(app.ask(&key).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(app.store.reads(), 0);
    assert_eq!(app.ask(minted.key.expose()).await, StatusCode::OK);
    assert_eq!(app.store.reads(), 1, "reads are counted");
}

#[tokio::test]
async fn fifty_thousand_malformed_keys_cost_no_read() {
    let app = App::start().await;
    let minted = app.mint().await;
    let good = minted.key.expose();
    for i in 0..RANDOM_KEYS {
        let letters = random::letters(49);
        let key = match i % 8 {
            0 => format!("ak_{}", &letters[..48]),
            1 => format!("ak_{letters}x"),
            2 => format!("AK_{letters}"),
            3 => format!("gak_{letters}"),
            4 => format!("ak_{}-{}", &letters[..20], &letters[21..]),
            5 => letters.repeat(11),
            6 => {
                // A good key, with one letter changed.
                let mut changed = good.as_bytes().to_vec();
                let place = 3 + random::below(49) as usize;
                changed[place] = if changed[place] == b'x' { b'y' } else { b'x' };
                String::from_utf8(changed).expect("ASCII")
            }
            _ => good[..random::below(52) as usize].to_owned(),
        };
        assert_eq!(app.ask(&key).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(app.store.reads(), 0);
    assert_eq!(app.ask(good).await, StatusCode::OK);
    assert_eq!(app.store.reads(), 1, "reads are counted");
}
