//! How often keys are used, by day and outcome, as far as this process counts. Without the feature `page`, which shows it, the same calls do nothing.

#[cfg(feature = "page")]
mod on;

#[cfg(not(feature = "page"))]
mod off;

#[cfg(not(feature = "page"))]
use off as chosen;
#[cfg(feature = "page")]
use on as chosen;

pub(crate) use chosen::{Counter, Tallies};
