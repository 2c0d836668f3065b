//! One line, in whatever format it was written, and the key that it is.

use std::{borrow::Cow, time::SystemTime};

use serde_json::Value;
use tower_api_key::{
    access::{Grants, Resources, Scopes},
    manage::{ImportedKey, NewKey},
};

use super::digest;
use crate::{
    exit::{Failure, Reason},
    time::date,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Digest,
    Owner,
    Name,
    Scopes,
    Resources,
    ExpiresAt,
    CreatedAt,
    Prefix,
}

impl Field {
    const ALL: [Self; 8] = [
        Self::Digest,
        Self::Owner,
        Self::Name,
        Self::Scopes,
        Self::Resources,
        Self::ExpiresAt,
        Self::CreatedAt,
        Self::Prefix,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Digest => "digest",
            Self::Owner => "owner",
            Self::Name => "name",
            Self::Scopes => "scopes",
            Self::Resources => "resources",
            Self::ExpiresAt => "expires_at",
            Self::CreatedAt => "created_at",
            Self::Prefix => "prefix",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }
}

/// The names there are, for whoever used another one. Which one is not said: where names are missing it may be a digest.
pub(super) const NAMES: &str =
    "has a name other than digest, owner, name, scopes, resources, expires_at, created_at, prefix";
pub(super) const TWICE: &str = "is there twice";

/// What a line cannot be meant for. Nothing of the line is repeated.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    number: u64,
    /// Its place, such as `column 3`, where it has no name.
    field: Cow<'static, str>,
    message: &'static str,
}

impl BadLine {
    pub(super) fn new(number: u64, field: impl Into<Cow<'static, str>>, message: &'static str) -> Self {
        Self {
            number,
            field: field.into(),
            message,
        }
    }
}

impl From<BadLine> for Failure {
    fn from(line: BadLine) -> Self {
        let BadLine {
            number,
            field,
            message,
        } = line;
        Self::new(Reason::BadInput, format!("line {number}: {field} {message}"))
    }
}

#[derive(Debug)]
pub(super) struct Line {
    pub(super) number: u64,
    /// Each at most once; those that are absent or null are not here.
    pub(super) values: Vec<(Field, Value)>,
}

impl Line {
    pub(super) fn into_key(mut self) -> Result<ImportedKey, BadLine> {
        let digest = self.take(Field::Digest);
        let digest = digest.as_ref().and_then(digest::parse).ok_or_else(|| {
            self.bad(
                Field::Digest,
                "must be a SHA-256 in hexadecimal or base64url, or in JSON as an array of 32 bytes",
            )
        })?;
        let owner = self.text(Field::Owner)?.filter(|owner| !owner.trim().is_empty());
        let owner = owner.ok_or_else(|| self.bad(Field::Owner, "must not be missing"))?;
        let mut new = NewKey::new(owner);
        if let Some(name) = self.text(Field::Name)? {
            new = new.name(name);
        }
        let scopes = match self.words(Field::Scopes)? {
            None => Scopes::none(),
            Some(words) if words == ["*"] => Scopes::all(),
            Some(words) => Scopes::new(&words)
                .map_err(|_| self.bad(Field::Scopes, "must be scopes such as issues:read"))?,
        };
        let resources = match self.words(Field::Resources)? {
            None => Resources::unbound(),
            Some(words) if words == ["*"] => Resources::unbound(),
            Some(words) if words.is_empty() => {
                return Err(self.bad(
                    Field::Resources,
                    "must not be empty: is it bound to nothing, or is there nothing it could be used for? `*` is the former",
                ));
            }
            Some(words) => Resources::only(&words)
                .map_err(|_| self.bad(Field::Resources, "must be resources such as agent:alpha"))?,
        };
        new = new.grants(Grants::new(scopes, resources));
        if let Some(moment) = self.date(Field::ExpiresAt)? {
            new = new.expires_at(moment);
        }
        let mut key = ImportedKey::new(digest, new);
        if let Some(moment) = self.date(Field::CreatedAt)? {
            key = key.created_at(moment);
        }
        if let Some(prefix) = self.text(Field::Prefix)? {
            key = key.prefix(prefix);
        }
        Ok(key)
    }

    fn take(&mut self, field: Field) -> Option<Value> {
        let place = self.values.iter().position(|(name, _)| *name == field)?;
        Some(self.values.swap_remove(place).1)
    }

    fn text(&mut self, field: Field) -> Result<Option<String>, BadLine> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.bad(field, "must be text")),
        }
    }

    fn date(&mut self, field: Field) -> Result<Option<SystemTime>, BadLine> {
        match self.text(field)? {
            None => Ok(None),
            Some(text) => {
                let date = date(&text).map(Some);
                date.ok_or_else(|| self.bad(field, "must be a date such as 2027-01-31T00:00:00Z"))
            }
        }
    }

    /// A list, or a text with spaces between the words.
    fn words(&mut self, field: Field) -> Result<Option<Vec<String>>, BadLine> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.split_ascii_whitespace().map(str::to_owned).collect())),
            Some(Value::Array(items)) => {
                let words = items.into_iter().map(|item| match item {
                    Value::String(word) => Some(word),
                    _ => None,
                });
                let words: Option<Vec<String>> = words.collect();
                words
                    .map(Some)
                    .ok_or_else(|| self.bad(field, "must be a list of texts"))
            }
            Some(_) => Err(self.bad(field, "must be a list of texts")),
        }
    }

    fn bad(&self, field: Field, message: &'static str) -> BadLine {
        BadLine::new(self.number, field.name(), message)
    }
}
