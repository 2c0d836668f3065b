//! Who is paying at the moment: so that nobody who asks for much keeps all others waiting.

use std::{fmt, sync::Arc, time::Duration};

use dashmap::{DashMap, Entry};

use crate::{
    event::{Invalidate, Settled},
    key::{KeyDigest, KeyId},
    store::Balance,
};

/// How many uses of one account are paid for at a time, those that wait for the store among them.
const OF_ONE: u32 = 64;
/// For how long it is known that an account holds too little. What fills it in another process is noticed that much later.
const SHORT_FOR: Duration = Duration::from_millis(250);
/// How many accounts may be known before those are forgotten of which nothing is.
const MANY: usize = 10_000;

/// Accounts that are paid from, or held too little a moment ago.
#[derive(Default)]
pub(super) struct Paying(DashMap<KeyId, Account>);

#[derive(Default)]
struct Account {
    under_way: u32,
    short: Option<Short>,
}

#[derive(Clone, Copy)]
struct Short {
    balance: Balance,
    until: Duration,
}

/// What there is to somebody who wants to pay.
pub(super) enum Turn {
    Taken(Place),
    /// There is too little, as far as is known.
    Short(Balance),
    /// Too many pay from this account already.
    Full,
}

/// Given back when it is dropped.
pub(super) struct Place {
    paying: Arc<Paying>,
    account: KeyId,
}

impl Paying {
    pub(super) fn enter(self: &Arc<Self>, account: KeyId, cost: u32, now: Duration) -> Turn {
        if self.0.len() > MANY {
            self.0
                .retain(|_, known| known.under_way > 0 || known.short(now).is_some());
        }
        let mut known = self.0.entry(account).or_default();
        if let Some(short) = known.short(now).filter(|short| short.balance.left < cost) {
            return Turn::Short(short.balance);
        }
        if known.under_way >= OF_ONE {
            return Turn::Full;
        }
        known.under_way += 1;
        Turn::Taken(Place {
            paying: self.clone(),
            account,
        })
    }

    /// What was known of it is no longer so.
    pub(super) fn is_filled(&self, account: KeyId) {
        if let Some(mut known) = self.0.get_mut(&account) {
            known.short = None;
        }
    }

    fn forget(&self) {
        self.0.alter_all(|_, known| Account { short: None, ..known });
    }
}

impl Account {
    fn short(&self, now: Duration) -> Option<Short> {
        self.short.filter(|short| now < short.until)
    }
}

impl Place {
    /// There was too little.
    pub(super) fn is_short(&self, balance: Balance, now: Duration) {
        let until = now.saturating_add(balance.refill_in.unwrap_or(SHORT_FOR).min(SHORT_FOR));
        if let Some(mut known) = self.paying.0.get_mut(&self.account) {
            known.short = Some(Short { balance, until });
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut known) = self.paying.0.entry(self.account) {
            known.get_mut().under_way = known.get().under_way.saturating_sub(1);
            if known.get().under_way == 0 && known.get().short.is_none() {
                known.remove();
            }
        }
    }
}

/// A change of a key may have filled its account.
impl Invalidate for Paying {
    fn fence(&self, _digest: &KeyDigest) {}

    fn settle(&self, _digest: &KeyDigest, _outcome: Settled) {
        self.forget();
    }

    fn fence_all(&self) {}

    fn settle_all(&self, _known: bool) {
        self.forget();
    }

    fn forget(&self, _digest: &KeyDigest) {
        Self::forget(self);
    }

    fn forget_all(&self) {
        Self::forget(self);
    }
}

impl fmt::Debug for Paying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paying").field("accounts", &self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::CreditAccount;

    fn balance(account: KeyId, left: u32) -> Balance {
        let limit = "1000/1h".parse().expect("credits");
        Balance::new(
            CreditAccount::new(account, limit),
            left,
            Some(Duration::from_secs(60)),
        )
    }

    fn taken(turn: Turn) -> Option<Place> {
        match turn {
            Turn::Taken(place) => Some(place),
            Turn::Short(_) | Turn::Full => None,
        }
    }

    #[test]
    fn one_account_has_no_more_than_its_places_and_others_have_theirs() {
        let paying = Arc::new(Paying::default());
        let (greedy, other) = (KeyId::generate(), KeyId::generate());
        let enter = |account| taken(paying.enter(account, 1, Duration::ZERO));
        let mut places: Vec<Place> = (0..OF_ONE).filter_map(|_| enter(greedy)).collect();
        assert_eq!(places.len(), OF_ONE as usize);
        assert!(enter(greedy).is_none() && enter(other).is_some());
        places.pop();
        assert!(enter(greedy).is_some());
        places.clear();
        assert_eq!(paying.0.len(), 0, "nothing is kept of who does not pay");
    }

    #[test]
    fn that_there_is_too_little_is_known_for_a_moment_and_until_something_changes() {
        let paying = Arc::new(Paying::default());
        let account = KeyId::generate();
        let enter = |cost, now| taken(paying.enter(account, cost, now));
        let short = || {
            let place = enter(1, Duration::ZERO).expect("a place");
            place.is_short(balance(account, 2), Duration::ZERO);
        };
        short();
        assert!(enter(3, Duration::ZERO).is_none());
        assert!(enter(2, Duration::ZERO).is_some(), "there is enough for that");
        assert!(enter(3, SHORT_FOR).is_some());
        short();
        paying.forget_all();
        let place = enter(3, Duration::ZERO).expect("a place");
        place.is_short(balance(account, 0), Duration::ZERO);
        assert!(enter(1, Duration::ZERO).is_none());
        paying.is_filled(account);
        assert!(enter(1, Duration::ZERO).is_some());
    }
}
