//! A request that waits before it is let in: for its key to be looked up, for its uses to be counted elsewhere, or for both in turn.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::Request;
use pin_project_lite::pin_project;

use super::gate::{Charging, Gate, too_often};
use crate::{
    authn::{Pending, Refusal, RefusalKind, Verdict},
    limit::{Charge, Demand, Taken},
    principal::{Principal, PrincipalKind},
};

/// The request, and the service that was polled ready for it.
pub(super) struct Held<S, B> {
    pub(super) ready: S,
    pub(super) request: Request<B>,
    optional: bool,
    /// What it has used already.
    taken: Option<Taken>,
    charged: bool,
}

impl<S, B> Held<S, B> {
    pub(super) fn new(ready: S, request: Request<B>, optional: bool) -> Self {
        Self {
            ready,
            request,
            optional,
            taken: None,
            charged: false,
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
    Known(Principal, Option<Taken>),
    Anonymous,
    Refused(Refusal),
}

impl Wait {
    pub(super) fn charging(gate: &Arc<Gate>, demand: Demand, principal: Principal) -> Self {
        Self::Charge {
            answer: gate.ask(demand),
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
                let taken = ready!(answer.as_mut().poll(context));
                let principal = principal.take().expect("nothing is polled after it was ready");
                match taken {
                    Ok(taken) => {
                        held.taken = taken;
                        held.charged = true;
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
        if self.charged {
            return Next::Known(principal, self.taken.take());
        }
        match gate.charge(&self.request, &principal) {
            Charge::Free => Next::Known(principal, None),
            Charge::Taken(taken) => Next::Known(principal, Some(taken)),
            Charge::Refused(left) => Next::Refused(too_often(&left)),
            Charge::Ask(demand) => Next::Wait(Wait::charging(gate, demand, principal)),
        }
    }

    /// The key may have been revoked while its uses were counted: what is known of it now is what counts.
    fn again(&mut self, gate: &Arc<Gate>, principal: Principal) -> Next {
        // A session is the fallback's, and is not asked for twice.
        if principal.kind() == PrincipalKind::Session {
            return Next::Known(principal, self.taken.take());
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
        gate.give_back(self.taken.take());
        Next::Refused(gate.judged(&self.request, refusal))
    }
}
