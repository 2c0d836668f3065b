//! What a key may do: scopes, resources, and the requirements that are checked against them.
//!
//! Everything here is a plain value: no request, no store, no clock. A key carries [`Grants`]; a route carries a
//! [`Requirement`]; [`Requirement::check`] is the one place where they meet.
//!
//! ```
//! use tower_api_key::access::{Grants, Requirement};
//!
//! let grants = Grants::scopes(["issues:*"])?;
//! let write = Requirement::all_of(&["issues:write"]);
//! assert!(write.check(&grants, |_| None).is_ok());
//! assert!(write.check(&Grants::none(), |_| None).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod scope;

mod resource;

mod grants;

mod requirement;

mod addresses;

mod rate;

mod rates;

mod credits;

pub(crate) use addresses::parse as parse_block;
pub use addresses::{AddressList, ParseAddressError};
pub use credits::{Credits, ParseCreditsError};
pub use grants::Grants;
pub use rate::{ParseRateError, RateLimit};
pub use rates::{Allowance, ParseRatesError, RateLimits};
pub(crate) use requirement::Need;
pub use requirement::{Denied, DeniedKind, Requirement};
pub use resource::{ParseResourceError, Resource, ResourcePattern, Resources};
pub use scope::{ParseScopeError, Scope, ScopePattern, Scopes};
