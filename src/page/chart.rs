//! How much a key is used, as a drawing.

use std::time::{Duration, SystemTime};

use super::{Day, when::date_of};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// In the units of the drawing.
const HEIGHT: u64 = 64;
const STEP: u64 = 22;
const WIDTH: u64 = 16;

/// A bar a day, the last on the right.
pub(super) struct Chart {
    pub(super) is_counted: bool,
    pub(super) bars: Vec<Bar>,
    pub(super) width: u64,
    pub(super) allowed: u64,
    pub(super) refused: u64,
    /// What the tallest bar stands for.
    pub(super) most: u64,
}

pub(super) struct Bar {
    pub(super) date: String,
    pub(super) allowed: u64,
    pub(super) refused: u64,
    pub(super) x: u64,
    pub(super) width: u64,
    pub(super) allowed_y: u64,
    pub(super) allowed_height: u64,
    pub(super) refused_y: u64,
    pub(super) refused_height: u64,
}

impl Chart {
    /// Of days that end with the one that `now` is in, if they were counted.
    pub(super) fn new(counted: Option<&[Day]>, now: SystemTime) -> Self {
        let days = counted.unwrap_or_default();
        let most = days.iter().map(|day| day.allowed + day.refused).max();
        let most = most.unwrap_or_default();
        // What there is can be seen, however little it is.
        let height = |count: u64| match count {
            0 => 0,
            count => (count * HEIGHT / most.max(1)).max(2),
        };
        let bars = days.iter().enumerate().map(|(i, day)| {
            let ago = u32::try_from(days.len() - 1 - i).unwrap_or_default();
            let (allowed_height, refused_height) = (height(day.allowed), height(day.refused));
            let allowed_y = HEIGHT.saturating_sub(allowed_height);
            Bar {
                date: date_of(now.checked_sub(DAY * ago).unwrap_or(now)),
                allowed: day.allowed,
                refused: day.refused,
                x: STEP * i as u64,
                width: WIDTH,
                allowed_y,
                allowed_height,
                refused_y: allowed_y.saturating_sub(refused_height),
                refused_height,
            }
        });
        Self {
            is_counted: counted.is_some(),
            bars: bars.collect(),
            width: STEP * days.len() as u64 - (STEP - WIDTH).min(STEP * days.len() as u64),
            allowed: days.iter().map(|day| day.allowed).sum(),
            refused: days.iter().map(|day| day.refused).sum(),
            most,
        }
    }
}
