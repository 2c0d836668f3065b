//! The tower side: authenticate a request, require something of its caller, refuse it.
//!
//! [`Authenticate`] is the service that [`ApiKeyAuth`](crate::ApiKeyAuth) makes; [`RequireScope`] is a layer of its own, for a route or a
//! group of them. Both work on any tower HTTP stack and any request body; their refusals need a response body that can be made of bytes,
//! which [`AnyBody`] provides for those that cannot.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::Full;
//! use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
//! use tower_api_key::{ApiKeyAuth, access::Grants, authn::StaticKey, middleware::RequireScope};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let auth = ApiKeyAuth::static_keys_only()
//!     .static_key(StaticKey::new("correct-horse-battery").grant(Grants::scopes(["issues:read"])?))
//!     .build()?;
//! let service = ServiceBuilder::new()
//!     .layer(auth)
//!     .layer(RequireScope::new("issues:write")?)
//!     .service(service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))));
//!
//! let request = Request::get("/").header("X-Key", "correct-horse-battery").body(String::new())?;
//! let response = service.oneshot(request).await?;
//! assert_eq!(response.status(), StatusCode::FORBIDDEN);
//! assert_eq!(response.headers()["www-authenticate"], r#"Bearer realm="api", error="insufficient_scope", scope="issues:write""#);
//! # Ok(())
//! # }
//! ```

mod rejection;

mod body;

mod parameters;

mod address;

mod forwarded;

mod allowance;

mod cost;

mod origin;

mod gate;

mod charge;

mod connection;

mod guard;

mod upload;

mod stream;

mod held;

mod future;

mod authenticate;

mod require;

mod grpc;

pub use address::ClientAddress;
pub use authenticate::Authenticate;
pub use body::{AnyBody, AnyBodyService, RefusalBody, ResponseBody};
pub use connection::ConnectionHandle;
pub(crate) use cost::CostOf;
pub use cost::RequestHead;
pub use grpc::{GrpcBody, GrpcStatus, GrpcStatusService};
pub use guard::GuardedBody;
pub use origin::same_origin;
pub use rejection::Rejection;
pub use require::{Require, RequireScope};

/// The futures of the services in this module.
pub mod futures {
    pub use super::{
        body::ResponseFuture as AnyBodyFuture, future::ResponseFuture as AuthenticateFuture,
        grpc::ResponseFuture as GrpcStatusFuture, require::ResponseFuture as RequireFuture,
    };
}

#[cfg(feature = "management")]
pub(crate) use address::household;
pub(crate) use forwarded::Proxies;
pub(crate) use gate::Gate;
#[cfg(feature = "management")]
pub(crate) use origin::{TOLD_METHODS, may_ask};
#[cfg(feature = "axum")]
pub(crate) use parameters::Parameters;
