use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tokio::{sync::oneshot, time::Sleep};

use super::{
    cache::Outcome,
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
        },
        /// The fallback is being asked, here: whoever hangs up needs no answer.
        Asking { answer: Pin<Box<dyn Future<Output = Outcome<Principal>> + Send>> },
    }
}

impl Future for Pending {
    type Output = Outcome<Principal>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (answer, give_up) = match self.project() {
            PendingProjection::LookUp { answer, give_up } => (answer, give_up),
            PendingProjection::Asking { answer } => return answer.as_mut().poll(context),
        };
        let failure = match answer.poll(context) {
            Poll::Ready(Ok(outcome)) => return Poll::Ready(outcome),
            Poll::Ready(Err(_)) => "the look-up ended without an answer",
            Poll::Pending => match give_up.poll(context) {
                Poll::Ready(()) => "the look-up did not answer in time",
                Poll::Pending => return Poll::Pending,
            },
        };
        Poll::Ready(Err(Refusal::unavailable(Unavailable::new(failure))))
    }
}
