//! P-17: what a server's own clock says decides nothing, where the keys are in PostgreSQL.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use jiff::{Timestamp, fmt::rfc2822};
use tokio::time::sleep;

use crate::{
    alone,
    cluster::Plan,
    figures::Figures,
    support::server::EXTERNAL,
    wire::{Wire, whoami},
};

/// Where Debian puts it.
const LIBRARIES: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
];
const HALF_AN_HOUR: Duration = Duration::from_secs(1800);
const OFFSETS: [&str; 4] = ["+1h", "-1h", "+3650d", "-3650d"];
/// What a busy machine may add to the end of a key.
const ALLOWED: Duration = Duration::from_millis(400);

/// How wrong the clock of a server is, by the date in its answers.
async fn off_by(wire: &mut Wire) -> Duration {
    let answer = wire.ask(&whoami(EXTERNAL)).await.expect("an answer");
    let date = answer.head.lines().find_map(|line| line.strip_prefix("date: "));
    let date = rfc2822::parse(date.expect("a date")).expect("a date");
    let date = SystemTime::from(date.timestamp());
    let now = SystemTime::now();
    now.duration_since(date)
        .or_else(|_| date.duration_since(now))
        .expect("one is the later")
}

/// A date on this machine's clock, which is the database's.
fn after(seconds: u64) -> String {
    let moment = SystemTime::now() + Duration::from_secs(seconds);
    Timestamp::try_from(moment).expect("a date").to_string()
}

#[test]
fn a_server_whose_clock_is_wrong_judges_keys_as_the_database_does() {
    alone(async {
        let Some(library) = LIBRARIES.into_iter().find(|library| Path::new(library).exists()) else {
            crate::skip("libfaketime is not installed");
            return;
        };
        let (mut wrong, mut asked, mut wrong_clocks) = (0, 0, 0);
        for offset in OFFSETS {
            let plan = Plan::nodes(2)
                .variable(2, "LD_PRELOAD", library)
                .variable(2, "FAKETIME", offset)
                .variable(2, "FAKETIME_DONT_FAKE_MONOTONIC", "1");
            let Some(cluster) = plan.on_postgres().await else {
                return;
            };
            let lasting = |seconds: u64| {
                let expiry = after(seconds);
                format!(r#"{{"name":"clock","scopes":["issues:read"],"expires_at":"{expiry}"}}"#)
            };
            let mut manager = cluster.manager(1);
            let half_an_hour = manager.mint_with(&lasting(HALF_AN_HOUR.as_secs())).await;
            let moment = manager.mint_with(&lasting(2)).await;
            let end = SystemTime::now() + Duration::from_secs(2);
            // What the server with the wrong clock makes is right, too.
            let made_there = cluster
                .manager(2)
                .mint_with(&lasting(HALF_AN_HOUR.as_secs()))
                .await;
            wrong_clocks += usize::from(off_by(&mut Wire::to(cluster.address(2))).await > HALF_AN_HOUR);
            let mut wires = [1, 2].map(|node| Wire::to(cluster.address(node)));
            let mut expect = async |key: &str, node: usize, statuses: &[u16]| {
                let status = wires[node - 1].status(&whoami(key)).await.expect("an answer");
                asked += 1;
                wrong += usize::from(!statuses.contains(&status));
            };
            for key in [&half_an_hour, &made_there] {
                expect(&key.key, 1, &[200]).await;
                expect(&key.key, 2, &[200]).await;
            }
            // From before its end, so that it is cached, until after it.
            while SystemTime::now() < end + ALLOWED {
                let before = SystemTime::now() + ALLOWED < end;
                expect(&moment.key, 2, if before { &[200] } else { &[200, 401] }).await;
                sleep(Duration::from_millis(20)).await;
            }
            for key in [&half_an_hour, &made_there] {
                expect(&key.key, 2, &[200]).await;
            }
            for _ in 0..20 {
                expect(&moment.key, 2, &[401]).await;
                sleep(Duration::from_millis(10)).await;
            }
        }
        Figures::of("P-17", "postgres")
            .say("offsets", OFFSETS.join(" "))
            .say("n", asked)
            .at_least("wrong-clocks", wrong_clocks, OFFSETS.len())
            .at_most("wrong-verdicts", wrong, 0)
            .print();
    });
}
