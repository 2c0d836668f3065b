use std::fmt::{Debug, Display};

pub(crate) struct RequestSpan;

/// What [`RequestSpan::enter`] gives; there is nothing to leave.
pub(crate) struct Entered;

impl RequestSpan {
    pub(crate) fn none() -> Self {
        Self
    }

    pub(crate) fn authenticated(_kind: &'static str, _owner: &str, _key_id: Option<&str>) -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "the same call as with the feature")]
    pub(crate) fn enter(&self) -> Entered {
        Entered
    }
}

pub(crate) fn refused(_code: &'static str, _refusal: &dyn Display) {}

pub(crate) fn lookup_failed(_error: &dyn Debug) {}

pub(crate) fn short_static_key(_name: &str) {}
