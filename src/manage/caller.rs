use std::time::Duration;

use super::{
    Keys,
    batch::ImportOutcome,
    error::{Conflict, ManageError, ManageErrorKind},
    request::{Caller, ImportedKey, IssuedKey, KeyChange, NewKey, RevokedKey},
    turns::Effect,
    verb::{ADMIN, Maker, Verb, WRITE},
};
use crate::{
    access::Scope as ScopeName,
    event::{LoggedEvent, Settled},
    key::{KeyId, KeyRecord},
    principal::PrincipalKind,
    store::{Balance, EventQuery, KeyPage, KeyQuery, Reads, StoredKey},
};

const READ: ScopeName = ScopeName::from_static("keys:read");

/// The keys as somebody who was let in may see and change them: their own, or those of all owners with the scope `keys:admin`.
///
/// Reading takes `keys:read`, changing takes `keys:write`. What is refused is written into the log: of each owner 200 times at once, and then
/// 20 times a second, and of all together five times as often. A key of another owner is not told from one that does not exist.
#[derive(Debug, Clone)]
pub struct CallerKeys {
    pub(super) keys: Keys,
    pub(super) caller: Caller,
}

impl CallerKeys {
    pub(super) fn new(keys: Keys, caller: Caller) -> Self {
        Self { keys, caller }
    }

    /// Refuses a caller who may not read keys, and writes that down: for those who want to know before they read the rest of a request.
    ///
    /// # Errors
    ///
    /// [`ManageErrorKind::MissingScope`]; when the refusal could not be written down.
    pub async fn may_read(&self) -> Result<(), ManageError> {
        self.may_read_for(Verb::new("read")).await
    }

    /// As [`CallerKeys::may_read`], for changing keys.
    ///
    /// # Errors
    ///
    /// As [`CallerKeys::may_read`].
    pub async fn may_write(&self) -> Result<(), ManageError> {
        self.may_write_for(Verb::new("write")).await
    }

    /// As [`CallerKeys::may_read`], for the log of all owners.
    ///
    /// # Errors
    ///
    /// As [`CallerKeys::may_read`].
    pub async fn may_administrate(&self) -> Result<(), ManageError> {
        self.may_administrate_for(Verb::new("read-log")).await
    }

    pub(crate) async fn may_read_for(&self, verb: Verb) -> Result<(), ManageError> {
        self.require(&READ, "keys:read", verb).await
    }

    pub(crate) async fn may_write_for(&self, verb: Verb) -> Result<(), ManageError> {
        self.require(&WRITE, "keys:write", verb).await
    }

    pub(crate) async fn may_administrate_for(&self, verb: Verb) -> Result<(), ManageError> {
        self.require(&ADMIN, "keys:admin", verb).await
    }

    /// Mints a key for the caller, which can do no more, and is good for no longer, than the caller can and is. Where the caller has an
    /// expiry, an address list or a rate limit and none is asked, the new key has the same. It is paid for from the caller's account, if there is
    /// one.
    ///
    /// # Errors
    ///
    /// As [`Keys::issue`]; when it would be more than the caller; when there are too many keys.
    pub async fn issue(&self, new: NewKey) -> Result<IssuedKey, ManageError> {
        self.may_write_for(Verb::new("mint")).await?;
        self.keys.mint(self.maker(), new).await
    }

    /// Renames, narrows, disables or enables a key, which must end up within what the caller can do.
    ///
    /// # Errors
    ///
    /// As [`Keys::change`]; when it would be more than the caller.
    pub async fn change(&self, id: KeyId, change: KeyChange) -> Result<StoredKey, ManageError> {
        self.may_write_for(Verb::new("change").on(id)).await?;
        self.keys.alter(self.maker(), id, change).await
    }

    /// Mints a key that takes over from another; see [`Keys::rotate`].
    ///
    /// # Errors
    ///
    /// As [`Keys::rotate`]; when it would be more than the caller.
    pub async fn rotate(&self, id: KeyId, overlap: Duration) -> Result<IssuedKey, ManageError> {
        self.may_write_for(Verb::new("rotate").on(id)).await?;
        self.keys.take_over(self.maker(), id, overlap).await
    }

    /// Revokes a key for good; see [`Keys::revoke`].
    ///
    /// # Errors
    ///
    /// As [`Keys::revoke`].
    pub async fn revoke(&self, id: KeyId) -> Result<RevokedKey, ManageError> {
        self.may_write_for(Verb::new("revoke").on(id)).await?;
        self.keys.end(self.maker(), id).await
    }

    /// Revokes the key that the caller was let in by. Holding it is all it takes.
    ///
    /// # Errors
    ///
    /// [`Conflict::NoStoredKey`] when the caller was let in by something else.
    pub async fn revoke_current(&self) -> Result<RevokedKey, ManageError> {
        let principal = &self.caller.principal;
        match (principal.kind(), principal.stored_key()) {
            (PrincipalKind::Key, Some(id)) => self.keys.end(Maker::Holder(self.caller.clone()), id).await,
            _ => Err(Conflict::NoStoredKey.into()),
        }
    }

    /// Takes over keys of another system for the caller; see [`Keys::import`]. They are held to what [`CallerKeys::issue`] holds a new key to, and
    /// have the caller's limits where none are said.
    ///
    /// # Errors
    ///
    /// As [`Keys::import`]; when one of them would be more than the caller, and then none is kept.
    pub async fn import(&self, keys: Vec<ImportedKey>) -> Result<Vec<ImportOutcome>, ManageError> {
        self.may_write_for(Verb::new("import")).await?;
        self.keys.take_in(self.maker(), keys).await
    }

    /// A key.
    ///
    /// # Errors
    ///
    /// [`ManageErrorKind::NotFound`], also for a key of another owner.
    pub async fn get(&self, id: KeyId) -> Result<StoredKey, ManageError> {
        self.may_read_for(Verb::new("read").on(id)).await?;
        let key = self.keys.get(id).await?.ok_or(ManageErrorKind::NotFound)?;
        match self.sees_all() || key.record.owner == self.caller.principal.owner() {
            true => Ok(key),
            false => Err(ManageErrorKind::NotFound.into()),
        }
    }

    /// A page of keys, the newest first. Whatever owner the query names, a caller without `keys:admin` sees their own. With each key one page is read at a time, and by all
    /// together two: whoever waits longer than 5 s is told that it is [unavailable](ManageErrorKind::Unavailable).
    ///
    /// # Errors
    ///
    /// When the caller may not, or the store cannot say.
    pub async fn list(&self, mut query: KeyQuery) -> Result<KeyPage, ManageError> {
        self.may_read().await?;
        if !self.sees_all() {
            query.owner = Some(self.caller.principal.owner().to_owned());
        }
        let _turn = self.keys.0.turns.to_read(&self.caller).await?;
        self.keys.list(&query).await
    }

    /// What happened to a key, the newest event first. What was refused to others who tried something on it only those see who see the
    /// keys of all: anybody could fill its log with that.
    ///
    /// # Errors
    ///
    /// [`ManageErrorKind::NotFound`], also for a key of another owner.
    pub async fn events(
        &self,
        id: KeyId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<LoggedEvent>, ManageError> {
        let key = self.get(id).await?;
        let mut query = EventQuery::newest(limit).key(id);
        query.before = before;
        if !self.sees_all() {
            query.owner = Some(key.record.owner);
        }
        let _turn = self.keys.0.turns.to_read(&self.caller).await?;
        self.keys.events(&query).await
    }

    /// The log of all owners, the newest event first. Takes `keys:admin`.
    ///
    /// # Errors
    ///
    /// When the caller may not, or the store cannot say.
    pub async fn all_events(&self, before: Option<i64>, limit: u32) -> Result<Vec<LoggedEvent>, ManageError> {
        self.may_administrate().await?;
        let mut query = EventQuery::newest(limit);
        query.before = before;
        let _turn = self.keys.0.turns.to_read(&self.caller).await?;
        self.keys.events(&query).await
    }

    /// How many uses are left of keys that were shown by this; see [`Keys::credits`].
    ///
    /// # Errors
    ///
    /// When the store cannot say.
    pub async fn credits<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k KeyRecord>,
    ) -> Result<Vec<Balance>, ManageError> {
        self.keys.credits(keys).await
    }

    fn sees_all(&self) -> bool {
        self.caller.principal.grants().granted_scopes().contains(&ADMIN)
    }

    /// Refuses a caller without the scope, and writes it down, as far as there is room for what was refused.
    async fn require(&self, scope: &ScopeName, name: &'static str, verb: Verb) -> Result<(), ManageError> {
        if self.caller.principal.grants().granted_scopes().contains(scope) {
            return Ok(());
        }
        if !self.keys.0.refusals.have_room(self.caller.principal.owner()) {
            return Err(ManageErrorKind::MissingScope(name).into());
        }
        let maker = self.maker();
        let turn = self.keys.0.turns.of(maker.caller(), Effect::Gives).await?;
        self.keys
            .perform(
                &turn,
                maker,
                verb,
                Reads::nothing(),
                Settled::Changed,
                move |_, _| Err(ManageErrorKind::MissingScope(name).into()),
            )
            .await
    }

    fn maker(&self) -> Maker {
        Maker::Caller(self.caller.clone())
    }
}
