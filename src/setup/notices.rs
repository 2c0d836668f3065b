use std::{sync::Arc, time::Duration};

use super::builder::Builder;
use crate::{
    event::{Notice, Notices},
    manage::Expiring,
    store::DynStore,
};

/// Who is told what owners should hear of, and who looks for what ends soon.
pub(super) struct Told {
    #[cfg_attr(
        not(feature = "leaks"),
        expect(dead_code, reason = "nobody else finds anything")
    )]
    pub(super) notices: Option<Notices>,
    pub(super) expiring: Option<Expiring>,
}

impl Told {
    pub(super) fn new(
        notices: Option<Notices>,
        times: Vec<Duration>,
        store: Option<&Arc<dyn DynStore>>,
    ) -> Self {
        let both = notices.clone().zip(store.cloned());
        Self {
            notices,
            expiring: both.and_then(|(notices, store)| Expiring::new(store, notices, times)),
        }
    }
}

impl Builder {
    /// Tells the application what the owners of keys should hear of: that a key of the store [ends soon](Self::expiry_notices), and that one was
    /// found where others can read it, by whatever takes alerts of that (feature `leaks`). Takes a
    /// store.
    ///
    /// The listener is called from a task or from the handler of a request, and must not block: what takes time is for a task of its own, or a
    /// channel. One that panics is not told again.
    ///
    /// Each notice comes at least once, and may come more than once: every process tells of the keys that end soon, and tells of them
    /// again when it is started anew. Whoever sends letters remembers for which key and which time they have done so. Of a leak the one process is told that took the alert;
    /// where it dies between the revocation and this, nobody is.
    ///
    /// ```
    /// # use tower_api_key::{ApiKeyAuth, event::Notice, store::MemoryStore};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (letters, _to_be_sent) = std::sync::mpsc::sync_channel(1000);
    /// let auth = ApiKeyAuth::builder(MemoryStore::new()?)
    ///     .on_notice(move |notice| match notice {
    ///         Notice::Leaked { owner, name, .. } => drop(letters.try_send(format!("{owner}: the key {name} was revoked"))),
    ///         Notice::Expiring { owner, name, .. } => drop(letters.try_send(format!("{owner}: the key {name} ends soon"))),
    ///         _ => {}
    ///     })
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_notice(mut self, listener: impl Fn(&Notice) + Send + Sync + 'static) -> Self {
        self.notices = Some(Notices::new(listener));
        self
    }

    /// How long before its end a key is told of; a week and a day if not set, and none with an empty list. Looked for once a minute, by the
    /// store's clock, from when the layer is put around something in a tokio runtime until [`close`](crate::ApiKeyAuth::close).
    ///
    /// A key is told of once for each of these times; where a process starts later than that, once for the shortest that fits. Never told of is a key that was made to last no
    /// longer than that, that is revoked or disabled, or that another has taken over from.
    pub fn expiry_notices(mut self, before: impl IntoIterator<Item = Duration>) -> Self {
        self.expiry_notices = before.into_iter().collect();
        self
    }
}
