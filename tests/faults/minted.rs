//! P-05: a key works on every server from the moment its maker has read it, also where the same text was refused before.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use crate::{
    alone,
    cluster::Plan,
    figures::{Figures, Times, scale},
    wire::{Wire, whoami},
};

const BOUND: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_minted_key_works_on_every_server_at_once() {
    alone(async {
        let Some(cluster) = Plan::nodes(3).on_postgres().await else {
            return;
        };
        let rounds = scale(300, 5000);
        let mut manager = cluster.manager(1);
        let mut others = [2, 3].map(|node| Wire::to(cluster.address(node)));
        let mut refused = 0;
        for round in 0..rounds {
            let key = manager.mint().await;
            let status = others[round % 2]
                .status(&whoami(&key.key))
                .await
                .expect("an answer");
            refused += usize::from(status != 200);
        }
        Figures::of("P-05 minted", cluster.place())
            .say("n", rounds)
            .at_most("refused", refused, 0)
            .print();
    });
}

/// A text that another system would call a key; the random part keeps two runs apart.
fn foreign() -> String {
    format!("old-system-{:016x}", getrandom::u64().expect("random bits"))
}

fn import(text: &str) -> String {
    format!(
        "INSERT INTO api_keys (id, digest, prefix, name, owner, scopes, created_at, imported) \
         VALUES (gen_random_uuid()::text, sha256(convert_to('{text}', 'UTF8')), 'old', 'imported', 'alice', \
         'issues:read', (extract(epoch FROM clock_timestamp()) * 1000)::bigint, 1)"
    )
}

#[test]
fn a_key_that_was_tried_before_it_was_imported_works_on_every_server() {
    alone(async {
        let nodes = [1, 2, 3];
        let Some(cluster) = Plan::nodes(3).on_postgres().await else {
            return;
        };
        // Until there is one, no such text is looked up at all.
        cluster.sql(&import(&foreign())).await;
        sleep(Duration::from_millis(1100)).await;
        let rounds = scale(60, 1000);
        let (mut lags, mut at_once) = (Vec::new(), 0);
        for round in 0..rounds {
            // One address has so many guesses a second, and no more.
            let [high, low] = u16::try_from(round).expect("not so many").to_be_bytes();
            let source = Ipv4Addr::new(127, 1, high, low).into();
            let mut wires = nodes.map(|node| Wire::to(cluster.address(node)).at(source));
            let text = foreign();
            let request = whoami(&text);
            for wire in &mut wires {
                // Twice, so that the second is answered from what was remembered.
                for _ in 0..2 {
                    let status = wire.status(&request).await.expect("an answer");
                    assert_eq!(status, 401, "nobody has it yet");
                }
            }
            cluster.sql(&import(&text)).await;
            let imported = Instant::now();
            for wire in &mut wires {
                let mut last = Duration::ZERO;
                loop {
                    let start = imported.elapsed();
                    let status = wire.status(&request).await.expect("an answer");
                    if status == 200 {
                        break;
                    }
                    assert_eq!(status, 401, "it is unknown until it is known");
                    assert!(start < PATIENCE, "it does not work");
                    last = start;
                }
                at_once += usize::from(last.is_zero());
                lags.push(last);
            }
        }
        let lags = Times::of(lags);
        Figures::of("P-05 tried", cluster.place())
            .say("n", lags.len())
            .say("at-once", at_once)
            .time("p99", lags.at(990))
            .within("max", lags.max(), BOUND)
            .print();
    });
}
