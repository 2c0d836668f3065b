//! P-15: however many ask with one key that is not cached, the database is asked once, also when the first of them goes away.
//!
//! P-16, ten thousand look-ups that panic and ten thousand leaders that go away, is among the tests of the cache itself
//! (`src/authn/cache/tests/flying.rs`), where panics can be had.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::Barrier,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    alone,
    cluster::Cluster,
    cluster::Plan,
    figures::{Figures, scale},
    wire::{Wire, whoami},
};

/// The time-out of look-ups.
const ANSWER: Duration = Duration::from_secs(1);

/// All ask at once with a key that nobody has asked with: how many were not let in, how many statements it took, and how long.
async fn stampede(cluster: &Cluster, clients: usize, leader_leaves: bool) -> (usize, usize, Duration) {
    let key = cluster.plant(1).await.remove(0);
    let request: Arc<[u8]> = whoami(&key.key).into();
    let barrier = Arc::new(Barrier::new(clients + 1));
    let mut asking = JoinSet::new();
    for _ in 0..clients {
        let (barrier, request) = (barrier.clone(), request.clone());
        let mut wire = Wire::to(cluster.address(1));
        wire.connect().await.expect("connected");
        asking.spawn(async move {
            barrier.wait().await;
            wire.status(&request).await
        });
    }
    // A head that does not come within 10 s ends a connection: they are all there well before.
    let before = cluster.postgres().look_ups("n1").await;
    let leader = if leader_leaves {
        cluster.proxy(1).stand_still();
        let mut leader = TcpStream::connect(cluster.address(1)).await.expect("connected");
        leader.write_all(&request).await.expect("sent");
        sleep(Duration::from_millis(50)).await;
        Some(leader)
    } else {
        None
    };
    barrier.wait().await;
    let begun = Instant::now();
    if let Some(leader) = leader {
        let _ = leader.set_zero_linger();
        drop(leader);
        sleep(Duration::from_millis(150)).await;
        cluster.proxy(1).clear_up();
    }
    let mut refused = 0;
    while let Some(status) = asking.join_next().await {
        let status = status.expect("no panic").expect("an answer");
        refused += usize::from(status != 200);
    }
    let took = begun.elapsed();
    let statements = cluster.postgres().look_ups("n1").await - before;
    assert!(statements > 0, "what counts them counts nothing");
    (refused, statements, took)
}

#[test]
fn many_who_ask_with_one_key_cost_one_statement() {
    alone(async {
        let Some(cluster) = Plan::nodes(1).proxied(1).on_postgres().await else {
            return;
        };
        let clients = scale(1500, 9000);
        for leader_leaves in [false, true] {
            let rounds = 3;
            let (mut refused, mut most, mut took) = (0, 0, Duration::ZERO);
            for _ in 0..rounds {
                let done = stampede(&cluster, clients, leader_leaves).await;
                refused += done.0;
                most = most.max(done.1);
                took = took.max(done.2);
            }
            let name = if leader_leaves {
                "P-15 leader leaves"
            } else {
                "P-15"
            };
            Figures::of(name, cluster.place())
                .say("clients", clients)
                .say("n", rounds)
                .at_most("statements", most, 1)
                .at_most("refused", refused, 0)
                .within_or("last-answer", took, ANSWER, 10 * ANSWER)
                .print();
        }
    });
}
