//! The lock and the counters, so that a model checker can put its own in their place.

#[cfg(not(all(shuttle, test)))]
mod chosen {
    pub(in super::super) use std::sync::atomic::{AtomicU64, AtomicUsize};

    pub(in super::super) use parking_lot::Mutex;
}

#[cfg(all(shuttle, test))]
mod chosen {
    pub(in super::super) use shuttle::sync::atomic::{AtomicU64, AtomicUsize};

    /// `shuttle`'s lock with the signature of `parking_lot`'s.
    pub(in super::super) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(in super::super) fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        pub(in super::super) fn lock(&self) -> shuttle::sync::MutexGuard<'_, T> {
            self.0.lock().expect("a shuttle thread panicked")
        }
    }
}

pub(super) use chosen::{AtomicU64, AtomicUsize, Mutex};
