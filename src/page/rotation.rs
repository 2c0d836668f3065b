use std::time::SystemTime;

use super::{ask::Ask, row::shown_name, texts::fill, when::Moment};
use crate::{
    key::{KeyRecord, KeyStatus},
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
    pub(super) last_used: Option<Moment>,
    pub(super) ends: Option<Moment>,
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
    let is_over = old.status(now) != KeyStatus::Active;
    let late = old.last_used_at.filter(|used| *used > new.created_at);
    let (class, verdict) = match (is_over, late, new.last_used_at) {
        (true, _, _) => ("good", t.rotation_done.to_string()),
        (false, Some(used), _) => ("warn", fill(&t.rotation_busy, Moment::new(used, now, t).said)),
        (false, None, None) => ("warn", t.rotation_unused.to_string()),
        (false, None, Some(_)) => ("good", t.rotation_quiet.to_string()),
    };
    let side = |label: &str, side: &KeyRecord| Side {
        label: label.to_owned(),
        id: side.id.to_string(),
        name: shown_name(side),
        prefix: side.prefix.clone(),
        created: Moment::new(side.created_at, now, t),
        last_used: side.last_used_at.map(|used| Moment::new(used, now, t)),
        ends: side.expires_at.map(|end| Moment::new(end, now, t)),
        is_this: side.id == key.id,
    };
    Ok(Some(Rotation {
        sides: [side(&t.rotation_old, old), side(&t.rotation_new, new)],
        verdict,
        class,
        to_end: (!is_over && ask.may_write() && old.id != key.id).then(|| old.id.to_string()),
    }))
}
