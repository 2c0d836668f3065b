use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tokio::{
    sync::oneshot,
    time::{Sleep, sleep},
};

use super::{
    GRACE, Lookup,
    cache::Outcome,
    purpose::Purpose,
    refusal::{Refusal, Unavailable},
};
use crate::principal::Principal;

pin_project! {
    /// A verdict that has to be waited for.
    #[project = PendingProjection]
    pub(crate) enum Pending {
        /// A key is being looked up, in a task of its own.
        LookUp {
            #[pin]
            answer: oneshot::Receiver<Outcome<Principal>>,
            #[pin]
            give_up: Sleep,
            // Where somebody else has asked first, and perhaps not to use the key: here it is to be used.
            joined: Option<Arc<Lookup>>,
        },
        /// The fallback is being asked, here: whoever hangs up needs no answer.
        Asking { answer: Pin<Box<dyn Future<Output = Outcome<Principal>> + Send>> },
    }
}

impl Future for Pending {
    type Output = Outcome<Principal>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (answer, give_up, joined) = match self.project() {
            PendingProjection::LookUp {
                answer,
                give_up,
                joined,
            } => (answer, give_up, joined),
            PendingProjection::Asking { answer } => return answer.as_mut().poll(context),
        };
        let failure = match answer.poll(context) {
            Poll::Ready(Ok(outcome)) => {
                if let (Some(lookup), Ok(principal)) = (joined, &outcome) {
                    lookup.used(Purpose::Use, principal, lookup.clock.elapsed());
                }
                return Poll::Ready(outcome);
            }
            Poll::Ready(Err(_)) => "the look-up ended without an answer",
            Poll::Pending => match give_up.poll(context) {
                Poll::Ready(()) => "the look-up did not answer in time",
                Poll::Pending => return Poll::Pending,
            },
        };
        Poll::Ready(Err(Refusal::unavailable(Unavailable::new(failure))))
    }
}

impl Lookup {
    /// Waits for a look-up that has just begun.
    pub(super) fn pending(&self, answer: oneshot::Receiver<Outcome<Principal>>) -> Pending {
        Pending::LookUp {
            answer,
            give_up: sleep(self.timeout.saturating_add(GRACE)),
            joined: None,
        }
    }

    /// Waits for one that somebody else has begun.
    pub(super) fn joined(
        self: &Arc<Self>,
        answer: oneshot::Receiver<Outcome<Principal>>,
        purpose: Purpose,
    ) -> Pending {
        Pending::LookUp {
            answer,
            give_up: sleep(self.timeout.saturating_add(GRACE)),
            joined: (purpose == Purpose::Use && self.usage.is_some()).then(|| self.clone()),
        }
    }
}
