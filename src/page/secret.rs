//! The page that shows a key, this once.

use askama::Template;
use axum::response::Response;

use super::{answer, ask::Ask, frame::Frame, row::shown_name};
use crate::manage::IssuedKey;

/// The one place where a key in the clear becomes HTML. Not `Debug`.
#[derive(Template)]
#[template(path = "secret.html")]
struct Shown<'a> {
    f: Frame<'a>,
    id: String,
    name: String,
    key: &'a str,
    variable: &'a str,
    /// The field that presents the key in the variable.
    field: String,
    /// Where to.
    url: String,
}

/// The answer to the form that asked for the key.
pub(super) fn shown(ask: &Ask, issued: &IssuedKey) -> Response {
    let look = &ask.site.look;
    let variable = look.variable.as_str();
    let realm = ask.caller.realm();
    let field = match realm.header_labels.first() {
        Some(header) if !realm.bearer => format!("{header}: ${variable}"),
        _ => format!("Authorization: Bearer ${variable}"),
    };
    let url = match (&look.example, &ask.origin) {
        (path, Some(origin)) if path.starts_with('/') => format!("{origin}{path}"),
        (path, None) if path.starts_with('/') => format!("https://HOST{path}"),
        (url, _) => url.clone(),
    };
    answer::secret(&Shown {
        f: ask.frame(look.texts.secret_title.as_ref()),
        id: issued.record.id.to_string(),
        name: shown_name(&issued.record),
        key: issued.key.expose(),
        variable,
        field,
        url,
    })
}

#[derive(Template)]
#[template(path = "made.html")]
struct Made<'a> {
    f: Frame<'a>,
    id: String,
}

/// The answer to the same form, when it is sent again.
pub(super) fn shown_before(ask: &Ask, token: &str) -> Response {
    let id = ask.keys().reserved(token);
    answer::done_before(&Made {
        f: ask.frame(ask.site.look.texts.made_title.as_ref()),
        id: id.map(|id| id.to_string()).unwrap_or_default(),
    })
}
