//! The list of keys: a page of it, of one status, and those that are looked for.

use askama::Template;
use axum::response::Response;

use super::{
    answer,
    ask::Ask,
    fields::{Fields, encoded},
    frame::Frame,
    look::Column,
    row::Row,
    texts::{Texts, fill},
};
use crate::{
    access::{ResourcePattern, ScopePattern},
    key::{KeyId, KeyRecord, KeyStatus},
    manage::ManageError,
    store::{KeyPage, KeyQuery},
};

/// So many are a page.
const ROWS: usize = 25;
/// Looking for a word takes reading keys: so many at first, then more at a time, and so many in all before it is asked whether to go on.
const FEW: u32 = 200;
const MANY: u32 = 500;
const MOST: usize = 10_000;
/// No name is longer.
const MAX_WORD: usize = 100;

/// `GET /`
pub(super) async fn list(ask: Ask, query: Fields) -> Response {
    let wanted = Wanted::of(&query);
    // The rest of a key is nobody's to have in an address.
    if let Some(prefix) = wanted.key_prefix() {
        return ask.see(&format!("?{}", wanted.query(prefix, None)));
    }
    match find(&ask, &wanted).await {
        Ok(found) => answer::shown(&page(&ask, &wanted, &found)),
        Err(error) => ask.failed(&error),
    }
}

/// What is asked for.
struct Wanted<'q> {
    word: &'q str,
    /// The status as a word, and as what it stands for: `None` for all of them.
    shown: &'static str,
    status: Option<KeyStatus>,
    before: Option<KeyId>,
}

/// What there is: a page of keys, where the next begins, and how many were looked at.
struct Found {
    page: KeyPage,
    older: Option<KeyId>,
    looked_at: usize,
}

impl<'q> Wanted<'q> {
    fn of(query: &'q Fields) -> Self {
        let status = |status: KeyStatus| (status.as_str(), Some(status));
        let (shown, status) = match query.one("status") {
            "all" => ("all", None),
            "disabled" => status(KeyStatus::Disabled),
            "expired" => status(KeyStatus::Expired),
            "revoked" => status(KeyStatus::Revoked),
            _ => status(KeyStatus::Active),
        };
        Self {
            word: query.one("q"),
            shown,
            status,
            before: query.one("before").parse().ok(),
        }
    }

    /// Of a whole key that somebody looks for, as much as the list shows of it.
    fn key_prefix(&self) -> Option<&'q str> {
        let (head, body) = self.word.rsplit_once('_')?;
        let is_key = body.len() > 20 && body.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_key.then(|| self.word.get(..head.len() + 5))?
    }

    /// This list as a query, from another place on.
    fn query(&self, word: &str, before: Option<KeyId>) -> String {
        let mut query = format!("status={}", self.shown);
        if !word.is_empty() {
            query.push_str(&format!("&q={}", encoded(word)));
        }
        if let Some(before) = before {
            query.push_str(&format!("&before={before}"));
        }
        query
    }
}

async fn find(ask: &Ask, wanted: &Wanted<'_>) -> Result<Found, ManageError> {
    let word: String = wanted
        .word
        .chars()
        .take(MAX_WORD)
        .collect::<String>()
        .to_lowercase();
    let mut query = KeyQuery::newest(if word.is_empty() { ROWS as u32 + 1 } else { FEW });
    query.status = wanted.status;
    query.before = wanted.before;
    let sees_all = ask.sees_all();
    let mut found = Vec::new();
    let mut looked_at = 0;
    loop {
        let KeyPage { keys, now, .. } = ask.keys().list(query.clone()).await?;
        let is_last = keys.len() < query.limit as usize;
        looked_at += keys.len();
        query.before = keys.last().map(|key| key.id);
        found.extend(keys.into_iter().filter(|key| fits(key, &word, sees_all)));
        let is_full = found.len() > ROWS;
        found.truncate(ROWS);
        if is_last || is_full || looked_at >= MOST {
            let older = match is_full {
                true => found.last().map(|key| key.id),
                false => query.before.filter(|_| !is_last),
            };
            return Ok(Found {
                page: KeyPage::new(found, now),
                older,
                looked_at,
            });
        }
        let left = u32::try_from(MOST - looked_at).unwrap_or(u32::MAX);
        query.limit = (query.limit * 4).min(MANY).min(left);
    }
}

fn fits(key: &KeyRecord, word: &str, sees_all: bool) -> bool {
    if word.is_empty() {
        return true;
    }
    let scopes = key.grants.granted_scopes().iter().map(ScopePattern::as_str);
    let resources = key.grants.resources().listed().unwrap_or_default().iter();
    let texts = [key.name.as_str(), &key.prefix].into_iter();
    let texts = texts.chain(sees_all.then_some(key.owner.as_str()));
    let mut texts = texts.chain(scopes).chain(resources.map(ResourcePattern::as_str));
    texts.any(|text| has(text, word)) || key.id.to_string().starts_with(word)
}

/// Whether a text has a word in it that is in lower case already.
fn has(text: &str, word: &str) -> bool {
    if !text.is_ascii() {
        return text.to_lowercase().contains(word);
    }
    let mut places = text.as_bytes().windows(word.len());
    places.any(|place| place.eq_ignore_ascii_case(word.as_bytes()))
}

#[derive(Template)]
#[template(path = "list.html")]
struct List<'a> {
    f: Frame<'a>,
    rows: Vec<Row>,
    word: &'a str,
    shown: &'static str,
    filters: Vec<Filter>,
    /// The owners of the keys are shown.
    of_all: bool,
    column: Option<&'a Column>,
    may_write: bool,
    /// There is no key at all, as far as can be seen.
    is_empty: bool,
    newest: Option<String>,
    older: Option<String>,
    /// How many were looked at, where that was not all.
    looked_at: Option<String>,
}

struct Filter {
    text: String,
    href: String,
    is_on: bool,
}

fn page<'a>(ask: &'a Ask, wanted: &Wanted<'a>, found: &Found) -> List<'a> {
    let look = &ask.site.look;
    let t = &look.texts;
    let f = ask.frame(look.title.as_deref().unwrap_or(&t.keys));
    let here = |query: String| format!("{}?{query}", f.home());
    let rows = found
        .page
        .keys
        .iter()
        .map(|key| Row::of(key, found.page.now, look));
    let is_first = wanted.before.is_none();
    List {
        rows: rows.collect(),
        word: wanted.word,
        shown: wanted.shown,
        filters: filters(wanted, t, &here),
        of_all: ask.sees_all(),
        column: look.column.as_ref(),
        may_write: ask.may_write(),
        is_empty: wanted.word.is_empty() && is_first && wanted.shown == "active",
        newest: (!is_first).then(|| here(wanted.query(wanted.word, None))),
        older: found.older.map(|id| here(wanted.query(wanted.word, Some(id)))),
        looked_at: (found.looked_at >= MOST && found.older.is_some())
            .then(|| fill(&t.searched, found.looked_at)),
        f,
    }
}

fn filters(wanted: &Wanted<'_>, t: &Texts, here: &impl Fn(String) -> String) -> Vec<Filter> {
    let all = [
        ("active", &t.active),
        ("disabled", &t.disabled),
        ("expired", &t.expired),
        ("revoked", &t.revoked),
        ("all", &t.filter_all),
    ];
    let filter = |(shown, text): (&'static str, &std::borrow::Cow<'static, str>)| {
        let other = Wanted {
            shown,
            before: None,
            ..*wanted
        };
        Filter {
            text: text.to_string(),
            href: here(other.query(wanted.word, None)),
            is_on: shown == wanted.shown,
        }
    };
    all.into_iter().map(filter).collect()
}
