use std::{fmt, future::Future, pin::Pin, sync::Arc, time::SystemTime};

use super::refusal::Unavailable;
use crate::{
    access::Grants,
    key::KeyStatus,
    principal::{Identity, UserValue},
};

/// Knows the owners of keys: whether they are still there, and what they may do now. Set with
/// [`Builder::owners`](crate::Builder::owners).
///
/// With one, a request can do what its key *and* its owner may. It is asked when a key is looked up, and whenever a
/// [`Fallback`](super::Fallback) has recognised somebody; not for static keys, which are the configuration's.
///
/// There are three answers. `Ok(Some(state))`: the owner is known. `Ok(None)`: the owner is gone, and their keys are refused as disabled.
/// `Err(Unavailable)`: it could not be found out, and the caller gets 503. Whatever changes an answer goes through
/// [`ApiKeyAuth::change_owner`](crate::ApiKeyAuth::change_owner), so that it counts from the next request on.
///
/// Any async closure from the name of an owner is a directory:
///
/// ```
/// use tower_api_key::{ApiKeyAuth, access::Grants, authn::OwnerState, store::MemoryStore};
///
/// # async fn query(owner: String) -> Result<Option<bool>, std::io::Error> { Ok(None) }
/// let auth = ApiKeyAuth::builder(MemoryStore::new()?)
///     .owners(|owner: String| async move {
///         Ok(query(owner).await?.map(|suspended| match suspended {
///             true => OwnerState::suspended(),
///             false => OwnerState::active().grants(Grants::all()),
///         }))
///     })
///     .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait OwnerDirectory: Send + Sync + 'static {
    /// How the owner is.
    ///
    /// # Errors
    ///
    /// When it cannot be found out.
    fn find(&self, owner: &str) -> impl Future<Output = Result<Option<OwnerState>, Unavailable>> + Send;
}

impl<F, Fut> OwnerDirectory for F
where
    F: Fn(String) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Option<OwnerState>, Unavailable>> + Send,
{
    fn find(&self, owner: &str) -> impl Future<Output = Result<Option<OwnerState>, Unavailable>> + Send {
        self(owner.to_owned())
    }
}

/// What a directory says of an owner.
#[derive(Clone)]
#[must_use]
pub struct OwnerState {
    suspended: bool,
    ceiling: Option<Grants>,
    user: Option<UserValue>,
}

impl OwnerState {
    /// An owner whose keys work, each with all that it was granted.
    pub fn active() -> Self {
        Self {
            suspended: false,
            ceiling: None,
            user: None,
        }
    }

    /// An owner whose keys are all refused for now.
    pub fn suspended() -> Self {
        Self {
            suspended: true,
            ..Self::active()
        }
    }

    /// What the owner may do now. No key of theirs can do more, whatever it was granted.
    pub fn grants(mut self, ceiling: Grants) -> Self {
        self.ceiling = Some(ceiling);
        self
    }

    /// A value of the application's own type, for handlers: [`Principal::get`](crate::principal::Principal::get) and the extractor `Owner`.
    pub fn user<T: Send + Sync + 'static>(mut self, user: T) -> Self {
        self.user = Some(Arc::new(user));
        self
    }
}

impl fmt::Debug for OwnerState {
    // By hand: nothing may be known of the application's value, which can hold anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerState")
            .field("suspended", &self.suspended)
            .field("ceiling", &self.ceiling)
            .finish_non_exhaustive()
    }
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Option<OwnerState>, Unavailable>> + Send + 'a>>;

trait DynDirectory: Send + Sync {
    fn find<'a>(&'a self, owner: &'a str) -> Answer<'a>;
}

/// So that the two traits' methods are not taken for one another.
struct Erased<D>(D);

impl<D: OwnerDirectory> DynDirectory for Erased<D> {
    fn find<'a>(&'a self, owner: &'a str) -> Answer<'a> {
        Box::pin(self.0.find(owner))
    }
}

/// An [`OwnerDirectory`] without its type.
pub(crate) struct Owners(Box<dyn DynDirectory>);

impl Owners {
    pub(crate) fn new(directory: impl OwnerDirectory) -> Self {
        Self(Box::new(Erased(directory)))
    }

    /// The identity as its owner allows it to be. Of one that is not good anyway the directory is not asked: it may be down.
    pub(super) async fn bind(&self, identity: Identity, now: SystemTime) -> Result<Identity, Unavailable> {
        if identity.status(now) != KeyStatus::Active {
            return Ok(identity);
        }
        let state = self.0.find(identity.owner()).await?;
        Ok(match state {
            Some(state) if !state.suspended => {
                let identity = match &state.ceiling {
                    Some(ceiling) => identity.within(ceiling),
                    None => identity,
                };
                match state.user {
                    Some(user) => identity.shared_user(user),
                    None => identity,
                }
            }
            Some(_) | None => identity.disabled(),
        })
    }
}

impl fmt::Debug for Owners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Owners")
    }
}
