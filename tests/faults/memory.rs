//! P-11: any number of distinct keys takes a bounded amount of memory, and does not displace what is in use.
//!
//! In a process of its own, whose memory nothing else changes, and against the library: a server could be asked no faster than it answers.

use std::{
    collections::HashSet,
    convert::Infallible,
    env, fs,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer, Service, service_fn};
use tower_api_key::{ApiKeyAuth, access::Grants, authn::Unavailable, key::KeyDigest, principal::Identity};

use crate::{
    alone,
    figures::{Figures, scale},
};

const HOT: usize = 1000;
/// One request in so many is with a key that is in use.
const SHARE: usize = 10;
const MEBIBYTE: usize = 1 << 20;
const VARIABLE: &str = "FAULTS_MEMORY_CHILD";

#[test]
fn millions_of_keys_take_a_bounded_amount_of_memory() {
    alone(async {
        let status = Command::new(env::current_exe().expect("this program"))
            .args(["--exact", "memory::child", "--ignored", "--nocapture"])
            .env(VARIABLE, "1")
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("started")
            .wait_with_output()
            .expect("its end");
        let printed = String::from_utf8_lossy(&status.stdout);
        let line = printed.lines().find(|line| line.contains("P-11"));
        // The one line that is no test's.
        if let Some(line) = line {
            crate::figures::print_line(line.trim_start_matches("test memory::child ... "));
        }
        assert!(status.status.success(), "{printed}");
    });
}

fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("my status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    1024 * kilobytes
        .and_then(|number| number.parse::<usize>().ok())
        .expect("a number")
}

/// Half of all keys are good; those in use are.
fn find(digest: &KeyDigest, hot: &HashSet<KeyDigest>, missed: &AtomicUsize) -> Option<Identity> {
    let in_use = hot.contains(digest);
    missed.fetch_add(usize::from(in_use), Ordering::Relaxed);
    let good = in_use || digest.as_bytes()[31].is_multiple_of(2);
    good.then(|| Identity::new("alice").grants(Grants::all()))
}

#[test]
#[ignore = "the other half of the program above"]
fn child() {
    if env::var_os(VARIABLE).is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let distinct = scale(500_000, 10_000_000);
        let name = |number: usize| format!("in-use-{number:08}");
        let hot = (0..HOT).map(|number| KeyDigest::of(name(number).as_bytes()));
        let hot: HashSet<_> = hot.collect();
        let missed = Arc::new(AtomicUsize::new(0));
        let counted = missed.clone();
        let auth = ApiKeyAuth::resolver(move |digest: KeyDigest| {
            let found = find(&digest, &hot, &counted);
            async move { Ok::<_, Unavailable>(found) }
        })
        // So that what is missed was displaced, and has not run out.
        .cache_ttl(Duration::from_secs(24 * 60 * 60))
        .build()
        .expect("a configuration");
        let inner =
            service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())));
        let mut service = auth.layer(inner);
        let mut ask = async |key: String| {
            let request = Request::builder()
                .header("x-key", key)
                .body(())
                .expect("a request");
            std::future::poll_fn(|context| Service::<Request<()>>::poll_ready(&mut service, context))
                .await
                .expect("ready");
            service.call(request).await.expect("an answer").status().as_u16()
        };
        for number in 0..HOT {
            assert_eq!(ask(name(number)).await, 200, "a key in use");
        }
        missed.store(0, Ordering::Relaxed);
        let (before, begun) = (resident(), Instant::now());
        let (mut most, mut hot_asked) = (before, 0);
        for number in 0..distinct {
            let status = ask(format!("distinct-{number:012}")).await;
            assert!([200, 401].contains(&status), "{status}");
            if number % SHARE == 0 {
                assert_eq!(ask(name(number / SHARE % HOT)).await, 200, "a key in use");
                hot_asked += 1;
            }
            if number % 50_000 == 0 {
                most = most.max(resident());
            }
        }
        most = most.max(resident());
        Figures::of("P-11", "in process")
            .say("n", distinct)
            .say("seconds", format!("{:.1}", begun.elapsed().as_secs_f64()))
            .at_most("growth-MiB", (most - before).div_ceil(MEBIBYTE), 64)
            .say("hot", hot_asked)
            .at_most("hot-missed", missed.load(Ordering::Relaxed), hot_asked / 1000)
            .print();
    });
}
