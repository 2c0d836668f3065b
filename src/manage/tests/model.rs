use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{
    access::{AddressList, Credits, Grants, RateLimits, Resources, Scopes},
    key::{KeyId, KeyRecord},
};

/// Concrete scopes. The last of each stem is never granted by name: only a wildcard reaches it.
pub(super) const SCOPES: [&str; 10] = [
    "keys:read",
    "keys:write",
    "keys:fresh",
    "issues:read",
    "issues:write",
    "issues:fresh",
    "issues:own:read",
    "issues:own:fresh",
    "wiki",
    "wiki:fresh",
];
pub(super) const GRANTED: [&str; 10] = [
    "keys:read",
    "keys:write",
    "keys:*",
    "issues:read",
    "issues:write",
    "issues:*",
    "issues:own:read",
    "issues:own:*",
    "wiki",
    "wiki:*",
];
const RESOURCES: [&str; 7] = [
    "agent:alpha",
    "agent:team-a",
    "agent:team-fresh",
    "agent:fresh",
    "topic:a",
    "topic:fresh",
    "other:fresh",
];
pub(super) const BOUND: [&str; 6] = [
    "agent:alpha",
    "agent:team-a",
    "agent:team-*",
    "agent:*",
    "topic:a",
    "topic:*",
];
const ADDRESSES: [&str; 5] = ["10.0.0.1", "10.0.0.9", "10.0.1.1", "10.1.0.1", "192.0.2.1"];
pub(super) const BLOCKS: [&str; 5] = [
    "10.0.0.1",
    "10.0.0.0/24",
    "10.0.0.0/16",
    "10.0.0.0/8",
    "192.0.2.0/24",
];
pub(super) const RATES: [&str; 4] = ["1/1m", "10/1m", "10/2m", "100/1h"];

/// Everything a key may do, one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Allowed {
    scopes: Vec<bool>,
    resources: Vec<bool>,
    /// Whether it may act on what has no name here, too.
    unbound: bool,
    addresses: Vec<bool>,
    anywhere: bool,
    until: Option<SystemTime>,
    /// At most so many at once, and so many in 30 days.
    rate: Option<(u64, u64)>,
    /// Where its uses are counted down.
    account: Option<KeyId>,
}

impl Allowed {
    pub(super) fn of(key: &KeyRecord) -> Self {
        let scopes = key.grants.granted_scopes();
        let resources = key.grants.resources();
        Self {
            scopes: SCOPES
                .iter()
                .map(|scope| scopes.is_all() || scopes.iter().any(|granted| matches(granted.as_str(), scope)))
                .collect(),
            resources: RESOURCES
                .iter()
                .map(|name| {
                    let listed = resources.listed();
                    listed.is_none_or(|listed| listed.iter().any(|bound| matches(bound.as_str(), name)))
                })
                .collect(),
            unbound: resources.listed().is_none(),
            addresses: ADDRESSES
                .iter()
                .map(|address| {
                    let address = address.parse().expect("an address");
                    key.allowed_ips
                        .as_ref()
                        .is_none_or(|listed| listed.allows(address))
                })
                .collect(),
            anywhere: key.allowed_ips.is_none(),
            until: key.expires_at,
            rate: key.rate_limit.as_ref().map(|rates| {
                let month = 30 * 24 * 60 * 60;
                let at_once = rates.iter().map(|(_, rate)| u64::from(rate.burst()));
                let in_a_month = rates
                    .iter()
                    .map(|(_, rate)| u64::from(rate.requests()) * month / rate.period().as_secs());
                (
                    at_once.min().unwrap_or_default(),
                    in_a_month.min().unwrap_or_default(),
                )
            }),
            account: key.credits.map(|account| account.id),
        }
    }

    /// Whether everything that the other may do, this one may do.
    pub(super) fn includes(&self, other: &Self) -> bool {
        let all =
            |ours: &[bool], theirs: &[bool]| ours.iter().zip(theirs).all(|(ours, theirs)| *ours || !theirs);
        let limit = |ours: bool, theirs: bool| ours || !theirs;
        all(&self.scopes, &other.scopes)
            && all(&self.resources, &other.resources)
            && limit(self.unbound, other.unbound)
            && all(&self.addresses, &other.addresses)
            && limit(self.anywhere, other.anywhere)
            && match (self.until, other.until) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(ours), Some(theirs)) => theirs <= ours,
            }
            && match (self.rate, other.rate) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(ours), Some(theirs)) => theirs.0 <= ours.0 && theirs.1 <= ours.1,
            }
            && (self.account.is_none() || self.account == other.account)
    }

    /// The same without an end.
    pub(super) fn for_ever(mut self) -> Self {
        self.until = None;
        self
    }

    pub(super) fn may(&self, scope: &str) -> bool {
        let place = SCOPES.iter().position(|known| *known == scope);
        self.scopes[place.expect("a scope of the model")]
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(stem) => name.starts_with(stem) && name != stem,
        None => pattern == name,
    }
}

/// Random numbers that can be had again (xorshift).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 33) % end as u64).expect("a small number")
    }

    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn some(&mut self, of: &[&'static str]) -> Vec<&'static str> {
        let count = 1 + self.below(3);
        (0..count).map(|_| of[self.below(of.len())]).collect()
    }

    pub(super) fn scopes(&mut self) -> Scopes {
        match self.below(12) {
            0 => Scopes::none(),
            1 => Scopes::all(),
            _ => Scopes::new(self.some(&GRANTED)).expect("scopes"),
        }
    }

    /// Most of those who begin may change keys: nothing would come of the others.
    pub(super) fn root_grants(&mut self) -> Grants {
        let scopes = self.scopes();
        let resources = self.resources();
        if scopes.is_all() || self.one_in(4) {
            return Grants::new(scopes, resources);
        }
        let writer = ["keys:write".parse().expect("a scope")];
        let scopes = scopes.iter().cloned().chain(writer).collect();
        Grants::new(scopes, resources)
    }

    pub(super) fn resources(&mut self) -> Resources {
        match self.one_in(3) {
            true => Resources::unbound(),
            false => Resources::only(self.some(&BOUND)).expect("resources"),
        }
    }

    pub(super) fn grants(&mut self) -> Grants {
        Grants::new(self.scopes(), self.resources())
    }

    pub(super) fn addresses(&mut self) -> Option<AddressList> {
        let blocks = self.some(&BLOCKS);
        (!self.one_in(2)).then(|| AddressList::new(blocks).expect("blocks"))
    }

    pub(super) fn rate(&mut self) -> Option<RateLimits> {
        let rate = RATES[self.below(RATES.len())];
        (!self.one_in(2)).then(|| rate.parse().expect("a rate"))
    }

    pub(super) fn credits(&mut self) -> Option<Credits> {
        let credits = ["5", "20", "20/30d"][self.below(3)];
        self.one_in(3).then(|| credits.parse().expect("credits"))
    }

    pub(super) fn moment(&mut self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.below(200) as u64)
    }

    pub(super) fn expiry(&mut self) -> Option<SystemTime> {
        let moment = self.moment();
        (!self.one_in(2)).then_some(moment)
    }
}
