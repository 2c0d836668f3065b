use std::{fmt, sync::Arc, time::Duration};

use crate::{
    access::RateLimit,
    budget::{ADDRESSES, Budgets, Household},
    clock::Clock,
};

/// Counts the credentials that were not good, by where they came from.
///
/// Never by what they claim to be: then anybody could lock somebody else's key out who knows what it begins with.
pub(crate) struct Failures {
    budgets: Budgets<Household>,
    clock: Arc<dyn Clock>,
}

impl Failures {
    pub(crate) fn new(limit: RateLimit, clock: Arc<dyn Clock>) -> Self {
        Self {
            budgets: Budgets::in_a_period(limit.requests(), limit.period(), limit.burst(), ADDRESSES),
            clock,
        }
    }

    /// One more.
    ///
    /// # Errors
    ///
    /// How long until one counts again, when there have been too many. That one does not.
    pub(crate) fn count(&self, from: Household) -> Result<(), Duration> {
        self.budgets.take(from, self.clock.elapsed())
    }
}

impl fmt::Debug for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failures").finish_non_exhaustive()
    }
}
