use std::{error::Error, fmt, future::Future, pin::Pin};

use super::{
    demand::{Demand, Taken},
    gcra::Times,
};

/// Where uses are counted for all processes together.
pub(crate) trait SharedCounts: fmt::Debug + Send + Sync {
    /// Uses what is asked for, if there is enough left. Answers in a bounded time.
    fn take(&self, demand: &Demand) -> Asking;

    /// Gives back what came to nothing, some time.
    fn give_back(&self, taken: &Taken);

    fn when_away(&self) -> WhenAway;
}

pub(crate) type Asking = Pin<Box<dyn Future<Output = Result<Answer, Away>> + Send>>;

/// What it came to, by the clock of whoever counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) let_in: bool,
    pub(crate) now: u64,
    pub(crate) key: Times,
    pub(crate) owner: Times,
}

/// What is done while uses cannot be counted for all processes together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WhenAway {
    /// Each process counts for itself, and begins anew: so many processes let through at most that many times as much.
    #[default]
    CountHere,
    /// Callers who are limited are answered 503.
    Refuse,
}

/// Uses could not be counted for all processes together.
#[derive(Debug)]
pub(crate) struct Away(pub(crate) Box<dyn Error + Send + Sync>);

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limits cannot be counted: {}", self.0)
    }
}

impl Error for Away {}
