use super::{
    Keys,
    credits::refilled,
    error::{Conflict, ManageError},
    label,
    mint::check_expiry,
    policy::{Policy, Rights},
    request::{KeyChange, RevokedKey},
    to_the_millisecond,
    turns::Effect,
    verb::{Decided, Maker, Verb},
};
use crate::{
    access::Grants,
    event::{KeyEvent, KeyEventKind, Settled},
    key::{KeyId, KeyRecord, KeyStatus},
    store::{StoredKey, View, Writes},
};

impl Keys {
    pub(super) async fn alter(
        &self,
        maker: Maker,
        id: KeyId,
        change: KeyChange,
    ) -> Result<StoredKey, ManageError> {
        if let Some(name) = &change.name {
            label::check(name, matches!(maker, Maker::Application(_)))?;
        }
        let (scopes, resources) = (change.scopes.clone(), change.resources.clone());
        label::check_lists(&Grants::new(
            scopes.unwrap_or_default(),
            resources.unwrap_or_default(),
        ))?;
        self.check_that_credits_are_kept(change.credits.is_some()).await?;
        let policy = self.0.policy.clone();
        let turn = self.0.turns.of(maker.caller(), Effect::Takes).await?;
        let (verb, reads) = (Verb::new("change").on(id), maker.reads());
        let decide = move |maker: &Maker, view: &View| decide_change(maker, view, &policy, id, &change);
        let changed = self
            .perform(&turn, maker, verb, reads, Settled::Changed, decide)
            .await?;
        self.0.changes.receipt().await;
        Ok(changed)
    }

    pub(super) async fn end(&self, maker: Maker, id: KeyId) -> Result<RevokedKey, ManageError> {
        let turn = self.0.turns.of(maker.caller(), Effect::Takes).await?;
        let (verb, reads) = (Verb::new("revoke").on(id), maker.reads());
        let decide = move |maker: &Maker, view: &View| decide_end(maker, view, id);
        let record = self
            .perform(&turn, maker, verb, reads, Settled::Revoked, decide)
            .await?;
        let receipt = self.0.changes.receipt().await;
        Ok(RevokedKey { record, receipt })
    }
}

pub(super) fn decide_change(
    maker: &Maker,
    view: &View,
    policy: &Policy,
    id: KeyId,
    change: &KeyChange,
) -> Decided<StoredKey> {
    let now = to_the_millisecond(view.now);
    let rights = maker.rights(view)?;
    let key = maker.key(view, id, rights.as_ref())?;
    if key.revoked_at.is_some() {
        return Err(Conflict::NotActive(KeyStatus::Revoked).into());
    }
    let mut changed = change.apply(key, now);
    changed.expires_at = changed.expires_at.map(to_the_millisecond);
    let filling = change
        .credits
        .map(|limit| refilled(key, limit, rights.as_ref(), now));
    let filling = filling.transpose()?;
    changed.credits = filling.map_or(key.credits, |filling| Some(filling.account));
    if changed == *key && filling.is_none() {
        return Ok((Writes::nothing(), StoredKey::new(changed, now)));
    }
    if changed.expires_at != key.expires_at && changed.expires_at.is_some() {
        check_expiry(policy, changed.expires_at, key.created_at, now)?;
    }
    let after = Rights::of(&changed);
    Rights::of(key).cover(&after)?;
    if let Some(rights) = &rights {
        rights.cover(&after)?;
        // A key that has none has the one of all keys.
        policy.check_rate(key.rate_limit.as_ref(), changed.rate_limit.as_ref())?;
    }
    changed.version += 1;
    let kind = match (key.disabled_at, changed.disabled_at) {
        (None, Some(_)) => KeyEventKind::Disabled,
        (Some(_), None) => KeyEventKind::Enabled,
        _ => KeyEventKind::Changed,
    };
    let mut writes = Writes::nothing();
    writes.fill.extend(filling);
    let event = KeyEvent::new(kind, key, now, &maker.actor());
    writes.events.push(event.before(key).after(&changed));
    writes.update.push(changed.clone());
    Ok((writes, StoredKey::new(changed, now)))
}

pub(super) fn decide_end(maker: &Maker, view: &View, id: KeyId) -> Decided<KeyRecord> {
    let now = to_the_millisecond(view.now);
    let rights = maker.rights(view)?;
    let key = maker.key(view, id, rights.as_ref())?;
    let mut revoked = key.clone();
    let mut writes = Writes::nothing();
    if key.revoked_at.is_none() {
        revoked.revoked_at = Some(now);
        revoked.version += 1;
        let event = KeyEvent::new(KeyEventKind::Revoked, key, now, &maker.actor());
        writes.events.push(event.before(key).after(&revoked));
        writes.update.push(revoked.clone());
    }
    Ok((writes, revoked))
}
