use std::{fmt, sync::Arc, time::Duration};

use tokio::{runtime::Handle, sync::Semaphore, time::timeout};

use super::{
    paying::{Paying, Turn},
    refusal::Unavailable,
};
use crate::{
    clock::Clock,
    event::Invalidate,
    principal::Principal,
    store::{DynStore, Spent, StoreError},
    trace,
};

/// What uses of keys are paid from: the accounts in the store. Nothing of what is left is kept here, so that all processes count as one.
#[derive(Clone)]
pub(crate) struct Purse {
    store: Arc<dyn DynStore>,
    /// How long the store may take.
    timeout: Duration,
    clock: Arc<dyn Clock>,
    paying: Arc<Paying>,
    /// Of all accounts together. Each is held by the task that pays, so that nobody makes room by hanging up.
    payments: Arc<Semaphore>,
    refunds: Arc<Semaphore>,
}

/// How many uses are paid for at a time, and how many put back, those that wait for the store among them.
const AT_ONCE: usize = 1024;

impl Purse {
    /// `timeout` is that of a look-up.
    pub(crate) fn new(store: Arc<dyn DynStore>, timeout: Duration, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            timeout,
            clock,
            paying: Arc::default(),
            payments: Arc::new(Semaphore::new(AT_ONCE)),
            refunds: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    pub(crate) fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Who has to hear of changes.
    pub(crate) fn told(&self) -> Arc<dyn Invalidate> {
        self.paying.clone()
    }

    /// Takes uses from the account of a caller, all or none of them; `None` where the caller has no account, and then nobody is asked.
    ///
    /// # Errors
    ///
    /// When the store could not say in time: whoever cannot be seen to have paid is not let in. They may have been taken all the same.
    pub(crate) async fn spend(&self, caller: &Principal, cost: u32) -> Result<Option<Spent>, Unavailable> {
        let Some(account) = caller.credit_account() else {
            return Ok(None);
        };
        let place = match self.paying.enter(account, cost, self.clock.elapsed()) {
            Turn::Taken(place) => place,
            Turn::Short(balance) => return Ok(Some(Spent::new(false, balance))),
            Turn::Full => return Err(Unavailable::new("too many uses of one key are being paid for")),
        };
        let permit = self.payments.clone().try_acquire_owned();
        let permit = permit.map_err(|_| Unavailable::new("too many uses are being paid for"))?;
        let (clock, paying) = (self.clock.clone(), self.paying.clone());
        let spent = self.ask(move |store| async move {
            let spent = store.spend(account, cost).await;
            match &spent {
                Ok(spent) if spent.enough => paying.is_filled(account),
                Ok(spent) => place.is_short(spent.balance, clock.elapsed()),
                Err(_) => {}
            }
            drop((place, permit));
            spent
        });
        spent.await.map(Some)
    }

    /// Puts uses back that were taken for a request that came to nothing.
    ///
    /// # Errors
    ///
    /// When the store could not say in time.
    pub(crate) async fn give_back(&self, caller: &Principal, cost: u32) -> Result<(), Unavailable> {
        let Some(account) = caller.credit_account() else {
            return Ok(());
        };
        let permit = self.refunds.clone().try_acquire_owned();
        let permit = permit.map_err(|_| Unavailable::new("too many uses are being put back"))?;
        let paying = self.paying.clone();
        self.ask(move |store| async move {
            let done = store.give_back(account, cost).await;
            paying.is_filled(account);
            drop(permit);
            done
        })
        .await
    }

    /// The same, with nobody waiting for it. Uses that cannot be put back are lost, and the log says so.
    pub(crate) fn give_back_later(&self, caller: &Principal, cost: u32) {
        let (purse, caller) = (self.clone(), caller.clone());
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                if let Err(failure) = purse.give_back(&caller, cost).await {
                    trace::credits_lost(failure.cause(), cost);
                }
            });
        }
    }

    /// In a task of its own: a caller who hangs up in the middle of it costs the store no connection, and nothing that was not asked for is
    /// begun when the time is up.
    async fn ask<T, F>(
        &self,
        work: impl FnOnce(Arc<dyn DynStore>) -> F + Send + 'static,
    ) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let Ok(runtime) = Handle::try_current() else {
            return Err(Unavailable::new("there is no tokio runtime to pay for a use in"));
        };
        let asked = timeout(self.timeout, work(self.store.clone()));
        match runtime.spawn(asked).await? {
            Ok(done) => Ok(done?),
            Err(_) => Err(Unavailable::new("paying for a use timed out")),
        }
    }
}

impl fmt::Debug for Purse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Purse")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, ready},
        time::SystemTime,
    };

    use super::*;
    use crate::{
        clock::SystemClock,
        key::{CreditAccount, KeyDigest, KeyId, KeyRecord},
        principal::{Identity, PrincipalKind, Realm},
        store::{Decide, Filling, KeyStore, MemoryStore, Reads, Writes},
    };

    fn caller(record: &KeyRecord) -> Principal {
        let identity = Identity::from_record(record, SystemTime::UNIX_EPOCH);
        Principal::new(PrincipalKind::Key, identity, Arc::new(Realm::for_tests()))
    }

    fn record() -> KeyRecord {
        KeyRecord::new(
            KeyId::generate(),
            KeyDigest::of(b"key"),
            "alice",
            SystemTime::UNIX_EPOCH,
        )
    }

    fn counted(limit: &str) -> KeyRecord {
        let mut record = record();
        record.credits = Some(CreditAccount::new(record.id, limit.parse().expect("credits")));
        record
    }

    fn purse(store: MemoryStore) -> Purse {
        Purse::new(Arc::new(store), Duration::from_secs(1), Arc::new(SystemClock))
    }

    #[tokio::test]
    async fn what_is_spent_is_gone_for_all_who_draw_on_the_account_until_it_is_given_back() {
        let store = MemoryStore::new().expect("a store");
        let key = counted("3");
        let account = key.credits.expect("an account");
        let mut writes = Writes::nothing();
        writes.fill.push(Filling::full(account, SystemTime::UNIX_EPOCH));
        let decide = Decide::new(move |_| writes);
        KeyStore::transact(&store, Reads::nothing(), decide)
            .await
            .expect("filled");
        let mut heir = record();
        heir.credits = Some(account);
        let purse = purse(store);
        for (who, cost, enough, left) in [(&key, 2, true, 1), (&heir, 2, false, 1), (&heir, 1, true, 0)] {
            let spent = purse.spend(&caller(who), cost).await.expect("an answer");
            let spent = spent.expect("an account");
            assert_eq!((spent.enough, spent.balance.left), (enough, left));
        }
        purse.give_back(&caller(&key), 1).await.expect("given back");
        let spent = purse.spend(&caller(&heir), 1).await.expect("an answer");
        assert!(spent.is_some_and(|spent| spent.enough));
    }

    #[tokio::test]
    async fn whoever_has_no_account_pays_nothing() {
        let purse = purse(MemoryStore::new().expect("a store"));
        let free = caller(&record());
        assert_eq!(purse.spend(&free, u32::MAX).await.expect("an answer"), None);
        purse.give_back(&free, u32::MAX).await.expect("an answer");
        // Nor does a key that came to be without its account get through for nothing.
        assert!(purse.spend(&caller(&counted("3")), 1).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_does_not_answer_in_time_has_not_said_yes() {
        let purse = purse(MemoryStore::new().expect("a store"));
        let hanging = purse.ask(|_| pending::<Result<(), StoreError>>()).await;
        assert!(hanging.is_err_and(|late| late.to_string().contains("timed out")));
        let answered = purse.ask(|_| ready(Ok(()))).await;
        assert!(answered.is_ok());
    }
}
