//! A new key: the form for it, and the one page that shows it.

use std::time::Duration;

use askama::Template;
use axum::response::Response;

use super::{
    answer,
    ask::{Ask, Change},
    fields::{Fields, Said, Sent},
    frame::Frame,
    offer::{Group, offered},
    secret,
    texts::{Texts, fill},
    trouble::Trouble,
    when,
};
use crate::{
    access::{AddressList, Grants, RateLimits, Resources, Scopes},
    manage::{Conflict, Invalid, ManageError, ManageErrorKind, NewKey},
    trace,
};

const DAY: u64 = 24 * 60 * 60;
/// The expiries that can be picked, in days, and the one that is if nothing else is said.
const EXPIRIES: [u64; 5] = [7, 30, 90, 180, 365];
const USUAL: &str = "90";

/// `GET /new`
pub(super) async fn form(ask: Ask) -> Response {
    if !ask.may_write() {
        return ask.refuse(Trouble::Failed(ManageErrorKind::MissingScope("keys:write")));
    }
    match ask.keys().reserve().await {
        Ok(token) => answer::shown(&page(&ask, &Fields::default(), token, Vec::new())),
        Err(error) => ask.failed(&error),
    }
}

/// `POST /new`
pub(super) async fn create(Change(ask): Change, Sent(form): Sent) -> Response {
    let form = match form {
        Ok(form) => form,
        Err(status) => return ask.refuse(Trouble::NotAForm(status)),
    };
    let t = &ask.site.look.texts;
    let token = form.one("token");
    let new = match wish(&form, ask.caller.owner(), t) {
        Ok(new) => new,
        Err(complaints) => {
            return answer::again(&page(&ask, &form, token.to_owned(), complaints), None);
        }
    };
    match ask.keys().issue_reserved(new, token).await {
        Ok(issued) => secret::shown(&ask, &issued),
        Err(error) => refused(&ask, &form, token, &error).await,
    }
}

/// A form that can be sent again as it is, or with something changed, unless there is nothing to change.
async fn refused(ask: &Ask, form: &Fields, token: &str, error: &ManageError) -> Response {
    let t = &ask.site.look.texts;
    let (field, text) = match error.kind() {
        ManageErrorKind::Conflict(Conflict::AlreadyMinted) => return secret::shown_before(ask, token),
        ManageErrorKind::Invalid(Invalid { field, .. }) => (field, complaint(field, t)),
        ManageErrorKind::Exceeds(excess) => (excess.field(), t.error_excess.to_string()),
        ManageErrorKind::Quota => ("quota", t.quota_text.to_string()),
        // There may be a key by now: with the same reservation there will be no other.
        ManageErrorKind::Unavailable => {
            trace::management_failed(error);
            ("store", t.trouble_text.to_string())
        }
        _ => return ask.failed(error),
    };
    // One that is too old is good for nothing.
    let token = match ask.keys().reserved(token) {
        Some(_) if field != "form" => token.to_owned(),
        _ => match ask.keys().reserve().await {
            Ok(token) => token,
            Err(error) => return ask.failed(&error),
        },
    };
    let mut page = page(ask, form, token, vec![Complaint { field, text }]);
    if error.kind() == ManageErrorKind::Unavailable {
        page.headline = &t.trouble_title;
    }
    answer::again(&page, Some(error.kind()))
}

struct Complaint {
    field: &'static str,
    text: String,
}

/// Those beside which there is room to say what is wrong with them.
const FIELDS: [&str; 6] = [
    "name",
    "scopes",
    "resources",
    "expires_at",
    "allowed_ips",
    "rate_limit",
];

impl Complaint {
    fn is_of_the_whole(&self) -> bool {
        !FIELDS.contains(&self.field)
    }
}

fn complaint(field: &str, t: &Texts) -> String {
    let text = match field {
        "name" => &t.error_name,
        "scopes" => &t.error_scopes,
        "resources" => &t.error_resources,
        "expires_at" => &t.error_expires,
        "allowed_ips" => &t.error_addresses,
        "rate_limit" => &t.error_rate,
        "form" => &t.error_form,
        _ => &t.invalid_text,
    };
    text.to_string()
}

/// The fields that are there once at most, and beside which there is room to say so.
const ONCE: [(&str, &str); 4] = [
    ("name", "name"),
    ("expires", "expires_at"),
    ("date", "expires_at"),
    ("rate_limit", "rate_limit"),
];

/// What a form asks for, or all that is wrong with it.
fn wish(form: &Fields, owner: &str, t: &Texts) -> Result<NewKey, Vec<Complaint>> {
    let mut wrong: Vec<Complaint> = Vec::new();
    // Of each field, the first.
    let mut complain = |field: &'static str, text: String| {
        if wrong.iter().all(|complaint| complaint.field != field) {
            wrong.push(Complaint { field, text });
        }
    };
    for (name, field) in ONCE {
        if form.said(name) == Said::Twice {
            complain(field, t.error_twice.to_string());
        }
    }
    let name = form.one("name");
    if let Err(Invalid { field, .. }) = crate::manage::check_name(name) {
        complain(field, complaint(field, t));
    }
    let mut new = NewKey::new(owner).name(name);

    let scopes = Scopes::new(form.words("scopes"));
    match &scopes {
        Ok(scopes) if scopes.iter().next().is_some() => {}
        // A key that may do nothing is not what anybody fills in a form for.
        Ok(_) => complain("scopes", t.error_scopes_missing.to_string()),
        Err(_) => complain("scopes", complaint("scopes", t)),
    }
    let listed: Vec<&str> = form.words("resources").collect();
    let resources = match listed[..] {
        [] => Ok(Resources::unbound()),
        _ => Resources::only(listed),
    };
    if resources.is_err() {
        complain("resources", complaint("resources", t));
    }
    new = new.grants(Grants::new(
        scopes.unwrap_or_default(),
        resources.unwrap_or_default(),
    ));

    match (expiring(new.clone(), form), form.one("expires")) {
        (Some(expiring), _) => new = expiring,
        (None, "") => complain("expires_at", t.error_expires_missing.to_string()),
        (None, _) => complain("expires_at", complaint("expires_at", t)),
    }
    let blocks: Vec<&str> = form.words("allowed_ips").collect();
    match AddressList::new(&blocks) {
        Ok(addresses) => new = new.allowed_ips(addresses),
        Err(_) if blocks.is_empty() => {}
        Err(_) => complain("allowed_ips", complaint("allowed_ips", t)),
    }
    match form.one("rate_limit") {
        "" => {}
        rate => match rate.parse::<RateLimits>() {
            Ok(rate) => new = new.rate_limit(rate),
            Err(_) => complain("rate_limit", complaint("rate_limit", t)),
        },
    }
    match wrong.is_empty() {
        true => Ok(new),
        false => Err(wrong),
    }
}

/// The key with the end that is asked for; `None` where that cannot be meant, or nothing is: a key is not good for ever because nobody said so. Days
/// are counted by the store.
fn expiring(new: NewKey, form: &Fields) -> Option<NewKey> {
    Some(match form.one("expires") {
        "" => return None,
        "never" => new,
        "date" => new.expires_at(when::end_of(form.one("date"))?),
        days => {
            let days: u64 = days.parse().ok()?;
            new.expires_in(Duration::from_secs(days.saturating_mul(DAY)))
        }
    })
}

#[derive(Template)]
#[template(path = "new.html")]
struct New<'a> {
    f: Frame<'a>,
    token: String,
    name: &'a str,
    groups: Vec<Group<'a>>,
    /// In place of the groups, where nobody has said which scopes there are.
    free_scopes: Option<String>,
    resources: String,
    expiries: Vec<Expiry>,
    date: &'a str,
    today: String,
    addresses: String,
    rate: &'a str,
    /// Above the complaints, if there are any.
    headline: &'a str,
    complaints: Vec<Complaint>,
}

struct Expiry {
    value: String,
    text: String,
    is_on: bool,
}

impl New<'_> {
    /// What is wrong with a field.
    fn wrong(&self, field: &str) -> Option<&str> {
        let mut complaints = self.complaints.iter();
        let found = complaints.find(|complaint| complaint.field == field);
        found.map(|complaint| complaint.text.as_str())
    }

    fn limits_are_open(&self) -> bool {
        let filled = !self.addresses.is_empty() || !self.rate.is_empty();
        filled || self.wrong("allowed_ips").is_some() || self.wrong("rate_limit").is_some()
    }
}

fn page<'a>(ask: &'a Ask, form: &'a Fields, token: String, complaints: Vec<Complaint>) -> New<'a> {
    let t = &ask.site.look.texts;
    let picked: Vec<&str> = form.words("scopes").collect();
    let groups = offered(&ask.site.look, ask.caller.grants(), &picked);
    let lines = |name| form.words(name).collect::<Vec<&str>>().join("\n");
    let mut resources = lines("resources");
    // Somebody who is bound can give nothing that is not.
    if form.one("token").is_empty()
        && let Some(own) = ask.caller.grants().resources().listed()
    {
        resources = own.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    }
    // By the clock of the store, as of the form.
    let today = ask.keys().reserved(&token).and_then(|id| id.made_at());
    New {
        f: ask.frame(t.new_title.as_ref()),
        token,
        name: form.one("name"),
        free_scopes: groups.is_none().then(|| lines("scopes")),
        groups: groups.unwrap_or_default(),
        resources,
        expiries: expiries(form, t),
        date: form.one("date"),
        today: today.map(when::date_of).unwrap_or_default(),
        addresses: lines("allowed_ips"),
        rate: form.one("rate_limit"),
        headline: &t.error_title,
        complaints,
    }
}

fn expiries(form: &Fields, t: &Texts) -> Vec<Expiry> {
    let picked = match form.one("expires") {
        "" => USUAL,
        picked => picked,
    };
    let days = EXPIRIES.iter().map(|days| {
        let text = if *days == 365 {
            t.year.to_string()
        } else {
            fill(&t.days, days)
        };
        (days.to_string(), fill(&t.expires_in, text))
    });
    let others = [("date", &t.expires_on), ("never", &t.expires_never)];
    let others = others.map(|(value, text)| (value.to_owned(), text.to_string()));
    let expiry = |(value, text): (String, String)| Expiry {
        is_on: value == picked,
        value,
        text,
    };
    days.chain(others).map(expiry).collect()
}
