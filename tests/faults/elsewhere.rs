//! P-03: how long after a revoke was answered other processes still let requests in; and after a revoke by plain SQL.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::{
    alone,
    cluster::{Cluster, Plan},
    crew::Crew,
    figures::{Figures, Times, last_accept_after, scale},
    manager::Key,
    wire::whoami,
};

/// Of each server: enough to keep both cores busy.
const PROBERS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(20);

const P99: Duration = Duration::from_millis(50);
const MAX: Duration = Duration::from_millis(500);
/// What a busy machine may make of the p99, which of a hundred rounds is the slowest but one.
const ALLOWED: Duration = Duration::from_secs(1);
/// Past which more rounds would say no more.
const HOPELESS: Duration = Duration::from_secs(3);

/// The last requests that are let in, after a moment that `revoke` gives, at these servers.
async fn rounds<F>(cluster: &Cluster, nodes: &[usize], rounds: usize, mut revoke: F) -> Times
where
    F: AsyncFnMut(&Key) -> Instant,
{
    let mut manager = cluster.manager(1);
    let mut crew = Crew::at(&cluster.these(nodes), PROBERS);
    let mut lags = Vec::new();
    for _ in 0..rounds {
        let key = manager.mint().await;
        let shift = crew.start(&whoami(&key.key));
        assert!(
            shift.all_hear(200, nodes, PATIENCE).await,
            "the key works everywhere"
        );
        let revoked = revoke(&key).await;
        assert!(
            shift.all_hear(401, nodes, PATIENCE).await,
            "the key is dead everywhere"
        );
        sleep(Duration::from_millis(5)).await;
        let done = shift.end().await;
        crew = done.0;
        let lag = last_accept_after(&done.1, revoked);
        lags.push(lag);
        if lag > HOPELESS {
            break;
        }
    }
    Times::of(lags)
}

fn print(promise: &str, place: &str, lags: &Times) {
    Figures::of(promise, place)
        .say("n", lags.len())
        .time("p50", lags.at(500))
        .within_or("p99", lags.at(990), P99, ALLOWED)
        .time("p99.9", lags.at(999))
        .within("max", lags.max(), MAX)
        .print();
}

async fn revoked_through_another(cluster: &Cluster, nodes: &[usize], count: usize) {
    let mut manager = cluster.manager(1);
    let revoke = async |key: &Key| manager.revoke(key).await.end;
    let lags = rounds(cluster, nodes, count, revoke).await;
    print("P-03", cluster.place(), &lags);
}

async fn revoked_by_sql(cluster: &Cluster, nodes: &[usize], count: usize) {
    let revoke = async |key: &Key| {
        let now = match cluster.place() {
            "postgres" => "(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
            _ => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
        };
        let statement = format!("UPDATE api_keys SET revoked_at = {now} WHERE id = '{}'", key.id);
        cluster.sql(&statement).await;
        Instant::now()
    };
    let lags = rounds(cluster, nodes, count, revoke).await;
    print("P-03 by SQL", cluster.place(), &lags);
}

#[test]
fn a_revoke_reaches_two_other_processes_on_postgres() {
    alone(async {
        let Some(cluster) = Plan::nodes(3).on_postgres().await else {
            return;
        };
        revoked_through_another(&cluster, &[2, 3], scale(150, 2000)).await;
    });
}

#[test]
fn a_revoke_reaches_another_process_on_one_sqlite_file() {
    alone(async {
        let cluster = Plan::nodes(2).on_sqlite();
        revoked_through_another(&cluster, &[2], scale(100, 1000)).await;
    });
}

#[test]
fn a_revoke_by_plain_sql_reaches_every_process_on_postgres() {
    alone(async {
        let Some(cluster) = Plan::nodes(3).on_postgres().await else {
            return;
        };
        revoked_by_sql(&cluster, &[1, 2, 3], scale(60, 500)).await;
    });
}

#[test]
fn a_revoke_by_plain_sql_reaches_every_process_on_one_sqlite_file() {
    alone(async {
        let cluster = Plan::nodes(2).on_sqlite();
        revoked_by_sql(&cluster, &[1, 2], scale(60, 500)).await;
    });
}
