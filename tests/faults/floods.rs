//! P-10: a flood of random keys costs no query, and of texts that may be another system's keys only so many a second.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    alone,
    cluster::{Cluster, Plan},
    crew::Crew,
    figures::{Figures, Times, scale},
    wire::{Wire, whoami},
};

const ATTACKERS: u8 = 16;
const PATIENCE: Duration = Duration::from_secs(60);
/// How many texts that may be imported keys are looked up in a second.
const BUDGET: usize = 200;
/// And how many of those of one address.
const BUDGET_OF_ONE: usize = 20;

/// What the attackers send, and what it may cost.
struct Flood {
    name: &'static str,
    key: fn() -> String,
    /// Where each of them is.
    source: fn(u8) -> Ipv4Addr,
    refusals: &'static [u16],
    /// How many look-ups a second it makes, and at once; `None` for none.
    most: Option<usize>,
}

/// What looks like a key of ours, but for the check.
fn random_key() -> String {
    const ALPHABET: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut key = "ak_".to_owned();
    let mut bits = [0; 49];
    getrandom::fill(&mut bits).expect("random bits");
    key.extend(bits.map(|bits| ALPHABET[usize::from(bits) % ALPHABET.len()] as char));
    key
}

/// Sends so many keys that nobody has, as fast as they are refused: how many were let in, or answered by something that is no refusal.
async fn flood(address: SocketAddr, count: usize, flood: &Flood) -> usize {
    let (key, refusals) = (flood.key, flood.refusals);
    let (left, wrong) = (Arc::new(AtomicUsize::new(count)), Arc::new(AtomicUsize::new(0)));
    let attackers = (1..=ATTACKERS).map(|attacker| {
        let (left, wrong) = (left.clone(), wrong.clone());
        let source = (flood.source)(attacker);
        tokio::spawn(async move {
            let mut wire = Wire::to(address).at(source.into());
            let take = |left: usize| left.checked_sub(1);
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .is_ok()
            {
                let status = wire.status(&whoami(&key())).await.expect("an answer");
                wrong.fetch_add(usize::from(!refusals.contains(&status)), Ordering::Relaxed);
            }
        })
    });
    for attacker in attackers.collect::<Vec<_>>() {
        attacker.await.expect("an attacker");
    }
    wrong.load(Ordering::Relaxed)
}

/// A flood beside traffic with good keys, some of which nobody has asked with before.
async fn program(cluster: &Cluster, attack: Flood) {
    let count = scale(10_000, 50_000);
    let postgres = cluster.postgres();
    let hot = cluster.manager(1).mint().await;
    let shift = Crew::at(&cluster.these(&[1]), 4).start(&whoami(&hot.key));
    assert!(shift.all_have_asked(&[1], 500, PATIENCE).await, "it answers");
    let (crew, calm) = shift.end().await;
    let fresh = cluster.plant(50).await;

    let shift = crew.start(&whoami(&hot.key));
    assert!(shift.all_hear(200, &[1], PATIENCE).await, "the key works");
    let before = postgres.look_ups("n1").await;
    let begun = Instant::now();
    let flood = flood(cluster.address(1), count, &attack);
    let newcomers = async {
        let mut wire = Wire::to(cluster.address(1));
        let mut refused = 0;
        for key in &fresh {
            let status = wire.status(&whoami(&key.key)).await.expect("an answer");
            refused += usize::from(status != 200);
        }
        refused
    };
    let (wrong, refused) = tokio::join!(flood, newcomers);
    let took = begun.elapsed();
    let (_, busy) = shift.end().await;
    let looked_up = postgres.look_ups("n1").await - before;

    // Its own look-ups: one for each newcomer, and the hot key anew every few seconds.
    let seconds = usize::try_from(took.as_secs()).expect("a number") + 1;
    let own = fresh.len() + seconds / 4 + 2;
    let times = |probes: &[crate::crew::Probe]| {
        Times::of(probes.iter().map(|probe| probe.end - probe.start).collect())
    };
    let unfit = busy.iter().filter(|probe| probe.status != 200).count();
    let cost = looked_up.saturating_sub(own);
    Figures::of(&format!("P-10 {}", attack.name), cluster.place())
        .say("n", count)
        .say("seconds", format!("{:.1}", took.as_secs_f64()))
        .at_most(
            "look-ups",
            cost,
            attack.most.map_or(0, |most| most * (seconds + 1)),
        )
        // Else what counts them counts nothing, and the budget is another's.
        .at_least("counted", looked_up, fresh.len())
        .at_least("look-ups-made", cost, attack.most.unwrap_or(0))
        .at_most("not-refused", wrong, 0)
        .at_most("hot-refused", unfit, 0)
        .at_most("new-refused", refused, 0)
        .time("calm-p99", times(&calm).at(990))
        .time("flooded-p99", times(&busy).at(990))
        .print();
}

#[test]
fn a_flood_of_random_keys_costs_no_query() {
    alone(async {
        let Some(cluster) = Plan::nodes(1).on_postgres().await else {
            return;
        };
        let attack = Flood {
            name: "random",
            key: random_key,
            source: |_| Ipv4Addr::LOCALHOST,
            refusals: &[401],
            most: None,
        };
        program(&cluster, attack).await;
    });
}

fn flood_of_foreign_keys(name: &'static str, source: fn(u8) -> Ipv4Addr, most: usize) {
    alone(async {
        let Some(cluster) = Plan::nodes(1).on_postgres().await else {
            return;
        };
        // One is enough for all such texts to be looked up.
        cluster
            .sql(
                "INSERT INTO api_keys (id, digest, prefix, name, owner, scopes, created_at, imported) \
                 VALUES (gen_random_uuid()::text, sha256('imported'), 'old', 'imported', 'alice', '', 0, 1)",
            )
            .await;
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let attack = Flood {
            name,
            key: || format!("old-{:016x}", getrandom::u64().expect("random bits")),
            source,
            refusals: &[401, 503],
            most: Some(most),
        };
        program(&cluster, attack).await;
    });
}

#[test]
fn a_flood_of_texts_that_may_be_imported_keys_costs_so_many_queries_a_second() {
    // What each address may cost is more in sum than all may together.
    flood_of_foreign_keys("imported", |attacker| Ipv4Addr::new(127, 0, 1, attacker), BUDGET);
}

#[test]
fn and_fewer_where_all_of_them_come_from_one_address() {
    flood_of_foreign_keys("imported, one address", |_| Ipv4Addr::LOCALHOST, BUDGET_OF_ONE);
}
