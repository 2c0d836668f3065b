//! P-09: a cached request writes nothing and tells nobody. P-22: when keys were last used costs a row a key a minute at most.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use crate::{
    alone,
    cluster::{Cluster, Plan},
    crew::Crew,
    figures::{Figures, scale},
    manager::Key,
    wire::whoami,
};

const KEYS: usize = 10;
const PROBERS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(600);

fn requests(keys: &[Key]) -> Arc<[Arc<[u8]>]> {
    let each = keys.iter().map(|key| Arc::from(whoami(&key.key)));
    each.collect()
}

/// Asks the second server so often, and gives how often it was really asked.
async fn ask(cluster: &Cluster, keys: &[Key], count: usize) -> usize {
    let shift = Crew::at(&cluster.these(&[2]), PROBERS).start_round(&requests(keys));
    let each = count.div_ceil(PROBERS);
    assert!(shift.all_have_asked(&[2], each, PATIENCE).await, "it answers");
    let (_, probes) = shift.end().await;
    let good = probes.iter().filter(|probe| probe.accepted()).count();
    assert_eq!(good, probes.len(), "every request is let in");
    good
}

/// How often the second server has begun to listen: a busy machine can be too late to prove that it hears, and then nothing is cached for
/// a moment.
async fn listens(cluster: &Cluster) -> usize {
    cluster.postgres().calls("n2", "LISTEN%").await
}

/// Rows that were changed, and statements that did: without the heartbeat of the servers, which is no request's.
async fn writes(cluster: &Cluster) -> (usize, usize) {
    let postgres = cluster.postgres();
    let rows = postgres
        .number(
            "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables \
             WHERE relname LIKE 'api_key%' AND relname <> 'api_key_nodes'",
        )
        .await;
    let statements = postgres
        .number(
            "SELECT sum(calls) FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid \
             WHERE r.rolname = 'n2' AND s.query ~* '^\\s*(INSERT|UPDATE|DELETE|NOTIFY)|pg_notify' \
             AND s.query !~* 'api_key_nodes'",
        )
        .await;
    (rows, statements)
}

#[test]
fn a_cached_request_writes_nothing_and_tells_nobody() {
    alone(async {
        let Some(cluster) = Plan::nodes(2).on_postgres().await else {
            return;
        };
        let keys = cluster.plant(KEYS).await;
        ask(&cluster, &keys, 1000).await;
        // What counts changes is a second late.
        sleep(Duration::from_millis(1200)).await;
        let before = writes(&cluster).await;
        let reads_before = cluster.postgres().look_ups("n2").await;
        assert!(reads_before >= KEYS, "what counts them counts nothing");
        let listened = listens(&cluster).await;
        let begun = Instant::now();
        let asked = ask(&cluster, &keys, scale(40_000, 1_000_000)).await;
        let took = begun.elapsed();
        sleep(Duration::from_millis(1200)).await;
        let after = writes(&cluster).await;
        let reads = cluster.postgres().look_ups("n2").await - reads_before;
        let listened = listens(&cluster).await - listened;
        // When keys were last used is written once a minute, and a verdict is looked up anew every few seconds.
        let minutes = usize::try_from(took.as_secs() / 60).expect("a number") + 1;
        let renewals = usize::try_from(took.as_secs() / 4).expect("a number") + 1;
        Figures::of("P-09", cluster.place())
            .say("n", asked)
            .say("lost-the-feed", listened)
            .at_most("rows-written", after.0 - before.0, KEYS * minutes)
            .at_most("write-statements", after.1 - before.1, minutes + listened)
            .at_most("reads", reads, KEYS * renewals + listened * asked / 4)
            .print();
    });
}

#[test]
fn when_keys_were_last_used_costs_one_row_a_key_and_is_not_lost_by_stopping() {
    alone(async {
        let Some(mut cluster) = Plan::nodes(2).on_postgres().await else {
            return;
        };
        let keys = cluster.plant(KEYS).await;
        ask(&cluster, &keys, 1000).await;
        let updates = "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'api_keys'";
        let before = cluster.number(updates).await;
        let minute = Instant::now();
        let mut asked = 0;
        // In the long version for a whole minute, which is how long uses are collected.
        while asked < scale(40_000, 1_000_000)
            || minute.elapsed() < scale(Duration::ZERO, Duration::from_secs(60))
        {
            asked += ask(&cluster, &keys, 10_000).await;
        }
        let stopped = cluster.node_mut(2).server.take().expect("it runs").stop();
        stopped.assert_success();
        sleep(Duration::from_millis(1200)).await;
        let written = cluster.number(updates).await - before;
        let used = cluster
            .number("SELECT count(*) FROM api_keys WHERE name = 'planted' AND last_used_at IS NOT NULL")
            .await;
        let old = cluster
            .number(
                "SELECT count(*) FROM api_keys WHERE name = 'planted' \
                 AND last_used_at < (extract(epoch FROM clock_timestamp()) * 1000)::bigint - 60000",
            )
            .await;
        Figures::of("P-22", cluster.place())
            .say("n", asked)
            .say("keys", KEYS)
            .at_most("rows-written", written, 2 * KEYS)
            .at_least("keys-with-a-date", used, KEYS)
            .at_most("dates-a-minute-old", old, 0)
            .print();
    });
}
