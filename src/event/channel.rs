use std::{error::Error, fmt, future::Future, pin::Pin, time::Duration};

use super::Feed;
use crate::key::KeyDigest;

/// Through what processes tell one another of changes, where their store or resolver does not; see [`Builder::feed`](crate::Builder::feed).
///
/// What it is good for: a change that is made through an [`ApiKeyAuth`](crate::ApiKeyAuth) is told before it is answered, and is applied elsewhere as fast
/// as it is heard. Who hears nothing uses nothing cached once the lease is over. When it cannot be told, the change has happened all the same, and is
/// answered later: once it could be told, or nobody can have cached anything from before.
///
/// What is not promised: telling is no part of the change itself. A process that dies between the two tells nobody, nor does another
/// program, or somebody at the table by hand, unless they tell it as well. Then what others have cached is used for as long as it lasts:
/// [`cache_ttl`](crate::Builder::cache_ttl) and [`unknown_ttl`](crate::Builder::unknown_ttl), 5 s each if not set. And nobody answers that they
/// have heard, so that there is no [`Preset::Strict`](crate::Preset::Strict).
pub trait Channel: fmt::Debug + Send + Sync + 'static {
    /// What is told through it, by whichever process, from now on. Asked each time that somebody begins to listen.
    ///
    /// What has been told with `Ok` before it says [`proven`](crate::event::FeedSink::proven) of a later time must have been passed on.
    fn feed(&self) -> Feed;

    /// Tells all who listen, this process included. One second is waited for it; then it is dropped, and tried again.
    ///
    /// # Errors
    ///
    /// When it is not certain that it was told.
    fn tell(&self, change: &Change) -> impl Future<Output = Result<(), ChannelError>> + Send;

    /// For how long it may be taken that all is heard, after it was last [proven](crate::event::FeedSink::proven); 2 s if it does not say.
    fn lease(&self) -> Duration {
        Duration::from_secs(2)
    }
}

/// What has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// These keys.
    Keys(Vec<KeyDigest>),
    /// Any key, or any owner.
    Everything,
}

/// A [`Channel`] cannot be used.
#[derive(Debug)]
pub struct ChannelError(Box<dyn Error + Send + Sync>);

impl ChannelError {
    /// With its cause, which appears in logs and must hold no secret.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the channel cannot be used")
    }
}

impl Error for ChannelError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

type Telling<'a> = Pin<Box<dyn Future<Output = Result<(), ChannelError>> + Send + 'a>>;

/// [`Channel`] without its type.
pub(crate) trait DynChannel: fmt::Debug + Send + Sync {
    fn feed(&self) -> Feed;
    fn tell<'a>(&'a self, change: &'a Change) -> Telling<'a>;
    fn lease(&self) -> Duration;
}

impl<C: Channel> DynChannel for C {
    fn feed(&self) -> Feed {
        Channel::feed(self)
    }

    fn tell<'a>(&'a self, change: &'a Change) -> Telling<'a> {
        Box::pin(Channel::tell(self, change))
    }

    fn lease(&self) -> Duration {
        Channel::lease(self)
    }
}
