//! P-06: once a server hears of no changes any more, it uses nothing that it has cached, whatever the silence comes from.

use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};
use tokio::time::sleep;

use crate::{
    alone,
    cluster::{Cluster, Plan},
    crew::Crew,
    figures::{Figures, Times, accepted_after, last_accept_after, scale},
    wire::whoami,
};

const PROBERS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(30);
/// The lease, and a quarter of a second.
const BOUND: Duration = Duration::from_millis(2250);
/// What a busy machine may add to it: less than tells a lease from a cached verdict's 5 s.
const ALLOWED: Duration = Duration::from_millis(3500);

/// Where the second server's changes come to nothing.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The process at the other end of its connection stands still.
    Frozen,
    /// The network is gone, and nobody is told.
    HalfOpen,
    /// The connection is ended, again and again.
    Terminated,
    /// Everything gets through but notifications.
    Swallowed,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Frozen => "frozen",
            Self::HalfOpen => "half-open",
            Self::Terminated => "terminated",
            Self::Swallowed => "swallowed",
        }
    }
}

async fn terminate(cluster: &Cluster) {
    if let Some(listener) = cluster.postgres().listener_of("n2").await {
        let pid = listener.as_raw_nonzero();
        cluster.sql(&format!("SELECT pg_terminate_backend({pid})")).await;
    }
}

/// Whether the second server answers from its cache: whether asking it again costs no statement.
async fn caches(cluster: &Cluster) -> bool {
    const ASKED: usize = 50;
    let key = cluster.manager(1).mint().await;
    let shift = Crew::at(&cluster.these(&[2]), 1).start(&whoami(&key.key));
    assert!(shift.all_hear(200, &[2], PATIENCE).await, "the key works");
    let before = cluster.postgres().look_ups("n2").await;
    let asked = shift.asked();
    assert!(
        shift.all_have_asked(&[2], asked + ASKED, PATIENCE).await,
        "it answers"
    );
    let after = cluster.postgres().look_ups("n2").await;
    shift.end().await;
    after - before < ASKED / 2
}

async fn until_it_caches(cluster: &Cluster) {
    let begun = Instant::now();
    while !caches(cluster).await {
        assert!(begun.elapsed() < PATIENCE, "the second server does not cache");
        sleep(Duration::from_millis(100)).await;
    }
}

/// How long after the fault the second server lets in the holder of a key that the first has revoked meanwhile.
async fn round(cluster: &Cluster, fault: Fault) -> Duration {
    until_it_caches(cluster).await;
    let mut manager = cluster.manager(1);
    let key = manager.mint().await;
    let crew = Crew::at(&cluster.these(&[2]), PROBERS);
    let shift = crew.start(&whoami(&key.key));
    assert!(shift.all_hear(200, &[2], PATIENCE).await, "the key works");
    let frozen = match fault {
        Fault::Frozen => {
            let listener = cluster.postgres().listener_of("n2").await;
            Some(listener.expect("the second server listens"))
        }
        _ => None,
    };
    let begun = Instant::now();
    match fault {
        Fault::Frozen => {}
        Fault::HalfOpen => cluster.proxy(2).lose(),
        Fault::Terminated => terminate(cluster).await,
        Fault::Swallowed => cluster.proxy(2).swallow_notifications(true),
    }
    if let Some(listener) = frozen {
        kill_process(listener, Signal::STOP).expect("stopped");
    }
    let random = getrandom::u64().expect("random bits");
    sleep(Duration::from_millis(random % 500)).await;
    let revoked = manager.revoke(&key).await.end;
    // A server that is cut off says 503 and not 401: what counts is that it says 200 no more.
    while begun.elapsed() < ALLOWED + Duration::from_millis(500) {
        if matches!(fault, Fault::Terminated) {
            terminate(cluster).await;
        }
        sleep(Duration::from_millis(50)).await;
    }
    if let Some(listener) = frozen {
        // The server may have given the connection up.
        let _ = kill_process(listener, Signal::CONT);
    }
    cluster.proxy(2).swallow_notifications(false);
    cluster.proxy(2).clear_up();
    assert!(shift.all_hear(401, &[2], PATIENCE).await, "it recovers");
    let (_, probes) = shift.end().await;
    let late = last_accept_after(&probes, revoked);
    match late.is_zero() {
        true => Duration::ZERO,
        false => late + (revoked - begun),
    }
}

#[test]
fn a_server_that_hears_nothing_uses_nothing_it_has_cached() {
    alone(async {
        let Some(cluster) = Plan::nodes(2).proxied(2).on_postgres().await else {
            return;
        };
        for fault in [
            Fault::Frozen,
            Fault::HalfOpen,
            Fault::Terminated,
            Fault::Swallowed,
        ] {
            let mut lags = Vec::new();
            for _ in 0..scale(1, 50) {
                lags.push(round(&cluster, fault).await);
            }
            let lags = Times::of(lags);
            Figures::of(&format!("P-06 {}", fault.name()), cluster.place())
                .say("n", lags.len())
                .within_or("max-after-fault", lags.max(), BOUND, ALLOWED)
                .print();
        }
    });
}

#[test]
fn a_server_that_has_never_heard_anything_caches_nothing() {
    alone(async {
        let Some(cluster) = Plan::nodes(2).swallowing(2).on_postgres().await else {
            return;
        };
        let mut manager = cluster.manager(1);
        let mut crew = Crew::at(&cluster.these(&[2]), PROBERS);
        let (mut late, mut probes) = (0, 0);
        let before = cluster.postgres().look_ups("n2").await;
        let rounds = scale(30, 500);
        for _ in 0..rounds {
            let key = manager.mint().await;
            let shift = crew.start(&whoami(&key.key));
            assert!(shift.all_have_asked(&[2], 5, PATIENCE).await, "it answers");
            let revoked = manager.revoke(&key).await.end;
            assert!(shift.all_hear(401, &[2], PATIENCE).await, "the key is dead");
            let done = shift.end().await;
            crew = done.0;
            late += accepted_after(&done.1, revoked);
            probes += done.1.iter().filter(|probe| probe.accepted()).count();
        }
        let reads = cluster.postgres().look_ups("n2").await - before;
        // Requests that wait at the same time share a read.
        Figures::of("P-06 pooler", cluster.place())
            .say("n", rounds)
            .at_least("swallowed", cluster.proxy(2).swallowed(), 1)
            .at_least("reads", reads, probes / (2 * PROBERS))
            .at_most("let-in-after", late, 0)
            .print();
    });
}
