use axum::extract::{FromRequestParts, Query};
use http::request::Parts;

use super::problem::{FieldError, Problem};
use crate::key::{KeyId, KeyStatus};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 100;

/// The query of a list of keys.
pub(super) struct KeyPageQuery {
    pub(super) limit: u32,
    pub(super) before: Option<KeyId>,
    /// `None` for all of them.
    pub(super) status: Option<KeyStatus>,
}

/// The query of a list of events.
pub(super) struct EventPageQuery {
    pub(super) limit: u32,
    pub(super) before: Option<i64>,
}

impl<S: Sync> FromRequestParts<S> for KeyPageQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let mut query = Pairs::of(parts)?;
        let limit = query.limit();
        let before = query.read("cursor", NO_CURSOR, |text| text.parse().ok());
        let status = query.read("status", NO_STATUS, status);
        query.end(Self {
            limit,
            before,
            status: status.unwrap_or(Some(KeyStatus::Active)),
        })
    }
}

impl<S: Sync> FromRequestParts<S> for EventPageQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let mut query = Pairs::of(parts)?;
        let limit = query.limit();
        let before = query.read("cursor", NO_CURSOR, |text| whole(text)?.parse().ok());
        query.end(Self { limit, before })
    }
}

const NO_CURSOR: &str = "must be the next_cursor of an earlier answer";
const NO_STATUS: &str = "must be active, expired, revoked, disabled or all";

fn status(text: &str) -> Option<Option<KeyStatus>> {
    Some(match text {
        "active" => Some(KeyStatus::Active),
        "expired" => Some(KeyStatus::Expired),
        "revoked" => Some(KeyStatus::Revoked),
        "disabled" => Some(KeyStatus::Disabled),
        "all" => None,
        _ => return None,
    })
}

struct Pairs {
    pairs: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

impl Pairs {
    fn of(parts: &Parts) -> Result<Self, Problem> {
        let pairs = Query::try_from_uri(&parts.uri);
        let Query(pairs) = pairs.map_err(|_| Problem::invalid("query", "must be text, percent-encoded"))?;
        Ok(Self {
            pairs,
            errors: Vec::new(),
        })
    }

    fn read<T>(
        &mut self,
        field: &'static str,
        message: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let mut said = self.pairs.extract_if(.., |(name, _)| name == field);
        let (value, more) = (said.next(), said.next().is_some());
        drop(said);
        let (_, value) = value?;
        let value = if more { None } else { read(&value) };
        if value.is_none() {
            self.errors.push(FieldError { field, message });
        }
        value
    }

    fn limit(&mut self) -> u32 {
        let limit = self.read("limit", "must be a number from 1 to 100", |text| {
            let limit = whole(text)?.parse().ok()?;
            (1..=MAX_LIMIT).contains(&limit).then_some(limit)
        });
        limit.unwrap_or(DEFAULT_LIMIT)
    }

    /// A misspelt filter must not show more than was asked for.
    fn end<T>(mut self, value: T) -> Result<T, Problem> {
        if !self.pairs.is_empty() {
            self.errors.push(FieldError {
                field: "query",
                message: "must have no fields but those that this call takes",
            });
        }
        match self.errors.is_empty() {
            true => Ok(value),
            false => Err(Problem::Invalid(self.errors)),
        }
    }
}

/// Digits only: `parse` alone would take a sign.
fn whole(text: &str) -> Option<&str> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then_some(text)
}
