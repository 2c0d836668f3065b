//! The rules of the cache, driven through the layers above it, against a store that stops where it is told to.

#[cfg(not(shuttle))]
mod changing;

#[cfg(not(shuttle))]
mod confirming;

#[cfg(not(shuttle))]
mod everything;

#[cfg(not(shuttle))]
mod flying;

#[cfg(not(shuttle))]
mod keeping;

#[cfg(not(shuttle))]
mod leased;

#[cfg(not(shuttle))]
mod node;

#[cfg(not(shuttle))]
mod outage;

#[cfg(not(shuttle))]
mod owners;

#[cfg(not(shuttle))]
mod rules;

#[cfg(not(shuttle))]
mod script;

#[cfg(shuttle)]
mod schedules;

use std::time::Duration;

use super::Limits;

/// Long enough for a busy machine; what takes longer hangs.
#[cfg(not(shuttle))]
const PATIENCE: Duration = Duration::from_secs(30);

/// What [`Builder`](crate::Builder) begins with.
fn limits() -> Limits {
    Limits {
        good: 100_000,
        unknown: 50_000,
        good_for: Duration::from_secs(5),
        unknown_for: Duration::from_secs(5),
        flights: 10_000,
        flight_for: Duration::MAX,
        lease: None,
        stale_for: Duration::ZERO,
    }
}
