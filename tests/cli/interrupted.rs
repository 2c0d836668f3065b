//! An import that is killed on the way.

use std::{
    collections::BTreeSet,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    import::{hex, rows},
    place::{Place, on_each},
    support::PATIENCE,
};

const LINES: usize = 10_000;
const BATCH: i64 = 500;

fn events(place: &Place) -> i64 {
    place.count("SELECT count(*) FROM api_key_events").unwrap_or(0)
}

#[test]
fn ten_thousand_lines_killed_half_way_are_all_there_once_after_a_second_run() {
    on_each(|place| {
        let lines = (0..LINES).map(|i| format!("{},owner-{},key {i}\n", hex(&format!("legacy-{i}")), i % 7));
        let file = place.file(
            "keys.csv",
            &format!("digest,owner,name\n{}", lines.collect::<String>()),
        );

        let mut command = place.command(&["import", &file]);
        let mut child = command.stdin(Stdio::null()).spawn().expect("started");
        let begun = Instant::now();
        while rows(place) < LINES as i64 / 4 {
            assert!(begun.elapsed() < PATIENCE, "it does not get on");
            thread::sleep(Duration::from_millis(5));
        }
        child.kill().expect("killed");
        let ended = child.wait_with_output().expect("ended");
        assert_eq!(
            ended.status.code(),
            None,
            "it was done before it was killed: {ended:?}"
        );
        // A transaction that was being committed may still come through on PostgreSQL.
        let mut there = rows(place);
        loop {
            thread::sleep(Duration::from_millis(200));
            let now = rows(place);
            if now == there {
                break;
            }
            there = now;
        }
        assert!(there < LINES as i64, "nothing was left to do");
        assert_eq!(there % BATCH, 0, "half a batch is there");
        assert_eq!(
            events(place),
            there,
            "a key without its event, or an event without its key"
        );
        assert_eq!(place.json(&["verify-log"])["whole"], true);

        let again = place.json(&["import", &file]);
        assert_eq!(again["skipped"], there);
        assert_eq!(again["imported"], LINES as i64 - there);
        assert_eq!((rows(place), events(place)), (LINES as i64, LINES as i64));
        assert_eq!(place.json(&["verify-log"])["seq"], LINES as i64);
        let names: BTreeSet<String> = all_names(place).into_iter().collect();
        assert_eq!(names.len(), LINES);
        for key in [0, LINES / 2, LINES - 1] {
            assert_eq!(place.status_of(&format!("legacy-{key}")), 200);
        }
    });
}

fn all_names(place: &Place) -> Vec<String> {
    let listed = place.json(&["list", "--limit", "10000"]);
    assert_eq!(listed["next_before"], Value::Null);
    let data = listed["data"].as_array().expect("a list");
    data.iter()
        .map(|key| key["name"].as_str().expect("a name").to_owned())
        .collect()
}
