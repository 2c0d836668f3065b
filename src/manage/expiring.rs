use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    event::{Notice, Notices},
    key::KeyId,
    store::{DynStore, ExpiryQuery, KeyQuery, StoreError, StoreErrorKind},
    trace,
};

/// How often it is looked for keys that end soon.
const EVERY: Duration = Duration::from_secs(60);
/// How many are told of in one statement, and how many statements there are at a time. The rest is for the next.
const PAGE: u32 = 200;
const PAGES: usize = 50;
/// For each of them.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Tells of keys that end soon, each once for each of the times before its end.
///
/// It goes from end to end and never back, so that nothing has to be remembered of keys; a process that starts begins with all that end within the
/// longest of the times.
pub(crate) struct Expiring {
    store: Arc<dyn DynStore>,
    notices: Notices,
    /// The shortest first.
    times: Box<[Duration]>,
    task: Mutex<Task>,
}

#[derive(Default)]
enum Task {
    #[default]
    NotYet,
    Running(JoinHandle<()>),
    Over,
}

/// How far one of the times has come.
struct Reached {
    within: Duration,
    /// All that ends before, and at this moment those with this id and lesser ones.
    until: (SystemTime, Option<KeyId>),
}

impl Expiring {
    /// `None` where nobody is to be told.
    pub(crate) fn new(store: Arc<dyn DynStore>, notices: Notices, mut times: Vec<Duration>) -> Option<Self> {
        times.retain(|time| !time.is_zero());
        times.sort_unstable();
        times.dedup();
        (!times.is_empty()).then(|| Self {
            store,
            notices,
            times: times.into(),
            task: Mutex::default(),
        })
    }

    /// Begins, unless that is done already, or there is no runtime to do it in.
    pub(crate) fn begin(&self) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let mut task = self.task.lock();
        let begun = match &*task {
            Task::NotYet => false,
            // That of another runtime may have ended with it.
            Task::Running(running) => !running.is_finished(),
            Task::Over => true,
        };
        if !begun {
            let (store, notices) = (self.store.clone(), self.notices.clone());
            *task = Task::Running(runtime.spawn(run(store, notices, self.times.clone())));
        }
    }

    /// For good.
    pub(crate) fn end(&self) {
        if let Task::Running(task) = std::mem::replace(&mut *self.task.lock(), Task::Over) {
            task.abort();
        }
    }
}

impl Drop for Expiring {
    fn drop(&mut self) {
        self.end();
    }
}

async fn run(store: Arc<dyn DynStore>, notices: Notices, times: Box<[Duration]>) {
    let mut reached = None;
    loop {
        match round(&*store, &notices, &times, &mut reached).await {
            Ok(true) => {}
            // It cannot say, now or later.
            Ok(false) => return std::future::pending().await,
            Err(error) => trace::expiring_not_found(&error),
        }
        sleep(EVERY).await;
    }
}

/// `false` where the store cannot say which keys end soon.
async fn round(
    store: &dyn DynStore,
    notices: &Notices,
    times: &[Duration],
    reached: &mut Option<Vec<Reached>>,
) -> Result<bool, StoreError> {
    // By the store's clock, by which they end.
    let nothing = KeyQuery::newest(1);
    let now = in_time(store.list(&nothing)).await?.now;
    let reached = reached.get_or_insert_with(|| begin(now, times));
    for reached in reached {
        let Some(until) = now.checked_add(reached.within) else {
            continue;
        };
        // What has ended meanwhile does not end soon.
        reached.until = reached.until.max((now, None));
        for _ in 0..PAGES {
            if until <= reached.until.0 {
                break;
            }
            let mut query = ExpiryQuery::between(reached.until.0, until, PAGE).made_for(reached.within);
            query.after = reached.until;
            let Some(page) = in_time(store.expiring(&query)).await? else {
                return Ok(false);
            };
            let is_last = page.keys.len() < PAGE as usize;
            for key in page.keys {
                let Some(expires_at) = key.expires_at else {
                    continue;
                };
                reached.until = (expires_at, Some(key.id));
                notices.tell(&Notice::Expiring {
                    key_id: key.id,
                    owner: key.owner,
                    name: key.name,
                    expires_at,
                    within: reached.within,
                });
            }
            if is_last {
                reached.until = (until, None);
            }
        }
    }
    Ok(true)
}

/// A key is told of once, by the shortest of the times before its end that fits.
fn begin(now: SystemTime, times: &[Duration]) -> Vec<Reached> {
    let shorter = [Duration::ZERO].into_iter().chain(times.iter().copied());
    let begun = times.iter().zip(shorter).map(|(within, shorter)| Reached {
        within: *within,
        until: (now.checked_add(shorter).unwrap_or(now), None),
    });
    begun.collect()
}

async fn in_time<T>(asking: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    match timeout(TIMEOUT, asking).await {
        Ok(answer) => answer,
        Err(late) => Err(StoreError::new(StoreErrorKind::Unavailable, late)),
    }
}
