use std::time::Duration;

use http::StatusCode;
use tokio::time::sleep;

use crate::{app::App, random};

/// How many revokes are begun and dropped.
const DROPPED: usize = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_whose_row_is_revoked_is_refused_whenever_the_caller_hung_up() {
    let app = App::start().await;
    let (mut finished, mut revoked, mut good) = (0, 0, 0);
    let mut keys = Vec::new();
    for _ in 0..DROPPED {
        let key = app.mint().await;
        assert_eq!(app.ask(key.key.expose()).await, StatusCode::OK);
        // From 64 us to 8 ms, short ones as often as long ones: how long a commit takes depends on the disk.
        let longest = 64 << random::below(8);
        let moment = Duration::from_micros(random::below(longest));
        tokio::select! {
            biased;
            done = app.keys.revoke(key.record.id) => {
                done.expect("revoked");
                finished += 1;
            }
            () = sleep(moment) => {}
        }
        match app.is_revoked(key.record.id).await {
            true => {
                assert_eq!(app.ask(key.key.expose()).await, StatusCode::UNAUTHORIZED);
                revoked += 1;
            }
            false => good += 1,
        }
        keys.push(key);
    }
    // Those that went on without their caller may have been revoked since.
    for key in keys {
        if app.is_revoked(key.record.id).await {
            assert_eq!(app.ask(key.key.expose()).await, StatusCode::UNAUTHORIZED);
        }
    }
    println!(
        "{DROPPED} revokes: {finished} had returned; {revoked} rows were revoked at once, {good} were not"
    );
}

#[tokio::test]
async fn a_key_is_refused_when_its_caller_hung_up_between_the_commit_and_the_answer() {
    let app = App::start().await;
    for _ in 0..50 {
        let key = app.mint().await;
        assert_eq!(app.ask(key.key.expose()).await, StatusCode::OK);
        app.store.after_commit().close();
        tokio::select! {
            _ = app.keys.revoke(key.record.id) => panic!("it is held"),
            () = app.store.after_commit().reached() => {}
        }
        assert!(app.is_revoked(key.record.id).await);
        assert_eq!(app.ask(key.key.expose()).await, StatusCode::UNAUTHORIZED);
        app.store.after_commit().open();
        assert_eq!(app.ask(key.key.expose()).await, StatusCode::UNAUTHORIZED);
        app.store.after_commit().passed().await;
    }
}
