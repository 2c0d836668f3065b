//! How much of alerts is in memory before it is known whether they are GitHub's: strangers can send as much of that as they like.

use std::{collections::HashMap, sync::Arc};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::MAX_BODY;
use crate::{budget::Household, router::problem::Problem};

/// Of all together, in bytes: what has come, and not what may come yet.
const BYTES: usize = 16 * 1024 * 1024;
/// How many come from one address at a time.
const OF_ONE: u32 = 4;

#[derive(Debug)]
pub(super) struct Room {
    bytes: Semaphore,
    senders: Arc<Mutex<HashMap<Household, u32>>>,
}

impl Room {
    pub(super) fn new() -> Self {
        Self {
            bytes: Semaphore::new(BYTES),
            senders: Arc::default(),
        }
    }

    /// A place among those of one address; `None` when all are taken.
    pub(super) fn place(&self, from: Household) -> Option<Place> {
        let mut senders = self.senders.lock();
        let count = senders.entry(from).or_default();
        if *count == OF_ONE {
            return None;
        }
        *count += 1;
        Some(Place {
            senders: self.senders.clone(),
            from,
        })
    }

    /// What is sent, and the room that it takes.
    pub(super) async fn read(
        &self,
        mut body: axum::body::Body,
    ) -> Result<(Bytes, Option<SemaphorePermit<'_>>), Problem> {
        let (mut read, mut room) = (BytesMut::new(), None::<SemaphorePermit<'_>>);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Problem::invalid("body", "must arrive as a whole"))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if read.len() + data.len() > MAX_BODY {
                return Err(Problem::TooLarge);
            }
            // It fits, since no body is that large.
            let more = u32::try_from(data.len()).unwrap_or(u32::MAX);
            let more = self.bytes.try_acquire_many(more);
            let more = more.map_err(|_| Problem::Unavailable)?;
            match &mut room {
                Some(room) => room.merge(more),
                None => room = Some(more),
            }
            read.extend_from_slice(&data);
        }
        Ok((read.freeze(), room))
    }
}

/// A place of somebody who sends an alert, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    senders: Arc<Mutex<HashMap<Household, u32>>>,
    from: Household,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut senders = self.senders.lock();
        if let Some(count) = senders.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                senders.remove(&self.from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[tokio::test]
    async fn nothing_is_held_of_what_has_not_come_and_no_address_takes_all() {
        let room = Room::new();
        let here = Household::V4([192, 0, 2, 1].into());
        let places: Vec<Place> = (0..OF_ONE).map_while(|_| room.place(here)).collect();
        assert_eq!(
            (places.len(), room.place(here).is_some()),
            (OF_ONE as usize, false)
        );
        assert!(room.place(Household::Unknown).is_some());
        drop(places);
        assert!(room.place(here).is_some() && room.senders.lock().is_empty());

        let mut held = Vec::new();
        for _ in 0..BYTES / MAX_BODY {
            let (body, permit) = room.read(Body::from(vec![0; MAX_BODY])).await.expect("read");
            assert_eq!(body.len(), MAX_BODY);
            held.push(permit);
        }
        assert!(matches!(
            room.read(Body::from("x")).await,
            Err(Problem::Unavailable)
        ));
        assert!(room.read(Body::empty()).await.is_ok());
        held.pop();
        assert!(room.read(Body::from("x")).await.is_ok());
        let large = room.read(Body::from(vec![0; MAX_BODY + 1])).await;
        assert!(matches!(large, Err(Problem::TooLarge)));
        assert_eq!(room.bytes.available_permits(), MAX_BODY, "all is given back");
    }
}
