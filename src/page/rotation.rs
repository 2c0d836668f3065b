use std::time::SystemTime;

use super::{
    ask::Ask,
    row::shown_name,
    texts::{Texts, fill},
    uses::{LastUse, Since, Uses},
    when::Moment,
};
use crate::{
    key::KeyRecord,
    manage::{ManageError, ManageErrorKind},
};

/// An old key and the one that takes over from it, side by side, so that one sees when the old one has gone quiet.
pub(super) struct Rotation {
    /// The old one and the new one.
    pub(super) sides: [Side; 2],
    /// What that comes to, and how good it is.
    pub(super) verdict: String,
    pub(super) class: &'static str,
    /// The old key, where it is another than the one that is looked at, and can be ended.
    pub(super) to_end: Option<String>,
}

pub(super) struct Side {
    pub(super) label: String,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) prefix: String,
    pub(super) created: Moment,
    pub(super) last_use: Option<LastUse>,
    pub(super) ends: Option<Moment>,
    /// By what.
    pub(super) ends_label: String,
    pub(super) is_this: bool,
}

pub(super) async fn rotation(
    ask: &Ask,
    key: &KeyRecord,
    now: SystemTime,
) -> Result<Option<Rotation>, ManageError> {
    // In the middle of a chain, the older rotation is over by then.
    let other = match (key.rotated_to, key.rotated_from) {
        (Some(id), _) | (None, Some(id)) => ask.keys().get(id).await,
        (None, None) => return Ok(None),
    };
    let other = match other {
        Ok(other) => other.record,
        // It was removed, some time after it had expired.
        Err(error) if error.kind() == ManageErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let t = &ask.site.look.texts;
    let (old, new) = match key.rotated_to {
        Some(_) => (key, &other),
        None => (&other, key),
    };
    // One that is switched off can be switched on again.
    let is_over = old.revoked_at.is_some() || old.expires_at.is_some_and(|end| end <= now);
    let uses = ask.site.uses.as_ref();
    let (class, verdict) = match is_over {
        true => ("good", t.rotation_done.to_string()),
        false => verdict(old, new, uses, now, t),
    };
    let side = |label: &str, side: &KeyRecord| Side {
        label: label.to_owned(),
        id: side.id.to_string(),
        name: shown_name(side),
        prefix: side.prefix.clone(),
        created: Moment::new(side.created_at, now, t),
        last_use: uses.map(|uses| uses.last_use(side.id, side.last_used_at, now, t)),
        ends: side
            .revoked_at
            .or(side.expires_at)
            .map(|end| Moment::new(end, now, t)),
        ends_label: match side.revoked_at {
            Some(_) => t.revoked.to_string(),
            None => t.column_expires.to_string(),
        },
        is_this: side.id == key.id,
    };
    Ok(Some(Rotation {
        sides: [side(&t.rotation_old, old), side(&t.rotation_new, new)],
        verdict,
        class,
        to_end: (!is_over && ask.may_write() && old.id != key.id).then(|| old.id.to_string()),
    }))
}

/// How far a rotation is that is not over.
fn verdict(
    old: &KeyRecord,
    new: &KeyRecord,
    uses: Option<&Uses>,
    now: SystemTime,
    t: &Texts,
) -> (&'static str, String) {
    let Some(uses) = uses else {
        return ("warn", t.rotation_running.to_string());
    };
    let last_use = |key: &KeyRecord| uses.last_use(key.id, key.last_used_at, now, t);
    match uses.since(old, new.created_at, now) {
        Since::Used => ("warn", fill(&t.rotation_busy, last_use(old).said)),
        Since::Unclear => ("warn", t.rotation_unclear.to_string()),
        Since::Quiet if last_use(new).is_known => ("good", t.rotation_quiet.to_string()),
        Since::Quiet => ("warn", t.rotation_unused.to_string()),
    }
}
