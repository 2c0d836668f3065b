use std::sync::Arc;

use parking_lot::Mutex;

use super::{
    Keys,
    change::{Fences, Scope},
    error::{ManageError, ManageErrorKind},
    policy::{Rights, rights_of},
    request::Caller,
    turns::Turn,
};
use crate::{
    access::Scope as ScopeName,
    budget::{Budget, Budgets},
    clock::Clock,
    event::{Actor, KeyEvent, Settled},
    key::{KeyId, KeyRecord},
    metric,
    store::{Decide, Reads, StoreError, StoreErrorKind, View, Writes},
};

/// Changes keys.
pub(super) const WRITE: ScopeName = ScopeName::from_static("keys:write");

/// Sees and manages the keys of all owners.
pub(super) const ADMIN: ScopeName = ScopeName::from_static("keys:admin");

/// On whose authority something is done.
#[derive(Debug, Clone)]
pub(super) enum Maker {
    /// The application's own, which has no limit.
    Application(Actor),
    /// That of somebody who was let in, and who may still change keys.
    Caller(Caller),
    /// That of somebody who holds a key, over that key.
    Holder(Caller),
    /// That of a trust policy, for a token.
    #[cfg(feature = "oidc")]
    Trust(Arc<super::trust::Redemption>),
}

impl Maker {
    pub(super) fn actor(&self) -> Actor {
        match self {
            Self::Application(actor) => actor.clone(),
            Self::Caller(caller) | Self::Holder(caller) => caller.actor(),
            #[cfg(feature = "oidc")]
            Self::Trust(redemption) => redemption.actor.clone(),
        }
    }

    /// Who asks, where it is not the application.
    pub(super) fn caller(&self) -> Option<&Caller> {
        match self {
            Self::Application(_) => None,
            Self::Caller(caller) | Self::Holder(caller) => Some(caller),
            #[cfg(feature = "oidc")]
            Self::Trust(_) => None,
        }
    }

    /// What has to be read to know the rights of the maker.
    pub(super) fn reads(&self) -> Reads {
        match self {
            Self::Application(_) => Reads::nothing(),
            Self::Caller(caller) | Self::Holder(caller) => {
                let own = caller.principal.stored_key();
                own.into_iter().fold(Reads::nothing(), Reads::key)
            }
            #[cfg(feature = "oidc")]
            Self::Trust(_) => Reads::nothing(),
        }
    }

    /// What the maker may give out at most; `None` for anything.
    pub(super) fn rights(&self, view: &View) -> Result<Option<Rights>, ManageError> {
        match self {
            Self::Application(_) => Ok(None),
            Self::Caller(caller) | Self::Holder(caller) => {
                let rights = rights_of(&caller.principal, view);
                let rights = rights.map_err(ManageErrorKind::CallerNotGood)?;
                // Once more: another process may have narrowed the key since the request was let in.
                let own = caller.principal.stored_key().and_then(|id| view.key(id));
                let may_write = rights.grants.granted_scopes().contains(&WRITE);
                match (may_write, matches!(self, Self::Holder(_))) {
                    (_, true) => Ok(Some(rights)),
                    (false, false) => Err(ManageErrorKind::MissingScope("keys:write").into()),
                    // Whatever its scopes are by now: it leaves nothing behind that outlives it.
                    (true, false) if own.is_some_and(|key| key.exchanged) => {
                        Err(ManageErrorKind::CallerExchanged.into())
                    }
                    (true, false) => Ok(Some(rights)),
                }
            }
            #[cfg(feature = "oidc")]
            Self::Trust(redemption) => Ok(Some(redemption.rights(super::to_the_millisecond(view.now)))),
        }
    }

    /// The key of this id, when the maker may know of it. One of another owner is not told from one that does not exist.
    ///
    /// `rights` are the maker's at this moment.
    pub(super) fn key<'v>(
        &self,
        view: &'v View,
        id: KeyId,
        rights: Option<&Rights>,
    ) -> Result<&'v KeyRecord, ManageError> {
        let key = view.key(id).ok_or(ManageErrorKind::NotFound)?;
        let sees = match (self, rights) {
            (Self::Application(_), _) => true,
            (Self::Caller(caller) | Self::Holder(caller), Some(rights)) => {
                caller.principal.owner() == key.owner || rights.grants.granted_scopes().contains(&ADMIN)
            }
            (Self::Caller(_) | Self::Holder(_), None) => false,
            #[cfg(feature = "oidc")]
            (Self::Trust(_), _) => false,
        };
        sees.then_some(key)
            .ok_or_else(|| ManageErrorKind::NotFound.into())
    }
}

/// What somebody asks for: a word for the log, and the key that it is about, if it is about one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verb {
    word: &'static str,
    target: Option<KeyId>,
}

impl Verb {
    pub(crate) const fn new(word: &'static str) -> Self {
        Self { word, target: None }
    }

    #[cfg(feature = "oidc")]
    pub(super) fn word(self) -> &'static str {
        self.word
    }

    pub(crate) fn on(self, target: impl Into<Option<KeyId>>) -> Self {
        Self {
            target: target.into(),
            ..self
        }
    }
}

/// What a verb came to, inside of its transaction.
pub(super) type Decided<T> = Result<(Writes, T), ManageError>;

impl Keys {
    /// One verb, in one transaction: read, decide, fence what will be written and the key it is about, write; then cache, answer. What is
    /// refused is written into the log in the same transaction.
    ///
    /// The fence is up before anything is written, and what is read for it is read where changes are made: a flood of look-ups does not
    /// hold up a revoke, and a key of another owner takes as many steps as one that does not exist.
    pub(super) async fn perform<T: Send + 'static>(
        &self,
        turn: &Turn,
        maker: Maker,
        verb: Verb,
        reads: Reads,
        settled: Settled,
        decide: impl FnOnce(&Maker, &View) -> Decided<T> + Send + 'static,
    ) -> Result<T, ManageError> {
        let store = self.0.store.clone();
        let refusals = self.0.refusals.clone();
        let reads = verb.target.into_iter().fold(reads, Reads::key);
        let outcome = Arc::new(Mutex::new(None));
        let written = outcome.clone();
        let turn = (turn.clone(), self.0.turns.begin(turn).await?);
        let work = move |fences: Fences| async move {
            let decide = Decide::new(move |view| {
                let decided = decide(&maker, view).and_then(|(writes, value)| {
                    raise(&fences, verb, view, &writes)?;
                    Ok((writes, value))
                });
                let (writes, result) = match decided {
                    Ok((writes, value)) => (writes, Ok(value)),
                    Err(error) => (refused(&maker, verb, view, &error, &refusals), Err(error)),
                };
                *outcome.lock() = Some(result);
                writes
            });
            store.transact(reads, decide).await?;
            // Also where whoever asked has gone away: it was theirs until here.
            drop(turn);
            let decided = written.lock().take();
            decided
                .ok_or_else(|| StoreError::new(StoreErrorKind::Corrupt, "a store did not ask what to write"))
        };
        let nothing_yet = Scope::Keys(Vec::new());
        let settled = move |outcome: &Result<T, ManageError>| match outcome {
            Ok(_) => settled,
            // Nothing was changed.
            Err(_) => Settled::Changed,
        };
        self.0
            .changes
            .run_fencing(nothing_yet, work, settled, settled_by_error)
            .await?
    }

    /// The key of this id, read where changes are made; `None` when there is none. Whether the caller may know of it is not asked.
    pub(super) async fn among_changes(
        &self,
        turn: &Turn,
        id: KeyId,
    ) -> Result<Option<KeyRecord>, ManageError> {
        let _begun = self.0.turns.begin(turn).await?;
        let found = Arc::new(Mutex::new(None));
        let read = found.clone();
        let decide = Decide::new(move |view| {
            *read.lock() = view.key(id).cloned();
            Writes::nothing()
        });
        self.0.store.transact(Reads::nothing().key(id), decide).await?;
        let found = found.lock().take();
        Ok(found)
    }
}

/// Also the key that it is about, and those that are known already, where nothing is to be written: another process may have done it.
fn raise(fences: &Fences, verb: Verb, view: &View, writes: &Writes) -> Result<(), ManageError> {
    let target = verb.target.and_then(|id| view.key(id));
    let changed = target.into_iter().chain(&writes.insert).chain(&writes.update);
    let mut digests = changed.map(|key| key.digest).chain(view.taken.iter().copied());
    match digests.all(|digest| fences.raise(digest)) {
        true => Ok(()),
        false => Err(ManageError::unavailable("the change had been given up".into())),
    }
}

/// How many refused requests of one owner are written down in a second. Each takes a transaction, and changes of keys wait for it.
const REFUSALS: u32 = 20;
/// And how many at once: a mistake that many callers make together is no flood.
const REFUSALS_AT_ONCE: u32 = 200;
/// How many times as many of all owners together.
const OF_ALL: u32 = 5;
/// Of all who bring tokens that are refused. Anybody can have one that is signed by an issuer who serves the public.
#[cfg(feature = "oidc")]
const STRANGERS: u32 = 1;
/// How many owners have room of their own at a time. Those beyond share that of one.
const OWNERS: usize = 1024;

/// Room in the log for what was refused: anybody with a key can be refused as often as they like, and shall not keep what others are refused
/// out of it.
#[derive(Debug)]
pub(super) struct Refusals {
    each: Budgets<Box<str>>,
    all: Budget,
    /// For those who hold no key at all.
    #[cfg(feature = "oidc")]
    strangers: Budget,
    clock: Arc<dyn Clock>,
}

impl Refusals {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            each: Budgets::per_second_and_at_once(REFUSALS, REFUSALS_AT_ONCE, OWNERS),
            all: Budget::per_second_and_at_once(OF_ALL * REFUSALS, OF_ALL * REFUSALS_AT_ONCE),
            #[cfg(feature = "oidc")]
            strangers: Budget::per_second_and_at_once(STRANGERS, REFUSALS_AT_ONCE),
            clock,
        }
    }

    /// Whether one more of this owner may be written down.
    pub(super) fn have_room(&self, owner: &str) -> bool {
        let now = self.clock.elapsed();
        let room = self.each.take(owner.into(), now).is_ok() && self.all.take(now);
        if !room {
            metric::audit_dropped();
        }
        room
    }
}

#[cfg(feature = "oidc")]
impl Refusals {
    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    /// Whether one more refusal of somebody who holds no key may be written down.
    pub(super) fn have_room_for_strangers(&self) -> bool {
        let room = self.strangers.take(self.clock.elapsed());
        if !room {
            metric::audit_dropped();
        }
        room
    }
}

/// A line about what a caller was refused. What cannot be meant is a mistake and no event, and the application needs no such line.
///
/// It is told to the owner of whoever asked, also where it is about a key of somebody else: their log is not for others to fill.
fn refused(maker: &Maker, verb: Verb, view: &View, error: &ManageError, refusals: &Refusals) -> Writes {
    let mut writes = Writes::nothing();
    match (maker, error.kind()) {
        (_, ManageErrorKind::Invalid(_) | ManageErrorKind::Unavailable) | (Maker::Application(_), _) => {}
        // That a scope is missing is found before the transaction, and the room for it was taken there.
        (Maker::Caller(caller) | Maker::Holder(caller), kind) => {
            let owner = caller.principal.owner();
            if !matches!(kind, ManageErrorKind::MissingScope(_)) && !refusals.have_room(owner) {
                return writes;
            }
            let now = super::to_the_millisecond(view.now);
            let target = verb.target.filter(|id| view.key(*id).is_some());
            let reason = format!("{}: {}", verb.word, kind.as_str());
            let event = KeyEvent::refused(target, owner, now, &caller.actor(), reason);
            writes.events.push(event);
        }
        #[cfg(feature = "oidc")]
        (Maker::Trust(redemption), kind) => {
            if refusals.have_room_for_strangers() {
                let now = super::to_the_millisecond(view.now);
                let reason = format!("{}: {}; {}", verb.word, kind.as_str(), redemption.note);
                let owner = redemption.owner.as_str();
                let event = KeyEvent::refused(None, owner, now, &redemption.actor, reason);
                writes.events.push(event);
            }
        }
    }
    writes
}

fn settled_by_error(error: &StoreError) -> Settled {
    match error.kind() {
        StoreErrorKind::Conflict => Settled::Changed,
        StoreErrorKind::Unavailable | StoreErrorKind::Corrupt => Settled::Unknown,
    }
}
