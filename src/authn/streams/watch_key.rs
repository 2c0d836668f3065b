use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::Registered;
use crate::{
    authn::{Lookup, Refusal, RefusalKind, Verdict, purpose::Purpose},
    key::KeyDigest,
    principal::{Ended, Keeper, Principal, Watch, Watched},
};

/// How often a stream looks its key up though nothing woke it. That is a look into the cache for as long as what is cached may be used; it is a
/// query, shared by all streams of the key, where changes are not heard of.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// How long a stream goes on though nobody can say whether its key is still good, and how often it asks.
const PATIENCE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(1);

impl Keeper for Lookup {
    fn watch(self: Arc<Self>, watched: Watched) -> Result<Watch, Ended> {
        let Some(origin) = watched.caller.origin() else {
            return Err(Ended::Unavailable);
        };
        let digest = origin.digest;
        let registered = self.streams.register(&digest).ok_or(Ended::Unavailable)?;
        Ok(Box::pin(async move {
            let mut registered = registered;
            let ended = self.watch_key(digest, watched, &mut registered).await;
            registered.reason = ended.code();
            ended
        }))
    }
}

impl Lookup {
    async fn watch_key(
        self: Arc<Self>,
        digest: KeyDigest,
        watched: Watched,
        registered: &mut Registered,
    ) -> Ended {
        let end_of = |caller: &Principal| caller.origin().and_then(|origin| origin.until);
        let mut until = end_of(&watched.caller);
        let mut confirmed = self.clock.elapsed();
        loop {
            registered.mark_seen();
            let verdict = match self.look_again(&digest).await {
                Ok(present) => match watched.check(&present) {
                    Ok(()) => {
                        until = end_of(&present);
                        confirmed = self.clock.elapsed();
                        Ok(AGAIN_AFTER)
                    }
                    // What is left of a key while the store is down is no word of the store's.
                    Err(_) if !is_confirmed(&present) => Err(Ended::Unavailable),
                    Err(ended) => Err(ended),
                },
                Err(refusal) => Err(ended(&refusal)),
            };
            let pause = match verdict {
                Ok(after) => after,
                // Nobody knows: it is not ended for that, and not let run for ever.
                Err(Ended::Unavailable) if self.clock.elapsed() < confirmed.saturating_add(PATIENCE) => RETRY,
                Err(ended) => return ended,
            };
            let looked = self.clock.elapsed();
            loop {
                let now = self.clock.elapsed();
                if until.is_some_and(|until| until <= now) {
                    return Ended::KeyExpired;
                }
                let next = looked.saturating_add(pause);
                if next <= now {
                    break;
                }
                let next = until.map_or(next, |until| until.min(next));
                if timeout(next.saturating_sub(now), registered.changed())
                    .await
                    .is_ok()
                {
                    break;
                }
            }
        }
    }

    /// The present verdict on a key that was good: from the cache where it has one, else by a look-up that all who ask share.
    async fn look_again(self: &Arc<Self>, digest: &KeyDigest) -> Result<Principal, Refusal> {
        if let Some((principal, _)) = self.cache.hit(digest) {
            return Ok(principal);
        }
        let verdict = self.look_up(digest, Purpose::Use, &|_| Ok(()));
        match verdict {
            Verdict::Known(principal) => Ok(principal),
            Verdict::Refused(refusal) => Err(refusal),
            Verdict::Pending(verdict) => verdict.await,
            // Not for a look-up by digest.
            Verdict::Fallback(_) => Err(Refusal::new(RefusalKind::InvalidKey)),
        }
    }
}

fn is_confirmed(present: &Principal) -> bool {
    present.origin().is_none_or(|origin| origin.is_confirmed)
}

fn ended(refusal: &Refusal) -> Ended {
    match refusal.kind() {
        RefusalKind::KeyRevoked => Ended::KeyRevoked,
        RefusalKind::KeyExpired => Ended::KeyExpired,
        RefusalKind::KeyDisabled => Ended::KeyDisabled,
        RefusalKind::AuthUnavailable => Ended::Unavailable,
        _ => Ended::InvalidKey,
    }
}
