//! So much in a time, and then no more: what keeps those who can ask for much from taking all of something.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use parking_lot::Mutex;

const SECOND: Duration = Duration::from_secs(1);

/// How many addresses have a budget of their own at a time. Those beyond share that of one; some 40 bytes each.
pub(crate) const ADDRESSES: usize = 50_000;

/// So many in a time, and so many at once.
#[derive(Debug)]
struct Rate {
    /// How long one of them counts; `None` when there are none at all.
    interval: Option<Duration>,
    /// How long all that may be spent at once counts.
    burst: Duration,
}

impl Rate {
    fn new(count: u32, period: Duration, at_once: u32) -> Self {
        let interval = period.checked_div(count);
        Self {
            interval,
            burst: interval.unwrap_or_default().saturating_mul(at_once),
        }
    }

    /// Spends one, unless all are spent: then it says how long until there is one again, and nothing is changed. `refilled` is when
    /// everything that was spent will have been refilled.
    fn take(&self, refilled: &mut Duration, now: Duration) -> Result<(), Duration> {
        let Some(interval) = self.interval else {
            // There never is one, and whoever asks has to be told something.
            return Err(SECOND);
        };
        let next = (*refilled).max(now).saturating_add(interval);
        let wait = next.saturating_sub(now).saturating_sub(self.burst);
        if !wait.is_zero() {
            return Err(wait);
        }
        *refilled = next;
        Ok(())
    }
}

/// One for all.
#[derive(Debug)]
pub(crate) struct Budget {
    rate: Rate,
    refilled: Mutex<Duration>,
}

impl Budget {
    /// As many at once as a second is good for.
    pub(crate) fn per_second(count: u32) -> Self {
        Self::per_second_and_at_once(count, count)
    }

    pub(crate) fn per_second_and_at_once(count: u32, at_once: u32) -> Self {
        Self {
            rate: Rate::new(count, SECOND, at_once),
            refilled: Mutex::default(),
        }
    }

    /// Spends one, unless all are spent.
    pub(crate) fn take(&self, now: Duration) -> bool {
        self.rate.take(&mut self.refilled.lock(), now).is_ok()
    }
}

/// One for each of those who spend, as far as there is room to remember them.
#[derive(Debug)]
pub(crate) struct Budgets<K> {
    rate: Rate,
    most: usize,
    spenders: Mutex<Spenders<K>>,
}

#[derive(Debug)]
struct Spenders<K> {
    /// Those who have not got everything back, and some who have.
    refilled: HashMap<K, Duration>,
    /// Of all others together, where there are too many of them.
    others: Duration,
    /// When it may be looked again for who has got everything back. Whoever finds no room would else look through all of them.
    swept_until: Duration,
}

impl<K: Hash + Eq> Budgets<K> {
    pub(crate) fn per_second_and_at_once(count: u32, at_once: u32, most: usize) -> Self {
        Self::new(Rate::new(count, SECOND, at_once), most)
    }

    /// So many in a period.
    pub(crate) fn in_a_period(count: u32, period: Duration, at_once: u32, most: usize) -> Self {
        Self::new(Rate::new(count, period, at_once), most)
    }

    fn new(rate: Rate, most: usize) -> Self {
        let spenders = Spenders {
            refilled: HashMap::new(),
            others: Duration::ZERO,
            swept_until: Duration::ZERO,
        };
        Self {
            rate,
            most,
            spenders: Mutex::new(spenders),
        }
    }

    /// Spends one of this spender's.
    ///
    /// # Errors
    ///
    /// How long until there is one again, when all are spent. That spends nothing.
    pub(crate) fn take(&self, spender: K, now: Duration) -> Result<(), Duration> {
        let mut spenders = self.spenders.lock();
        let Spenders {
            refilled,
            others,
            swept_until,
        } = &mut *spenders;
        if let Some(refilled) = refilled.get_mut(&spender) {
            return self.rate.take(refilled, now);
        }
        if refilled.len() >= self.most && *swept_until <= now {
            refilled.retain(|_, refilled| *refilled > now);
            *swept_until = now.saturating_add(SECOND);
        }
        if refilled.len() >= self.most {
            return self.rate.take(others, now);
        }
        self.rate.take(refilled.entry(spender).or_default(), now)
    }
}

/// Whom a budget belongs to that goes by addresses: one of IPv4, or a /64 of IPv6, since whoever has one address there has all of them.
/// All whose address is not known are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Household {
    V4(Ipv4Addr),
    V6([u16; 4]),
    Unknown,
    /// A service that may ask about whatever others show it: they have many addresses, and it has one.
    #[cfg_attr(
        not(any(feature = "management", test)),
        expect(dead_code, reason = "only a router and the tests ask for them")
    )]
    Service,
}

impl From<Option<IpAddr>> for Household {
    fn from(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            Some(IpAddr::V4(address)) => Self::V4(address),
            Some(IpAddr::V6(address)) => {
                let [first, second, third, fourth, ..] = address.segments();
                Self::V6([first, second, third, fourth])
            }
            None => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spend(budget: &Budget, at: Duration) -> usize {
        (0..1000).filter(|_| budget.take(at)).count()
    }

    #[test]
    fn a_second_s_worth_at_once_and_then_as_time_goes_by() {
        let budget = Budget::per_second(200);
        assert_eq!(spend(&budget, SECOND), 200);
        assert_eq!(spend(&budget, SECOND), 0);
        assert_eq!(spend(&budget, SECOND + Duration::from_millis(50)), 10);
        // Nothing is saved beyond a second's worth.
        assert_eq!(spend(&budget, SECOND * 100), 200);
    }

    #[test]
    fn what_may_be_spent_at_once_is_not_what_comes_in_a_second() {
        let budget = Budget::per_second_and_at_once(20, 200);
        assert_eq!(spend(&budget, SECOND), 200);
        assert_eq!(spend(&budget, SECOND * 2), 20);
    }

    #[test]
    fn each_has_their_own_and_those_there_is_no_room_for_share_one() {
        let budgets = Budgets::per_second_and_at_once(1, 3, 2);
        let spend =
            |spender: &'static str, at| (0..100).filter(|_| budgets.take(spender, at).is_ok()).count();
        assert_eq!((spend("a", SECOND), spend("a", SECOND)), (3, 0));
        assert_eq!(spend("b", SECOND), 3);
        assert_eq!(
            (spend("c", SECOND), spend("d", SECOND)),
            (3, 0),
            "there is no room for them"
        );
        assert_eq!((spend("a", SECOND * 2), spend("b", SECOND * 3)), (1, 2));
        // Who has got everything back makes room.
        assert_eq!((spend("e", SECOND * 9), spend("f", SECOND * 9)), (3, 3));
        assert_eq!(budgets.spenders.lock().refilled.len(), 2);
    }

    #[test]
    fn a_budget_of_none_lets_none_through() {
        assert_eq!(spend(&Budget::per_second(0), SECOND), 0);
    }

    #[test]
    fn whoever_waits_as_long_as_told_gets_one_and_no_earlier() {
        let budgets = Budgets::in_a_period(3, SECOND * 60, 3, 2);
        for _ in 0..3 {
            assert_eq!(budgets.take("a", SECOND), Ok(()));
        }
        for _ in 0..10 {
            assert_eq!(budgets.take("a", SECOND), Err(SECOND * 20));
        }
        let moment = SECOND * 21;
        let before = moment - Duration::from_nanos(1);
        assert_eq!(budgets.take("a", before), Err(Duration::from_nanos(1)));
        assert_eq!(budgets.take("a", moment), Ok(()));
        assert_eq!(budgets.take("a", moment), Err(SECOND * 20));
    }

    #[test]
    fn a_full_house_is_not_searched_for_each_who_comes() {
        let budgets = Budgets::in_a_period(1, SECOND, 1, 1);
        assert_eq!(budgets.take("a", Duration::ZERO), Ok(()));
        let half = SECOND / 2;
        assert_eq!(budgets.take("b", half), Ok(()), "they share one");
        // Who was there has got everything back, and is found only a second after the last search.
        assert!(budgets.take("c", SECOND).is_err());
        assert_eq!(budgets.take("c", half + SECOND), Ok(()));
        assert!(budgets.spenders.lock().refilled.contains_key("c"));
    }

    #[test]
    fn an_address_shares_its_budget_with_whoever_may_be_the_same() {
        let household = |text: &str| Household::from(Some(text.parse::<IpAddr>().expect("an address")));
        assert_eq!(household("::ffff:192.0.2.1"), household("192.0.2.1"));
        assert_ne!(household("192.0.2.2"), household("192.0.2.1"));
        assert_eq!(household("2001:db8::1"), household("2001:db8:0:0:ffff::2"));
        assert_ne!(household("2001:db8::1"), household("2001:db8:0:1::1"));
        assert_ne!(household("::1"), Household::Unknown);
    }
}
