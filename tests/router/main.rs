//! The layer, the requirements and the extractors on routers and tower stacks, in process.

mod addresses;

mod answer;

mod bodies;

mod changing;

mod configuration;

mod credits;

mod directory;

mod extensions;

mod forwarding;

mod guessing;

mod extractors;

mod fallback;

mod limits;

#[cfg(feature = "management")]
mod managing;

mod hostile;

mod owners;

mod readiness;

mod requirements;

mod resolvers;

mod responses;

mod send_sync;

mod streams;
