use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use tokio::{
    sync::{Semaphore, watch},
    task::yield_now,
};
use tower_api_key::manage::IssuedKey;

use crate::app::App;

const ROUNDS: usize = 1000;
const CLIENTS: u32 = 8;

const GOOD: u8 = 0;
const REVOKING: u8 = 1;
const REVOKED: u8 = 2;

/// How the look-ups of a round meet its revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Straddling {
    /// They do not: the key is in the cache.
    Nothing,
    /// What was read before the commit arrives between the commit and its answer.
    TheCommit,
    /// What was read before the commit arrives after the answer.
    TheAnswer,
    /// As it happens: reads take up to twice as long as a commit.
    Anything,
}

impl Straddling {
    /// A third of the rounds straddle.
    fn of(round: usize) -> Self {
        match (round % 3, round / 3 % 3) {
            (0, 0) => Self::TheCommit,
            (0, 1) => Self::TheAnswer,
            (0, _) => Self::Anything,
            _ => Self::Nothing,
        }
    }
}

/// One key, and what all know of it.
struct Round {
    key: IssuedKey,
    state: AtomicU8,
    /// Grows by one for each client that was let in, once.
    let_in: Semaphore,
    /// Grows by one for each client that was refused after it began when the revoke had returned, once.
    refused: Semaphore,
}

#[derive(Debug, Default)]
struct Tally {
    requests: AtomicUsize,
    let_in_late: AtomicUsize,
    refused_early: AtomicUsize,
    neither: AtomicUsize,
}

/// Sends request after request with the key of the present round.
async fn hammer(
    app: Arc<App>,
    present: watch::Receiver<Arc<Round>>,
    tally: Arc<Tally>,
    end: Arc<AtomicBool>,
) {
    let mut round = present.borrow().clone();
    let (mut told_let_in, mut told_refused) = (false, false);
    while !end.load(Ordering::SeqCst) {
        if !Arc::ptr_eq(&round, &present.borrow()) {
            round = present.borrow().clone();
            (told_let_in, told_refused) = (false, false);
        }
        let at_start = round.state.load(Ordering::SeqCst);
        let status = app.ask(round.key.key.expose()).await;
        let at_end = round.state.load(Ordering::SeqCst);
        tally.requests.fetch_add(1, Ordering::Relaxed);
        match status {
            StatusCode::OK => {
                if at_start == REVOKED {
                    tally.let_in_late.fetch_add(1, Ordering::SeqCst);
                }
                if !told_let_in {
                    round.let_in.add_permits(1);
                    told_let_in = true;
                }
            }
            StatusCode::UNAUTHORIZED => {
                if at_end == GOOD {
                    tally.refused_early.fetch_add(1, Ordering::SeqCst);
                }
            }
            _ => {
                tally.neither.fetch_add(1, Ordering::SeqCst);
            }
        }
        if at_start == REVOKED && !told_refused {
            round.refused.add_permits(1);
            told_refused = true;
        }
        // A hit never waits, so that without this nothing else would ever run.
        yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_that_starts_after_a_revoke_returned_is_let_in() {
    let app = Arc::new(App::start().await);
    let begin = async || {
        Arc::new(Round {
            key: app.mint().await,
            state: AtomicU8::new(GOOD),
            let_in: Semaphore::new(0),
            refused: Semaphore::new(0),
        })
    };
    let (publish, present) = watch::channel(begin().await);
    let (tally, end) = (Arc::new(Tally::default()), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| tokio::spawn(hammer(app.clone(), present.clone(), tally.clone(), end.clone())))
        .collect();
    let mut straddled = 0;
    for i in 0..ROUNDS {
        let straddling = Straddling::of(i);
        let round = begin().await;
        let (id, key) = (round.key.record.id, round.key.key.expose());
        let reads = app.store.reads();
        match straddling {
            Straddling::Nothing => {}
            Straddling::TheCommit | Straddling::TheAnswer => app.store.after_read().close(),
            Straddling::Anything => app.store.delay(Duration::from_millis(8)),
        }
        publish.send_replace(round.clone());
        match straddling {
            // Each of them was let in.
            Straddling::Nothing => drop(round.let_in.acquire_many(CLIENTS).await.expect("open")),
            Straddling::TheCommit | Straddling::TheAnswer => app.store.after_read().reached().await,
            Straddling::Anything => {
                while app.store.reads() == reads {
                    yield_now().await;
                }
            }
        }

        round.state.store(REVOKING, Ordering::SeqCst);
        if straddling == Straddling::TheCommit {
            app.store.after_commit().close();
        }
        let revoking = app.keys.revoke(id);
        if straddling == Straddling::TheCommit {
            let arrive = async {
                app.store.after_commit().reached().await;
                app.store.after_read().open();
                app.store.after_commit().open();
            };
            let (revoked, ()) = tokio::join!(revoking, arrive);
            revoked.expect("revoked");
        } else {
            revoking.await.expect("revoked");
        }
        round.state.store(REVOKED, Ordering::SeqCst);

        if straddling == Straddling::TheAnswer {
            // While those from before still wait for a look-up that found the key good.
            assert_eq!(app.ask(key).await, StatusCode::UNAUTHORIZED, "round {i}");
            app.store.after_read().open();
        }
        drop(round.refused.acquire_many(CLIENTS).await.expect("open"));
        assert_eq!(app.ask(key).await, StatusCode::UNAUTHORIZED, "round {i}");
        app.store.delay(Duration::ZERO);
        straddled += usize::from(straddling != Straddling::Nothing);
    }
    end.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.expect("no panic");
    }
    println!("{ROUNDS} rounds, {straddled} of them straddling, {CLIENTS} clients: {tally:?}");
    assert_eq!(straddled, ROUNDS.div_ceil(3));
    assert_eq!(tally.let_in_late.load(Ordering::SeqCst), 0, "{tally:?}");
    assert_eq!(tally.refused_early.load(Ordering::SeqCst), 0, "{tally:?}");
    assert_eq!(tally.neither.load(Ordering::SeqCst), 0, "{tally:?}");
    assert!(
        tally.requests.load(Ordering::Relaxed) >= ROUNDS * CLIENTS as usize,
        "{tally:?}"
    );
}
