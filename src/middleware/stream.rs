use std::task::{Context, Poll, ready};

use http::{HeaderMap, Request};

use super::{
    connection::ConnectionHandle,
    guard::{GuardedBody, is_stream},
    upload::Over,
};
use crate::{
    authn::{Refusal, RefusalKind, Unavailable},
    principal::{Asked, Ended, Principal, Watch, Watched},
};

/// What is known of a request that may become a stream, or is one already.
pub(super) struct Stream {
    caller: Principal,
    asked: Asked,
    connection: Option<ConnectionHandle>,
    upload: Option<Upload>,
}

/// A body that comes bit by bit. Its type is the application's, so that it is the handler that is ended.
struct Upload {
    over: Over,
    watch: Option<Watch>,
    /// Of how many needs the watch knows.
    needs: usize,
}

impl Stream {
    /// `None` for callers whose key cannot end.
    pub(super) fn of<B: 'static>(caller: &Principal, request: &mut Request<B>) -> Option<Self> {
        caller.origin()?;
        let upload = Over::of(request).map(|over| Upload {
            over,
            watch: None,
            needs: 0,
        });
        Some(Self {
            caller: caller.clone(),
            asked: Asked::by(caller),
            connection: request.extensions().get().cloned(),
            upload,
        })
    }

    /// A part of the work of the request, during which it is seen what is asked of the caller.
    pub(super) fn within<T>(stream: &mut Option<Self>, work: impl FnOnce() -> T) -> T {
        match stream {
            Some(stream) => stream.asked.within(work),
            None => work(),
        }
    }

    /// Ready once the key has ended while the handler may still wait for the body. One that has read it is at work like any other, and
    /// what it does may be the very end of the key: its answer is not taken away.
    pub(super) fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<Refusal> {
        let done = self.asked.is_done_reading();
        self.upload.take_if(|upload| done || upload.over.is_so());
        let Some(upload) = &mut self.upload else {
            return Poll::Pending;
        };
        let needs = self.asked.needs();
        // What a handler asks of its caller on the way counts, too.
        if upload.watch.is_none() || upload.needs != needs.count() {
            upload.needs = needs.count();
            let watched = Watched {
                caller: self.caller.clone(),
                needs: needs.clone(),
            };
            match watched.watch() {
                Some(Ok(watch)) => upload.watch = Some(watch),
                Some(Err(ended)) => return Poll::Ready(refusal(ended)),
                None => {}
            }
        }
        let Some(watch) = &mut upload.watch else {
            return Poll::Pending;
        };
        let ended = ready!(watch.as_mut().poll(context));
        Poll::Ready(refusal(ended))
    }

    /// The body of the answer, watched if it is a stream.
    pub(super) fn guard<B: http_body::Body>(
        self,
        body: B,
        headers: &HeaderMap,
    ) -> Result<GuardedBody<B>, Refusal> {
        if !is_stream(&body) {
            return Ok(GuardedBody::unguarded(body));
        }
        let watched = Watched {
            needs: self.asked.needs().clone(),
            caller: self.caller,
        };
        match watched.watch() {
            None => Ok(GuardedBody::unguarded(body)),
            Some(Ok(watch)) => Ok(GuardedBody::guarded(body, headers, watch, self.connection)),
            Some(Err(ended)) => Err(refusal(ended)),
        }
    }
}

fn refusal(ended: Ended) -> Refusal {
    let kind = match ended {
        Ended::KeyRevoked => RefusalKind::KeyRevoked,
        Ended::KeyDisabled => RefusalKind::KeyDisabled,
        Ended::KeyExpired => RefusalKind::KeyExpired,
        Ended::InvalidKey => RefusalKind::InvalidKey,
        Ended::InsufficientScope => RefusalKind::InsufficientScope,
        Ended::ResourceNotAllowed => RefusalKind::ResourceNotAllowed,
        Ended::AddressNotAllowed => RefusalKind::AddressNotAllowed,
        Ended::Unavailable => {
            let cause =
                "there are too many streams, or it could not be found out whether the key is still good";
            return Refusal::unavailable(Unavailable::new(cause));
        }
    };
    Refusal::because(kind, "the key ended while the request was at work")
}
