//! The suite finds what is wrong with a store.

use std::thread;

use tokio::runtime::Builder;
use tower_api_key::store::{KeyStore, conformance};

use crate::{fault::Fault, shelf::Shelf};

/// Whether the suite panics.
fn is_caught<S: KeyStore>(make: impl Fn() -> S + Send + 'static) -> bool {
    let checking = thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("a runtime");
        runtime.block_on(conformance::check(|| std::future::ready(make())));
    });
    checking.join().is_err()
}

#[test]
fn each_fault_is_caught_and_a_store_without_one_is_not() {
    assert!(!is_caught(Shelf::default));
    let uncaught: Vec<Fault> = Fault::ALL
        .iter()
        .copied()
        .filter(|&fault| !is_caught(move || Shelf::with(fault)))
        .collect();
    assert!(uncaught.is_empty(), "the suite is blind to {uncaught:?}");
}
