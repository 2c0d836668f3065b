//! The blocks of shell in `docs/guides`, run as they stand there. One that is marked with `<!-- run -->` must work, and print what the guide says.

#![cfg(unix)]

#[path = "../support/mod.rs"]
#[expect(
    dead_code,
    reason = "shared with the tests of the server, which use more of it"
)]
mod support;

#[path = "../support/postgres.rs"]
mod postgres;

#[path = "../exchange/signer.rs"]
#[expect(dead_code, reason = "tests of the exchange forge tokens, too")]
mod signer;

#[path = "../exchange/transport.rs"]
#[expect(dead_code, reason = "in tests of the exchange it is TLS, and broken")]
mod transport;

#[path = "../exchange/issuer.rs"]
#[expect(dead_code, reason = "in tests of the exchange it fails and lies")]
mod issuer;

mod blocks;

mod place;

mod tokens;

mod workflows;

mod imports;

use place::{Place, lacks};

#[test]
fn a_key_is_rotated_as_its_guide_says() {
    if !lacks(&["curl", "jq"]) {
        Place::new().run(include_str!("../../docs/guides/rotating-a-key.md"));
    }
}
