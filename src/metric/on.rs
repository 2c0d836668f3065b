use std::{
    fmt,
    future::Future,
    time::{Duration, Instant},
};

use metrics::{
    Counter, Gauge, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

const DECISIONS: &str = "api_key_decisions_total";
const CACHE: &str = "api_key_cache_requests_total";
const ENTRIES: &str = "api_key_cache_entries";
const FLIGHTS: &str = "api_key_lookups_in_flight";
const NOT_MADE: &str = "api_key_lookups_not_made_total";
const STORE: &str = "api_key_store_seconds";
const STORE_DOWN: &str = "api_key_store_down_total";
const STALE: &str = "api_key_stale_used_total";
const FEED_LIVE: &str = "api_key_feed_live";
const FEED_AGE: &str = "api_key_feed_age_seconds";
const STREAMS: &str = "api_key_streams_open";
const STREAMS_ENDED: &str = "api_key_streams_ended_total";
const USES: &str = "api_key_last_used_total";
const LIMITS_SHARED: &str = "api_key_limits_shared";
const LIMITS_NOT_SHARED: &str = "api_key_limits_not_shared_total";
const AUDIT_DROPPED: &str = "api_key_audit_dropped_total";
#[cfg(feature = "oidc")]
const EXCHANGES: &str = "api_key_exchanges_total";

/// What became of requests. The counters are looked up once, so that a request adds one and does nothing else: they are those of the
/// recorder that there was when this was made.
#[derive(Default)]
pub(crate) struct Decisions {
    /// By the number of the kind of principal; the last is for nobody.
    allowed: Box<[Counter]>,
    /// By the number of the kind of refusal.
    refused: Box<[Counter]>,
}

impl Decisions {
    /// `kinds` and `codes` in the order of their numbers.
    pub(crate) fn register(
        kinds: impl IntoIterator<Item = &'static str>,
        codes: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        describe();
        let allowed = |kind| counter!(DECISIONS, "outcome" => "allowed", "kind" => kind);
        let refused = |code| counter!(DECISIONS, "outcome" => code, "kind" => "none");
        Self {
            allowed: kinds.into_iter().map(allowed).chain([allowed("none")]).collect(),
            refused: codes.into_iter().map(refused).collect(),
        }
    }

    /// Let in, as this kind of principal.
    pub(crate) fn allowed(&self, kind: usize) {
        add(self.allowed.get(kind));
    }

    /// Let in without a principal.
    pub(crate) fn anonymous(&self) {
        add(self.allowed.last());
    }

    pub(crate) fn refused(&self, kind: usize) {
        add(self.refused.get(kind));
    }
}

impl fmt::Debug for Decisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decisions")
    }
}

fn add(counter: Option<&Counter>) {
    if let Some(counter) = counter {
        counter.increment(1);
    }
}

/// How a cache does.
pub(crate) struct CacheMeter {
    hit: Counter,
    refused: Counter,
    miss: Counter,
    good: Gauge,
    bad: Gauge,
    flights: Gauge,
}

impl CacheMeter {
    pub(crate) fn register() -> Self {
        Self {
            hit: counter!(CACHE, "result" => "hit"),
            refused: counter!(CACHE, "result" => "refused"),
            miss: counter!(CACHE, "result" => "miss"),
            good: gauge!(ENTRIES, "of" => "good"),
            bad: gauge!(ENTRIES, "of" => "refused"),
            flights: gauge!(FLIGHTS),
        }
    }

    pub(crate) fn hit(&self) {
        self.hit.increment(1);
    }

    /// A hit, on a key that is not good.
    pub(crate) fn refused(&self) {
        self.refused.increment(1);
    }

    pub(crate) fn miss(&self) {
        self.miss.increment(1);
    }

    pub(crate) fn flights(&self, flights: usize) {
        self.flights.set(flights as f64);
    }

    pub(crate) fn entries(&self, entries: impl FnOnce() -> [usize; 2]) {
        let [good, bad] = entries();
        self.good.set(good as f64);
        self.bad.set(bad as f64);
    }
}

/// A look-up was refused without asking the store: the budget for texts that may be keys of other systems was spent, there were too many under
/// way, or the store is taken to be down.
pub(crate) fn lookup_not_made(why: &'static str) {
    counter!(NOT_MADE, "reason" => why).increment(1);
}

/// Times a call of the store, also one that is given up.
pub(crate) async fn timed<T, E>(
    operation: &'static str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let mut timing = Timing {
        operation,
        begun: Instant::now(),
        outcome: "abandoned",
    };
    let done = work.await;
    timing.outcome = match &done {
        Ok(_) => "ok",
        Err(_) => "error",
    };
    done
}

struct Timing {
    operation: &'static str,
    begun: Instant,
    outcome: &'static str,
}

impl Drop for Timing {
    fn drop(&mut self) {
        histogram!(STORE, "operation" => self.operation, "outcome" => self.outcome)
            .record(self.begun.elapsed().as_secs_f64());
    }
}

/// The store is taken to be down from now on.
pub(crate) fn breaker_open() {
    counter!(STORE_DOWN).increment(1);
}

/// A key was let in that the store could not confirm.
pub(crate) fn stale_used() {
    counter!(STALE).increment(1);
}

/// Whether changes made elsewhere are heard of.
pub(crate) fn feed_live(live: bool) {
    gauge!(FEED_LIVE).set(f64::from(u8::from(live)));
}

/// How old the newest proof is that everything has been heard.
pub(crate) fn feed_age(age: Duration) {
    gauge!(FEED_AGE).set(age.as_secs_f64());
}

pub(crate) fn stream_opened() {
    gauge!(STREAMS).increment(1.0);
}

/// One of a few reasons.
pub(crate) fn stream_ended(reason: &'static str) {
    gauge!(STREAMS).decrement(1.0);
    counter!(STREAMS_ENDED, "reason" => reason).increment(1);
}

/// Last uses of so many keys were written down.
pub(crate) fn uses_written(keys: usize) {
    counter!(USES, "result" => "written").increment(keys as u64);
}

/// They could not be, and will be tried again.
pub(crate) fn uses_not_written() {
    counter!(USES, "result" => "failed").increment(1);
}

pub(crate) fn uses_dropped(keys: u64) {
    counter!(USES, "result" => "dropped").increment(keys);
}

/// A refusal is not in the audit log.
pub(crate) fn audit_dropped() {
    counter!(AUDIT_DROPPED).increment(1);
}

/// Whether what keys use can be counted for all processes together.
#[cfg(feature = "redis")]
pub(crate) fn limits_shared(shared: bool) {
    gauge!(LIMITS_SHARED).set(f64::from(u8::from(shared)));
}

/// A request was decided without, in one of a few ways.
#[cfg(feature = "redis")]
pub(crate) fn limit_not_shared(then: &'static str) {
    counter!(LIMITS_NOT_SHARED, "then" => then).increment(1);
}

/// A token was brought for a key, with one of a few outcomes.
#[cfg(feature = "oidc")]
pub(crate) fn exchanged(outcome: &'static str) {
    counter!(EXCHANGES, "outcome" => outcome).increment(1);
}

fn describe() {
    describe_counter!(DECISIONS, "Requests by what became of them.");
    describe_counter!(CACHE, "Look-ups in the cache of keys.");
    describe_gauge!(ENTRIES, "Verdicts that are kept.");
    describe_gauge!(FLIGHTS, "Keys that are being looked up.");
    describe_counter!(NOT_MADE, "Look-ups answered 503 without asking the store.");
    describe_histogram!(STORE, Unit::Seconds, "How long calls of the store took.");
    describe_counter!(STORE_DOWN, "How often the store was taken to be down.");
    describe_counter!(STALE, "Uses of keys that the store could not confirm.");
    describe_gauge!(FEED_LIVE, "Whether changes made elsewhere are heard of.");
    describe_gauge!(FEED_AGE, Unit::Seconds, "How old the newest proof of that was.");
    describe_gauge!(STREAMS, "Streams that end with their key.");
    describe_counter!(STREAMS_ENDED, "Streams that ended, by the reason.");
    describe_counter!(
        USES,
        "Last uses: keys written and dropped, and batches that failed."
    );
    describe_gauge!(
        LIMITS_SHARED,
        "Whether uses of keys can be counted for all processes together."
    );
    describe_counter!(
        LIMITS_NOT_SHARED,
        "Requests decided while they could not, by how."
    );
    #[cfg(feature = "oidc")]
    describe_counter!(
        EXCHANGES,
        "Tokens that were brought for keys, by what became of them."
    );
    describe_counter!(AUDIT_DROPPED, "Refusals that are not in the audit log.");
}
