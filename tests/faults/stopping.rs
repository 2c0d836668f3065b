//! P-27: a server that is told to stop answers what it was asked before, and ends within 5 s.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tokio::time::sleep;

use crate::{
    alone,
    cluster::{Cluster, Plan},
    crew::{Crew, NO_ANSWER},
    figures::{Figures, Times, scale},
    support::{http::json_request, server::X_EXTERNAL},
    wire::{Wire, whoami},
};

const CREATORS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(20);
/// What was sent so long before the signal was under way. What is sent later may find a connection that has ended, and can be sent again.
const BEFORE: Duration = Duration::from_millis(20);
const END: Duration = Duration::from_secs(5);

#[test]
fn a_server_that_is_told_to_stop_loses_nothing() {
    alone(async {
        let mut cluster = Plan::nodes(1).on_sqlite();
        let rounds = scale(4, 100);
        let (mut lost, mut answered, mut times, mut expected) = (0, 0, Vec::new(), Vec::new());
        let number = Arc::new(AtomicUsize::new(0));
        for round in 0..rounds {
            let key = cluster.manager(1).mint().await;
            let address = cluster.address(1);
            let shift = Crew::at(&cluster.these(&[1]), 8).start(&whoami(&key.key));
            let stop = Arc::new(AtomicBool::new(false));
            let creators: Vec<_> = (0..CREATORS)
                .map(|_| tokio::spawn(create(Wire::to(address), number.clone(), stop.clone())))
                .collect();
            assert!(shift.all_have_asked(&[1], 20, PATIENCE).await, "it answers");
            sleep(Duration::from_millis(round as u64 * 7 % 50)).await;

            let server = cluster.node_mut(1).server.take().expect("it runs");
            let told = Instant::now();
            server.signal(Signal::TERM);
            let ended = tokio::task::block_in_place(|| server.ended());
            times.push(told.elapsed());
            stop.store(true, Ordering::Relaxed);
            ended.assert_success();
            let (_, probes) = shift.end().await;
            let before = probes.iter().filter(|probe| probe.start + BEFORE < told);
            lost += before.filter(|probe| probe.status == NO_ANSWER).count();
            answered += probes.iter().filter(|probe| probe.accepted()).count();
            for creator in creators {
                let created = creator.await.expect("a creator");
                answered += created.titles.len();
                expected.extend(created.titles);
                lost += created
                    .unanswered
                    .into_iter()
                    .filter(|start| *start + BEFORE < told)
                    .count();
            }
            let node = cluster.node_mut(1);
            node.server = Some(node.setup.start());
        }
        let missing = missing(&cluster, &expected).await;
        let times = Times::of(times);
        Figures::of("P-27", cluster.place())
            .say("n", rounds)
            .say("answered", answered)
            .at_most("unanswered", lost, 0)
            .at_most("answered-and-gone", missing, 0)
            .within_or("end", times.max(), END, 2 * END)
            .print();
    });
}

#[derive(Debug, Default)]
struct Created {
    /// Of what was answered 201.
    titles: Vec<String>,
    /// When what got no answer was sent.
    unanswered: Vec<Instant>,
}

async fn create(mut wire: Wire, number: Arc<AtomicUsize>, stop: Arc<AtomicBool>) -> Created {
    let mut created = Created::default();
    while !stop.load(Ordering::Relaxed) {
        let title = format!("issue {}", number.fetch_add(1, Ordering::Relaxed));
        let body = format!(r#"{{"title":"{title}"}}"#);
        let request = json_request("POST", "/api/v1/issues", &[X_EXTERNAL], &body);
        let start = Instant::now();
        match wire.status(&request).await {
            Ok(201) => created.titles.push(title),
            Ok(status) => panic!("{title}: {status}"),
            Err(_) => {
                created.unanswered.push(start);
                sleep(Duration::from_millis(1)).await;
            }
        }
    }
    created
}

/// How many of these are not there.
async fn missing(cluster: &Cluster, titles: &[String]) -> usize {
    let mut found = 0;
    for some in titles.chunks(500) {
        let list = some.join("', '");
        let query = format!("SELECT count(*) FROM demo_issues WHERE title IN ('{list}')");
        found += cluster.number(&query).await;
    }
    titles.len() - found
}
