use std::{sync::Arc, time::Duration};

use tokio::{runtime::Handle, sync::oneshot, time::timeout};

use super::{
    Lookup, TellOfPanic, Verdict,
    cache::Outcome,
    purpose::Purpose,
    refusal::{Refusal, Unavailable},
};
use crate::{
    budget::{Budget, Budgets, Household},
    key::{KeyDigest, Malformed},
    principal::Principal,
    store::ImportedKeys,
    trace,
};

/// What lets keys of other systems in, which have no check in their text: anybody can make up one that only a look-up can refuse.
///
/// So none is looked up unless the store holds some, and then not more than the budgets allow.
pub(crate) struct Foreign {
    pub(crate) imported: Arc<ImportedKeys>,
    /// Of all together.
    pub(crate) budget: Budget,
    /// Of each address, so that none uses up what the others have.
    pub(crate) each: Budgets<Household>,
    /// Of services that ask about the keys of others, together: those who show their keys here themselves have the rest.
    pub(crate) services: Budget,
}

impl Foreign {
    /// Room for one more look-up.
    fn room(&self, from: Household, now: Duration) -> Result<(), &'static str> {
        // In this order: what its address has not got takes nothing from the others.
        let own = match from {
            Household::Service => self.services.take(now),
            _ => self.each.take(from, now).is_ok(),
        };
        if !own {
            return Err("too many texts that may be keys of other systems have come from one address");
        }
        match self.budget.take(now) {
            true => Ok(()),
            false => Err("too many keys of other systems are being looked up"),
        }
    }
}

impl Lookup {
    /// A text that was not minted here, for the reason given, and is no hit.
    pub(super) fn authenticate_foreign(
        self: &Arc<Self>,
        digest: &KeyDigest,
        malformed: Malformed,
        purpose: Purpose,
        from: &dyn Fn() -> Household,
    ) -> Verdict {
        let Some(foreign) = self.foreign.as_ref().filter(|_| malformed.is_foreign()) else {
            return Verdict::Refused(Refusal::malformed(malformed));
        };
        match foreign.imported.remembered() {
            Some(false) => Verdict::Refused(Refusal::malformed(malformed)),
            Some(true) => self.look_up(digest, purpose, &|now| foreign.room(from(), now)),
            None if self.cache.refusal(digest).is_some() => Verdict::Refused(Refusal::malformed(malformed)),
            None => self.enquire(foreign.clone(), *digest, malformed, purpose, from()),
        }
    }

    /// Asks the store whether it holds any at all, before it is asked for this one. Such requests wait outside of the cache, lest a
    /// flood of them leave no room for look-ups of other keys.
    fn enquire(
        self: &Arc<Self>,
        foreign: Arc<Foreign>,
        digest: KeyDigest,
        malformed: Malformed,
        purpose: Purpose,
        from: Household,
    ) -> Verdict {
        let Ok(runtime) = Handle::try_current() else {
            return super::no_runtime();
        };
        let (wake, answer) = oneshot::channel();
        let lookup = self.clone();
        runtime.spawn(async move {
            let _told = TellOfPanic;
            let outcome = lookup.enquired(&foreign, &digest, malformed, purpose, from).await;
            // Whoever asked may have hung up.
            let _ = wake.send(outcome);
        });
        Verdict::Pending(self.pending(answer))
    }

    async fn enquired(
        self: Arc<Self>,
        foreign: &Foreign,
        digest: &KeyDigest,
        malformed: Malformed,
        purpose: Purpose,
        from: Household,
    ) -> Outcome<Principal> {
        let failure = match timeout(self.timeout, foreign.imported.ask()).await {
            Ok(Ok(false)) => return Err(Refusal::malformed(malformed)),
            Ok(Ok(true)) => {
                let verdict = self.look_up(digest, purpose, &|now| foreign.room(from, now));
                return match verdict {
                    Verdict::Known(principal) => Ok(principal),
                    Verdict::Refused(refusal) => Err(refusal),
                    // A look-up asks nobody else.
                    Verdict::Fallback(_) => Err(Refusal::malformed(malformed)),
                    Verdict::Pending(pending) => pending.await,
                };
            }
            Ok(Err(error)) => Unavailable::new(error),
            Err(_) => Unavailable::new("the question for imported keys timed out"),
        };
        trace::lookup_failed(failure.cause());
        Err(Refusal::unavailable(failure))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::SystemClock, store::MemoryStore};

    #[test]
    fn services_that_ask_leave_room_for_those_who_show_their_keys_themselves() {
        let store = Arc::new(MemoryStore::new().expect("a store"));
        let foreign = Foreign {
            imported: Arc::new(ImportedKeys::new(store, Arc::new(SystemClock))),
            budget: Budget::per_second(4),
            each: Budgets::per_second_and_at_once(1, 1, 10),
            services: Budget::per_second(2),
        };
        let now = Duration::from_secs(10);
        let asked = (0..10).filter(|_| foreign.room(Household::Service, now).is_ok());
        assert_eq!(asked.count(), 2, "more than from one address, and not all");
        let shown = (1..10).filter(|i| foreign.room(Household::V4([192, 0, 2, *i].into()), now).is_ok());
        assert_eq!(shown.count(), 2, "what is left of all");
    }
}
