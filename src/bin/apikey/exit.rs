//! How it ends, and what is said about it.

use std::{error::Error, io};

use serde_json::Value;
use tower_api_key::{
    manage::{ManageError, ManageErrorKind},
    store::{StoreError, StoreErrorKind},
};

/// Why a command did not do it. The number is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Reason {
    /// Whoever read the output has seen enough.
    Closed = 0,
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Ambiguous = 4,
    Conflict = 5,
    Unavailable = 6,
    LogBroken = 7,
    BadInput = 8,
}

impl Reason {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NotFound => "not-found",
            Self::Ambiguous => "ambiguous",
            Self::Conflict => "conflict",
            Self::Unavailable => "unavailable",
            Self::LogBroken => "log-broken",
            Self::BadInput => "bad-input",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    pub(crate) message: String,
    /// The keys that were perhaps meant.
    pub(crate) candidates: Vec<Value>,
}

impl Failure {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            candidates: Vec::new(),
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Reason::Usage, message)
    }

    pub(crate) fn no_such_key() -> Self {
        Self::new(Reason::NotFound, "there is no such key")
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let reason = match error.kind() {
            io::ErrorKind::BrokenPipe => Reason::Closed,
            _ => Reason::Failed,
        };
        Self::new(reason, error.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(reason_of(error.kind()), chain(&error))
    }
}

impl From<ManageError> for Failure {
    fn from(error: ManageError) -> Self {
        let reason = match error.kind() {
            ManageErrorKind::NotFound => return Self::no_such_key(),
            ManageErrorKind::Invalid(_) => Reason::Usage,
            ManageErrorKind::Conflict(_) | ManageErrorKind::Exceeds(_) | ManageErrorKind::Quota => {
                Reason::Conflict
            }
            ManageErrorKind::Unavailable => store_reason(&error),
            _ => Reason::Failed,
        };
        Self::new(reason, chain(&error))
    }
}

/// Of the store's error among the causes.
fn store_reason(error: &ManageError) -> Reason {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(store) = error.downcast_ref::<StoreError>() {
            return reason_of(store.kind());
        }
        cause = error.source();
    }
    Reason::Failed
}

fn reason_of(kind: StoreErrorKind) -> Reason {
    match kind {
        StoreErrorKind::Unavailable => Reason::Unavailable,
        StoreErrorKind::Conflict => Reason::Conflict,
        _ => Reason::Failed,
    }
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
