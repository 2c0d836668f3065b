//! What holds on every database, between several processes that share it: through a router, as requests come.

mod app;

mod audit;

mod last_used;

mod place;

#[path = "../support/postgres.rs"]
mod postgres;

mod quota;

mod revoking;

mod rotation;

/// The same test on both databases.
macro_rules! on_both {
    ($($test:ident,)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(crate::place::Place::sqlite()).await;
            })*
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                if let Some(place) = crate::place::Place::postgres() {
                    super::$test(place).await;
                }
            })*
        }
    };
}

use on_both;
