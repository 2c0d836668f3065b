use subtle::ConstantTimeEq;

use super::expired;
#[expect(unused_imports, reason = "for the documentation")]
use crate::manage::Conflict;
use crate::{
    key::KeyId,
    manage::{CallerKeys, IssuedKey, ManageError, NewKey},
    store::KeyQuery,
};

impl CallerKeys {
    /// An id for a key of this caller, and that it was reserved for them: to be put into a form, and no secret.
    ///
    /// Nothing is kept of it: all processes on the same store make and know the same, and it is the id in the store that is there once. It is dated
    /// by the store, whose clock judges it: those of processes may be as far apart as they like.
    ///
    /// # Errors
    ///
    /// When the store cannot say what time it is.
    pub(crate) async fn reserve(&self) -> Result<String, ManageError> {
        let mut query = KeyQuery::newest(1);
        query.owner = Some(self.caller.principal.owner().to_owned());
        let now = self.keys.list(&query).await?.now;
        let id = KeyId::generate_at(now);
        Ok(format!("{id}.{}", self.seal(id)))
    }

    /// As [`CallerKeys::issue`], under an id that was reserved.
    ///
    /// # Errors
    ///
    /// [`Conflict::AlreadyMinted`] when it was done before; when it was reserved for somebody else, or longer ago than a day.
    pub(crate) async fn issue_reserved(
        &self,
        mut new: NewKey,
        reserved: &str,
    ) -> Result<IssuedKey, ManageError> {
        new.id = Some(self.reserved(reserved).ok_or_else(expired)?);
        self.issue(new).await
    }

    /// The id in a reservation of this caller's.
    pub(crate) fn reserved(&self, reserved: &str) -> Option<KeyId> {
        let (id, seal) = reserved.split_once('.')?;
        let id: KeyId = id.parse().ok()?;
        let ours: bool = self.seal(id).as_bytes().ct_eq(seal.as_bytes()).into();
        ours.then_some(id)
    }

    fn seal(&self, id: KeyId) -> String {
        let owner = self.caller.principal.owner().as_bytes();
        self.keys
            .0
            .format
            .seal(&[b"reserved".as_slice(), id.as_bytes(), owner])
    }
}
