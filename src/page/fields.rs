//! What a form or a query says.

use axum::extract::{Form, FromRequest, FromRequestParts, Query, Request};
use http::{StatusCode, request::Parts};

/// The pairs of a form or a query, in their order. A name that is not asked for is not looked at.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields(Vec<(String, String)>);

/// What a field says that is there once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said<'f> {
    Nothing,
    /// Without blanks around it.
    Once(&'f str),
    /// Or more often: nobody knows which was meant.
    Twice,
}

impl Fields {
    pub(super) fn said(&self, name: &str) -> Said<'_> {
        let mut said = self.all(name);
        match (said.next(), said.next()) {
            (None, _) => Said::Nothing,
            (Some(value), None) => Said::Once(value.trim()),
            (Some(_), Some(_)) => Said::Twice,
        }
    }

    /// The same where it is only shown, or looked for: nothing where it is there twice. What makes a key otherwise asks for [`Fields::said`].
    pub(super) fn one(&self, name: &str) -> &str {
        match self.said(name) {
            Said::Once(value) => value,
            Said::Nothing | Said::Twice => "",
        }
    }

    pub(super) fn all<'f>(&'f self, name: &str) -> impl Iterator<Item = &'f str> {
        let said = self.0.iter().filter(move |(field, _)| field == name);
        said.map(|(_, value)| value.as_str())
    }

    /// The words of all fields of this name: one to a line, or with commas or blanks between them.
    pub(super) fn words<'f>(&'f self, name: &str) -> impl Iterator<Item = &'f str> {
        let parts = self
            .all(name)
            .flat_map(|text| text.split([',', '\n', '\r', ' ', '\t']));
        parts.filter(|word| !word.is_empty())
    }
}

/// The query of a request; what cannot be read says nothing.
impl<S: Sync> FromRequestParts<S> for Fields {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let query = Query::try_from_uri(&parts.uri);
        Ok(Self(query.map(|Query(pairs)| pairs).unwrap_or_default()))
    }
}

/// A form that was sent; what to answer where it is no form, or too large.
pub(super) struct Sent(pub(super) Result<Fields, StatusCode>);

impl<S: Send + Sync> FromRequest<S> for Sent {
    type Rejection = std::convert::Infallible;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let form = Form::from_request(request, state).await;
        let form = form.map(|Form(pairs)| Fields(pairs));
        Ok(Self(form.map_err(|rejection| rejection.status())))
    }
}

/// A text as a part of a query.
pub(super) fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
