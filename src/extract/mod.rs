//! Extractors for axum handlers.
//!
//! - [`Principal`]: who is calling. `Option<Principal>` where the layer is [optional](crate::ApiKeyAuth::optional).
//! - [`Scoped<R>`](Scoped): who is calling, once they meet a requirement.
//! - [`Owner<T>`](Owner): the application's own value for the caller.
//!
//! On a route without [`ApiKeyAuth`](crate::ApiKeyAuth) each of them answers 500 and names the layer: a forgotten layer is never an open door.
//!
//! ```
//! use axum::{Router, body::Body, routing::post};
//! use http::{Request, StatusCode};
//! use tower::ServiceExt;
//! use tower_api_key::{
//!     ApiKeyAuth,
//!     access::{Grants, Requirement},
//!     authn::StaticKey,
//!     extract::{Requires, Scoped},
//! };
//!
//! struct WriteIssues;
//!
//! impl Requires for WriteIssues {
//!     const REQUIREMENT: Requirement = Requirement::all_of(&["issues:write"]);
//! }
//!
//! async fn create(caller: Scoped<WriteIssues>) -> String {
//!     format!("created by {}", *caller)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let auth = ApiKeyAuth::static_keys_only()
//!     .static_key(StaticKey::new("may-read-issues-only").grant(Grants::scopes(["issues:read"])?))
//!     .build()?;
//! let app = Router::new().route("/issues", post(create)).layer(auth);
//! let request = Request::post("/issues").header("X-Key", "may-read-issues-only").body(Body::empty())?;
//! assert_eq!(app.oneshot(request).await?.status(), StatusCode::FORBIDDEN);
//! # Ok(())
//! # }
//! ```

use std::{fmt, marker::PhantomData, ops::Deref, sync::Arc};

use axum::{
    body::Body,
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::request::Parts;

use crate::{
    access::Requirement,
    authn::{Refusal, RefusalKind},
    middleware::{Parameters, Rejection},
    principal::{Anonymous, Principal},
};

#[cfg(feature = "ws")]
mod ws;

#[cfg(feature = "ws")]
pub use ws::{CLOSE_REVOKED, RevocableUpgrade, RevocableWebSocket};

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        Self::into_response(self).map(Body::from)
    }
}

impl<S: Sync> FromRequestParts<S> for Principal {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let principal = parts.extensions.get::<Self>();
        principal
            .cloned()
            .ok_or_else(|| Rejection::no_principal(&parts.extensions))
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Principal {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Self::Rejection> {
        match parts.extensions.get::<Self>() {
            Some(principal) => Ok(Some(principal.clone())),
            None if parts.extensions.get::<Anonymous>().is_some() => Ok(None),
            None => Err(Rejection::no_principal(&parts.extensions)),
        }
    }
}

impl Principal {
    /// Checks a requirement in the middle of a handler, one that names no path parameter.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] to return, when the caller does not meet it.
    pub fn require(&self, requirement: &Requirement) -> Result<(), Rejection> {
        self.require_with(requirement, |_| None)
    }

    /// Checks a requirement in the middle of a handler, where the handler gives the value of each parameter of its resource.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] to return, when the caller does not meet it.
    pub fn require_with<'p>(
        &self,
        requirement: &Requirement,
        parameter: impl Fn(&str) -> Option<&'p str>,
    ) -> Result<(), Rejection> {
        self.meets(requirement, parameter)
            .map_err(|denied| Rejection::denied(denied, self))
    }
}

/// A type that stands for a [`Requirement`], to be named in the signature of a handler.
pub trait Requires {
    /// What is required.
    const REQUIREMENT: Requirement;
}

/// The [`Principal`], once it has met the requirement `R`.
pub struct Scoped<R> {
    principal: Principal,
    requirement: PhantomData<fn() -> R>,
}

impl<R> Scoped<R> {
    /// Who is calling.
    #[must_use]
    pub fn into_principal(self) -> Principal {
        self.principal
    }
}

impl<R> Deref for Scoped<R> {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.principal
    }
}

impl<R> Clone for Scoped<R> {
    fn clone(&self) -> Self {
        Self {
            principal: self.principal.clone(),
            requirement: PhantomData,
        }
    }
}

impl<R> fmt::Debug for Scoped<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scoped").field(&self.principal).finish()
    }
}

impl<S: Sync, R: Requires> FromRequestParts<S> for Scoped<R> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let requirement = const { &R::REQUIREMENT };
        let principal = <Principal as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        // Only a bound key has to be measured against the path, and only by a requirement that names a resource.
        let measured = requirement.resource().is_some() && principal.grants().resources().is_bound();
        let parameters = measured.then(|| Parameters::of_parts(parts));
        principal.require_with(requirement, |name| parameters.as_ref()?.get(name))?;
        Ok(Self {
            principal,
            requirement: PhantomData,
        })
    }
}

/// The application's own value for the caller, as a [`StaticKey`](crate::authn::StaticKey), a resolver or
/// the directory of [`Builder::owners`](crate::Builder::owners) gave it.
///
/// A caller without a value of this type is a mistake in the program, and gets 500.
#[derive(Debug)]
pub struct Owner<T>(pub Arc<T>);

impl<T> Deref for Owner<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Clone for Owner<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: Sync, T: Send + Sync + 'static> FromRequestParts<S> for Owner<T> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let principal = <Principal as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        let missing = || {
            Refusal::because(
                RefusalKind::Misconfigured,
                "the caller has no value of the type asked for",
            )
        };
        principal
            .get_arc()
            .map(Self)
            .ok_or_else(|| Rejection::new(missing(), principal.realm()))
    }
}
