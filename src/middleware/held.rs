//! A request that waits before it is let in: for its key to be looked up, for its uses to be counted or paid elsewhere, or for both in turn.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::Request;
use pin_project_lite::pin_project;

use super::{
    charge::{Bill, Charged, Charging, Order},
    gate::Gate,
};
use crate::{
    authn::{Pending, Refusal, RefusalKind, Verdict},
    principal::{Principal, PrincipalKind},
};

/// The request, and the service that was polled ready for it.
pub(super) struct Held<S, B> {
    pub(super) ready: S,
    pub(super) request: Request<B>,
    optional: bool,
    /// What it has used already; `None` before that is counted.
    bill: Option<Bill>,
}

impl<S, B> Held<S, B> {
    pub(super) fn new(ready: S, request: Request<B>, optional: bool) -> Self {
        Self {
            ready,
            request,
            optional,
            bill: None,
        }
    }
}

pin_project! {
    /// What it waits for.
    #[project = WaitProjection]
    pub(super) enum Wait {
        Verdict {
            #[pin]
            verdict: Pending,
        },
        Charge {
            answer: Charging,
            principal: Option<Principal>,
        },
    }
}

/// What comes of it.
pub(super) enum Next {
    Wait(Wait),
    Known(Principal, Bill),
    Anonymous,
    Refused(Refusal),
}

impl Wait {
    pub(super) fn charging(gate: &Arc<Gate>, order: Order, principal: Principal) -> Self {
        Self::Charge {
            answer: gate.ask(order, principal.clone()),
            principal: Some(principal),
        }
    }

    pub(super) fn poll<S, B>(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        gate: &Arc<Gate>,
        held: &mut Option<Held<S, B>>,
    ) -> Poll<Next> {
        let held = held.as_mut().expect("nothing is polled after it was ready");
        let next = match self.project() {
            WaitProjection::Verdict { verdict } => match ready!(verdict.poll(context)) {
                Ok(principal) => held.known(gate, principal),
                // Only a fallback that knows nobody finds that out so late.
                Err(refusal) if held.optional && refusal.kind() == RefusalKind::MissingCredentials => {
                    Next::Anonymous
                }
                Err(refusal) => held.refused(gate, refusal),
            },
            WaitProjection::Charge { answer, principal } => {
                let bill = ready!(answer.as_mut().poll(context));
                let principal = principal.take().expect("nothing is polled after it was ready");
                match bill {
                    Ok(bill) => {
                        held.bill = Some(bill);
                        held.again(gate, principal)
                    }
                    Err(refusal) => Next::Refused(refusal),
                }
            }
        };
        Poll::Ready(next)
    }
}

impl<S, B> Held<S, B> {
    fn known(&mut self, gate: &Arc<Gate>, principal: Principal) -> Next {
        if let Err(refusal) = gate.check(&self.request, &principal) {
            return self.refused(gate, refusal);
        }
        if let Some(bill) = self.bill.take() {
            return Next::Known(principal, bill);
        }
        match gate.charge(&self.request, &principal) {
            Charged::Done(bill) => Next::Known(principal, bill),
            Charged::Refused(refusal) => Next::Refused(refusal),
            Charged::Ask(order) => Next::Wait(Wait::charging(gate, order, principal)),
        }
    }

    /// The key may have been revoked while its uses were counted: what is known of it now is what counts.
    fn again(&mut self, gate: &Arc<Gate>, principal: Principal) -> Next {
        // A session is the fallback's, and is not asked for twice.
        if principal.kind() == PrincipalKind::Session {
            return Next::Known(principal, self.bill.take().unwrap_or_default());
        }
        match gate.verdict(&self.request, self.optional) {
            Some(Verdict::Known(principal)) => self.known(gate, principal),
            Some(Verdict::Pending(verdict)) => Next::Wait(Wait::Verdict { verdict }),
            Some(Verdict::Refused(refusal)) => self.refused(gate, refusal),
            Some(Verdict::Fallback(_)) | None => {
                self.refused(gate, Refusal::because(RefusalKind::InvalidKey, "no key any more"))
            }
        }
    }

    fn refused(&mut self, gate: &Gate, refusal: Refusal) -> Next {
        if let Some(bill) = self.bill.take() {
            gate.give_back(bill);
        }
        Next::Refused(gate.judged(&self.request, refusal))
    }
}
