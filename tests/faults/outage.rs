//! P-13: the database stands still. The external key is not touched by it; other keys are answered 503 once the lease is over, and never 401.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use crate::{
    alone,
    cluster::Plan,
    crew::{Crew, Probe},
    figures::{Figures, Times, scale},
    manager::Key,
    support::server::EXTERNAL,
    wire::{Wire, whoami},
};

const PATIENCE: Duration = Duration::from_secs(30);
/// The lease, and a quarter of a second.
const LEASE: Duration = Duration::from_millis(2250);
/// What a busy machine may add.
const ALLOWED: Duration = Duration::from_secs(1);
/// The time-out of look-ups, and a tenth of a second.
const ANSWER: Duration = Duration::from_millis(1100);

fn requests(keys: &[Key]) -> Arc<[Arc<[u8]>]> {
    let each = keys.iter().map(|key| Arc::from(whoami(&key.key)));
    each.collect()
}

fn took(probes: &[Probe], from: Instant, to: Instant) -> Times {
    let these = probes
        .iter()
        .filter(|probe| probe.start >= from && probe.start < to);
    Times::of(these.map(|probe| probe.end - probe.start).collect())
}

#[test]
fn a_database_that_stands_still_is_503_and_the_external_key_does_not_notice() {
    alone(async {
        let Some(cluster) = Plan::nodes(1).on_postgres().await else {
            return;
        };
        let postgres = cluster.postgres();
        let frozen_for = scale(Duration::from_secs(6), Duration::from_secs(30));
        let (cached, uncached) = (cluster.plant(50).await, cluster.plant(5000).await);
        let unasked = cluster.plant(1).await;
        let crew = |each, pause| Crew::at(&cluster.these(&[1]), each).paced(Duration::from_millis(pause));
        let external = crew(4, 4).start(&whoami(EXTERNAL));
        let cached = crew(4, 4).start_round(&requests(&cached));
        let uncached = crew(2, 8).start_round(&requests(&uncached));
        assert!(
            cached.all_have_asked(&[1], 60, PATIENCE).await,
            "all of them are cached"
        );
        let calm = Instant::now();
        sleep(Duration::from_secs(1)).await;

        postgres.freeze();
        let frozen = Instant::now();
        sleep(frozen_for / 2).await;
        let refusal = Wire::to(cluster.address(1))
            .ask(&whoami("ak_nobody"))
            .await
            .expect("an answer");
        let request = whoami(&unasked[0].key);
        let unavailable = Wire::to(cluster.address(1))
            .ask(&request)
            .await
            .expect("an answer");
        sleep(frozen_for.saturating_sub(frozen.elapsed())).await;
        postgres.thaw();
        let thawed = Instant::now();
        for shift in [&cached, &uncached] {
            assert!(shift.all_hear(200, &[1], PATIENCE).await, "it recovers");
        }
        let recovered = thawed.elapsed();
        let [(_, external), (_, cached), (_, uncached)] =
            [external.end().await, cached.end().await, uncached.end().await];

        assert_eq!(unavailable.status, 503, "{unavailable:?}");
        assert!(
            unavailable.head.to_lowercase().contains("\r\nretry-after: "),
            "{unavailable:?}"
        );
        assert!(matches!(refusal.status, 401 | 503), "{refusal:?}");
        let all = external.len() + cached.len() + uncached.len();
        let wrong = external.iter().filter(|probe| probe.status != 200).count()
            + cached
                .iter()
                .chain(&uncached)
                .filter(|probe| ![200, 503].contains(&probe.status))
                .count();
        // Those under way when the database woke up may be let in.
        let stale = cached
            .iter()
            .filter(|probe| probe.accepted() && probe.start > frozen + LEASE + ALLOWED && probe.end < thawed);
        let last = cached
            .iter()
            .filter(|probe| probe.accepted() && probe.end < thawed);
        let last = last
            .map(|probe| probe.start.saturating_duration_since(frozen))
            .max();
        let slowest = [&external, &cached, &uncached].map(|probes| took(probes, frozen, thawed).max());
        let before = took(&external, calm, frozen).at(990);
        let during = took(&external, frozen, thawed).at(990);
        Figures::of("P-13", cluster.place())
            .say("n", all)
            .say("frozen", format!("{}s", frozen_for.as_secs()))
            .at_most("wrong-answers", wrong, 0)
            .at_most("let-in-after-lease", stale.count(), 0)
            .within_or("last-cached", last.unwrap_or_default(), LEASE, LEASE + ALLOWED)
            .within_or(
                "slowest-answer",
                slowest.into_iter().max().unwrap_or_default(),
                ANSWER,
                ANSWER + ALLOWED,
            )
            .time("external-p99-before", before)
            .within_or(
                "external-p99",
                during,
                before.mul_f64(1.2),
                before * 5 + Duration::from_millis(20),
            )
            .within("back-after", recovered, Duration::from_secs(1))
            .print();
    });
}
