//! What an application says of how the page shall look.

use std::{borrow::Cow, fmt, sync::Arc};

use super::{colour::Colour, texts::Texts};
use crate::{access::Scope, key::KeyRecord};

/// A scope that can be picked for a new key, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct OfferedScope {
    pub(super) scope: Scope,
    pub(super) group: Cow<'static, str>,
    pub(super) description: Cow<'static, str>,
}

impl OfferedScope {
    /// A scope, in the group of those that are in none, and without a description.
    pub fn new(scope: Scope) -> Self {
        Self {
            scope,
            group: Cow::default(),
            description: Cow::default(),
        }
    }

    /// The heading under which it is offered.
    pub fn group(mut self, group: impl Into<Cow<'static, str>>) -> Self {
        self.group = group.into();
        self
    }

    /// What a key with it may do, in a few words.
    pub fn description(mut self, description: impl Into<Cow<'static, str>>) -> Self {
        self.description = description.into();
        self
    }
}

#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) href: String,
    pub(super) label: String,
}

/// A column of the application's own.
#[derive(Clone)]
pub(super) struct Column {
    pub(super) heading: String,
    pub(super) text: Arc<dyn Fn(&KeyRecord) -> String + Send + Sync>,
}

impl fmt::Debug for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Column").field(&self.heading).finish()
    }
}

#[derive(Debug, Clone)]
pub(super) struct Look {
    pub(super) title: Option<String>,
    pub(super) accent: Colour,
    pub(super) back: Option<Link>,
    pub(super) sign_in: Option<String>,
    pub(super) sign_out: Option<String>,
    pub(super) scopes: Vec<OfferedScope>,
    pub(super) column: Option<Column>,
    pub(super) texts: Texts,
    /// What the calls that are shown call.
    pub(super) example: String,
    /// The name of the variable that holds a key.
    pub(super) variable: String,
    pub(super) mounted_at: Option<String>,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            title: None,
            accent: Colour::rgb(0x4f, 0x46, 0xe5),
            back: None,
            sign_in: None,
            sign_out: None,
            scopes: Vec::new(),
            column: None,
            texts: Texts::default(),
            example: "/".to_owned(),
            variable: "API_KEY".to_owned(),
            mounted_at: None,
        }
    }
}
