//! What every page has around it.

use askama::Template;

use super::{
    Site,
    look::Look,
    row::Row,
    texts::{Texts, fill},
    uses::LastUse,
};
use crate::principal::Principal;

/// What is around a page: its head, and the bar at its top.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) t: &'a Texts,
    pub(super) look: &'a Look,
    site: &'a Site,
    base: &'a str,
    pub(super) caller: Option<String>,
    /// Of this page.
    pub(super) title: String,
    /// What was done on the way here.
    pub(super) note: Option<&'a str>,
}

impl<'a> Frame<'a> {
    pub(super) fn new(
        site: &'a Site,
        base: &'a str,
        caller: Option<&Principal>,
        title: impl Into<String>,
    ) -> Self {
        let t = &site.look.texts;
        Self {
            t,
            look: &site.look,
            site,
            base,
            caller: caller.map(|caller| fill(&t.signed_in_as, caller)),
            title: title.into(),
            note: None,
        }
    }

    /// With what the address says was done: by a word, so that no address can say anything else. Whether it is so is for the page to know.
    pub(super) fn after(mut self, done: &str) -> Self {
        self.note = match done {
            "revoked" => Some(&self.t.done_revoked),
            "disabled" => Some(&self.t.done_disabled),
            "enabled" => Some(&self.t.done_enabled),
            "renamed" => Some(&self.t.done_renamed),
            _ => None,
        };
        self
    }

    /// Whether anything is known of when keys are used.
    pub(super) fn keeps_uses(&self) -> bool {
        self.site.uses.is_some()
    }

    pub(super) fn last_use(&self, row: &Row) -> Option<LastUse> {
        row.last_use(self.site)
    }

    /// The name of the whole.
    pub(super) fn whole(&self) -> &str {
        self.look.title.as_deref().unwrap_or(&self.t.keys)
    }

    /// Where a caller logs out, if there is one and they can.
    pub(super) fn sign_out(&self) -> Option<&str> {
        self.caller.as_ref()?;
        self.look.sign_out.as_deref()
    }

    /// The list of keys.
    pub(super) fn home(&self) -> &str {
        if self.base.is_empty() { "/" } else { self.base }
    }

    /// What is below the list: a path that begins with a slash.
    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub(super) fn css(&self) -> String {
        self.at(&format!("/assets/{}", self.site.assets.css.name))
    }

    pub(super) fn js(&self) -> String {
        self.at(&format!("/assets/{}", self.site.assets.js.name))
    }

    pub(super) fn icon(&self) -> String {
        self.at(&format!("/assets/{}", self.site.assets.icon.name))
    }
}

/// A page with nothing but something to say.
#[derive(Template)]
#[template(path = "message.html")]
pub(super) struct Message<'a> {
    pub(super) f: Frame<'a>,
    pub(super) text: String,
    pub(super) sign_in: Option<&'a str>,
    /// Then there is no list to go back to.
    pub(super) is_login: bool,
}
