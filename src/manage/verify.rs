use super::{Keys, error::ManageError};
use crate::{
    event::{Break, ChainCheck, ChainHead},
    store::StoreErrorKind,
};

/// How many events are verified at a time.
const PAGE: u32 = 1000;

impl Keys {
    /// Reads the log from its beginning to where it ended when this was called.
    pub(super) async fn check_log(&self) -> Result<Result<ChainHead, Break>, ManageError> {
        let store = &self.0.store;
        let end = store.log_head().await?;
        let mut check = ChainCheck::new();
        let mut limit = PAGE;
        loop {
            // Also what stands before the first event, where nothing may.
            let after = match check.head().seq {
                0 => i64::MIN,
                seq => seq,
            };
            let page = match store.log_after(after, limit).await {
                Ok(page) => page,
                // Somewhere in it: in less and less, until it is the next.
                Err(error) if error.kind() == StoreErrorKind::Corrupt && limit > 1 => {
                    limit /= 2;
                    continue;
                }
                Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                    return Ok(Err(Break::altered(check.head().seq + 1)));
                }
                Err(error) => return Err(error.into()),
            };
            limit = PAGE;
            for event in page.iter().take_while(|event| event.seq <= end.seq) {
                if let Err(broken) = check.next(event) {
                    return Ok(Err(broken));
                }
            }
            if page.last().is_none_or(|last| last.seq >= end.seq) {
                break;
            }
        }
        match check.finish(end) {
            Ok(head) => self.check_beyond(head).await,
            broken => Ok(broken),
        }
    }

    /// Behind the end stands nothing, or what was written in the meantime.
    async fn check_beyond(&self, end: ChainHead) -> Result<Result<ChainHead, Break>, ManageError> {
        let store = &self.0.store;
        let beyond = match store.log_after(end.seq, 1).await {
            Ok(beyond) => beyond.first().map(|event| event.seq),
            Err(error) if error.kind() == StoreErrorKind::Corrupt => Some(end.seq + 1),
            Err(error) => return Err(error.into()),
        };
        let Some(beyond) = beyond else {
            return Ok(Ok(end));
        };
        // Read after it: an event that was written as it should be is not behind this end.
        let now = store.log_head().await?;
        match beyond > now.seq {
            true => Ok(Err(Break::altered(beyond))),
            false => Ok(Ok(end)),
        }
    }
}
