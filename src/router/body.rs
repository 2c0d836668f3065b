use std::{collections::BTreeMap, fmt};

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::Value;

use super::problem::{Problem, is_too_large};

/// The members of a JSON object, each once.
#[derive(Debug, Default)]
pub(super) struct Object(pub(super) BTreeMap<String, Value>);

/// As [`Object`]; no body at all is an object without members.
#[derive(Debug)]
pub(super) struct OptionalObject(pub(super) Object);

impl<S: Send + Sync> FromRequest<S> for Object {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::NotJson);
        }
        parse(&read(request, state).await?)
    }
}

impl<S: Send + Sync> FromRequest<S> for OptionalObject {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let typed = request.headers().contains_key(CONTENT_TYPE);
        let json = is_json(request.headers());
        if typed && !json {
            return Err(Problem::NotJson);
        }
        let body = read(request, state).await?;
        match (body.is_empty(), json) {
            (true, _) => Ok(Self(Object::default())),
            (false, true) => parse(&body).map(Self),
            (false, false) => Err(Problem::NotJson),
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (types.next(), types.next()) else {
        return false;
    };
    let value = value.to_str().unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    let read = Bytes::from_request(request, state).await;
    read.map_err(|rejection| match is_too_large(rejection.status()) {
        true => Problem::TooLarge,
        false => Problem::invalid("body", "must arrive as a whole"),
    })
}

fn parse(body: &[u8]) -> Result<Object, Problem> {
    let not_one = |_| {
        Problem::invalid(
            "body",
            "must be one JSON object, with no member twice, and nothing after it",
        )
    };
    serde_json::from_slice(body).map_err(not_one)
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, value)) = map.next_entry()? {
            // Which of the two was meant, nobody knows.
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member comes twice"));
            }
        }
        Ok(Object(members))
    }
}
