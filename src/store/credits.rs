//! What is left of the uses of a key.

use std::time::{Duration, SystemTime};

use super::{StoreError, StoreErrorKind};
use crate::{
    access::Credits,
    clock::{from_unix_ms, to_unix_ms},
    key::{CreditAccount, KeyId},
};

/// What an account holds at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Balance {
    /// The account.
    pub account: CreditAccount,
    /// How many uses are left.
    pub left: u32,
    /// How long until it is filled up again, full or not; `None` where it never is.
    pub refill_in: Option<Duration>,
}

impl Balance {
    /// So many uses left of an account.
    #[must_use]
    pub fn new(account: CreditAccount, left: u32, refill_in: Option<Duration>) -> Self {
        Self {
            account,
            left,
            refill_in,
        }
    }
}

/// What became of uses that were to be taken from an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spent {
    /// Whether they were taken. If not, none was: there were fewer.
    pub enough: bool,
    /// What the account holds now.
    pub balance: Balance,
}

impl Spent {
    /// Whether they were taken, and what is left.
    #[must_use]
    pub fn new(enough: bool, balance: Balance) -> Self {
        Self { enough, balance }
    }
}

/// An account as it shall be, whether it is there already or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filling {
    /// The account, with its limit.
    pub account: CreditAccount,
    /// How many uses are left of it; no more than its limit.
    pub left: u32,
    /// From when its periods count.
    pub at: SystemTime,
}

impl Filling {
    /// An account that is full, and is made, or made anew, at this moment.
    #[must_use]
    pub fn full(account: CreditAccount, at: SystemTime) -> Self {
        Self {
            account,
            left: account.limit.uses(),
            at,
        }
    }

    /// With so many uses left, or as many as the limit allows.
    #[must_use]
    pub fn left(mut self, left: u32) -> Self {
        self.left = left.min(self.account.limit.uses());
        self
    }

    /// What it holds at a time of the store: filled up, if a period has ended since it last was.
    #[must_use]
    pub fn balance(&self, now: SystemTime) -> Balance {
        let Self { account, left, at } = self.filled(now);
        Balance::new(
            account,
            left,
            refill_in(account.limit, to_unix_ms(at), to_unix_ms(now)),
        )
    }

    /// The account after so many uses were taken from it at a time of the store; `None` where there are fewer.
    #[must_use]
    pub fn spend(&self, cost: u32, now: SystemTime) -> Option<Self> {
        let filled = self.filled(now);
        let left = filled.left.checked_sub(cost)?;
        Some(Self { left, ..filled })
    }

    /// In milliseconds, as the statements of the SQL stores reckon. Where the clock has gone back nothing is filled.
    fn filled(&self, now: SystemTime) -> Self {
        let Some(period) = period_ms(self.account.limit) else {
            return *self;
        };
        let at = to_unix_ms(self.at);
        match to_unix_ms(now).saturating_sub(at) / period {
            ended @ 1.. => Self {
                at: from_unix_ms(at + ended * period).unwrap_or(self.at),
                ..Self::full(self.account, self.at)
            },
            _ => *self,
        }
    }
}

/// How long it is, at a moment, until an account is filled again that was filled at another; both in milliseconds since 1970.
pub(super) fn refill_in(limit: Credits, filled_at: i64, now: i64) -> Option<Duration> {
    let until = filled_at.saturating_add(period_ms(limit)?).saturating_sub(now);
    Some(Duration::from_millis(u64::try_from(until).unwrap_or_default()))
}

fn period_ms(limit: Credits) -> Option<i64> {
    // 366 days at most.
    limit
        .period()
        .and_then(|period| i64::try_from(period.as_millis()).ok())
}

/// For stores that have no accounts: whoever would have to pay is not let in.
pub(super) fn not_kept() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "this store keeps no credits")
}

/// A key names an account that is not there.
pub(super) fn missing(account: KeyId) -> StoreError {
    let text = format!("there is no account {account}, though a key is to be paid for from it");
    StoreError::new(StoreErrorKind::Corrupt, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn account(limit: &str) -> Filling {
        let account = CreditAccount::new(KeyId::generate(), limit.parse().expect("credits"));
        Filling::full(account, at(100))
    }

    #[test]
    fn periods_count_from_the_making_and_what_is_left_over_is_not_added() {
        let account = account("3/10s");
        let left = |filling: &Filling, now| {
            let balance = filling.balance(at(now));
            (balance.left, balance.refill_in.map(|wait| wait.as_secs()))
        };
        let spent = account.spend(2, at(104)).expect("enough");
        assert_eq!(left(&spent, 104), (1, Some(6)));
        assert_eq!(spent.spend(2, at(109)), None);
        assert_eq!(left(&spent, 110), (3, Some(10)));
        assert_eq!(left(&spent, 145), (3, Some(5)));
        let again = spent.spend(3, at(145)).expect("enough");
        assert_eq!(
            (left(&again, 149), left(&again, 150)),
            ((0, Some(1)), (3, Some(10)))
        );
        // Nor when the clock has gone back.
        assert_eq!(left(&again, 50), (0, Some(100)));
    }

    #[test]
    fn without_a_period_nothing_comes_back() {
        let spent = account("3").spend(3, at(100)).expect("enough");
        assert_eq!(spent.spend(1, at(u32::MAX.into())), None);
        assert_eq!(spent.balance(at(u32::MAX.into())).refill_in, None);
        assert!(spent.spend(0, at(100)).is_some());
    }
}
