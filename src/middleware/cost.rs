use std::fmt;

use http::{Extensions, HeaderMap, Method, Request, Uri};

/// What a request says before its body: what [`Builder::cost`](crate::Builder::cost) goes by.
#[derive(Clone, Copy)]
pub struct RequestHead<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    extensions: &'a Extensions,
}

/// How many uses a request is worth.
pub(crate) type CostOf = Box<dyn Fn(&RequestHead<'_>) -> u32 + Send + Sync>;

impl<'a> RequestHead<'a> {
    pub(super) fn of<B>(request: &'a Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &'a Method {
        self.method
    }

    /// The target. Inside of a nested router, what is left of it.
    #[must_use]
    pub fn uri(&self) -> &'a Uri {
        self.uri
    }

    /// The header fields. The key is among them.
    #[must_use]
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// What layers outside have put there.
    #[must_use]
    pub fn extensions(&self) -> &'a Extensions {
        self.extensions
    }

    /// The route as it was declared, such as `/issues/{id}`: where the layer was added by `Router::layer` after the routes, and not around the
    /// whole router.
    #[cfg(feature = "axum")]
    #[must_use]
    pub fn route(&self) -> Option<&'a str> {
        let path: &axum::extract::MatchedPath = self.extensions.get()?;
        Some(path.as_str())
    }
}

impl fmt::Debug for RequestHead<'_> {
    // Not the fields, one of which is the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", self.method)
            .finish_non_exhaustive()
    }
}
