//! Limits that hold for all processes together, to the request.

use crate::{
    caller::{Answers, EACH, Process, at_once},
    node::until,
    server::Server,
};

const HUNDRED: &str = "100/30d";

fn let_in(answers: &[Answers]) -> u32 {
    assert!(answers.iter().all(|one| one.unavailable == 0), "{answers:?}");
    answers.iter().map(|one| one.let_in).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_64_clients_at_once_as_many_are_let_in_as_the_limit_says() {
    let Some(server) = Server::find().await else {
        return;
    };
    let process = Process::new(server.limits());
    process.set(HUNDRED);
    for run in 0..10 {
        let key = format!("key-{run}");
        let answers = at_once(std::slice::from_ref(&process), &key, 64, 4).await;
        assert_eq!(let_in(&answers), 100, "run {run}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_processes_all_together_let_in_as_many_as_the_limit_says() {
    let Some(server) = Server::find().await else {
        return;
    };
    let processes = [(); 3].map(|()| Process::new(server.limits()));
    processes.iter().for_each(|process| process.set(HUNDRED));
    for run in 0..10 {
        let key = format!("key-{run}");
        let answers = at_once(&processes, &key, 20, 5).await;
        assert_eq!(let_in(&answers), 100, "run {run}: {answers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_an_owner_share_what_is_the_owner_s_in_all_processes() {
    let Some(server) = Server::find().await else {
        return;
    };
    let processes = [(); 2].map(|()| Process::with(server.limits(), Some("30/30d")));
    assert_eq!(let_in(&at_once(&processes, "a", 4, 10).await), EACH);
    // What one key was refused has used nothing of the owner.
    assert_eq!(let_in(&at_once(&processes, "b", 4, 10).await), 30 - EACH);
    // Nor has what the owner was refused used anything of the key.
    let without_owner = Process::new(server.limits());
    assert_eq!(let_in(&[without_owner.call("b", 50).await]), 2 * EACH - 30);
}

#[tokio::test]
async fn a_process_that_is_started_again_goes_on_counting() {
    let Some(server) = Server::find().await else {
        return;
    };
    for used in [7, 13, 0] {
        let process = Process::new(server.limits());
        assert_eq!(process.call("key", used).await.let_in, used);
    }
    assert_eq!(Process::new(server.limits()).status("key").await, 429);
}

#[tokio::test]
async fn limits_that_are_changed_hold_from_the_next_request_on_in_every_process() {
    let Some(server) = Server::find().await else {
        return;
    };
    let processes = [(); 2].map(|()| Process::new(server.limits()));
    let set = |limits: &str| processes.iter().for_each(|process| process.set(limits));
    set("10/30d");
    assert_eq!(processes[0].call("key", 5).await.let_in, 5);
    // Half of the time is owed, whatever the number.
    set("a=20/30d,b=100/30d");
    assert_eq!(processes[1].call("key", 30).await.let_in, 10);
    set("10/30d");
    assert_eq!(processes[0].call("key", 30).await.let_in, 0);
    // Of a tighter one all is used, and no more than that is owed: it comes back within its time.
    set("1/1s");
    until(async || processes[1].status("key").await == 200).await;
}

#[tokio::test]
async fn what_is_refused_for_another_reason_uses_nothing() {
    let Some(server) = Server::find().await else {
        return;
    };
    let process = Process::new(server.limits());
    process.set("2/30d");
    // It is given back after the answer; until then it may be missing.
    for _ in 0..20 {
        until(async || process.status_where_nobody_may("key").await == 403).await;
    }
    for _ in 0..2 {
        until(async || process.status("key").await == 200).await;
    }
    assert_eq!(process.call("key", 20).await.refused, 20);
}

#[tokio::test]
async fn what_is_kept_names_nobody() {
    let Some(server) = Server::find().await else {
        return;
    };
    let process = Process::with(server.limits(), Some("30/30d"));
    assert_eq!(process.status("secret-of-a-client").await, 200);
    let kept = server.kept().await;
    assert_eq!(kept.len(), 2, "{kept:?}");
    let digest = tower_api_key::key::KeyDigest::of(b"secret-of-a-client").to_hex();
    let told = format!("{kept:?} {process:?}");
    for secret in ["alice", "secret", &digest] {
        assert!(!told.contains(secret), "{told}");
    }
    for (_, fields) in kept {
        let mut names: Vec<&str> = fields.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["1", "2", "3", "4", "m"]);
        assert!(
            fields
                .values()
                .all(|value| value.bytes().all(|byte| byte.is_ascii_digit())),
            "{fields:?}"
        );
    }
}

#[test]
fn what_is_shown_of_it_is_not_its_url() {
    let limits =
        tower_api_key::limit::RedisLimits::new("redis://somebody:hunter2@localhost/3").expect("a URL");
    let told = format!("{limits:?}");
    assert!(told.contains("api-key-limits") && !told.contains("hunter2") && !told.contains("localhost"));
    let error = tower_api_key::limit::RedisLimits::new("hunter2://somebody").expect_err("no URL");
    let told = format!("{error} {error:?}");
    assert!(!told.contains("hunter2"), "{told}");
}
