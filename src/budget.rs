//! So much in a time, and then no more: what keeps those who can ask for much from taking all of something.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;

const SECOND: Duration = Duration::from_secs(1);

/// So many a second, and so many at once.
#[derive(Debug)]
struct Rate {
    /// How long one of them counts; `None` when there are none at all.
    interval: Option<Duration>,
    /// How long all that may be spent at once counts.
    burst: Duration,
}

impl Rate {
    fn new(count: u32, at_once: u32) -> Self {
        let interval = SECOND.checked_div(count);
        Self {
            interval,
            burst: interval.unwrap_or_default().saturating_mul(at_once),
        }
    }

    /// Spends one, unless all are spent. `refilled` is when everything that was spent will have been refilled.
    fn take(&self, refilled: &mut Duration, now: Duration) -> bool {
        let Some(interval) = self.interval else {
            return false;
        };
        let next = (*refilled).max(now).saturating_add(interval);
        let within = next.saturating_sub(now) <= self.burst;
        if within {
            *refilled = next;
        }
        within
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
            rate: Rate::new(count, at_once),
            refilled: Mutex::default(),
        }
    }

    /// Spends one, unless all are spent.
    pub(crate) fn take(&self, now: Duration) -> bool {
        self.rate.take(&mut self.refilled.lock(), now)
    }
}

/// One for each of those who spend, as far as there is room to remember them.
#[derive(Debug)]
pub(crate) struct Budgets {
    rate: Rate,
    most: usize,
    spenders: Mutex<Spenders>,
}

#[derive(Debug, Default)]
struct Spenders {
    /// Those who have not got everything back.
    refilled: HashMap<Box<str>, Duration>,
    /// Of all others together, where there are too many of them.
    others: Duration,
}

impl Budgets {
    pub(crate) fn per_second_and_at_once(count: u32, at_once: u32, most: usize) -> Self {
        Self {
            rate: Rate::new(count, at_once),
            most,
            spenders: Mutex::default(),
        }
    }

    /// Spends one of this spender's, unless all are spent.
    pub(crate) fn take(&self, spender: &str, now: Duration) -> bool {
        let mut spenders = self.spenders.lock();
        let Spenders { refilled, others } = &mut *spenders;
        if let Some(refilled) = refilled.get_mut(spender) {
            return self.rate.take(refilled, now);
        }
        if refilled.len() >= self.most {
            refilled.retain(|_, refilled| *refilled > now);
        }
        if refilled.len() >= self.most {
            return self.rate.take(others, now);
        }
        self.rate.take(refilled.entry(spender.into()).or_default(), now)
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
        let spend = |spender: &str, at: Duration| (0..100).filter(|_| budgets.take(spender, at)).count();
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
}
