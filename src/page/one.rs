//! One key: what it is, how it is used, and what happened to it.

use std::time::SystemTime;

use askama::Template;
use axum::response::Response;

use super::{
    activity::{Happened, happened},
    answer,
    ask::Ask,
    chart::Chart,
    fields::Fields,
    frame::Frame,
    offer::description,
    rotation::{Rotation, rotation},
    row::{Row, addresses, expires_soon},
    texts::{Texts, fill},
    when::Moment,
};
use crate::{
    event::{KeyEventKind, LoggedEvent},
    key::{KeyRecord, KeyStatus},
    manage::ManageError,
    store::StoredKey,
};

/// So many events are shown at once.
const EVENTS: u32 = 20;

/// `GET /{id}`
pub(super) async fn show(ask: Ask, query: Fields) -> Response {
    match page(&ask, &query).await {
        Ok(page) => answer::shown(&page),
        Err(error) => ask.failed(&error),
    }
}

#[derive(Template)]
#[template(path = "key.html")]
struct One<'a> {
    f: Frame<'a>,
    row: Row,
    scopes: Vec<Granted<'a>>,
    addresses: Vec<String>,
    rate: Option<String>,
    uses: Option<String>,
    extra: Option<(&'a str, String)>,
    /// What to know before everything else, and how bad it is.
    warning: Option<(&'static str, String)>,
    rotation: Option<Rotation>,
    chart: Option<Chart>,
    activity: Vec<Happened>,
    older: Option<String>,
    /// What can be done to it now.
    may: May,
    revoke_title: String,
    revoke_used: Option<String>,
}

struct Granted<'a> {
    name: String,
    description: &'a str,
}

#[derive(Default)]
struct May {
    change: bool,
    disable: bool,
    enable: bool,
    rotate: bool,
}

async fn page<'a>(ask: &'a Ask, query: &Fields) -> Result<One<'a>, ManageError> {
    let id = ask.id()?;
    let before: Option<i64> = query.one("before").parse().ok();
    let StoredKey { record: key, now, .. } = ask.keys().get(id).await?;
    let mut events = ask.keys().events(id, before, EVENTS + 1).await?;
    let more = events.len() > EVENTS as usize;
    events.truncate(EVENTS as usize);
    let balances = ask.keys().credits([&key]).await?;
    let rotation = rotation(ask, &key, now).await?;
    let look = &ask.site.look;
    let t = &look.texts;
    let uses = ask.site.uses.as_ref();
    let row = Row::of(&key, now, look);
    let scopes = row.scopes.iter().map(|scope| Granted {
        name: scope.clone(),
        description: description(look, scope),
    });
    let newest = events.first().filter(|_| before.is_none());
    let done = query.one("done");
    let mut f = ask.frame(row.name.clone());
    if is_so(done, &key, newest) {
        f = f.after(done);
    }
    let older = events.last().filter(|_| more).map(|event| event.seq);
    Ok(One {
        scopes: scopes.collect(),
        addresses: addresses(&key),
        rate: key.rate_limit.as_ref().map(ToString::to_string),
        uses: key.credits.map(|account| match balances.first() {
            Some(balance) => format!("{} · {}", fill(&t.uses_left, balance.left), balance.account.limit),
            None => account.limit.to_string(),
        }),
        extra: look
            .column
            .as_ref()
            .map(|column| (column.heading.as_str(), (column.text)(&key))),
        warning: warning(&key, now, t),
        chart: uses.map(|uses| Chart::new(uses.days(id, now).as_deref(), now)),
        activity: events.into_iter().map(|event| happened(event, now, t)).collect(),
        older: older.map(|seq| f.at(&format!("/{id}?before={seq}#activity"))),
        may: may(ask, &key, now),
        rotation,
        revoke_title: fill(&t.revoke_title, &row.name),
        revoke_used: row.used(&ask.site),
        row,
        f,
    })
}

/// Whether what an address says was done is what the record says, too: anybody can make up an address.
fn is_so(done: &str, key: &KeyRecord, newest: Option<&LoggedEvent>) -> bool {
    match done {
        "revoked" => key.revoked_at.is_some(),
        "disabled" => key.revoked_at.is_none() && key.disabled_at.is_some(),
        "enabled" => key.revoked_at.is_none() && key.disabled_at.is_none(),
        "renamed" => newest.is_some_and(|logged| logged.event.kind == KeyEventKind::Changed),
        _ => false,
    }
}

fn may(ask: &Ask, key: &KeyRecord, now: SystemTime) -> May {
    let status = key.status(now);
    if !ask.may_write() || status == KeyStatus::Revoked {
        return May::default();
    }
    May {
        change: true,
        disable: status == KeyStatus::Active,
        enable: status == KeyStatus::Disabled,
        rotate: status == KeyStatus::Active && key.rotated_to.is_none(),
    }
}

fn warning(key: &KeyRecord, now: SystemTime, t: &Texts) -> Option<(&'static str, String)> {
    let said = |moment: Option<SystemTime>| Moment::new(moment.unwrap_or(now), now, t).said;
    Some(match key.status(now) {
        KeyStatus::Revoked => ("bad", fill(&t.revoked_note, said(key.revoked_at))),
        KeyStatus::Disabled => ("warn", t.disabled_note.to_string()),
        KeyStatus::Expired => ("bad", fill(&t.expired_note, said(key.expires_at))),
        KeyStatus::Active if key.rotated_to.is_some() => return None,
        KeyStatus::Active => {
            let expiry = expires_soon(key, now)?;
            ("warn", fill(&t.expiring_note, said(Some(expiry))))
        }
    })
}
