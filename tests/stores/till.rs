//! The accounts of a [`Shelf`](crate::shelf::Shelf).

use std::{collections::HashMap, time::SystemTime};

use tower_api_key::{
    key::{KeyId, KeyRecord},
    store::{Balance, Filling, Spent, StoreError, StoreErrorKind, Writes},
};

use crate::fault::Fault;

#[derive(Debug, Clone, Default)]
pub(crate) struct Till(HashMap<KeyId, Filling>);

impl Till {
    pub(crate) fn fill(&mut self, writes: &Writes, fault: Option<Fault>) {
        for filling in &writes.fill {
            match fault {
                Some(Fault::FillsNoAccountTwice) => {
                    self.0.entry(filling.account.id).or_insert(*filling);
                }
                Some(Fault::FillsEveryAccount) => {
                    self.0.insert(filling.account.id, *filling);
                    self.0.values_mut().for_each(|kept| *kept = kept.left(u32::MAX));
                }
                _ => {
                    self.0.insert(filling.account.id, *filling);
                }
            }
        }
    }

    /// Forgets the accounts of keys that are gone.
    pub(crate) fn forget(&mut self, gone: &[KeyRecord], rest: &[KeyRecord], fault: Option<Fault>) {
        for account in gone.iter().filter_map(|key| key.credits) {
            let draws = |key: &KeyRecord| key.credits.is_some_and(|other| other.id == account.id);
            let goes = match fault {
                Some(Fault::KeepsAccountsForEver) => false,
                Some(Fault::ForgetsAccountsWithTheirFirstKey) => true,
                _ => !rest.iter().any(draws),
            };
            if goes {
                self.0.remove(&account.id);
            }
        }
    }

    /// A key with the limit that its account has.
    pub(crate) fn with_limit(&self, mut key: KeyRecord, fault: Option<Fault>) -> KeyRecord {
        if fault != Some(Fault::RemembersLimits) {
            let filling = key.credits.and_then(|account| self.0.get(&account.id));
            key.credits = filling.map(|filling| filling.account).or(key.credits);
        }
        key
    }

    pub(crate) fn read(&self, account: KeyId) -> Result<Filling, StoreError> {
        let missing = || StoreError::new(StoreErrorKind::Corrupt, "there is no such account");
        self.0.get(&account).copied().ok_or_else(missing)
    }

    pub(crate) fn write(&mut self, filling: Filling) {
        self.0.insert(filling.account.id, filling);
    }

    pub(crate) fn give_back(
        &mut self,
        account: KeyId,
        cost: u32,
        fault: Option<Fault>,
    ) -> Result<(), StoreError> {
        let Some(kept) = self.0.get_mut(&account) else {
            return match fault {
                Some(Fault::RefusesToPutBackWhatIsGone) => self.read(account).map(drop),
                _ => Ok(()),
            };
        };
        let back = kept.left.saturating_add(cost);
        match fault {
            Some(Fault::PutsBackMoreThanThereWas) => kept.left = back,
            Some(Fault::PutsNothingBack) => {}
            _ => *kept = kept.left(back),
        }
        Ok(())
    }

    pub(crate) fn balances(&self, accounts: &[KeyId], fault: Option<Fault>) -> Vec<Balance> {
        let now = SystemTime::now();
        let found = accounts.iter().filter_map(|id| self.0.get(id));
        let all = self
            .0
            .values()
            .filter(|_| fault == Some(Fault::TellsOfEveryAccount));
        found.chain(all).map(|kept| kept.balance(now)).collect()
    }
}

/// An account that was read, after a payment, and what to say of it.
pub(crate) fn pay(kept: Filling, cost: u32, fault: Option<Fault>) -> (Filling, Spent) {
    let now = SystemTime::now();
    let mut due = kept;
    let was_filled = kept.balance(now).left != kept.left;
    match fault {
        Some(Fault::NeverFillsAccounts) => due.at = now,
        Some(Fault::AddsWhatIsLeftOver) if was_filled => {
            due = kept.spend(0, now).expect("nothing is taken");
            due.left += kept.left;
        }
        Some(Fault::CountsPeriodsFromTheLastFilling) if was_filled => {
            due = Filling::full(kept.account, now);
        }
        Some(Fault::FillsAccountsTooEarly) => due.at -= std::time::Duration::from_secs(2400),
        _ => {}
    }
    let paid = due.spend(cost, now);
    let after = match (paid, fault) {
        (Some(paid), _) => paid,
        (None, Some(Fault::TakesWhatThereIs)) => due.left(0),
        (None, _) => due,
    };
    (after, Spent::new(paid.is_some(), after.balance(now)))
}
