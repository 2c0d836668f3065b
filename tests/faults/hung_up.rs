//! P-04: a revoke whose client has gone away, or whose server has died, reaches every server if it happened at all.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use sqlx::{Connection, PgConnection};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use crate::{
    alone,
    cluster::{Cluster, Plan},
    crew::Crew,
    figures::{Figures, Times, last_accept_after, scale},
    manager::{Key, delete},
    wire::whoami,
};

const PROBERS: usize = 2;
const PATIENCE: Duration = Duration::from_secs(20);
/// After which a revoke that nobody has seen in the database is taken not to have happened.
const NEVER: Duration = Duration::from_millis(300);
const HANGS_UP: Duration = Duration::from_millis(10);
/// How many revokes tell how long one takes here.
const TRIED: usize = 5;
/// Of how long a revoke takes, at first: before it is committed, just after, or after the answer.
const DIES: f64 = 1.5;
/// Later by so much if it did not happen, and sooner if it did: what one takes on a server that has just begun, under load, nobody knows before.
const LATER: f64 = 1.5;
const SOONER: f64 = 0.75;
/// Much longer than any revoke takes.
const LATEST: Duration = Duration::from_secs(2);
/// The revoke itself must get its turn, or it never happens.
const PACE: Duration = Duration::from_millis(4);
const BOUND: Duration = Duration::from_millis(500);
/// Past which more rounds would say no more.
const HOPELESS: Duration = Duration::from_secs(4);
const LEASE: Duration = Duration::from_millis(2250);

/// Up to so long.
async fn a_while(most: Duration) {
    let random = getrandom::u64().expect("random bits");
    sleep(most.mul_f64(random as f64 / u64::MAX as f64)).await;
}

/// When the row says that the key is revoked, if it does.
async fn seen_revoked(connection: &mut PgConnection, key: &Key) -> Option<Instant> {
    let begun = Instant::now();
    while begun.elapsed() < NEVER {
        let revoked: bool = sqlx::query_scalar("SELECT revoked_at IS NOT NULL FROM api_keys WHERE id = $1")
            .bind(&key.id)
            .fetch_one(&mut *connection)
            .await
            .expect("the row");
        if revoked {
            return Some(Instant::now());
        }
        sleep(Duration::from_millis(1)).await;
    }
    None
}

#[test]
fn a_revoke_whose_client_hangs_up_reaches_every_server() {
    alone(async {
        let nodes = [1, 2, 3];
        let Some(cluster) = Plan::nodes(3).on_postgres().await else {
            return;
        };
        let rounds = scale(80, 1000);
        let mut manager = cluster.manager(1);
        let mut connection = cluster.postgres().connect().await;
        let mut crew = Crew::at(&cluster.these(&nodes), PROBERS).paced(PACE);
        let (mut happened, mut lags) = (0, Vec::new());
        for round in 0..rounds {
            let key = manager.mint().await;
            let shift = crew.start(&whoami(&key.key));
            assert!(shift.all_hear(200, &nodes, PATIENCE).await, "the key works");
            let mut client = TcpStream::connect(cluster.address(1)).await.expect("connected");
            client.write_all(&delete(&key)).await.expect("sent");
            a_while(HANGS_UP).await;
            // Every other one with a reset, as if the machine were gone.
            if round % 2 == 0 {
                let _ = client.set_zero_linger();
            }
            drop(client);
            let seen = seen_revoked(&mut connection, &key).await;
            if seen.is_some() {
                assert!(
                    shift.all_hear(401, &nodes, PATIENCE).await,
                    "every server learns it"
                );
            }
            let done = shift.end().await;
            crew = done.0;
            if let Some(seen) = seen {
                happened += 1;
                lags.push(last_accept_after(&done.1, seen));
            }
            if lags.last().is_some_and(|lag| *lag > HOPELESS) {
                break;
            }
        }
        connection.close().await.expect("closed");
        let lags = Times::of(lags);
        Figures::of("P-04 hang-up", cluster.place())
            .say("n", rounds)
            .at_least("happened", happened, 1)
            .time("p99", lags.at(990))
            .within("max", lags.max(), BOUND)
            .print();
    });
}

/// How long a revoke takes on this machine, more or less.
async fn usual(cluster: &Cluster) -> Duration {
    let mut manager = cluster.manager(1);
    let mut times = Vec::new();
    for _ in 0..TRIED {
        let key = manager.mint().await;
        times.push(manager.revoke(&key).await.took());
    }
    Times::of(times).at(500)
}

#[test]
fn a_revoke_whose_server_is_killed_reaches_the_others() {
    alone(async {
        let others = [2, 3];
        let Some(mut cluster) = Plan::nodes(3).on_postgres().await else {
            return;
        };
        let (enough, most) = scale((6, 36), (100, 400));
        let mut connection = cluster.postgres().connect().await;
        let mut crew = Crew::at(&cluster.these(&others), PROBERS).paced(PACE);
        let mut dies = usual(&cluster).await.mul_f64(DIES);
        let (mut rounds, mut lags) = (0, Vec::new());
        while lags.len() < enough && rounds < most {
            rounds += 1;
            // Where it will be revoked, which connects that server to its database.
            let key = cluster.manager(1).mint().await;
            let shift = crew.start(&whoami(&key.key));
            assert!(shift.all_hear(200, &others, PATIENCE).await, "the key works");
            let mut client = TcpStream::connect(cluster.address(1)).await.expect("connected");
            client.write_all(&delete(&key)).await.expect("sent");
            a_while(dies).await;
            cluster.node(1).server().signal(Signal::KILL);
            let _ = client.read(&mut [0; 16]).await;
            let seen = seen_revoked(&mut connection, &key).await;
            let change = if seen.is_some() { SOONER } else { LATER };
            dies = dies.mul_f64(change).min(LATEST);
            if seen.is_some() {
                assert!(
                    shift.all_hear(401, &others, PATIENCE).await,
                    "the others learn it"
                );
            }
            let done = shift.end().await;
            crew = done.0;
            if let Some(seen) = seen {
                lags.push(last_accept_after(&done.1, seen));
            }
            if lags.last().is_some_and(|lag| *lag > HOPELESS) {
                break;
            }
            let node = cluster.node_mut(1);
            node.server = None;
            node.server = Some(node.setup.start());
        }
        connection.close().await.expect("closed");
        let (happened, lags) = (lags.len(), Times::of(lags));
        Figures::of("P-04 kill -9", cluster.place())
            .say("n", rounds)
            .at_least("happened", happened, 1)
            .time("p99", lags.at(990))
            .within_or("max", lags.max(), LEASE, LEASE + Duration::from_secs(1))
            .print();
    });
}
