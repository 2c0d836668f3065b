//! What is done to a key: a form each, and what it does.

use std::time::Duration;

use askama::Template;
use axum::response::Response;

use super::{
    answer,
    ask::{Ask, Change},
    fields::{Said, Sent},
    frame::Frame,
    row::Row,
    secret,
    texts::{Texts, fill},
    trouble::Trouble,
    when::span,
};
use crate::{
    key::KeyStatus,
    manage::{Invalid, KeyChange, ManageErrorKind},
    store::StoredKey,
};

/// For how long an old key can be asked to go on, in seconds, and which of them is if nothing else is said.
const OVERLAPS: [u64; 5] = [0, 60 * 60, 24 * 60 * 60, 7 * 24 * 60 * 60, 30 * 24 * 60 * 60];
const USUAL: u64 = 24 * 60 * 60;

#[derive(Template)]
#[template(path = "revoke.html")]
struct Revoke<'a> {
    f: Frame<'a>,
    row: Row,
    revoke_title: String,
    revoke_used: Option<String>,
}

/// `GET /{id}/revoke`: the question, for whoever has no script to ask it.
pub(super) async fn ask_revoke(ask: Ask) -> Response {
    match open(&ask).await {
        Ok(key) => {
            let look = &ask.site.look;
            let row = Row::of(&key.record, key.now, look);
            let title = fill(&look.texts.revoke_title, &row.name);
            answer::shown(&Revoke {
                f: ask.frame(title.clone()),
                revoke_title: title,
                revoke_used: row.used(&ask.site),
                row,
            })
        }
        Err(answer) => answer,
    }
}

/// `POST /{id}/revoke`
pub(super) async fn revoke(Change(ask): Change, Sent(_): Sent) -> Response {
    let done = async { ask.keys().revoke(ask.id()?).await };
    match done.await {
        Ok(_) => after(&ask, "revoked"),
        Err(error) => ask.failed(&error),
    }
}

#[derive(Template)]
#[template(path = "rotate.html")]
struct Rotate<'a> {
    f: Frame<'a>,
    row: Row,
    used: Option<String>,
    overlaps: Vec<Overlap>,
}

struct Overlap {
    seconds: u64,
    text: String,
    is_on: bool,
}

/// `GET /{id}/rotate`
pub(super) async fn ask_rotate(ask: Ask) -> Response {
    match open(&ask).await {
        Ok(key) if key.record.rotated_to.is_some() => ask.see(&format!("/{}", key.record.id)),
        Ok(key) => {
            let look = &ask.site.look;
            let row = Row::of(&key.record, key.now, look);
            let f = ask.frame(fill(&look.texts.rotate_title, &row.name));
            let overlaps = OVERLAPS.into_iter().map(|seconds| Overlap {
                seconds,
                text: overlap_text(seconds, &look.texts),
                is_on: seconds == USUAL,
            });
            answer::shown(&Rotate {
                f,
                used: row.used(&ask.site),
                row,
                overlaps: overlaps.collect(),
            })
        }
        Err(answer) => answer,
    }
}

fn overlap_text(seconds: u64, t: &Texts) -> String {
    // A month is not always as long.
    let days = seconds / USUAL;
    let span = match days {
        2.. => Some(fill(&t.days, days)),
        _ => span(Duration::from_secs(seconds), t),
    };
    span.map_or(t.overlap_none.to_string(), |span| fill(&t.overlap_for, span))
}

/// `POST /{id}/rotate`: a form that is sent twice finds that the key has been rotated.
pub(super) async fn rotate(Change(ask): Change, Sent(form): Sent) -> Response {
    let form = match form {
        Ok(form) => form,
        Err(status) => return ask.refuse(Trouble::NotAForm(status)),
    };
    let seconds = match form.said("overlap") {
        Said::Nothing => Some(USUAL),
        Said::Once(seconds) => seconds.parse().ok(),
        Said::Twice => None,
    };
    let Some(seconds) = seconds else {
        let invalid = Invalid {
            field: "overlap",
            message: "must be a number of seconds, once",
        };
        return ask.refuse(Trouble::Failed(ManageErrorKind::Invalid(invalid)));
    };
    let done = async { ask.keys().rotate(ask.id()?, Duration::from_secs(seconds)).await };
    match done.await {
        Ok(issued) => secret::shown(&ask, &issued),
        Err(error) => ask.failed(&error),
    }
}

/// `POST /{id}/disable`
pub(super) async fn disable(Change(ask): Change, Sent(_): Sent) -> Response {
    change(&ask, KeyChange::new().disabled(true), "disabled").await
}

/// `POST /{id}/enable`
pub(super) async fn enable(Change(ask): Change, Sent(_): Sent) -> Response {
    change(&ask, KeyChange::new().disabled(false), "enabled").await
}

/// `POST /{id}/rename`
pub(super) async fn rename(Change(ask): Change, Sent(form): Sent) -> Response {
    match form {
        Ok(form) => {
            let name = form.one("name");
            // That it must be there holds for what a caller mints; here it is as much of a mistake.
            if let Err(invalid) = crate::manage::check_name(name) {
                return ask.refuse(Trouble::Failed(ManageErrorKind::Invalid(invalid)));
            }
            change(&ask, KeyChange::new().name(name), "renamed").await
        }
        Err(status) => ask.refuse(Trouble::NotAForm(status)),
    }
}

async fn change(ask: &Ask, change: KeyChange, done: &str) -> Response {
    let changed = async { ask.keys().change(ask.id()?, change).await };
    match changed.await {
        Ok(_) => after(ask, done),
        Err(error) => ask.failed(&error),
    }
}

fn after(ask: &Ask, done: &str) -> Response {
    match ask.id() {
        Ok(id) => ask.see(&format!("/{id}?done={done}")),
        Err(error) => ask.failed(&error),
    }
}

/// A key to which something can be done, by somebody who may; or where to look at it, when it has been done.
async fn open(ask: &Ask) -> Result<StoredKey, Response> {
    let found = async { ask.keys().get(ask.id()?).await };
    let key = found.await.map_err(|error| ask.failed(&error))?;
    if !ask.may_write() {
        return Err(ask.refuse(Trouble::Failed(ManageErrorKind::MissingScope("keys:write"))));
    }
    match key.record.status(key.now) {
        KeyStatus::Revoked => Err(ask.see(&format!("/{}", key.record.id))),
        _ => Ok(key),
    }
}
