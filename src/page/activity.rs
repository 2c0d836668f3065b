//! What happened to a key, in words.

use std::{borrow::Cow, time::SystemTime};

use serde_json::{Map, Value};

use super::{
    texts::{Texts, fill, fill_both},
    when::{Moment, date_of},
};
use crate::{
    clock::from_unix_ms,
    event::{KeyEventKind, LoggedEvent},
};

/// A line of the log of a key.
pub(super) struct Happened {
    pub(super) class: &'static str,
    pub(super) what: String,
    pub(super) by: String,
    pub(super) from: Option<String>,
    pub(super) at: Moment,
    /// What became of what, or what was refused.
    pub(super) more: Vec<String>,
}

pub(super) fn happened(logged: LoggedEvent, now: SystemTime, t: &Texts) -> Happened {
    let event = logged.event;
    let what = match event.kind {
        KeyEventKind::Minted => &t.event_minted,
        KeyEventKind::Imported => &t.event_imported,
        KeyEventKind::Changed => &t.event_changed,
        KeyEventKind::Disabled => &t.event_disabled,
        KeyEventKind::Enabled => &t.event_enabled,
        KeyEventKind::Rotated => &t.event_rotated,
        KeyEventKind::Revoked => &t.event_revoked,
        KeyEventKind::Pruned => &t.event_pruned,
        KeyEventKind::Refused => &t.event_refused,
    };
    let actor = event.actor;
    let who = match actor.owner.as_str() {
        "" => actor.kind,
        owner => format!("{owner} ({})", actor.kind),
    };
    let mut more = match event.kind {
        KeyEventKind::Changed => changes(event.before.as_deref(), event.after.as_deref(), t),
        _ => Vec::new(),
    };
    more.extend(event.reason);
    Happened {
        class: event.kind.as_str(),
        what: what.to_string(),
        by: fill(&t.by, who),
        from: actor.address.map(|address| fill(&t.from, address)),
        at: Moment::new(event.at, now, t),
        more,
    }
}

/// What is another than before, of what a key can be changed in.
fn changes(before: Option<&str>, after: Option<&str>, t: &Texts) -> Vec<String> {
    let state = |text: Option<&str>| -> Map<String, Value> {
        text.and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    };
    let (before, after) = (state(before), state(after));
    let fields = [
        ("name", &t.name),
        ("scopes", &t.scopes),
        ("resources", &t.resources),
        ("allowed_ips", &t.addresses),
        ("rate_limit", &t.rate),
        ("expires_at", &t.expires),
    ];
    let changed = fields
        .into_iter()
        .filter(|(name, _)| before.get(*name) != after.get(*name));
    changed
        .map(|(name, label)| {
            let was = in_words(name, before.get(name), t);
            let change = fill_both(&t.changed_to, was, in_words(name, after.get(name), t));
            format!("{label}: {change}")
        })
        .collect()
}

fn in_words(name: &str, value: Option<&Value>, t: &Texts) -> Cow<'static, str> {
    match value {
        // As the log has it, and as nobody else is shown it.
        Some(Value::String(all)) if name == "scopes" && all == "*" => t.every_scope.clone(),
        Some(Value::String(text)) => text.clone().into(),
        Some(Value::Array(listed)) => {
            let listed: Vec<&str> = listed.iter().filter_map(Value::as_str).collect();
            listed.join(", ").into()
        }
        Some(Value::Number(ms)) if name.ends_with("_at") => {
            let moment = ms.as_i64().and_then(from_unix_ms);
            moment.map_or("?".into(), |moment| date_of(moment).into())
        }
        _ => "–".into(),
    }
}
