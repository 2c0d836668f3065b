use std::{fmt, future::Future, sync::Arc, time::Duration};

use parking_lot::Mutex;

use crate::clock::Clock;

/// How long what was got is used before it is got again.
pub(crate) const FRESH: Duration = Duration::from_secs(10 * 60);
/// How long it is used where it cannot be got again.
pub(crate) const KEPT: Duration = Duration::from_secs(6 * 60 * 60);
/// How long to wait before it is tried again, where there is something to go on with; and how often it may be got because something is not in it.
pub(crate) const PAUSE: Duration = Duration::from_secs(60);
/// How long to wait where there is nothing.
pub(crate) const RETRY: Duration = Duration::from_secs(1);

/// Something that is got from elsewhere, such as a set of keys: kept, got again now and then, and once for however many ask at a time.
///
/// Nothing is remembered of what is *not* in it: to ask for what is not there costs no memory, and one `GET` a minute at most.
pub(crate) struct Kept<T> {
    state: Arc<Mutex<State<T>>>,
    /// Held while it is being got.
    flight: Arc<tokio::sync::Mutex<()>>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct State<T> {
    value: Option<Arc<T>>,
    /// When that was got.
    got: Duration,
    /// When it was last tried, whether that is under way, and whether the last that has ended failed.
    tried: Option<Duration>,
    flying: bool,
    failed: bool,
    /// When it was last tried because something was not in it.
    missed: Option<Duration>,
}

/// It could not be got, now or a moment ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotHad;

enum Next<T> {
    Answer(Result<Arc<T>, NotHad>),
    /// To be got; whether because something is not in what there is.
    Get {
        missing: bool,
    },
}

impl<T: Send + Sync + 'static> Kept<T> {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                value: None,
                got: Duration::ZERO,
                tried: None,
                flying: false,
                failed: false,
                missed: None,
            })),
            flight: Arc::default(),
            clock,
        }
    }

    /// What [`ask`](Self::ask) would answer at once; `None` where it would wait.
    pub(crate) fn kept(&self, will_do: impl Fn(&T) -> bool) -> Option<Result<Arc<T>, NotHad>> {
        match self.next(will_do) {
            Next::Answer(answer) => Some(answer),
            Next::Get { .. } => None,
        }
    }

    /// What is kept, or what `get` gets. It is got anew where what is kept will not `do`, and it is not certain that it does then.
    ///
    /// Waits for one `get` at most, which goes on where this is given up: whoever asks and goes away does not make it be done again.
    ///
    /// # Errors
    ///
    /// When there is nothing, or nothing that will do, and it cannot be got.
    pub(crate) async fn ask<G>(
        &self,
        will_do: impl Fn(&T) -> bool,
        get: impl FnOnce() -> G,
    ) -> Result<Arc<T>, NotHad>
    where
        G: Future<Output = Option<T>> + Send + 'static,
    {
        if let Next::Answer(answer) = self.next(&will_do) {
            return answer;
        }
        if let Ok(flying) = self.flight.clone().try_lock_owned() {
            // Somebody may have got it since.
            match self.next(&will_do) {
                Next::Answer(answer) => return answer,
                Next::Get { missing } => {
                    self.state.lock().begin(missing, self.clock.elapsed());
                    let flight = Flight {
                        state: self.state.clone(),
                        clock: self.clock.clone(),
                        value: None,
                        _flying: flying,
                    };
                    tokio::spawn(flight.fly(get()));
                }
            }
        }
        drop(self.flight.lock().await);
        self.state.lock().after(will_do, self.clock.elapsed())
    }

    fn next(&self, will_do: impl Fn(&T) -> bool) -> Next<T> {
        self.state.lock().next(will_do, self.clock.elapsed())
    }
}

impl<T> State<T> {
    fn current(&self, now: Duration) -> Option<&Arc<T>> {
        self.value
            .as_ref()
            .filter(|_| now.saturating_sub(self.got) < KEPT)
    }

    fn begin(&mut self, missing: bool, now: Duration) {
        self.flying = true;
        self.tried = Some(now);
        if missing {
            self.missed = Some(now);
        }
    }

    fn next(&self, will_do: impl Fn(&T) -> bool, now: Duration) -> Next<T> {
        let lately = |then: Option<Duration>, pause| {
            !self.flying && then.is_some_and(|then| now.saturating_sub(then) < pause)
        };
        let fresh = now.saturating_sub(self.got) < FRESH;
        match self.current(now) {
            None if self.failed && lately(self.tried, RETRY) => Next::Answer(Err(NotHad)),
            None => Next::Get { missing: false },
            Some(value) if will_do(value) => match fresh || lately(self.tried, PAUSE) {
                true => Next::Answer(Ok(value.clone())),
                false => Next::Get { missing: false },
            },
            Some(_) if lately(self.missed, PAUSE) => Next::Answer(self.after(will_do, now)),
            Some(_) => Next::Get { missing: true },
        }
    }

    /// With what there is, whatever that is. Where it could not be got anew, nobody knows whether what is not in it is there by now.
    fn after(&self, will_do: impl Fn(&T) -> bool, now: Duration) -> Result<Arc<T>, NotHad> {
        let value = self.current(now).ok_or(NotHad)?;
        match self.failed && !will_do(value) {
            true => Err(NotHad),
            false => Ok(value.clone()),
        }
    }

    fn end(&mut self, value: Option<T>, now: Duration) {
        self.flying = false;
        self.failed = value.is_none();
        if let Some(value) = value {
            self.value = Some(Arc::new(value));
            self.got = now;
        }
    }
}

/// It is being got, in a task of its own.
struct Flight<T> {
    state: Arc<Mutex<State<T>>>,
    clock: Arc<dyn Clock>,
    value: Option<T>,
    _flying: tokio::sync::OwnedMutexGuard<()>,
}

impl<T> Flight<T> {
    async fn fly(mut self, get: impl Future<Output = Option<T>>) {
        self.value = get.await;
    }
}

impl<T> Drop for Flight<T> {
    /// Before those who wait go on, and also where the work panicked.
    fn drop(&mut self) {
        let now = self.clock.elapsed();
        self.state.lock().end(self.value.take(), now);
    }
}

impl<T> fmt::Debug for Kept<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::clock::ManualClock;

    struct Place {
        kept: Kept<Vec<u32>>,
        clock: ManualClock,
        gets: Arc<AtomicUsize>,
        /// What it gives now.
        there: Mutex<Option<Vec<u32>>>,
    }

    impl Place {
        fn new(there: Option<Vec<u32>>) -> Self {
            let clock = ManualClock::new(std::time::UNIX_EPOCH);
            Self {
                kept: Kept::new(Arc::new(clock.clone())),
                clock,
                gets: Arc::default(),
                there: Mutex::new(there),
            }
        }

        async fn has(&self, wanted: u32) -> Result<bool, NotHad> {
            let there = self.there.lock().clone();
            let gets = self.gets.clone();
            let get = || async move {
                gets.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                there
            };
            let found = self.kept.ask(|value| value.contains(&wanted), get).await?;
            Ok(found.contains(&wanted))
        }

        fn gets(&self) -> usize {
            self.gets.swap(0, Ordering::Relaxed)
        }
    }

    #[tokio::test]
    async fn it_is_got_once_for_all_who_ask_and_again_when_it_is_old() {
        let place = Place::new(Some(vec![1]));
        let asked = [place.has(1), place.has(1), place.has(1), place.has(1)];
        let [a, b, c, d] = asked;
        assert_eq!(tokio::join!(a, b, c, d), (Ok(true), Ok(true), Ok(true), Ok(true)));
        assert_eq!(place.gets(), 1);
        place.clock.advance(FRESH - Duration::from_secs(1));
        assert_eq!((place.has(1).await, place.gets()), (Ok(true), 0));
        place.clock.advance(Duration::from_secs(1));
        assert_eq!((place.has(1).await, place.gets()), (Ok(true), 1));
    }

    #[tokio::test]
    async fn what_is_not_there_is_looked_for_once_a_minute() {
        let place = Place::new(Some(vec![1]));
        assert_eq!((place.has(1).await, place.gets()), (Ok(true), 1));
        *place.there.lock() = Some(vec![2]);
        // The first at once: a key that is new has not been looked for yet.
        assert_eq!((place.has(2).await, place.gets()), (Ok(true), 1));
        for unknown in 100..200 {
            assert_eq!(place.has(unknown).await, Ok(false));
        }
        assert_eq!(place.gets(), 0);
        place.clock.advance(PAUSE);
        for unknown in 100..200 {
            assert_eq!(place.has(unknown).await, Ok(false));
        }
        assert_eq!(place.gets(), 1);
    }

    #[tokio::test]
    async fn what_is_known_goes_on_for_a_while_when_it_cannot_be_got() {
        let place = Place::new(Some(vec![1]));
        assert_eq!((place.has(1).await, place.gets()), (Ok(true), 1));
        *place.there.lock() = None;
        place.clock.advance(FRESH);
        for _ in 0..10 {
            assert_eq!(place.has(1).await, Ok(true));
        }
        assert_eq!(place.gets(), 1);
        assert_eq!((place.has(2).await, place.gets()), (Err(NotHad), 1));
        assert_eq!((place.has(2).await, place.gets()), (Err(NotHad), 0));
        place.clock.advance(KEPT - FRESH - Duration::from_secs(1));
        assert_eq!((place.has(1).await, place.gets()), (Ok(true), 1));
        place.clock.advance(RETRY);
        assert_eq!((place.has(1).await, place.gets()), (Err(NotHad), 1));
        *place.there.lock() = Some(vec![1]);
        assert_eq!((place.has(1).await, place.gets()), (Err(NotHad), 0));
        place.clock.advance(RETRY);
        assert_eq!((place.has(1).await, place.gets()), (Ok(true), 1));
    }

    #[tokio::test]
    async fn whoever_goes_away_does_not_make_it_be_got_again() {
        let place = Place::new(Some(vec![1]));
        for _ in 0..5 {
            tokio::select! {
                biased;
                _ = place.has(1) => panic!("there is nothing yet"),
                () = std::future::ready(()) => {}
            }
        }
        assert_eq!(place.has(1).await, Ok(true));
        assert_eq!(place.gets(), 1);
    }
}
