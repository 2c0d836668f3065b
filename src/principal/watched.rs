use std::{
    future::{self, Future},
    pin::Pin,
    sync::{Arc, Weak},
    time::Duration,
};

use super::{
    Principal,
    ended::Ended,
    needs::{self, Needs},
};
use crate::{
    access::{Denied, Requirement},
    key::KeyDigest,
};

/// Where a principal came from, for those who ask later whether it is still good.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) digest: KeyDigest,
    /// Whether the store said so, rather than could not be asked.
    pub(crate) is_confirmed: bool,
    /// When the key ends by itself, in the time of the keeper's clock.
    pub(crate) until: Option<Duration>,
    /// Not a part of it: the keeper keeps principals itself.
    pub(crate) keeper: Weak<dyn Keeper>,
}

/// Whoever can tell when a key stops being good.
pub(crate) trait Keeper: Send + Sync {
    /// A future that ends when the key does, or loses what it was let in for; what changed before this call counts, too.
    ///
    /// # Errors
    ///
    /// When too much is watched already.
    fn watch(self: Arc<Self>, watched: Watched) -> Result<Watch, Ended>;
}

/// See [`Keeper::watch`].
pub(crate) type Watch = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// What goes on for only as long as its key is good.
pub(crate) struct Watched {
    pub(crate) caller: Principal,
    pub(crate) needs: Needs,
}

impl Watched {
    /// Whether it would have been let in by what is known of the key now.
    pub(crate) fn check(&self, now: &Principal) -> Result<(), Ended> {
        if self.caller.allowed_ips() != now.allowed_ips() {
            return Err(Ended::AddressNotAllowed);
        }
        self.needs.check(&self.caller, now)
    }

    /// Watches it; `None` where there is nothing to watch.
    pub(crate) fn watch(self) -> Option<Result<Watch, Ended>> {
        let origin = self.caller.origin()?;
        Some(match origin.keeper.upgrade() {
            Some(keeper) => keeper.watch(self),
            None => Err(Ended::Unavailable),
        })
    }
}

impl Principal {
    /// Ends when the key stops being good for this request, and says why: it was revoked or disabled, has expired, its owner is suspended or
    /// gone, or it lost a scope or a resource that this request needed.
    ///
    /// For whatever outlives the check of a request and is no response body, such as a task or an upgraded connection: do what is to be
    /// done in a `select!` with this. Response bodies are [ended](crate::middleware::GuardedBody) without it.
    ///
    /// Call it in the handler, where what the route asked of its caller is known. Anywhere else, or when nothing was asked, it ends
    /// once the key has lost anything that it was granted. The future can be moved to any task, and watches from this call on, not from when it
    /// is first polled. It needs a tokio runtime.
    ///
    /// A static key is good for as long as the program runs, and a session is its application's to end: for these it never ends.
    pub fn revoked(&self) -> impl Future<Output = Ended> + Send + use<> {
        let watched = Watched {
            caller: self.clone(),
            needs: Needs::of_present(self),
        };
        let watch = watched.watch();
        async move {
            match watch {
                Some(Ok(watch)) => watch.await,
                Some(Err(ended)) => ended,
                None => future::pending().await,
            }
        }
    }

    /// Says that the handler reads no more of the request's body, and does its work from here on: it is then no longer given up when the key ends,
    /// and its answer is sent. Call it in the handler.
    ///
    /// What looks like an upload, which is a request with a body of unknown length or over 64 KiB, is answered 401 when its key ends meanwhile, as
    /// long as its handler may be waiting for the rest of it. Of the bodies of axum it is seen when they have been read to their end, or
    /// dropped, and nobody needs to call this; of others nothing is known.
    pub fn done_reading(&self) {
        needs::end_reading(self);
    }

    /// Checks a requirement, and remembers for the streams of the present request that it was met.
    pub(crate) fn meets<'p>(
        &self,
        requirement: &Requirement,
        parameter: impl Fn(&str) -> Option<&'p str>,
    ) -> Result<(), Denied> {
        let resource = requirement.measure(self.grants(), parameter)?;
        if self.0.origin.is_some() {
            needs::record(self, requirement, resource);
        }
        Ok(())
    }

    pub(crate) fn origin(&self) -> Option<&Origin> {
        self.0.origin.as_ref()
    }
}
