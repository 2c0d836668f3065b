use std::fmt;

use http::Uri;

use super::FetchError;

/// Longer than any URL that is written by hand.
const MAX_URL: usize = 2048;

/// An address of the web, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(super) secure: bool,
    /// A name, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// The host as it was written, with the port if there was one.
    pub(super) authority: String,
    /// With the query.
    pub(super) path: String,
}

impl Target {
    /// # Errors
    ///
    /// When it is no `http` or `https` URL, or holds a user's name or password.
    pub(crate) fn parse(url: &str) -> Result<Self, FetchError> {
        const NO_URL: FetchError = FetchError::Url("it is no https URL");
        if url.len() > MAX_URL || !url.bytes().all(|byte| byte.is_ascii_graphic()) || url.contains('#') {
            return Err(NO_URL);
        }
        let uri: Uri = url.parse().map_err(|_| NO_URL)?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(NO_URL),
        };
        let authority = uri.authority().ok_or(NO_URL)?;
        if authority.as_str().contains('@') {
            return Err(FetchError::Url("it must not hold a user's name"));
        }
        let host = authority.host();
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        if host.is_empty() {
            return Err(NO_URL);
        }
        Ok(Self {
            secure,
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        })
    }

    /// The same place with something appended to its path.
    pub(crate) fn join(&self, below: &str) -> Self {
        let path = format!("{}{below}", self.path.trim_end_matches('/'));
        Self { path, ..self.clone() }
    }

    /// Whether it has a query.
    pub(crate) fn has_query(&self) -> bool {
        self.path.contains('?')
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_put_together() {
        let target = Target::parse("https://[2606:4700::1]:8443/a/?b=c").expect("a URL");
        assert_eq!((target.host.as_str(), target.port), ("2606:4700::1", 8443));
        assert_eq!(target.to_string(), "https://[2606:4700::1]:8443/a/?b=c");
        let issuer = Target::parse("https://gitlab.com").expect("a URL");
        assert_eq!(issuer.port, 443);
        let below = issuer.join("/.well-known/openid-configuration");
        assert_eq!(
            below.to_string(),
            "https://gitlab.com/.well-known/openid-configuration"
        );
        assert_eq!(
            Target::parse("https://a/b/").expect("a URL").join("/c").path,
            "/b/c"
        );
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for url in [
            "",
            "gitlab.com",
            "/path",
            "ftp://a",
            "file:///etc/passwd",
            "https://",
            "https://user@host",
            "https://a:b@host",
            "https://a/ b",
            "https://a/#b",
            "https://\u{e9}.example",
            "javascript:alert(1)",
        ] {
            assert!(Target::parse(url).is_err(), "{url}");
        }
    }
}
