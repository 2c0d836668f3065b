use std::time::Duration;

use super::{
    Keys,
    credits::account_of,
    error::{ManageError, ManageErrorKind},
    label,
    mint::check_expiry,
    policy::{Policy, Rights},
    request::ImportedKey,
    to_the_millisecond,
    turns::Effect,
    verb::{Decided, Maker, Verb},
};
use crate::{
    event::{KeyEvent, KeyEventKind, Settled},
    key::{KeyDigest, KeyId, KeyRecord},
    store::{Reads, View, Writes},
};

/// How many keys are removed in one transaction.
const PRUNE_BATCH: u32 = 200;
const MAX_PREFIX: usize = 16;

/// What became of a key that was to be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImportOutcome {
    /// It is kept, under this id.
    Imported(KeyId),
    /// Its digest was kept already, or came twice.
    Known,
}

impl Keys {
    pub(super) async fn take_in(
        &self,
        maker: Maker,
        keys: Vec<ImportedKey>,
    ) -> Result<Vec<ImportOutcome>, ManageError> {
        let by_application = matches!(maker, Maker::Application(_));
        let (digests, ready) = self.ready(keys, by_application)?;
        self.check_that_credits_are_kept(ready.iter().any(|key| key.new.credits.is_some()))
            .await?;
        let mut reads = maker.reads();
        reads.digests = digests;
        if let Maker::Caller(caller) = &maker {
            reads = reads.live_of(caller.principal.owner());
        }
        let policy = self.0.policy.clone();
        let decide = move |maker: &Maker, view: &View| decide_import(maker, view, &policy, ready);
        let turn = self.0.turns.of(maker.caller(), Effect::Gives).await?;
        let outcomes = self
            .perform(&turn, maker, Verb::new("import"), reads, Settled::Changed, decide)
            .await?;
        if outcomes.iter().any(|outcome| *outcome != ImportOutcome::Known) {
            self.0.imported.imported();
            self.0.changes.receipt().await;
        }
        Ok(outcomes)
    }

    pub(super) async fn count_known(&self, keys: Vec<ImportedKey>) -> Result<usize, ManageError> {
        let (digests, keys) = self.ready(keys, true)?;
        let mut reads = Reads::nothing();
        reads.digests = digests;
        let policy = self.0.policy.clone();
        let decide = move |maker: &Maker, view: &View| {
            let (_, outcomes) = decide_import(maker, view, &policy, keys)?;
            let known = outcomes
                .iter()
                .filter(|outcome| **outcome == ImportOutcome::Known);
            Ok((Writes::nothing(), known.count()))
        };
        let maker = self.maker();
        let turn = self.0.turns.of(maker.caller(), Effect::Gives).await?;
        self.perform(&turn, maker, Verb::new("import"), reads, Settled::Changed, decide)
            .await
    }

    /// The keys as they would be kept, and their digests.
    fn ready(
        &self,
        mut keys: Vec<ImportedKey>,
        by_application: bool,
    ) -> Result<(Vec<KeyDigest>, Vec<ImportedKey>), ManageError> {
        for key in &mut keys {
            label::check(&key.new.name, by_application)?;
            label::check_lists(&key.new.grants)?;
            if key.prefix.chars().count() > MAX_PREFIX || label::check(&key.prefix, true).is_err() {
                return Err(ManageError::invalid(
                    "prefix",
                    "must be at most 16 characters that can be seen",
                ));
            }
            if key.digest.is_of_a_placeholder() {
                return Err(ManageError::invalid(
                    "digest",
                    "is of a text that everybody knows, such as an empty one or `changeme`",
                ));
            }
            if let Some(pepper) = &self.0.pepper {
                key.digest = pepper.apply(&key.digest);
            }
        }
        Ok((keys.iter().map(|key| key.digest).collect(), keys))
    }

    pub(super) async fn remove_expired(&self, retention: Duration) -> Result<u64, ManageError> {
        self.forget_tokens().await?;
        let mut removed = 0;
        // By the store's clock, which the transaction below goes by, too.
        let Some(moment) = self.now().await?.checked_sub(retention) else {
            return Ok(0);
        };
        loop {
            let ids = self.0.store.expired_before(moment, PRUNE_BATCH).await?;
            if ids.is_empty() {
                return Ok(removed);
            }
            let reads = ids.into_iter().fold(Reads::nothing(), Reads::key);
            // An expired key is not kept as good by anybody, so there is nothing to forget.
            let verb = Verb::new("prune");
            let decide = move |maker: &Maker, view: &View| decide_prune(maker, view, moment);
            let maker = self.maker();
            let turn = self.0.turns.of(maker.caller(), Effect::Gives).await?;
            let batch = self
                .perform(&turn, maker, verb, reads, Settled::Changed, decide)
                .await?;
            if batch == 0 {
                return Ok(removed);
            }
            removed += batch;
        }
    }

    async fn forget_tokens(&self) -> Result<(), ManageError> {
        if !self.0.store.keeps_tokens() {
            return Ok(());
        }
        loop {
            let mut reads = Reads::nothing();
            reads.forgettable_tokens = PRUNE_BATCH;
            let decide = |_: &Maker, view: &View| {
                let mut writes = Writes::nothing();
                writes.forget_tokens.clone_from(&view.forgettable_tokens);
                Ok((writes, view.forgettable_tokens.len()))
            };
            let maker = self.maker();
            let turn = self.0.turns.of(maker.caller(), Effect::Gives).await?;
            let verb = Verb::new("prune");
            let forgotten = self
                .perform(&turn, maker, verb, reads, Settled::Changed, decide)
                .await?;
            if forgotten < PRUNE_BATCH as usize {
                return Ok(());
            }
        }
    }

    /// The store's time.
    async fn now(&self) -> Result<std::time::SystemTime, ManageError> {
        let nothing = crate::store::KeyQuery::newest(1);
        Ok(self.0.store.list(&nothing).await?.now)
    }
}

pub(super) fn decide_import(
    maker: &Maker,
    view: &View,
    policy: &Policy,
    keys: Vec<ImportedKey>,
) -> Decided<Vec<ImportOutcome>> {
    let now = to_the_millisecond(view.now);
    let rights = maker.rights(view)?;
    let actor = maker.actor();
    let mut known: Vec<KeyDigest> = view.taken.clone();
    let mut outcomes = Vec::with_capacity(keys.len());
    let mut writes = Writes::nothing();
    for ImportedKey {
        digest,
        prefix,
        created_at,
        new,
    } in keys
    {
        if known.contains(&digest) {
            outcomes.push(ImportOutcome::Known);
            continue;
        }
        known.push(digest);
        let created_at = created_at.map_or(now, to_the_millisecond);
        let expires_at = new.expiry(now)?;
        let mut record = KeyRecord::new(KeyId::generate(), digest, new.owner, created_at);
        record.expires_at = expires_at;
        record.prefix = prefix;
        record.name = new.name;
        record.grants = new.grants;
        record.allowed_ips = new.allowed_ips;
        record.rate_limit = new.rate_limit;
        record.imported = true;
        record.credits = account_of(record.id, new.credits, rights.as_ref(), now, &mut writes)?;
        if let (Maker::Caller(caller), Some(rights)) = (maker, &rights) {
            caller.principal.owner().clone_into(&mut record.owner);
            if created_at > now {
                return Err(ManageError::invalid("created_at", "must not be in the future"));
            }
            // As of a key that is minted: what is not said is what the maker has, and how long it may last counts from its making.
            let default = policy.default_expiry(rights.expires_at, now);
            let default =
                default.map(|expiry| policy.latest(created_at).map_or(expiry, |last| last.min(expiry)));
            record.expires_at = record.expires_at.or(default).map(to_the_millisecond);
            record.allowed_ips = record.allowed_ips.or_else(|| rights.allowed_ips.clone());
            record.rate_limit = record.rate_limit.or_else(|| rights.rate_limit.clone());
            check_expiry(policy, record.expires_at, created_at, now)?;
            rights.cover(&Rights::of(&record))?;
            policy.check_rate(rights.rate_limit.as_ref(), record.rate_limit.as_ref())?;
        }
        let event = KeyEvent::new(KeyEventKind::Imported, &record, now, &actor);
        writes.events.push(event.after(&record));
        outcomes.push(ImportOutcome::Imported(record.id));
        writes.insert.push(record);
    }
    let new = writes.insert.len() as u64;
    if rights.is_some() && new > 0 && !policy.has_room(view.live, new) {
        return Err(ManageErrorKind::Quota.into());
    }
    Ok((writes, outcomes))
}

fn decide_prune(maker: &Maker, view: &View, moment: std::time::SystemTime) -> Decided<u64> {
    let now = to_the_millisecond(view.now);
    let actor = maker.actor();
    let mut writes = Writes::nothing();
    for key in &view.keys {
        // Once more, now that nobody can change it.
        if key.expires_at.is_some_and(|expiry| expiry < moment) {
            let event = KeyEvent::new(KeyEventKind::Pruned, key, now, &actor);
            writes.events.push(event.before(key));
            writes.delete.push(key.id);
        }
    }
    let removed = writes.delete.len() as u64;
    Ok((writes, removed))
}
