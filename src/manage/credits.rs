//! Who may give a key uses, and how many are left.

use std::{collections::BTreeSet, time::SystemTime};

use super::{
    Keys,
    error::ManageError,
    policy::{Excess, Rights},
    verb::ADMIN,
};
use crate::{
    access::Credits,
    key::{CreditAccount, KeyId, KeyRecord},
    store::{Balance, Filling, Writes},
};

impl Keys {
    /// How many uses are left of the accounts of these keys: one balance for each account, in any order, and none for keys without one.
    ///
    /// # Errors
    ///
    /// When the store cannot say.
    pub async fn credits<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k KeyRecord>,
    ) -> Result<Vec<Balance>, ManageError> {
        let accounts = keys.into_iter().filter_map(|key| Some(key.credits?.id));
        let accounts: BTreeSet<KeyId> = accounts.collect();
        if accounts.is_empty() {
            return Ok(Vec::new());
        }
        let accounts: Vec<KeyId> = accounts.into_iter().collect();
        Ok(self.0.store.credits(&accounts).await?)
    }

    /// Refuses to give a key uses where the store keeps none: it would have as many as there are.
    pub(super) async fn check_that_credits_are_kept(&self, asked: bool) -> Result<(), ManageError> {
        if asked {
            self.0.store.credits(&[]).await?;
        }
        Ok(())
    }
}

/// Where the uses of a new key are counted down: with those of its maker, if that is how the maker's are; else in an account of its own, if
/// one is asked. What the account shall be goes to what is written.
///
/// # Errors
///
/// When a maker who draws on an account asks for another.
pub(super) fn account_of(
    new: KeyId,
    asked: Option<Credits>,
    maker: Option<&Rights>,
    now: SystemTime,
    writes: &mut Writes,
) -> Result<Option<CreditAccount>, Excess> {
    match (maker.and_then(|rights| rights.credits), asked) {
        (Some(_), Some(_)) => Err(Excess::Credits),
        (Some(own), None) => Ok(Some(own)),
        (None, None) => Ok(None),
        (None, Some(limit)) => {
            let account = CreditAccount::new(new, limit);
            writes.fill.push(Filling::full(account, now));
            Ok(Some(account))
        }
    }
}

/// The account of a key when it is filled, with another limit perhaps; made where there was none. All keys that draw on it have it so.
///
/// # Errors
///
/// When whoever asks is neither the application nor an administrator who draws on no account: it is more than the key had.
pub(super) fn refilled(
    key: &KeyRecord,
    limit: Credits,
    maker: Option<&Rights>,
    now: SystemTime,
) -> Result<Filling, Excess> {
    let may_fill =
        |rights: &Rights| rights.credits.is_none() && rights.grants.granted_scopes().contains(&ADMIN);
    if !maker.is_none_or(may_fill) {
        return Err(Excess::Credits);
    }
    let id = key.credits.map_or(key.id, |account| account.id);
    Ok(Filling::full(CreditAccount::new(id, limit), now))
}
