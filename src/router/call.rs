use std::{fmt, future::Future, marker::PhantomData, sync::Arc};

use axum::extract::{FromRequestParts, OriginalUri, RawPathParams};
use http::request::Parts;

use super::{Shared, problem::Problem};
use crate::{
    authn::{Refusal, RefusalKind},
    key::KeyId,
    manage::{Caller, CallerKeys, ManageError, Verb},
    middleware::ClientAddress,
    principal::Principal,
};

/// A request by somebody who may make calls of this kind. To be taken before the body, which is not read for anybody else.
pub(super) struct Call<R> {
    keys: CallerKeys,
    pub(super) caller: Principal,
    pub(super) shared: Arc<Shared>,
    /// The path that the caller sees, without what is nested around this router.
    path: String,
    needs: PhantomData<fn() -> R>,
}

/// What a kind of call takes.
pub(super) trait Needs {
    /// `target` is the key that the path names.
    fn check(
        keys: &CallerKeys,
        target: Option<KeyId>,
    ) -> impl Future<Output = Result<(), ManageError>> + Send;
}

/// Each kind, what it needs, and what the log calls it.
macro_rules! kinds {
    ($($kind:ident $check:ident $word:literal,)*) => {
        $(pub(super) enum $kind {}

        impl Needs for $kind {
            async fn check(keys: &CallerKeys, target: Option<KeyId>) -> Result<(), ManageError> {
                keys.$check(Verb::new($word).on(target)).await
            }
        })*
    };
}

kinds! {
    List may_read_for "list",
    Read may_read_for "read",
    ReadEvents may_read_for "read-events",
    ReadLog may_administrate_for "read-log",
    Mint may_write_for "mint",
    Change may_write_for "change",
    Rotate may_write_for "rotate",
    Revoke may_write_for "revoke",
}

/// Holding a key is enough to revoke it.
pub(super) enum Possession {}

impl Needs for Possession {
    async fn check(_keys: &CallerKeys, _target: Option<KeyId>) -> Result<(), ManageError> {
        Ok(())
    }
}

impl<R: Needs> FromRequestParts<Arc<Shared>> for Call<R> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        let caller = <Principal as FromRequestParts<_>>::from_request_parts(parts, shared).await?;
        let Some(keys) = &shared.keys else {
            let missing = Refusal::because(RefusalKind::Misconfigured, "there is no store of keys to manage");
            return Err(Problem::refused(missing, &caller));
        };
        let keys = keys.by(from(parts, caller.clone()));
        let target = named(parts, shared).await;
        R::check(&keys, target)
            .await
            .map_err(|error| Problem::of(&error, &caller))?;
        Ok(Self {
            keys,
            caller,
            shared: shared.clone(),
            path: original_path(parts).to_owned(),
            needs: PhantomData,
        })
    }
}

impl<R> Call<R> {
    /// The keys, for a handler that has read what it is to read: from here on it is answered, also where what it does ends the caller's own key.
    pub(super) fn keys(&self) -> &CallerKeys {
        self.caller.done_reading();
        &self.keys
    }

    pub(super) fn failed(&self, error: &ManageError) -> Problem {
        Problem::of(error, &self.caller)
    }

    /// Where a key is found, `above` segments up from here.
    pub(super) fn place_of(&self, id: KeyId, above: usize) -> String {
        let path = self.path.trim_end_matches('/');
        let base = path.rsplitn(above + 1, '/').last().unwrap_or_default();
        // Two slashes at the beginning would name another host.
        match base.trim_start_matches('/') {
            "" => format!("/{id}"),
            base => format!("/{base}/{id}"),
        }
    }
}

impl<R> fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("caller", &self.caller)
            .finish_non_exhaustive()
    }
}

/// Who it is, and what the log says of where they called from.
fn from(parts: &Parts, caller: Principal) -> Caller {
    let request_id = parts.headers.get("x-request-id");
    Caller::new(caller)
        .address(ClientAddress::of(&parts.extensions))
        .request_id(request_id.and_then(|id| id.to_str().ok()))
}

fn original_path(parts: &Parts) -> &str {
    let original = parts.extensions.get::<OriginalUri>();
    original.map_or(parts.uri.path(), |OriginalUri(uri)| uri.path())
}

/// The key that the path names. What is no id names none.
pub(super) struct Named(pub(super) KeyId);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        named(parts, state).await.map(Self).ok_or(Problem::NotFound)
    }
}

async fn named<S: Send + Sync>(parts: &mut Parts, state: &S) -> Option<KeyId> {
    let parameters = RawPathParams::from_request_parts(parts, state).await.ok()?;
    // The last one: what this router is nested in may have one of this name, too.
    let id = parameters.iter().filter(|(name, _)| *name == "id").last();
    id.and_then(|(_, text)| text.parse().ok())
}
