//! P-07: when the database is back, no revoke has been lost, and what is cached is confirmed without a statement a key.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use crate::{
    alone,
    cluster::{Cluster, Plan},
    crew::{Crew, NO_ANSWER},
    figures::{Figures, Times, accepted_after, scale},
    manager::Key,
    wire::whoami,
};

const PROBERS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(60);
const LEASE: Duration = Duration::from_millis(2250);
/// What the statements that confirm may take.
const CONFIRMING: Duration = Duration::from_millis(250);
/// How many keys one statement confirms.
const BATCH: usize = 500;

fn requests(keys: &[Key]) -> Arc<[Arc<[u8]>]> {
    let each = keys.iter().map(|key| Arc::from(whoami(&key.key)));
    each.collect()
}

/// Statements of the second server that read keys: one at a time, and many at once.
async fn reads(cluster: &Cluster) -> (usize, usize) {
    let postgres = cluster.postgres();
    let all = postgres.look_ups("n2").await;
    let many = postgres.looked_up_together("n2").await;
    (all - many, many)
}

#[test]
fn nothing_is_lost_and_no_herd_forms_when_the_database_is_back() {
    alone(async {
        let Some(cluster) = Plan::nodes(2).proxied(2).on_postgres().await else {
            return;
        };
        let hot = cluster.plant(scale(2000, 10_000)).await;
        let doomed = cluster.plant(scale(20, 100)).await;
        let cut_for = scale(Duration::from_secs(4), Duration::from_secs(10));
        // Some 2,000 requests a second.
        let pace = Duration::from_millis(8);
        let traffic = Crew::at(&cluster.these(&[2]), PROBERS).paced(pace);
        let traffic = traffic.start_round(&requests(&hot));
        let witnesses = Crew::at(&cluster.these(&[2]), 2);
        let witnesses = witnesses.start_round(&requests(&doomed));
        let each_twice = 2 * hot.len() / PROBERS;
        assert!(
            traffic.all_have_asked(&[2], each_twice, PATIENCE).await,
            "all of them are hot"
        );

        let (calm, calm_since) = (reads(&cluster).await, Instant::now());
        sleep(Duration::from_secs(1)).await;
        let usual = (reads(&cluster).await.0 - calm.0) as f64 / calm_since.elapsed().as_secs_f64();

        let cut = Instant::now();
        cluster.proxy(2).cut();
        let mut manager = cluster.manager(1);
        let mut revoked = cut;
        for key in &doomed {
            revoked = manager.revoke(key).await.end;
        }
        sleep(cut_for.saturating_sub(cut.elapsed())).await;
        let before = reads(&cluster).await;
        cluster.proxy(2).clear_up();
        let restored = Instant::now();
        // Until the feed is back, and what is cached is confirmed, requests read for themselves.
        while reads(&cluster).await.1 == before.1 && restored.elapsed() < PATIENCE {
            sleep(Duration::from_millis(5)).await;
        }
        let confirmed = Instant::now() + CONFIRMING;
        assert!(traffic.all_hear(200, &[2], PATIENCE).await, "it recovers");
        let recovered = restored.elapsed();
        sleep(Duration::from_secs(1)).await;
        let after = reads(&cluster).await;
        let expected = usual * restored.elapsed().as_secs_f64();

        let (_, traffic) = traffic.end().await;
        let (_, witnesses) = witnesses.end().await;
        let wrong = traffic
            .iter()
            .filter(|probe| ![200, 503, NO_ANSWER].contains(&probe.status));
        let unheard = traffic
            .iter()
            .filter(|probe| probe.end > restored && probe.start < confirmed);
        let unheard = unheard.count();
        let times = |since: Instant| {
            let these = traffic
                .iter()
                .filter(|probe| probe.start > since && probe.accepted());
            Times::of(these.map(|probe| probe.end - probe.start).collect())
        };
        let afterwards = times(restored);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let expected = expected.ceil() as usize;
        Figures::of("P-07", cluster.place())
            .say("hot", hot.len())
            .say("revoked", doomed.len())
            .time("confirmed-after", confirmed - restored)
            .say("cut", format!("{}s", cut_for.as_secs()))
            .within("back-after", recovered, Duration::from_secs(1))
            .at_most(
                "let-in-after-lease",
                accepted_after(&witnesses, revoked.max(cut) + LEASE),
                0,
            )
            .at_most("let-in-after-return", accepted_after(&witnesses, restored), 0)
            .at_most("wrong-answers", wrong.count(), 0)
            .at_most("batches", after.1 - before.1, hot.len() / BATCH + 10)
            .at_most("other-reads", after.0 - before.0, 2 * expected + 10 + unheard)
            .within("p99", afterwards.at(990), Duration::from_millis(50))
            .print();
    });
}
