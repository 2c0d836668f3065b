//! What becomes of limits while the server that counts them is killed, frozen or full, and afterwards.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tower_api_key::limit::{RedisLimits, WhenAway};

use crate::{
    caller::{Answers, EACH, Process, STATIC, at_once},
    node::until,
    own::OwnRedis,
    server::PATIENCE,
};

/// So long that a busy machine is not taken for a fault, and too long for each of several requests to wait for it.
const WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Killed,
    Frozen,
    Full,
}

impl Fault {
    const ALL: [Self; 3] = [Self::Killed, Self::Frozen, Self::Full];

    fn begin(self, redis: &mut OwnRedis) {
        match self {
            Self::Killed => redis.kill(),
            Self::Frozen => redis.freeze(),
            Self::Full => redis.fill(),
        }
    }

    fn end(self, redis: &mut OwnRedis) {
        match self {
            Self::Killed => redis.start_again(),
            Self::Frozen => redis.thaw(),
            Self::Full => redis.make_room(),
        }
    }
}

fn processes(redis: &OwnRedis, when_away: WhenAway) -> [Process; 2] {
    [(); 2].map(|()| {
        let limits = RedisLimits::new(&redis.url()).expect("a URL");
        Process::new(limits.timeout(WITHIN).when_away(when_away))
    })
}

fn sum(answers: &[Answers]) -> Answers {
    answers.iter().fold(Answers::default(), |sum, one| Answers {
        let_in: sum.let_in + one.let_in,
        refused: sum.refused + one.refused,
        unavailable: sum.unavailable + one.unavailable,
    })
}

/// Waits until what one process has used is missing in the other.
async fn until_together([one, two]: &[Process; 2]) {
    let mut number = 0;
    until(async || {
        number += 1;
        let key = format!("together-{number}");
        let used = one.call(&key, EACH).await;
        let left = two.call(&key, 1).await;
        used.let_in == EACH && left.refused == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_is_away_each_process_lets_in_as_many_as_the_limit_says_and_nobody_is_told() {
    for fault in Fault::ALL {
        let Some(mut redis) = OwnRedis::start() else {
            return;
        };
        let processes = processes(&redis, WhenAway::CountHere);
        let before = sum(&at_once(&processes, "key", 8, 5).await);
        assert_eq!((before.let_in, before.unavailable), (EACH, 0), "{fault:?}");
        // In the middle of it.
        let load = {
            let processes = processes.clone();
            tokio::spawn(async move { at_once(&processes, "key", 8, 2000).await })
        };
        fault.begin(&mut redis);
        let during = timeout(PATIENCE, load)
            .await
            .expect("nobody waits")
            .expect("answers");
        // Then each of the processes counts, also for those who were not there before.
        let later = at_once(&processes, "key", 8, 50).await;
        for (during, later) in during.iter().zip(&later) {
            let all = sum(&[*during, *later]);
            assert_eq!(all.unavailable, 0, "{fault:?}");
            assert!(all.let_in <= EACH, "{fault:?}: {all:?}");
            assert_eq!(all.let_in + all.refused, 8 * 2050);
        }
        let other = at_once(&processes, "other", 8, 50).await;
        assert!(other.iter().all(|one| one.let_in == EACH), "{fault:?}: {other:?}");
        fault.end(&mut redis);
        until_together(&processes).await;
        // What was counted before is, unless it was lost with the server.
        let after = sum(&at_once(&processes, "key", 8, 5).await);
        let expected = if fault == Fault::Killed { EACH } else { 0 };
        assert_eq!(after.let_in, expected, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_is_away_nobody_who_is_limited_is_let_in_where_that_was_chosen() {
    for fault in Fault::ALL {
        let Some(mut redis) = OwnRedis::start() else {
            return;
        };
        let processes = processes(&redis, WhenAway::Refuse);
        assert_eq!(processes[0].call("key", EACH / 2).await.let_in, EACH / 2);
        fault.begin(&mut redis);
        until(async || processes[0].status("key").await == 503).await;
        until(async || processes[1].status("key").await == 503).await;
        let asking = at_once(&processes, "key", 8, 50);
        let during = sum(&timeout(PATIENCE, asking).await.expect("nobody waits"));
        assert_eq!(during.unavailable, 2 * 8 * 50, "{fault:?}");
        fault.end(&mut redis);
        until_together(&processes).await;
        let after = sum(&at_once(&processes, "key", 8, 50).await);
        assert_eq!(after.unavailable, 0, "{fault:?}");
        match fault {
            Fault::Killed => assert_eq!(after.let_in, EACH),
            Fault::Full => assert_eq!(after.let_in, EACH / 2),
            // Those whose answer did not come were counted when it woke up.
            Fault::Frozen => assert!(after.let_in <= EACH / 2, "{after:?}"),
        }
    }
}

#[tokio::test]
async fn static_keys_have_nothing_to_do_with_it() {
    let Some(redis) = OwnRedis::start() else {
        return;
    };
    let [one, two] = processes(&redis, WhenAway::Refuse);
    redis.freeze();
    for process in [one, two] {
        let answers = process.call(STATIC, EACH + 5).await;
        let expected = Answers {
            let_in: EACH,
            refused: 5,
            unavailable: 0,
        };
        assert_eq!(answers, expected, "counted by each process for itself");
    }
}

#[tokio::test]
async fn a_server_that_was_never_there_is_away_until_it_is() {
    let Some(mut redis) = OwnRedis::start() else {
        return;
    };
    redis.kill();
    let processes = processes(&redis, WhenAway::CountHere);
    for process in &processes {
        assert_eq!(process.call("key", 50).await.let_in, EACH);
    }
    redis.start_again();
    until_together(&processes).await;
}

/// Servers close what is idle. Nothing is away for that, and nothing counted twice.
#[tokio::test]
async fn a_connection_that_was_closed_while_nobody_used_it_is_replaced() {
    let Some(redis) = OwnRedis::start() else {
        return;
    };
    let [process, _] = processes(&redis, WhenAway::Refuse);
    assert_eq!(process.status("key").await, 200);
    for _ in 0..2 {
        sleep(Duration::from_millis(1500)).await;
        let mut kill = redis::cmd("CLIENT");
        kill.arg("KILL")
            .arg("TYPE")
            .arg("normal")
            .arg("SKIPME")
            .arg("yes");
        let killed: u32 = kill.query(&mut redis.connection()).expect("killed");
        assert!(killed > 0);
        assert_eq!(process.status("key").await, 200);
    }
    let rest = process.call("key", 50).await;
    assert_eq!((rest.let_in, rest.unavailable), (EACH - 3, 0));
}

/// As by `SCRIPT FLUSH`, or on a replica that has taken over.
#[tokio::test]
async fn a_server_that_does_not_know_the_script_is_told_it() {
    let Some(redis) = OwnRedis::start() else {
        return;
    };
    let [process, _] = processes(&redis, WhenAway::Refuse);
    for _ in 0..3 {
        assert_eq!(process.status("key").await, 200);
        redis::cmd("SCRIPT")
            .arg("FLUSH")
            .exec(&mut redis.connection())
            .expect("flushed");
    }
    assert_eq!(process.call("key", 50).await.let_in, EACH - 3);
}

#[cfg(all(feature = "metrics", feature = "tracing"))]
#[tokio::test]
async fn that_it_goes_and_that_it_is_back_is_told_once() {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("the lock").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let Some(mut redis) = OwnRedis::start() else {
        return;
    };
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .finish();
    // Where there is only one, whether an event is recorded is asked of the thread that comes to it first, which may be another test's.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _logging = tracing::subscriber::set_default(subscriber);
    let told = |text: &str| {
        let log = String::from_utf8(log.0.lock().expect("the lock").clone()).expect("text");
        log.matches(text).count()
    };
    let counted = |name: &str| -> Option<f64> {
        let told = handle.render();
        let mut values = told
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        values.next().map(|value| value.parse().expect("a number"))
    };
    let [process, _] = processes(&redis, WhenAway::CountHere);
    for (place, fault) in Fault::ALL.into_iter().enumerate() {
        until(async || process.status("key").await != 503 && counted("api_key_limits_shared") == Some(1.0))
            .await;
        assert_eq!(told("counted for all processes together again"), place);
        fault.begin(&mut redis);
        let key = format!("key-{place}");
        assert_eq!(process.call(&key, 50).await.let_in, EACH);
        assert_eq!(counted("api_key_limits_shared"), Some(0.0));
        // Also when somebody has looked for it again.
        sleep(Duration::from_millis(2500)).await;
        assert_eq!(process.call(&key, 50).await.let_in, 0);
        assert_eq!(
            told("cannot be counted for all processes together"),
            place + 1,
            "{fault:?}"
        );
        let without = counted("api_key_limits_not_shared_total{then=\"count-here\"}");
        assert!(without >= Some(100.0 * (place + 1) as f64), "{without:?}");
        fault.end(&mut redis);
    }
}
