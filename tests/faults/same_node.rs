//! P-01: no request that starts after a revoke was answered is let in by the server that answered.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    alone,
    cluster::Plan,
    crew::Crew,
    figures::{Figures, Times, accepted_after, scale},
    wire::whoami,
};

const PROBERS: usize = 64;
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_revoke_is_final_for_every_request_that_starts_after_its_answer() {
    alone(async {
        let Some(cluster) = Plan::nodes(1).proxied(1).on_postgres().await else {
            return;
        };
        let rounds = scale(48, 2000);
        let mut manager = cluster.manager(1);
        let mut crew = Crew::at(&cluster.these(&[1]), PROBERS);
        let (mut probes, mut late, mut accepted, mut times) = (0, 0, 0, Vec::new());
        for round in 0..rounds {
            // In a quarter of them reads are under way when the revoke is committed.
            let delayed = round % 4 == 3;
            cluster.proxy(1).delay(Duration::ZERO);
            let key = manager.mint().await;
            if delayed {
                cluster.proxy(1).delay(Duration::from_millis(20));
            }
            let shift = crew.start(&whoami(&key.key));
            if delayed {
                let random = getrandom::u64().expect("random bits");
                sleep(Duration::from_micros(random % 20_000)).await;
            } else {
                assert!(shift.all_hear(200, &[1], PATIENCE).await, "the key works");
            }
            let revoked = manager.revoke(&key).await;
            assert!(shift.all_hear(401, &[1], PATIENCE).await, "the key is dead");
            sleep(Duration::from_millis(5)).await;
            let done = shift.end().await;
            crew = done.0;
            probes += done.1.len();
            late += accepted_after(&done.1, revoked.end);
            accepted += done.1.iter().filter(|probe| probe.accepted()).count();
            times.push(revoked.took());
        }
        let times = Times::of(times);
        Figures::of("P-01", cluster.place())
            .say("n", rounds)
            .at_least("probes", probes, scale(10_000, 1_000_000))
            .say("let-in-before", accepted)
            .time("revoke-p50", times.at(500))
            .time("revoke-p99", times.at(990))
            .at_most("let-in-after", late, 0)
            .print();
    });
}
