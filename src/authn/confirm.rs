use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{runtime::Handle, task::JoinSet, time::timeout};

use super::{
    Lookup,
    cache::{Found, Lead},
    purpose::Purpose,
    refusal::{Refusal, Unavailable},
    resolver::Resolved,
};
use crate::{budget::Budget, key::KeyDigest, principal::Principal};

/// How many keys one statement confirms.
const BATCH: usize = 500;
/// How many statements are under way at a time.
const AT_ONCE: usize = 4;
/// How many are asked for one by one at a time, where it must be one by one.
const SINGLY: usize = 32;
/// How many keys are confirmed after one flush. More are looked up as they come.
const AT_MOST: usize = 20_000;

/// Confirms what is kept after everything had to be forgotten, so that those who come do not all ask the store.
#[derive(Debug)]
pub(crate) struct Confirming {
    running: AtomicBool,
    /// Anybody who can reach the channel of the database can have everything forgotten.
    budget: Budget,
}

impl Default for Confirming {
    fn default() -> Self {
        Self {
            running: AtomicBool::new(false),
            budget: Budget::per_second(1),
        }
    }
}

impl Lookup {
    /// Begins to confirm what is kept, unless that is under way, or was a moment ago.
    pub(super) fn confirm(self: &Arc<Self>) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if !self.load.answers_many() || !self.confirming.budget.take(self.clock.elapsed()) {
            return;
        }
        if self.confirming.running.swap(true, Ordering::AcqRel) {
            return;
        }
        // Here and not in the task: whoever comes next shall find the flights.
        let leads = self.cache.begin_again(AT_MOST);
        let done = Done(self.clone());
        let lookup = self.clone();
        runtime.spawn(async move {
            let _done = done;
            let mut batches = JoinSet::new();
            let mut leads = leads.into_iter().peekable();
            while leads.peek().is_some() {
                if batches.len() >= AT_ONCE {
                    batches.join_next().await;
                }
                let batch: Vec<Lead<Principal>> = leads.by_ref().take(BATCH).collect();
                batches.spawn(lookup.clone().confirm_batch(batch));
            }
            while batches.join_next().await.is_some() {}
        });
    }

    async fn confirm_batch(self: Arc<Self>, leads: Vec<Lead<Principal>>) {
        let digests: Vec<KeyDigest> = leads.iter().map(Lead::digest).collect();
        let depart = |lead: Lead<Principal>| (lead.depart(), lead);
        let departed: Vec<(Duration, Lead<Principal>)> = leads.into_iter().map(depart).collect();
        match timeout(self.timeout, self.load.load_many(&digests)).await {
            Ok(Ok(found)) => {
                self.breaker.answered();
                self.confirm_each(departed, found.into_iter().collect()).await;
            }
            // One row that cannot be read must not stop all others.
            Ok(Err(_)) => {
                let mut single = Some(JoinSet::new());
                for (_, lead) in departed {
                    if let Some(lead) = lead.unless_awaited() {
                        let flight = self.clone().fly(lead.digest(), lead, Purpose::Question);
                        spawn_some(&mut single, flight).await;
                    }
                }
                finish(single).await;
            }
            Err(_) => {
                let failure = Unavailable::new("the look-up timed out");
                let refusal = Refusal::unavailable(failure);
                for (sent, lead) in departed {
                    let found = self.without_store(&lead.digest(), refusal.clone());
                    lead.land(sent, found);
                }
            }
        }
    }

    async fn confirm_each(
        self: &Arc<Self>,
        departed: Vec<(Duration, Lead<Principal>)>,
        mut found: HashMap<KeyDigest, Resolved>,
    ) {
        let mut owners = self.owners.as_ref().map(|_| JoinSet::new());
        for (sent, lead) in departed {
            match found.remove(&lead.digest()) {
                None => lead.land(sent, Found::Unknown),
                Some(resolved) if owners.is_none() => self.confirmed(sent, lead, resolved),
                // Each by itself: one owner that cannot be found must not stop all others either.
                Some(resolved) => {
                    let lookup = self.clone();
                    let bound = async move {
                        match timeout(lookup.timeout, lookup.bound(resolved)).await {
                            Ok(Ok(resolved)) => lookup.confirmed(sent, lead, resolved),
                            Ok(Err(failure)) => lookup.unconfirmed(sent, lead, failure),
                            Err(_) => {
                                let failure =
                                    Unavailable::new("the directory of owners did not answer in time");
                                lookup.unconfirmed(sent, lead, failure);
                            }
                        }
                    };
                    spawn_some(&mut owners, bound).await;
                }
            }
        }
        finish(owners).await;
    }

    /// Confirmed is not used; those who came meanwhile say so themselves.
    fn confirmed(self: &Arc<Self>, sent: Duration, lead: Lead<Principal>, resolved: Resolved) {
        let found = self.judge(lead.digest(), resolved, sent);
        lead.land(sent, found);
    }

    fn unconfirmed(&self, sent: Duration, lead: Lead<Principal>, failure: Unavailable) {
        let found = self.failed(&lead.digest(), failure);
        lead.land(sent, found);
    }
}

/// A few at a time.
async fn spawn_some(tasks: &mut Option<JoinSet<()>>, task: impl Future<Output = ()> + Send + 'static) {
    if let Some(tasks) = tasks {
        if tasks.len() >= SINGLY {
            tasks.join_next().await;
        }
        tasks.spawn(task);
    }
}

async fn finish(tasks: Option<JoinSet<()>>) {
    let mut tasks = tasks.unwrap_or_default();
    while tasks.join_next().await.is_some() {}
}

/// Says that confirming is over, also when its task has been dropped.
struct Done(Arc<Lookup>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.confirming.running.store(false, Ordering::Release);
    }
}
