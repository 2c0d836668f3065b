//! P-02: with the preset `strict`, no request that starts after a revoke was answered is let in by any server, also by one that was
//! frozen or cut off meanwhile.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::time::{sleep, timeout};

use crate::{
    alone,
    cluster::{Cluster, Plan},
    crew::{Crew, Probe},
    figures::{Figures, Times, accepted_after, scale},
    manager::Revoked,
    wire::{Wire, whoami},
};

const NODES: [usize; 3] = [1, 2, 3];
const PROBERS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(20);
const LEASE: Duration = Duration::from_secs(2);
/// What a busy machine may add: a commit alone takes it hundreds of milliseconds, and of a few rounds the slowest is the p99.
const ALLOWED: Duration = Duration::from_secs(1);
/// How many ask a frozen server after the answer, for it to find when it wakes up.
const KNOCKS: usize = 8;

/// What is wrong while a key is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The second server stands still.
    Frozen,
    /// Nothing gets from the third server to the database and back.
    CutOff,
}

/// One revoke through the first server, while all are probed.
async fn round(cluster: &Cluster, crew: Crew, fault: Fault) -> (Crew, Vec<Probe>, Revoked) {
    let mut manager = cluster.manager(1);
    let key = manager.mint().await;
    let request = whoami(&key.key);
    let shift = crew.start(&request);
    assert!(
        shift.all_hear(200, &NODES, PATIENCE).await,
        "the key works everywhere"
    );
    match fault {
        Fault::None => {}
        Fault::Frozen => cluster.node(2).server().signal(Signal::STOP),
        Fault::CutOff => cluster.proxy(3).lose(),
    }
    let revoked = manager.revoke(&key).await;
    let mut knocks = Vec::new();
    if fault == Fault::Frozen {
        for _ in 0..KNOCKS {
            let (address, request) = (cluster.address(2), request.clone());
            knocks.push(tokio::spawn(async move {
                let start = Instant::now();
                let status = Wire::to(address).status(&request).await;
                let end = Instant::now();
                status.map(|status| Probe {
                    start,
                    end,
                    status,
                    node: 2,
                })
            }));
        }
        // They are in the kernel's queue by then; if one is not, it is asked a little later.
        sleep(Duration::from_millis(20)).await;
        cluster.node(2).server().signal(Signal::CONT);
    }
    // A server that is cut off says 503, and none may say 200.
    let deaf = if fault == Fault::CutOff {
        &NODES[..2]
    } else {
        &NODES[..]
    };
    assert!(shift.all_hear(401, deaf, PATIENCE).await, "the key is dead");
    sleep(Duration::from_millis(20)).await;
    if fault == Fault::CutOff {
        cluster.proxy(3).clear_up();
        assert!(shift.all_hear(401, &[3], PATIENCE).await, "the third is back");
    }
    let (crew, mut probes) = shift.end().await;
    for knock in knocks {
        let knock = timeout(PATIENCE, knock)
            .await
            .expect("an answer")
            .expect("no panic");
        probes.push(knock.expect("an answer"));
    }
    (crew, probes, revoked)
}

/// Until a server caches again what it has looked up, which is when a revoke waits for it again.
async fn until_all_listen(cluster: &Cluster) {
    let mut manager = cluster.manager(1);
    let begun = Instant::now();
    loop {
        let key = manager.mint().await;
        let receipt = manager.revoke(&key).await.answer.json();
        if receipt["acked"] == 3 && receipt["of"] == 3 {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "not all of them listen: {receipt}");
        sleep(Duration::from_millis(100)).await;
    }
}

async fn rounds(cluster: &Cluster, fault: Fault, count: usize) {
    let mut crew = Crew::at(&cluster.these(&NODES), PROBERS);
    let (mut late, mut probed, mut times) = (0, 0, Vec::new());
    for _ in 0..count {
        until_all_listen(cluster).await;
        let done = round(cluster, crew, fault).await;
        crew = done.0;
        let revoked = done.2;
        late += accepted_after(&done.1, revoked.end);
        probed += done.1.len();
        times.push(revoked.took());
        assert_eq!(revoked.answer.status, 200, "{revoked:?}");
        let receipt = revoked.answer.json();
        let all = receipt["acked"] == 3 && receipt["of"] == 3;
        assert!(
            all == (fault == Fault::None) || receipt["acked"] == receipt["of"],
            "{receipt}"
        );
    }
    let times = Times::of(times);
    let (name, bound) = match fault {
        Fault::None => ("healthy", Duration::from_millis(75)),
        Fault::Frozen => ("frozen", LEASE + Duration::from_millis(250)),
        Fault::CutOff => ("cut off", LEASE + Duration::from_millis(250)),
    };
    Figures::of(&format!("P-02 {name}"), cluster.place())
        .say("n", count)
        .say("probes", probed)
        .time("answer-p50", times.at(500))
        .within_or("answer-p99", times.at(990), bound, bound + ALLOWED)
        .at_most("let-in-after", late, 0)
        .print();
}

#[test]
fn a_strict_revoke_is_final_on_every_server_whatever_has_become_of_it() {
    alone(async {
        let plan = Plan::nodes(3).proxied(3).argument("--preset=strict");
        let Some(cluster) = plan.on_postgres().await else {
            return;
        };
        rounds(&cluster, Fault::None, scale(40, 700)).await;
        rounds(&cluster, Fault::Frozen, scale(3, 650)).await;
        rounds(&cluster, Fault::CutOff, scale(3, 650)).await;
    });
}
