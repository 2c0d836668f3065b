use std::time::{Duration, SystemTime};

use super::{
    Keys,
    credits::account_of,
    error::{Conflict, ManageError, ManageErrorKind},
    label,
    policy::{Policy, Rights},
    request::{IssuedKey, NewKey},
    reserve, to_the_millisecond,
    turns::Effect,
    verb::{Decided, Maker, Verb},
};
use crate::{
    event::{KeyEvent, KeyEventKind, Settled},
    key::{KeyDigest, KeyId, KeyRecord, KeyStatus, Secret},
    store::{View, Writes},
};

/// Longer than anybody needs two keys for.
const MAX_OVERLAP: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl Keys {
    pub(super) async fn mint(&self, maker: Maker, mut new: NewKey) -> Result<IssuedKey, ManageError> {
        label::check_lists(&new.grants)?;
        self.check_that_credits_are_kept(new.credits.is_some()).await?;
        let mut reads = maker.reads();
        match &maker {
            Maker::Application(_) => label::check(&new.name, true)?,
            Maker::Caller(caller) | Maker::Holder(caller) => {
                label::check(&new.name, false)?;
                caller.principal.owner().clone_into(&mut new.owner);
                reads = reads.live_of(new.owner.as_str());
            }
            #[cfg(feature = "oidc")]
            Maker::Trust(_) => label::check(&new.name, false)?,
        }
        let (key, mut draft) = self.draft(&new.owner)?;
        if let Some(id) = new.id {
            draft.id = id;
            reads = reads.key(id);
        }
        let policy = self.0.policy.clone();
        let decide = move |maker: &Maker, view: &View| decide_mint(maker, view, &policy, new, draft);
        let turn = self.0.turns.of(maker.caller(), Effect::Gives).await?;
        let record = self
            .perform(&turn, maker, Verb::new("mint"), reads, Settled::Changed, decide)
            .await?;
        Ok(IssuedKey { key, record })
    }

    pub(super) async fn take_over(
        &self,
        maker: Maker,
        id: KeyId,
        overlap: Duration,
    ) -> Result<IssuedKey, ManageError> {
        if overlap > MAX_OVERLAP {
            return Err(ManageError::invalid(
                "overlap_seconds",
                "must be at most 2592000, which is 30 days",
            ));
        }
        let turn = self.0.turns.of(maker.caller(), Effect::Gives).await?;
        // Of the owner's other keys it has to be known how many there are. Where there is no such key, the same is asked for nobody's.
        let owner = self.among_changes(&turn, id).await?.map(|old| old.owner);
        let owner = owner.unwrap_or_default();
        let (key, draft) = self.draft(&owner)?;
        let policy = self.0.policy.clone();
        let reads = maker.reads().live_of(owner);
        let decide =
            move |maker: &Maker, view: &View| decide_rotation(maker, view, &policy, id, overlap, draft);
        let record = self
            .perform(
                &turn,
                maker,
                Verb::new("rotate").on(id),
                reads,
                Settled::Changed,
                decide,
            )
            .await?;
        self.0.changes.receipt_of_later(overlap).await;
        Ok(IssuedKey { key, record })
    }

    /// A key, and a record of it without rights.
    pub(super) fn draft(&self, owner: &str) -> Result<(Secret, KeyRecord), ManageError> {
        let key = self
            .0
            .format
            .generate()
            .map_err(|error| ManageError::unavailable(Box::new(error)))?;
        let plain = KeyDigest::of(key.expose().as_bytes());
        let digest = self
            .0
            .pepper
            .as_ref()
            .map_or(plain, |pepper| pepper.apply(&plain));
        let mut record = KeyRecord::new(KeyId::generate(), digest, owner, SystemTime::UNIX_EPOCH);
        record.prefix = self.0.format.shown_prefix(&key);
        Ok((key, record))
    }
}

pub(super) fn decide_mint(
    maker: &Maker,
    view: &View,
    policy: &Policy,
    new: NewKey,
    mut record: KeyRecord,
) -> Decided<KeyRecord> {
    let now = to_the_millisecond(view.now);
    reserve::check(new.id, view)?;
    record.created_at = now;
    record.expires_at = new.expiry(now)?;
    record.name = new.name;
    record.grants = new.grants;
    record.allowed_ips = new.allowed_ips;
    record.rate_limit = new.rate_limit;
    let mut writes = Writes::nothing();
    let rights = maker.rights(view)?;
    record.credits = account_of(record.id, new.credits, rights.as_ref(), now, &mut writes)?;
    if let Some(rights) = rights {
        record.expires_at = record
            .expires_at
            .or_else(|| policy.default_expiry(rights.expires_at, now))
            .map(to_the_millisecond);
        record.allowed_ips = record.allowed_ips.or_else(|| rights.allowed_ips.clone());
        record.rate_limit = record.rate_limit.or_else(|| rights.rate_limit.clone());
        check_expiry(policy, record.expires_at, now, now)?;
        rights.cover(&Rights::of(&record))?;
        policy.check_rate(rights.rate_limit.as_ref(), record.rate_limit.as_ref())?;
        if !policy.has_room(view.live, 1) {
            return Err(ManageErrorKind::Quota.into());
        }
    }
    let event = KeyEvent::new(KeyEventKind::Minted, &record, now, &maker.actor());
    writes.events.push(event.after(&record));
    writes.insert.push(record.clone());
    Ok((writes, record))
}

/// # Errors
///
/// When the expiry is over, or later than the policy allows a key made at `made`.
pub(super) fn check_expiry(
    policy: &Policy,
    expiry: Option<SystemTime>,
    made: SystemTime,
    now: SystemTime,
) -> Result<(), ManageError> {
    if expiry.is_some_and(|expiry| expiry <= now) {
        return Err(ManageError::invalid("expires_at", "must be in the future"));
    }
    match (policy.latest(made), expiry) {
        (Some(latest), Some(expiry)) if expiry > latest => Err(ManageError::invalid(
            "expires_at",
            "is further away than keys may last here",
        )),
        (Some(_), None) => Err(ManageError::invalid(
            "expires_at",
            "must be set: keys end here some day",
        )),
        _ => Ok(()),
    }
}

pub(super) fn decide_rotation(
    maker: &Maker,
    view: &View,
    policy: &Policy,
    id: KeyId,
    overlap: Duration,
    mut new: KeyRecord,
) -> Decided<KeyRecord> {
    let now = to_the_millisecond(view.now);
    let rights = maker.rights(view)?;
    let old = maker.key(view, id, rights.as_ref())?;
    match old.status(now) {
        KeyStatus::Active => {}
        status => return Err(Conflict::NotActive(status).into()),
    }
    if old.exchanged {
        return Err(Conflict::Exchanged.into());
    }
    if old.rotated_to.is_some() {
        return Err(Conflict::AlreadyRotated.into());
    }
    new.created_at = now;
    new.name.clone_from(&old.name);
    new.owner.clone_from(&old.owner);
    new.grants = old.grants.clone();
    new.allowed_ips = old.allowed_ips.clone();
    new.rate_limit = old.rate_limit.clone();
    // What is left of it: rotating fills nothing.
    new.credits = old.credits;
    new.rotated_from = Some(old.id);
    // A fresh term as long as the old one, unless the maker may not give it: then what is left of the old.
    let term = old
        .expires_at
        .and_then(|expiry| expiry.duration_since(old.created_at).ok());
    let renewed = term.and_then(|term| now.checked_add(term));
    let latest = [
        policy.latest(now),
        rights.as_ref().and_then(|rights| rights.expires_at),
    ];
    new.expires_at = match (old.expires_at, renewed) {
        (None, _) => None,
        (Some(expiry), None) => Some(expiry),
        (Some(expiry), Some(renewed)) => {
            let renewed = latest.into_iter().flatten().fold(renewed, SystemTime::min);
            Some(renewed.max(expiry))
        }
    };
    if let Some(rights) = &rights {
        // A key from before there was such a policy may have had more.
        new.expires_at = [new.expires_at, policy.latest(now)].into_iter().flatten().min();
        rights.cover(&Rights::of(&new))?;
        // The old one counts until its overlap is over.
        let live = view.live.saturating_sub(u64::from(overlap.is_zero()));
        if !policy.has_room(live, 0) {
            return Err(ManageErrorKind::Quota.into());
        }
    }
    let mut retired = old.clone();
    retired.rotated_to = Some(new.id);
    retired.version += 1;
    let end = now.checked_add(overlap).unwrap_or(now);
    retired.expires_at = Some(old.expires_at.map_or(end, |expiry| expiry.min(end)));

    let actor = maker.actor();
    let rotated = KeyEvent::new(KeyEventKind::Rotated, old, now, &actor);
    let minted = KeyEvent::new(KeyEventKind::Minted, &new, now, &actor);
    let mut writes = Writes::nothing();
    writes.events = vec![rotated.before(old).after(&retired), minted.after(&new)];
    writes.update.push(retired);
    writes.insert.push(new.clone());
    Ok((writes, new))
}
