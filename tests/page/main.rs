//! The page on which people manage their keys, as they meet it: the demo server, and a headless Chromium that clicks.
//!
//! Each test prints `SKIPPED` where there is no Chromium, or where `axe-core` is not at hand; with `CI=true` it fails instead. Pictures of
//! every view are left in `target/screenshots`.

#![cfg(unix)]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "other tests of the server need other parts of it")]
mod support;

// What programs are made of.
#[expect(dead_code, reason = "one or the other has no use yet")]
mod browser;
mod inside;
#[path = "../support/people.rs"]
mod people;
mod place;

// By hand, request by request.
mod claims;
#[cfg(feature = "testing")]
mod clocks;
mod forms;
mod mistakes;
mod negotiated;
mod origins;
mod outages;
mod owners;
mod served;

// With a browser.
mod crossing;
mod life;
mod looks;
mod scriptless;
