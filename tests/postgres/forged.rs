//! Whoever may notify can say anything: nobody answers for what they have not applied, or fails to answer for what they have.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tower_api_key::{
    event::{Feed, FeedSink, Hear},
    key::KeyDigest,
    store::KeyStore,
};

use crate::{
    database::Database,
    hearing::{Hearing, is_proven},
    opened::open,
};

const APPLIED: &str = "SELECT max(applied) FROM api_key_nodes";

#[tokio::test]
async fn a_number_that_nobody_has_asked_for_hides_none_that_somebody_has() {
    let Some(database) = Database::create() else {
        return;
    };
    let hearing = Hearing::begun(open(&database).await.feed()).await;
    let mark = hearing.mark();
    // While the first is answered, the others come in.
    database.sql(&format!(
        "BEGIN; DO $$ DECLARE ask TEXT := 'ask:' || 'api_key_nodes'::regclass::oid || ':'; BEGIN \
         PERFORM pg_notify('api_key_changes', ask || nextval('api_key_asks')); \
         PERFORM pg_notify('api_key_changes', ask || nextval('api_key_asks')); \
         PERFORM pg_notify('api_key_changes', ask || {}); END $$; COMMIT",
        i64::MAX
    ));
    hearing.all_since(mark).await;
    // What is heard before a proof is answered by the next.
    hearing.until(hearing.mark(), is_proven).await;
    assert_eq!(database.value(APPLIED), "2");
}

/// Passes on what it is told, after something has happened.
struct Acting {
    sink: FeedSink,
    act: Box<dyn Fn(&KeyDigest) + Send + Sync>,
}

impl Hear for Acting {
    fn now(&self) -> Duration {
        self.sink.now()
    }

    fn changed(&self, digest: &KeyDigest) {
        (self.act)(digest);
        self.sink.changed(digest);
    }

    fn changed_all(&self) {
        self.sink.changed_all();
    }

    fn proven(&self, sent: Duration) {
        self.sink.proven(sent);
    }

    fn lost(&self, cause: &str) {
        self.sink.lost(cause);
    }
}

/// The number is taken, and so visible to all, before whoever took it has told anybody.
#[tokio::test]
async fn nobody_answers_for_what_they_have_not_applied_because_somebody_else_names_its_number() {
    let Some(database) = Database::create() else {
        return;
    };
    let database = Arc::new(database);
    let store = open(&database).await;
    let (acted, seen) = (AtomicBool::new(false), Arc::new(Mutex::new(Vec::new())));
    let act = {
        let (database, seen) = (database.clone(), seen.clone());
        move |_: &KeyDigest| {
            if acted.swap(true, Ordering::SeqCst) {
                let applied = database.value(APPLIED);
                seen.lock().expect("the lock").push(applied);
            } else {
                // On the way behind this there is a forged question. Now comes a change, and who made it takes the number.
                database.sql(
                    "INSERT INTO api_keys (id, digest, prefix, name, owner, scopes, created_at) \
                     VALUES ('k', decode(lpad('1', 64, '0'), 'hex'), 'ak', '', 'bob', '', 1)",
                );
                assert_eq!(database.value("SELECT nextval('api_key_asks')"), "1");
            }
        }
    };
    let feed = store.feed().expect("a feed");
    let hearing = Hearing::begun(Some(Feed::new(move |sink| {
        let act = Box::new(act);
        feed.run(FeedSink::new(Arc::new(Acting { sink, act })))
    })))
    .await;
    let mark = hearing.mark();
    database.sql(&format!(
        "BEGIN; SELECT pg_notify('api_key_changes', 'key:{}'); \
         SELECT pg_notify('api_key_changes', 'ask:' || 'api_key_nodes'::regclass::oid || ':1'); COMMIT",
        "ab".repeat(32)
    ));
    hearing.all_since(mark).await;
    hearing.until(hearing.mark(), is_proven).await;
    assert_eq!(*seen.lock().expect("the lock"), ["0"], "what was applied by then");
    assert_eq!(database.value(APPLIED), "1");
}
