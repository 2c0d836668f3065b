use sha2::{Digest, Sha256};

use super::{
    Subject,
    gcra::{Cost, Left, Times},
};
use crate::{
    access::{Allowance, RateLimit, RateLimits},
    principal::Principal,
};

/// What a request would use, and of whose.
#[derive(Debug, Clone)]
pub(crate) struct Demand {
    pub(crate) key: Option<(Subject, RateLimits)>,
    pub(crate) owner: Option<(Subject, RateLimits)>,
    pub(crate) uses: u32,
    /// Where it is counted by all processes together.
    pub(crate) names: Option<Box<Names>>,
}

/// Whom something is counted for, as all processes call them: nothing that tells who it is to somebody who looks.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "nobody else counts"))]
pub(crate) struct Names {
    pub(crate) key: String,
    pub(crate) owner: String,
}

impl Names {
    pub(super) fn of(principal: &Principal) -> Self {
        let owner = principal.owner();
        Self {
            key: match principal.stored_key() {
                Some(id) => id.to_string(),
                None => hashed(&[
                    principal.kind().as_str(),
                    principal.key_id().unwrap_or_default(),
                    owner,
                    principal.name(),
                ]),
            },
            owner: hashed(&[owner]),
        }
    }
}

fn hashed(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    let hash = hash.finalize();
    hash[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What was used, or would have been, and what there is left then.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) demand: Demand,
    /// In microseconds, of whichever clock it was counted by.
    pub(crate) now: u64,
    /// When all will be got back.
    pub(crate) key: Times,
    pub(crate) owner: Times,
}

/// One of the limits that hold, and what is left of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) is_owner: bool,
    pub(crate) name: &'a str,
    pub(crate) limit: RateLimit,
    pub(crate) left: Left,
}

impl Taken {
    pub(super) fn new(demand: Demand, now: u64, key: Times, owner: Times) -> Self {
        Self {
            demand,
            now,
            key,
            owner,
        }
    }

    /// As it would be, had nothing been taken: as far as can be told without asking again.
    pub(super) fn given_back(mut self) -> Self {
        let uses = self.demand.uses;
        for (part, times) in [
            (&self.demand.key, &mut self.key),
            (&self.demand.owner, &mut self.owner),
        ] {
            for ((_, limit), full_at) in part.iter().flat_map(|(_, limits)| limits.iter()).zip(times) {
                *full_at = full_at.saturating_sub(Cost::of(limit).of_uses(uses));
            }
        }
        self
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let parts = [
            (&self.demand.key, &self.key, false),
            (&self.demand.owner, &self.owner, true),
        ];
        parts.into_iter().flat_map(move |(part, times, is_owner)| {
            let limits = part.iter().flat_map(|(_, limits)| limits.iter());
            limits.zip(times).map(move |((name, limit), full_at)| Line {
                is_owner,
                name,
                limit,
                left: Left::of(limit, self.demand.uses, *full_at, self.now),
            })
        })
    }

    pub(crate) fn allowances(&self) -> Box<[Allowance]> {
        let allowance = |line: Line<'_>| Allowance {
            name: <[&str; 2]>::from(line.name_parts()).concat().into(),
            limit: line.limit,
            remaining: line.left.remaining,
            reset: line.left.reset,
            retry_after: line.left.retry_after,
        };
        self.lines().map(allowance).collect()
    }
}

impl<'a> Line<'a> {
    /// What it is called where those of the owner stand beside those of the key, in two parts.
    pub(crate) fn name_parts(&self) -> (&'static str, &'a str) {
        match (self.is_owner, self.name) {
            (false, name) => ("", name),
            (true, "default") => ("owner", ""),
            (true, name) => ("owner-", name),
        }
    }
}
