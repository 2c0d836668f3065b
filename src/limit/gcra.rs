//! The generic cell rate algorithm, over one number a limit: the moment at which all that was used will have been got back.
//!
//! Of `N` in a period `P` each use costs `P/N` of time, and is let through while no more is owed than a burst of `B` costs, which is `B·P/N`.
//! So `B` may come at once, one more each `P/N` after that, and in any stretch of time `t` no more than `B + t·N/P`, of which the last is rounded
//! down. `P/N` is rounded up to a microsecond, which is also what the clock is read in: so that a script in Redis comes to the same.

use std::time::Duration;

use crate::access::{RateLimit, RateLimits};

/// When all that was used will have been got back, in microseconds of a clock; one number a limit.
pub(crate) type Times = [u64; RateLimits::MOST];

/// What somebody has used.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Owed {
    /// Which limits it was counted under.
    mark: u64,
    full_at: Times,
}

impl Owed {
    /// As of these limits. Those it was counted under may have been others, and which of them is which is not known: what was used counts
    /// against each, for no more than all of it.
    pub(super) fn under(&self, limits: &RateLimits) -> Times {
        match self.mark == limits.mark() {
            true => self.full_at,
            false => [self.latest(); RateLimits::MOST],
        }
    }

    pub(super) fn latest(&self) -> u64 {
        self.full_at.into_iter().max().unwrap_or_default()
    }
}

/// What uses cost under a limit, in microseconds.
pub(crate) struct Cost {
    /// Of one.
    pub(crate) each: u64,
    /// Of all that may come at once.
    pub(crate) all: u64,
}

impl Cost {
    pub(crate) fn of(limit: RateLimit) -> Self {
        let micros = limit.period().as_secs().saturating_mul(1_000_000);
        let each = micros.div_ceil(limit.requests().into());
        Self {
            each,
            all: each.saturating_mul(limit.burst().into()),
        }
    }

    /// Of so many. More than all of it there is none.
    pub(crate) fn of_uses(&self, uses: u32) -> u64 {
        self.each.saturating_mul(uses.into()).min(self.all)
    }
}

/// So many uses, at this moment, under all of the limits or none.
///
/// # Errors
///
/// When there is too little left under one; then nothing is used.
pub(super) fn take(owed: &mut Owed, limits: &RateLimits, uses: u32, now: u64) -> Result<Times, Times> {
    let mut before = owed.under(limits);
    let (mut after, mut fits) = (before, true);
    for ((before, after), (_, limit)) in before.iter_mut().zip(&mut after).zip(limits.iter()) {
        let cost = Cost::of(limit);
        let latest = now.saturating_add(cost.all);
        // What was used under another limit, or before the clock was set back, counts for no more than all of this one.
        *before = (*before).min(latest);
        *after = (*before).max(now).saturating_add(cost.of_uses(uses));
        fits &= *after <= latest;
    }
    *owed = Owed {
        mark: limits.mark(),
        full_at: if fits { after } else { before },
    };
    if fits { Ok(after) } else { Err(before) }
}

/// Takes uses back that were taken at a moment and counted until `taken`, unless it is past that: then they count no more. What may have leaked
/// back since is not given a second time.
pub(super) fn give_back(
    owed: &mut Owed,
    limits: &RateLimits,
    uses: u32,
    taken: &Times,
    [taken_at, now]: [u64; 2],
) -> Times {
    let since = now.saturating_sub(taken_at);
    if owed.mark == limits.mark() {
        for ((full_at, (_, limit)), taken) in owed.full_at.iter_mut().zip(limits.iter()).zip(taken) {
            if now < *taken {
                let cost = Cost::of(limit).of_uses(uses);
                *full_at = full_at.saturating_sub(cost.saturating_sub(since));
            }
        }
    }
    owed.under(limits)
}

/// What is left under one of the limits, and how long until so many uses are there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left {
    pub(crate) remaining: u32,
    pub(crate) reset: Duration,
    pub(crate) retry_after: Duration,
}

impl Left {
    pub(super) fn of(limit: RateLimit, uses: u32, full_at: u64, now: u64) -> Self {
        let cost = Cost::of(limit);
        let owed = full_at.saturating_sub(now).min(cost.all);
        let wait = owed.saturating_add(cost.of_uses(uses)).saturating_sub(cost.all);
        Self {
            remaining: u32::try_from((cost.all - owed) / cost.each).unwrap_or(u32::MAX),
            reset: Duration::from_micros(owed),
            retry_after: Duration::from_micros(wait),
        }
    }
}
