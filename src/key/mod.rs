//! What a key is.
//!
//! ```text
//! ak_5fJ0c0y3Rk1uVt8mWq2ZsXe7GhB9nLpTdQaYi6oKxCvN4w
//! ├┘ └──────────────────┬────────────────────┘└─┬──┘
//! │   43 base62 characters: 256 random bits     6 base62 characters: a keyed check
//! prefix: names the application's keys to people, scanners and other schemes
//! ```
//!
//! - The whole text is hashed with SHA-256 and the digest is what a store keeps and what authenticates.
//! - The check is `HMAC-SHA256(check key, prefix_body)`, cut to 62⁶ values (35.7 bits). It authenticates nothing: it lets a
//!   server that has never seen a key tell, without a query, that it was not minted here. One in 5.7 × 10¹⁰ guesses passes it.
//! - With a prefix of at most five characters a key is at most 55 bytes, and SHA-256 needs one block for it.

mod id;

mod secret;

mod digest;

mod token;

mod placeholder;

mod account;

mod record;

mod tally;

mod used;

pub use account::CreditAccount;
pub use digest::{KeyDigest, ParseDigestError, Pepper};
pub use id::{KeyId, ParseKeyIdError};
pub use record::{KeyRecord, KeyStatus};
pub use secret::Secret;
pub use token::{CheckKey, KeyFormat, Malformed, ParsePrefixError, scanning_pattern};

pub(crate) use placeholder::is_placeholder;
pub(crate) use tally::{Counter, Tallies};
pub(crate) use token::MAX_PRESENTED_LEN;
pub(crate) use used::{LastUsed, date_of};
