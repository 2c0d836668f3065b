//! What a request uses: of the limits that hold for its key, and of the uses that the key was sold with.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use http::{Request, Response};

use super::{
    allowance::{self, Told},
    cost::RequestHead,
    gate::Gate,
};
use crate::{
    authn::{Refusal, Unavailable},
    limit::{Charge, Demand, Taken},
    principal::Principal,
    store::Balance,
};

/// What a request has used already.
#[derive(Default)]
pub(super) struct Bill {
    taken: Option<Taken>,
    /// Boxed, since most keys are not sold by use.
    paid: Option<Box<Paid>>,
}

struct Paid {
    payer: Principal,
    uses: u32,
    left: Balance,
    /// By the clock of the application, when it was paid.
    at: Duration,
}

/// What there is to one request.
pub(super) enum Charged {
    Done(Bill),
    Refused(Refusal),
    /// Somebody else has to be asked.
    Ask(Order),
}

/// What is still to be counted, or paid, of a request.
pub(super) struct Order {
    limits: Limits,
    /// Of the account of the key, if it has one.
    uses: Option<u32>,
}

enum Limits {
    Counted(Option<Taken>),
    Ask(Demand),
}

pub(super) type Charging = Pin<Box<dyn Future<Output = Result<Bill, Refusal>> + Send>>;

impl Gate {
    /// Counts the request against what limits the principal. Last: what is refused for another reason uses nothing.
    pub(super) fn charge<B>(&self, request: &Request<B>, principal: &Principal) -> Charged {
        let cost = || {
            let cost = self.cost.as_ref();
            cost.map_or(1, |cost| cost(&RequestHead::of(request)))
        };
        // Asked once, also where both the limits and the account go by it.
        let uses = principal.credit_account().map(|_| cost());
        let limits = match self.limiter.charge(principal, || uses.unwrap_or_else(cost)) {
            Charge::Free => Limits::Counted(None),
            Charge::Taken(taken) => Limits::Counted(Some(taken)),
            Charge::Refused(left) => return Charged::Refused(too_often(principal, &left)),
            Charge::Ask(demand) => Limits::Ask(demand),
        };
        match (limits, uses.filter(|uses| *uses > 0)) {
            (Limits::Counted(taken), None) => Charged::Done(Bill::of(taken)),
            (limits, uses) => Charged::Ask(Order { limits, uses }),
        }
    }

    /// Has done what that left open. What is paid is paid last, so that what the limits refuse costs nothing; who has too little left gets
    /// back what was counted.
    pub(super) fn ask(self: &Arc<Self>, order: Order, payer: Principal) -> Charging {
        let gate = self.clone();
        Box::pin(async move {
            let taken = match order.limits {
                Limits::Counted(taken) => taken,
                Limits::Ask(demand) => match gate.limiter.ask(demand).await {
                    Ok(Charge::Refused(taken)) => return Err(too_often(&payer, &taken)),
                    Ok(Charge::Taken(taken)) => Some(taken),
                    Ok(Charge::Free | Charge::Ask(_)) => None,
                    Err(away) => return Err(Refusal::unavailable(Unavailable::new(away))),
                },
            };
            let mut bill = Bill::of(taken);
            if let Some(uses) = order.uses {
                match gate.pay(payer, uses).await {
                    Ok(paid) => bill.paid = Some(Box::new(paid)),
                    Err(refusal) => {
                        gate.give_back(bill);
                        return Err(refusal);
                    }
                }
            }
            Ok(bill)
        })
    }

    async fn pay(&self, payer: Principal, uses: u32) -> Result<Paid, Refusal> {
        let unpaid = |reason: &'static str| Refusal::unavailable(Unavailable::new(reason));
        // A resolver of the application's own has no accounts, whatever it says of its keys.
        let purse = self.purse.as_ref();
        let purse = purse.ok_or_else(|| unpaid("nobody here keeps credits"))?;
        let spent = purse.spend(&payer, uses).await;
        match spent.map_err(Refusal::unavailable)? {
            Some(spent) if spent.enough => Ok(Paid {
                payer,
                uses,
                left: spent.balance,
                at: purse.now(),
            }),
            Some(spent) => {
                payer.refused();
                Err(Refusal::used_up(spent.balance, uses))
            }
            None => Err(unpaid("the key has no account")),
        }
    }

    /// Tells a caller what is left. What was refused further inside, for a scope that is missing, has used nothing.
    pub(super) fn account<B>(&self, bill: Bill, response: &mut Response<B>) {
        if bill.taken.is_none() && bill.paid.is_none() {
            return;
        }
        let left = match response.extensions().get::<Refusal>() {
            Some(_) => self.give_back(bill),
            None => bill,
        };
        let limits = left.taken.iter().flat_map(|taken| taken.lines());
        let credits = left.paid.iter().map(|paid| Told::of_credits(&paid.left));
        allowance::tell(response.headers_mut(), limits.map(Told::of_line).chain(credits));
    }

    /// Nothing came of it. What is left then, as far as that is known.
    pub(super) fn give_back(&self, bill: Bill) -> Bill {
        let Bill { taken, paid } = bill;
        let taken = taken.map(|taken| self.limiter.give_back(taken));
        let paid = paid.map(|mut paid| {
            // What was paid in a period that has ended is over with it.
            let in_time = |now: Duration| {
                let ends = paid.left.refill_in.map(|wait| paid.at.saturating_add(wait));
                ends.is_none_or(|end| now < end)
            };
            if let Some(purse) = self.purse.as_ref().filter(|purse| in_time(purse.now())) {
                purse.give_back_later(&paid.payer, paid.uses);
                let most = paid.left.account.limit.uses();
                paid.left.left = paid.left.left.saturating_add(paid.uses).min(most);
            }
            paid
        });
        Bill { taken, paid }
    }
}

impl Bill {
    fn of(taken: Option<Taken>) -> Self {
        Self { taken, paid: None }
    }
}

/// The refusal of a request for which there was too little left.
fn too_often(principal: &Principal, left: &Taken) -> Refusal {
    principal.refused();
    let wait = left.lines().map(|line| line.left.retry_after).max();
    Refusal::limited(left.allowances(), wait)
}
