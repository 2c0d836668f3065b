//! A key, as it is shown.

use std::time::{Duration, SystemTime};

use super::{
    Site,
    look::Look,
    texts::{Texts, fill},
    uses::LastUse,
    when::Moment,
};
use crate::{
    access::{AddressList, Grants},
    key::{KeyId, KeyRecord, KeyStatus},
};

/// How long before its end a key is said to end soon.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// What a key is, in words.
#[derive(Debug)]
pub(super) struct Row {
    key: KeyId,
    /// By the clock of the store.
    now: SystemTime,
    used_at: Option<SystemTime>,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) prefix: String,
    pub(super) owner: String,
    pub(super) badge: Badge,
    pub(super) scopes: Vec<String>,
    pub(super) resources: Vec<String>,
    pub(super) created: Moment,
    pub(super) expires: Option<Moment>,
    /// Then it does not matter when it would have expired.
    pub(super) is_revoked: bool,
    /// Of the application's own column.
    pub(super) extra: Option<String>,
}

/// A status: its word, and the class that gives it its colour and its sign.
#[derive(Debug)]
pub(super) struct Badge {
    pub(super) class: &'static str,
    pub(super) text: String,
}

impl Row {
    pub(super) fn of(key: &KeyRecord, now: SystemTime, look: &Look) -> Self {
        let t = &look.texts;
        let moment = |moment: SystemTime| Moment::new(moment, now, t);
        Self {
            key: key.id,
            now,
            used_at: key.last_used_at,
            id: key.id.to_string(),
            name: shown_name(key),
            prefix: key.prefix.clone(),
            owner: key.owner.clone(),
            badge: Badge::of(key, now, t),
            scopes: scopes(&key.grants, t),
            resources: resources(&key.grants),
            created: moment(key.created_at),
            expires: key.expires_at.map(moment),
            is_revoked: key.revoked_at.is_some(),
            extra: look.column.as_ref().map(|column| (column.text)(key)),
        }
    }

    /// When it was last used, where that is written down.
    pub(super) fn last_use(&self, site: &Site) -> Option<LastUse> {
        let uses = site.uses.as_ref()?;
        Some(uses.last_use(self.key, self.used_at, self.now, &site.look.texts))
    }

    /// The same in a sentence.
    pub(super) fn used(&self, site: &Site) -> Option<String> {
        let used = self.last_use(site)?;
        Some(used.sentence(&site.look.texts))
    }

    /// So many of what the key may do and on what fit into a list: those, and how many more there are.
    pub(super) fn brief(&self) -> Vec<&str> {
        let all = self.scopes.iter().chain(&self.resources);
        all.map(String::as_str).take(BRIEF).collect()
    }

    pub(super) fn beyond(&self) -> usize {
        (self.scopes.len() + self.resources.len()).saturating_sub(BRIEF)
    }

    pub(super) fn listed(&self) -> String {
        let all: Vec<&str> = self
            .scopes
            .iter()
            .chain(&self.resources)
            .map(String::as_str)
            .collect();
        all.join(", ")
    }
}

const BRIEF: usize = 2;

impl Badge {
    pub(super) fn of(key: &KeyRecord, now: SystemTime, t: &Texts) -> Self {
        let (class, text) = match key.status(now) {
            KeyStatus::Active => match expires_soon(key, now) {
                Some(expiry) => {
                    let when = Moment::new(expiry, now, t).said;
                    return Self {
                        class: "soon",
                        text: fill(&t.expires_soon, when),
                    };
                }
                None => ("active", &t.active),
            },
            KeyStatus::Expired => ("expired", &t.expired),
            KeyStatus::Disabled => ("disabled", &t.disabled),
            KeyStatus::Revoked => ("revoked", &t.revoked),
        };
        Self {
            class,
            text: text.to_string(),
        }
    }
}

/// When a key that is good ends, if that is soon.
pub(super) fn expires_soon(key: &KeyRecord, now: SystemTime) -> Option<SystemTime> {
    let is_good = key.status(now) == KeyStatus::Active;
    let expiry = key.expires_at.filter(|_| is_good)?;
    let left = expiry.duration_since(now).unwrap_or_default();
    (left <= SOON).then_some(expiry)
}

/// What the application issues may have no name.
pub(super) fn shown_name(key: &KeyRecord) -> String {
    match key.name.trim() {
        "" => key.prefix.clone(),
        name => name.to_owned(),
    }
}

pub(super) fn scopes(grants: &Grants, t: &Texts) -> Vec<String> {
    let granted = grants.granted_scopes();
    match granted.is_all() {
        true => vec![t.every_scope.to_string()],
        false => granted.iter().map(ToString::to_string).collect(),
    }
}

pub(super) fn resources(grants: &Grants) -> Vec<String> {
    let listed = grants.resources().listed().unwrap_or_default();
    listed.iter().map(ToString::to_string).collect()
}

pub(super) fn addresses(key: &KeyRecord) -> Vec<String> {
    let listed = key.allowed_ips.as_ref();
    listed
        .map(|listed| AddressList::iter(listed).collect())
        .unwrap_or_default()
}
