//! Whose turn it is. Changes of a store happen one after the other, so somebody who makes as many as they can would keep all others waiting:
//! of each there are few at a time, and what takes something away waits for one at most of those that give.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{error::ManageError, request::Caller};
use crate::key::KeyId;

/// How long to wait for a turn: as long as for a connection to the store.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many changes of one key that take something away are under way: more than one, because they may wait for other processes to hear.
const TAKING: usize = 4;

/// How many read many keys, or much of the log, at a time. Stores have a few connections to read by, and look-ups need them more.
const READING: usize = 2;

/// Who is changing something or reading much, and who waits to.
#[derive(Debug)]
pub(super) struct Turns {
    /// No more of them than there are changes under way, or waiting.
    lanes: Mutex<HashMap<Lane, Arc<Semaphore>>>,
    /// For all that gives, whoever asks.
    giving: Arc<Semaphore>,
    /// For all that reads much.
    reading: Arc<Semaphore>,
}

/// Those who wait for each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Lane {
    /// What gives: those of an owner, since one key can make many.
    Gives(String),
    /// What takes away: those of a key, or of an owner without one. So an owner can end a key with which somebody else keeps them busy.
    Takes(String, Option<KeyId>),
    /// What reads much: that of a key, or of an owner without one. So an owner can find a key with which somebody else keeps it busy.
    Reads(String, Option<KeyId>),
}

/// What a change does, in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// There is more than before.
    Gives,
    /// Somebody can do less than before.
    Takes,
}

/// The turn of one change, until all clones of it are dropped. The application has no lane: whom it lets change something is its to say.
#[derive(Debug, Clone)]
pub(super) struct Turn {
    _place: Option<Arc<Place>>,
    effect: Effect,
}

/// The turn of somebody who reads, until it is dropped.
#[derive(Debug)]
pub(super) struct Reading {
    _place: Arc<Place>,
    _permit: OwnedSemaphorePermit,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self {
            lanes: Mutex::default(),
            giving: Arc::new(Semaphore::new(1)),
            reading: Arc::new(Semaphore::new(READING)),
        }
    }

    /// Whether there is no lane left.
    #[cfg(all(test, feature = "testing"))]
    pub(super) fn is_idle(&self) -> bool {
        self.lanes.lock().is_empty()
    }

    /// Waits for the turn of whoever asks; `None` is the application.
    ///
    /// # Errors
    ///
    /// When too many of theirs are before it.
    pub(super) async fn of(
        self: &Arc<Self>,
        caller: Option<&Caller>,
        effect: Effect,
    ) -> Result<Turn, ManageError> {
        let Some(caller) = caller else {
            return Ok(Turn { _place: None, effect });
        };
        self.in_lane(caller.principal.owner(), caller.principal.stored_key(), effect)
            .await
    }

    /// Waits for the turn of an owner for whom something is done by no caller.
    ///
    /// # Errors
    ///
    /// As [`Turns::of`].
    #[cfg(feature = "oidc")]
    pub(super) async fn of_owner(self: &Arc<Self>, owner: &str, effect: Effect) -> Result<Turn, ManageError> {
        self.in_lane(owner, None, effect).await
    }

    /// Waits for the turn of whoever reads much.
    ///
    /// # Errors
    ///
    /// As [`Turns::of`].
    pub(super) async fn to_read(self: &Arc<Self>, caller: &Caller) -> Result<Reading, ManageError> {
        let principal = &caller.principal;
        let lane = Lane::Reads(principal.owner().to_owned(), principal.stored_key());
        Ok(Reading {
            _place: self.place(lane, 1).await?,
            _permit: in_time(self.reading.clone()).await?,
        })
    }

    async fn in_lane(
        self: &Arc<Self>,
        owner: &str,
        key: Option<KeyId>,
        effect: Effect,
    ) -> Result<Turn, ManageError> {
        let owner = owner.to_owned();
        let (lane, most) = match effect {
            Effect::Gives => (Lane::Gives(owner), 1),
            Effect::Takes => (Lane::Takes(owner, key), TAKING),
        };
        self.within(lane, most, effect).await
    }

    /// Waits for the turn of somebody who holds a key, and ends it.
    ///
    /// # Errors
    ///
    /// As [`Turns::of`].
    #[cfg(feature = "management")]
    pub(super) async fn of_holder(self: &Arc<Self>, owner: &str, id: KeyId) -> Result<Turn, ManageError> {
        let lane = Lane::Takes(owner.to_owned(), Some(id));
        self.within(lane, TAKING, Effect::Takes).await
    }

    async fn within(self: &Arc<Self>, lane: Lane, most: usize, effect: Effect) -> Result<Turn, ManageError> {
        let _place = Some(self.place(lane, most).await?);
        Ok(Turn { _place, effect })
    }

    async fn place(self: &Arc<Self>, lane: Lane, most: usize) -> Result<Arc<Place>, ManageError> {
        // Before waiting, so that whoever gives up leaves nothing behind.
        let mut place = Place {
            turns: self.clone(),
            lane,
            permit: None,
        };
        let queue = {
            let mut lanes = self.lanes.lock();
            let queue = lanes.entry(place.lane.clone());
            queue.or_insert_with(|| Arc::new(Semaphore::new(most))).clone()
        };
        place.permit = Some(in_time(queue).await?);
        Ok(Arc::new(place))
    }

    /// Waits until the change may be made: to be held, like the turn, until it is.
    ///
    /// # Errors
    ///
    /// When too many are before it.
    pub(super) async fn begin(&self, turn: &Turn) -> Result<Option<OwnedSemaphorePermit>, ManageError> {
        match turn.effect {
            Effect::Gives => in_time(self.giving.clone()).await.map(Some),
            Effect::Takes => Ok(None),
        }
    }
}

async fn in_time(queue: Arc<Semaphore>) -> Result<OwnedSemaphorePermit, ManageError> {
    if let Ok(permit) = queue.clone().try_acquire_owned() {
        return Ok(permit);
    }
    match timeout(PATIENCE, queue.acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(closed)) => Err(ManageError::unavailable(closed.into())),
        Err(_) => Err(ManageError::unavailable("too many others are under way".into())),
    }
}

/// A place in a lane.
#[derive(Debug)]
struct Place {
    turns: Arc<Turns>,
    lane: Lane,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.permit.take());
        let mut lanes = self.turns.lanes.lock();
        // Nobody else is in it: who comes next takes the lock first.
        if lanes
            .get(&self.lane)
            .is_some_and(|queue| Arc::strong_count(queue) == 1)
        {
            lanes.remove(&self.lane);
        }
    }
}
