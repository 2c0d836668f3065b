//! P-08: while a key is rotated both work, and the old one ends when it was said to, on every server.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use tokio::{sync::Semaphore, task::JoinSet, time::sleep};

use crate::{
    alone,
    cluster::Plan,
    figures::{Figures, print_line, scale},
    manager::Manager,
    wire::{Wire, whoami},
};

/// Seconds for which the old key goes on.
const OVERLAP: u32 = 2;
/// At the same time.
const CLIENTS: usize = 24;
const AFTER_THE_END: Duration = Duration::from_millis(100);
/// How long the old key is watched once it is dead.
const WATCHED: Duration = Duration::from_secs(1);
const PACE: Duration = Duration::from_millis(15);

/// What one rotation has shown.
#[derive(Debug, Default)]
struct Seen {
    /// While both had to work.
    refused: usize,
    /// On a machine that is too busy to look a key up within a second.
    unanswered: usize,
    /// After the end: the latest, from the end on.
    late: Duration,
    /// Of the old key around its end.
    probes: usize,
}

async fn rotate(addresses: Vec<std::net::SocketAddr>) -> Seen {
    let mut seen = Seen::default();
    let mut manager = Manager::at(addresses[0]);
    let mut wires: Vec<Wire> = addresses.into_iter().map(Wire::to).collect();
    let old = manager.mint().await;
    let (old_request, mut refused) = (whoami(&old.key), 0);
    for wire in &mut wires {
        let status = wire.status(&old_request).await.expect("an answer");
        refused += usize::from(status != 200);
    }
    let new = manager.rotate(&old, OVERLAP).await;
    let new_request = whoami(&new.key);
    for wire in &mut wires {
        let status = wire.status(&new_request).await.expect("an answer");
        refused += usize::from(status != 200);
    }
    // The database's clock is this machine's.
    let end: Timestamp = manager
        .show(&old.id)
        .await
        .text("expires_at")
        .parse()
        .expect("a date");
    let end = SystemTime::from(end);
    loop {
        for wire in &mut wires {
            let start = SystemTime::now();
            let status = wire.status(&old_request).await.expect("an answer");
            let done = SystemTime::now();
            seen.probes += 1;
            if status == 200 {
                seen.late = seen.late.max(start.duration_since(end).unwrap_or_default());
            } else if done < end {
                seen.unanswered += usize::from(status == 503);
                refused += usize::from(status != 503);
                if let (true, Ok(early)) = (status != 503, end.duration_since(done)) {
                    print_line(&format!("refused with {status}, {early:?} before the end"));
                }
            }
        }
        if SystemTime::now() > end + WATCHED {
            break;
        }
        sleep(PACE).await;
    }
    seen.refused = refused;
    seen
}

#[test]
fn both_keys_work_during_the_overlap_and_the_old_one_ends_with_it() {
    alone(async {
        let Some(cluster) = Plan::nodes(3).on_postgres().await else {
            return;
        };
        let rounds = scale(72, 1000);
        let addresses: Vec<_> = [1, 2, 3].map(|node| cluster.address(node)).into();
        let places = Arc::new(Semaphore::new(CLIENTS));
        let mut clients = JoinSet::new();
        for _ in 0..rounds {
            let (places, addresses) = (places.clone(), addresses.clone());
            clients.spawn(async move {
                let _place = places.acquire_owned().await.expect("open");
                rotate(addresses).await
            });
        }
        let (mut refused, mut unanswered, mut late, mut probes) = (0, 0, Duration::ZERO, 0);
        while let Some(seen) = clients.join_next().await {
            let seen = seen.expect("no panic");
            refused += seen.refused;
            unanswered += seen.unanswered;
            late = late.max(seen.late);
            probes += seen.probes;
        }
        Figures::of("P-08", cluster.place())
            .say("n", rounds)
            .say("probes", probes)
            .say("503", unanswered)
            .at_most("refused-in-overlap", refused, 0)
            .within("last-accept-after-end", late, AFTER_THE_END)
            .print();
    });
}
