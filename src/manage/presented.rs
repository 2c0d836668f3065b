//! Keys that are ended by whoever shows their text: holding it is all it takes.

use std::net::IpAddr;

use super::{
    Keys,
    alter::decide_end,
    error::ManageError,
    request::is_request_id,
    verb::{Maker, Verb},
};
#[cfg(feature = "leaks")]
use crate::key::MAX_PRESENTED_LEN;
use crate::{
    event::{Actor, Settled},
    key::{KeyDigest, KeyRecord},
    store::{Reads, View},
};

/// Who shows the text of a key, as far as that is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Presenter {
    /// Somebody who found it; `None` for its holder.
    pub(crate) finder: Option<&'static str>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) request_id: Option<String>,
    /// Why, for the log.
    pub(crate) reason: Option<String>,
}

/// A key that is revoked.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "leaks"),
    expect(dead_code, reason = "for those who find keys, and tell their owners")
)]
pub(crate) struct Withdrawn {
    pub(crate) record: KeyRecord,
    /// Whether it was not before.
    pub(crate) is_new: bool,
}

impl Keys {
    /// Whether a text can be that of a key of the store, and was minted here if so; `None` where it cannot be one at all. Asks nobody.
    #[cfg(feature = "leaks")]
    pub(crate) fn may_be_kept(&self, text: &[u8]) -> Option<bool> {
        let is_text = (1..=MAX_PRESENTED_LEN).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic);
        match self.0.format.check(text) {
            Ok(()) => Some(true),
            // One of another system that was imported.
            Err(malformed) => (is_text && malformed.is_foreign()).then_some(false),
        }
    }

    /// Revokes the key with this text for good, whether or not it is good at the moment. `None` where there is no such key. One that is revoked
    /// already stays as it is, and the log has no second line of it.
    ///
    /// Looks for it in the store, whatever the text looks like: whoever takes texts from strangers must see first whether it can be one.
    ///
    /// # Errors
    ///
    /// As [`Keys::revoke`].
    pub(crate) async fn revoke_presented(
        &self,
        text: &[u8],
        by: Presenter,
    ) -> Result<Option<Withdrawn>, ManageError> {
        let digest = KeyDigest::of(text);
        let digest = self
            .0
            .pepper
            .as_ref()
            .map_or(digest, |pepper| pepper.apply(&digest));
        let Some(found) = self.0.store.find(&digest).await? else {
            return Ok(None);
        };
        let KeyRecord { id, owner, .. } = found.record;
        let turn = self.0.turns.of_holder(&owner, id).await?;
        let maker = Maker::Application(by.actor(owner, id.to_string()));
        let reason = by.reason;
        let decide = move |maker: &Maker, view: &View| {
            let (mut writes, record) = decide_end(maker, view, id)?;
            let is_new = !writes.update.is_empty();
            for event in &mut writes.events {
                event.reason.clone_from(&reason);
            }
            Ok((writes, (record, is_new)))
        };
        let verb = Verb::new("revoke").on(id);
        let (record, is_new) = self
            .perform(&turn, maker, verb, Reads::nothing(), Settled::Revoked, decide)
            .await?;
        self.0.changes.receipt().await;
        Ok(Some(Withdrawn { record, is_new }))
    }
}

impl Presenter {
    /// The holder acts as the key.
    fn actor(&self, owner: String, id: String) -> Actor {
        let mut actor = match self.finder {
            Some(finder) => Actor::new(finder, ""),
            None => Actor::new("key", owner),
        };
        actor.key_id = self.finder.is_none().then_some(id);
        actor.address = self.address.map(|address| address.to_canonical());
        actor.request_id = self.request_id.clone().filter(|id| is_request_id(id));
        actor
    }
}
