use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{key::KeyId, trace};

/// What the owner of a key should hear of: see [`Builder::on_notice`](crate::Builder::on_notice).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A key ends soon.
    #[non_exhaustive]
    Expiring {
        /// The key.
        key_id: KeyId,
        /// Whom it acts for.
        owner: String,
        /// Its name, for people.
        name: String,
        /// The first moment at which it is no longer good.
        expires_at: SystemTime,
        /// Which of the [times](crate::Builder::expiry_notices) before the end it is told of now.
        within: Duration,
    },
    /// The text of a key was found where others can read it. It is revoked, unless it is a static key: that is for the application to do.
    #[non_exhaustive]
    Leaked {
        /// The key; `None` for a static key.
        key_id: Option<KeyId>,
        /// Whom it acts for.
        owner: String,
        /// Its name, for people.
        name: String,
        /// Where it was found, as far as that is known: what somebody else says, of at most 500 visible characters.
        url: Option<String>,
    },
}

/// Who is told.
#[derive(Clone)]
pub(crate) struct Notices(Arc<dyn Fn(&Notice) + Send + Sync>);

impl Notices {
    pub(crate) fn new(listener: impl Fn(&Notice) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listener))
    }

    /// A listener that panics has heard it.
    pub(crate) fn tell(&self, notice: &Notice) {
        if catch_unwind(AssertUnwindSafe(|| (self.0)(notice))).is_err() {
            trace::notice_lost();
        }
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notices")
    }
}
