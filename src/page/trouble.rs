use http::StatusCode;

use super::texts::{Texts, fill};
use crate::{
    key::KeyStatus,
    manage::{Conflict, ManageErrorKind},
    middleware::Rejection,
};

/// Why there is no page.
#[derive(Debug)]
pub(super) enum Trouble {
    /// By the middleware, or as it would.
    Refused(Box<Rejection>),
    /// The keys could not be managed.
    Failed(ManageErrorKind),
    /// A change was asked for by a page of another origin, or nobody says by which.
    OtherOrigin,
    NotAForm(StatusCode),
    NothingHere,
}

impl From<Rejection> for Trouble {
    fn from(rejection: Rejection) -> Self {
        Self::Refused(Box::new(rejection))
    }
}

impl Trouble {
    /// What to say of it: in short, and what to do.
    pub(super) fn words(&self, t: &Texts) -> (String, String) {
        let (title, text) = match self {
            Self::Refused(_) | Self::Failed(ManageErrorKind::CallerNotGood(_)) => {
                (&t.login_title, &t.login_text)
            }
            Self::OtherOrigin => (&t.origin_title, &t.origin_text),
            Self::NothingHere | Self::Failed(ManageErrorKind::NotFound) => {
                (&t.missing_title, &t.missing_text)
            }
            Self::NotAForm(_)
            | Self::Failed(ManageErrorKind::Invalid(_) | ManageErrorKind::TokenNotGood(_)) => {
                (&t.invalid_title, &t.invalid_text)
            }
            Self::Failed(ManageErrorKind::MissingScope(scope)) => {
                return (t.forbidden_title.to_string(), fill(&t.forbidden_text, scope));
            }
            Self::Failed(ManageErrorKind::Exceeds(_) | ManageErrorKind::CallerExchanged) => {
                (&t.forbidden_title, &t.excess_text)
            }
            Self::Failed(ManageErrorKind::Quota) => (&t.conflict_title, &t.quota_text),
            Self::Failed(ManageErrorKind::Conflict(conflict)) => {
                (&t.conflict_title, conflict_text(*conflict, t))
            }
            Self::Failed(ManageErrorKind::Unavailable) => (&t.trouble_title, &t.trouble_text),
        };
        (title.to_string(), text.to_string())
    }
}

fn conflict_text(conflict: Conflict, t: &Texts) -> &std::borrow::Cow<'static, str> {
    match conflict {
        Conflict::NotActive(KeyStatus::Revoked) => &t.conflict_revoked,
        Conflict::NotActive(_) | Conflict::NoStoredKey | Conflict::Exchanged => &t.conflict_inactive,
        Conflict::AlreadyRotated => &t.conflict_rotated,
        Conflict::AlreadyMinted => &t.made_text,
    }
}
