/// The places in which a key may be presented.
///
/// The default is `Authorization: Bearer KEY`, `Authorization: ApiKey KEY` and `X-Key: KEY`; the others must be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Sources {
    pub(super) bearer: bool,
    pub(super) api_key_scheme: bool,
    pub(super) headers: Vec<String>,
    pub(super) cookies: Vec<String>,
    pub(super) web_socket_protocols: Vec<String>,
    pub(super) query_parameters: Vec<String>,
}

impl Default for Sources {
    fn default() -> Self {
        Self::none().bearer().api_key_scheme().header("X-Key")
    }
}

impl Sources {
    /// No place at all, to begin a list of one's own with.
    pub fn none() -> Self {
        Self {
            bearer: false,
            api_key_scheme: false,
            headers: Vec::new(),
            cookies: Vec::new(),
            web_socket_protocols: Vec::new(),
            query_parameters: Vec::new(),
        }
    }

    /// `Authorization: Bearer KEY` (RFC 6750, section 2.1).
    pub fn bearer(mut self) -> Self {
        self.bearer = true;
        self
    }

    /// `Authorization: ApiKey KEY`.
    pub fn api_key_scheme(mut self) -> Self {
        self.api_key_scheme = true;
        self
    }

    /// A header of its own, `NAME: KEY`.
    pub fn header(mut self, name: impl Into<String>) -> Self {
        self.headers.push(name.into());
        self
    }

    /// A cookie. The browser sends it along with requests that other sites make it send, so such a key changes something only from a page of the same origin, as a session does: by
    /// [`same_origin`](crate::middleware::same_origin), and a program has to send `Origin`.
    pub fn cookie(mut self, name: impl Into<String>) -> Self {
        self.cookies.push(name.into());
        self
    }

    /// An entry `NAME.KEY` of `Sec-WebSocket-Protocol`, for browsers, which cannot set other headers on a WebSocket.
    /// The application must offer and choose another protocol, lest the key be echoed.
    pub fn web_socket_protocol(mut self, name: impl Into<String>) -> Self {
        self.web_socket_protocols.push(name.into());
        self
    }

    /// A query parameter. Addresses are written to logs and histories and sent to other sites, and a key in one with them: for
    /// callers that can do nothing else, with keys that can do little.
    pub fn danger_query_parameter(mut self, name: impl Into<String>) -> Self {
        self.query_parameters.push(name.into());
        self
    }
}
