//! The order in which whoever listens comes back: it listens, takes everything for changed, is proven, and answers. Whatever happens in between
//! is neither missed nor answered for in advance.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use tower_api_key::{
    event::{Feed, FeedSink, Hear},
    key::KeyDigest,
    manage::ManageErrorKind,
    store::KeyStore,
};

use crate::{
    database::Database,
    hearing::{Hearing, Told, is_proven},
    opened::{issue, keys, open, open_at, uncached},
    proxy::Proxy,
};

/// Longer than any machine is slow.
const PATIENCE: Duration = Duration::from_secs(30);

/// Passes on what it is told. Something happens as soon as everything is taken for changed, and just before the feed is taken for proven.
struct Acting {
    sink: FeedSink,
    act: Box<dyn Fn(Told) + Send + Sync>,
}

impl Hear for Acting {
    fn now(&self) -> Duration {
        self.sink.now()
    }

    fn changed(&self, digest: &KeyDigest) {
        self.sink.changed(digest);
    }

    fn changed_all(&self) {
        self.sink.changed_all();
        (self.act)(Told::All);
    }

    fn proven(&self, sent: Duration) {
        (self.act)(Told::Proven(sent));
        self.sink.proven(sent);
    }

    fn lost(&self, cause: &str) {
        self.sink.lost(cause);
    }
}

fn acting(feed: Option<Feed>, act: impl Fn(Told) + Send + Sync + 'static) -> Option<Feed> {
    let feed = feed?;
    let act = Box::new(act);
    Some(Feed::new(move |sink| {
        feed.run(FeedSink::new(Arc::new(Acting { sink, act })))
    }))
}

/// Ends the connection that listens, and waits until that is noticed; everything from the mark on came after.
async fn interrupt(database: &Database, hearing: &Hearing) -> usize {
    let mark = hearing.mark();
    database.value(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE application_name = 'tower-api-key feed' AND datname = current_database()",
    );
    hearing.lost(mark).await
}

#[tokio::test]
async fn what_is_committed_just_after_everything_was_taken_for_changed_is_told() {
    let Some(database) = Database::create() else {
        return;
    };
    let database = Arc::new(database);
    let store = open(&database).await;
    let last = Arc::new(AtomicU8::new(0));
    let act = {
        let (database, last) = (database.clone(), last.clone());
        move |told: Told| {
            if told == Told::All {
                let number = last.fetch_add(1, Ordering::SeqCst) + 1;
                database.sql(&format!(
                    "INSERT INTO api_keys (id, digest, prefix, name, owner, scopes, created_at) \
                     VALUES ('k{number}', decode(lpad(to_hex({number}), 64, '0'), 'hex'), 'ak', '', 'bob', '', 1)"
                ));
            }
        }
    };
    let hearing = Hearing::begin(acting(store.feed(), act));
    let mut mark = 0;
    // When it comes for the first time, and each time that it comes back.
    for _ in 0..3 {
        let told = hearing.until(mark, is_proven).await;
        let mut digest = [0; 32];
        digest[31] = last.load(Ordering::SeqCst);
        let changed = Told::Changed(KeyDigest::from_bytes(digest));
        let times = told.iter().filter(|told| **told == changed).count();
        assert_eq!(times, 1, "{changed:?} among {told:?}");
        mark = interrupt(&database, &hearing).await;
    }
}

/// It was asked while it was away: that something was committed before it asked is all that it knows.
#[tokio::test]
async fn nothing_is_answered_for_before_everything_was_taken_for_changed_and_is_proven() {
    let Some(database) = Database::create() else {
        return;
    };
    let database = Arc::new(database);
    let store = open(&database).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let act = {
        let (database, seen) = (database.clone(), seen.clone());
        move |told: Told| {
            let answered = database.value("SELECT max(applied) FROM api_key_nodes");
            seen.lock().expect("the lock").push((told, answered));
        }
    };
    let hearing = Hearing::begun(acting(store.feed(), act)).await;
    // Asked for, and told to nobody.
    assert_eq!(database.value("SELECT nextval('api_key_asks')"), "1");
    let mark = interrupt(&database, &hearing).await;
    hearing.until(mark, is_proven).await;
    let seen = seen.lock().expect("the lock").clone();
    let flushed = seen.iter().rposition(|(told, _)| *told == Told::All);
    let flushed = flushed.expect("it came back");
    // Not yet when it is about to be proven, either.
    let answered = seen[flushed..flushed + 2].iter().map(|(_, answered)| answered);
    assert_eq!(answered.collect::<Vec<_>>(), ["0", "0"], "{seen:?}");
    let receipt = store.everywhere(PATIENCE).await.expect("an answer");
    assert_eq!(receipt.map(|receipt| (receipt.acked, receipt.of)), Some((1, 1)));
}

/// The database tells, not whoever changes it: that one may be gone by then, or may not know.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_told_although_whoever_made_it_never_learns_that_it_is_committed() {
    let Some(database) = Database::create() else {
        return;
    };
    let proxy = Proxy::before(&database.url());
    let (one, two) = (open(&database).await, open_at(proxy.url()).await);
    let hearing = Hearing::begun(one.feed()).await;
    let auth = uncached(&two);
    let issued = issue(&auth).await;
    let mark = hearing.mark();
    hearing.all_since(mark).await;
    let mark = hearing.mark();
    proxy.lose_the_answer_to_the_next_commit();
    let error = keys(&auth).revoke(issued.record.id).await.expect_err("lost");
    assert_eq!(error.kind(), ManageErrorKind::Unavailable);
    assert_eq!(
        hearing.all_since(mark).await,
        [Told::Changed(issued.record.digest)]
    );
}
