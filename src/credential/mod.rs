//! Where in a request the key is.
//!
//! One credential is what a request may carry: two header lines, two sources or a comma-joined list are ambiguous, also when they
//! agree, because a proxy in front may have read the other one.

use std::{borrow::Cow, error::Error, fmt};

use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL},
};

use crate::principal::Realm;

mod sources;

pub use sources::Sources;

/// Places that cannot be: a name that is no header name, cookie name or token, a header that has another use, or no place at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcesError(Problem);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Problem {
    None,
    BadName(String),
    OtherUse(String),
    Twice(String),
}

impl fmt::Display for SourcesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Problem::None => f.write_str("no place is named in which a key may be presented"),
            Problem::BadName(name) => write!(f, "{name:?} cannot name a place for a key"),
            Problem::OtherUse(name) => write!(f, "the header {name:?} has another use"),
            Problem::Twice(name) => write!(f, "{name:?} is named twice"),
        }
    }
}

impl Error for SourcesError {}

/// What a request carries.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Presented<'r> {
    None,
    One(Cow<'r, [u8]>),
    Many,
}

impl<'r> Presented<'r> {
    fn one(bytes: &'r [u8]) -> Self {
        Self::One(Cow::Borrowed(bytes))
    }

    /// The credential in a field that a proxy may have joined of several, with commas.
    fn listed(field: &'r [u8], credential: &'r [u8]) -> Self {
        if !field.contains(&b',') {
            return Self::one(credential);
        }
        let entries = field
            .split(|byte| *byte == b',')
            .filter(|entry| !entry.trim_ascii().is_empty());
        match entries.count() {
            0 | 1 => Self::one(credential),
            _ => Self::Many,
        }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::None, found) | (found, Self::None) => found,
            _ => Self::Many,
        }
    }
}

/// [`Sources`], ready to look.
#[derive(Debug)]
pub(crate) struct Reader {
    bearer: bool,
    api_key_scheme: bool,
    headers: Box<[HeaderName]>,
    /// As the application wrote them: header names have no case, people do.
    header_labels: Box<[String]>,
    cookies: Box<[String]>,
    web_socket_protocols: Box<[String]>,
    query_parameters: Box<[String]>,
    /// Whether somebody beside this reader goes by cookies.
    sessions: bool,
}

impl Reader {
    /// # Errors
    ///
    /// Everything that is wrong with them.
    pub(crate) fn new(sources: &Sources) -> Result<Self, Vec<SourcesError>> {
        let mut errors = Vec::new();
        let mut headers: Vec<HeaderName> = Vec::new();
        for name in &sources.headers {
            match HeaderName::try_from(name.as_str()) {
                Err(_) => errors.push(Problem::BadName(name.clone())),
                Ok(header) if has_other_use(&header) => errors.push(Problem::OtherUse(name.clone())),
                Ok(header) if headers.contains(&header) => errors.push(Problem::Twice(name.clone())),
                Ok(header) => headers.push(header),
            }
        }
        for names in [
            &sources.cookies,
            &sources.web_socket_protocols,
            &sources.query_parameters,
        ] {
            for (i, name) in names.iter().enumerate() {
                if name.is_empty() || !name.bytes().all(is_token_byte) {
                    errors.push(Problem::BadName(name.clone()));
                } else if names[..i].contains(name) {
                    errors.push(Problem::Twice(name.clone()));
                }
            }
        }
        if *sources == Sources::none() {
            errors.push(Problem::None);
        }
        if !errors.is_empty() {
            return Err(errors.into_iter().map(SourcesError).collect());
        }
        Ok(Self {
            bearer: sources.bearer,
            api_key_scheme: sources.api_key_scheme,
            headers: headers.into(),
            header_labels: sources.headers.as_slice().into(),
            cookies: sources.cookies.as_slice().into(),
            web_socket_protocols: sources.web_socket_protocols.as_slice().into(),
            query_parameters: sources.query_parameters.as_slice().into(),
            sessions: false,
        })
    }

    /// The same, where a fallback goes by cookies: they are secrets, and answers depend on them.
    pub(crate) fn with_sessions(mut self) -> Self {
        self.sessions = true;
        self
    }

    /// Whether the one credential of a request is a bearer token.
    pub(crate) fn is_bearer(&self, headers: &HeaderMap) -> bool {
        let value = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        value.is_some_and(|value| {
            self.strip_scheme(value).is_some() && value[..6].eq_ignore_ascii_case(b"bearer")
        })
    }

    /// The credential of a request, wherever it is.
    pub(crate) fn read<'r>(&self, headers: &'r HeaderMap, uri: &'r Uri) -> Presented<'r> {
        // Spares a second look at every header: in most requests no name comes twice.
        let unique = headers.len() == headers.keys_len();
        let single = |name: &HeaderName| {
            let value = headers.get(name)?;
            let alone = unique || headers.get_all(name).iter().nth(1).is_none();
            Some(alone.then_some(value.as_bytes()))
        };
        let mut found = Presented::None;
        if self.bearer || self.api_key_scheme {
            found = match single(&AUTHORIZATION) {
                None => Presented::None,
                Some(None) => Presented::Many,
                Some(Some(value)) => self.in_authorization(value),
            };
        }
        for name in &self.headers {
            found = found.and(match single(name) {
                None => Presented::None,
                Some(None) => Presented::Many,
                Some(Some(value)) => Presented::listed(value, value),
            });
        }
        if !self.cookies.is_empty() {
            found = found.and(self.in_cookies(headers));
        }
        if !self.web_socket_protocols.is_empty() {
            found = found.and(self.in_web_socket_protocols(headers));
        }
        if !self.query_parameters.is_empty() {
            found = found.and(self.in_query(uri));
        }
        found
    }

    /// Marks what may hold a key, so that no `Debug` of the headers shows it from here on.
    pub(crate) fn conceal(&self, headers: &mut HeaderMap) {
        if headers.len() == headers.keys_len() {
            for name in self.header_names() {
                if let Some(value) = headers.get_mut(name) {
                    value.set_sensitive(true);
                }
            }
        } else {
            for (name, value) in headers.iter_mut() {
                if self.header_names().any(|source| source == name) {
                    value.set_sensitive(true);
                }
            }
        }
    }

    /// `Vary` for answers that depend on the credential; `None` when no header holds one.
    pub(crate) fn vary(&self) -> Option<HeaderValue> {
        let authorization = (self.bearer || self.api_key_scheme).then_some("Authorization");
        let cookie = self.goes_by_cookies().then_some("Cookie");
        let web_socket = (!self.web_socket_protocols.is_empty()).then_some("Sec-WebSocket-Protocol");
        let own = self.header_labels.iter().map(String::as_str);
        let names: Vec<&str> = authorization
            .into_iter()
            .chain(own)
            .chain(cookie)
            .chain(web_socket)
            .collect();
        match names.is_empty() {
            true => None,
            false => HeaderValue::try_from(names.join(", ")).ok(),
        }
    }

    /// The protection space of this name, with the challenges for these places.
    pub(crate) fn realm(&self, name: &str) -> Realm {
        Realm {
            name: name.into(),
            bearer: self.bearer,
            header_labels: self.header_labels.clone(),
            ..Realm::default()
        }
    }

    fn goes_by_cookies(&self) -> bool {
        self.sessions || !self.cookies.is_empty()
    }

    fn header_names(&self) -> impl Iterator<Item = &HeaderName> {
        let authorization = (self.bearer || self.api_key_scheme).then_some(&AUTHORIZATION);
        let cookie = self.goes_by_cookies().then_some(&COOKIE);
        let web_socket = (!self.web_socket_protocols.is_empty()).then_some(&SEC_WEBSOCKET_PROTOCOL);
        authorization
            .into_iter()
            .chain(&self.headers)
            .chain(cookie)
            .chain(web_socket)
    }

    fn in_authorization<'r>(&self, value: &'r [u8]) -> Presented<'r> {
        // HTTP/1 parsers trim a field; others need not.
        let value = value.trim_ascii();
        match self.strip_scheme(value) {
            Some(rest) => {
                let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
                // No space, no key: `Bearer/abc` is not the key `/abc`.
                let stuck = spaces == 0 && !rest.is_empty();
                Presented::listed(value, if stuck { &[] } else { &rest[spaces..] })
            }
            // Another scheme is not for us, unless a proxy has joined one of ours to it.
            None if value.split(|byte| *byte == b',').skip(1).any(|entry| {
                let after = self.strip_scheme(entry.trim_ascii());
                // `Digest ..., apikey=abc` is a parameter.
                after.is_some_and(|after| !after.trim_ascii_start().starts_with(b"="))
            }) =>
            {
                Presented::listed(value, &[])
            }
            None => Presented::None,
        }
    }

    /// What follows one of our schemes, a space first where all is well.
    fn strip_scheme<'r>(&self, value: &'r [u8]) -> Option<&'r [u8]> {
        // Both of them have six letters.
        let (scheme, rest) = value.split_at_checked(6)?;
        let whole = !rest.first().is_some_and(|byte| is_token_byte(*byte));
        let ours = (self.bearer && scheme.eq_ignore_ascii_case(b"bearer"))
            || (self.api_key_scheme && scheme.eq_ignore_ascii_case(b"apikey"));
        (whole && ours).then_some(rest)
    }

    /// Whether what was presented is a cookie: there is one place at most.
    pub(crate) fn is_cookie(&self, headers: &HeaderMap) -> bool {
        !self.cookies.is_empty() && !matches!(self.in_cookies(headers), Presented::None)
    }

    fn in_cookies<'r>(&self, headers: &'r HeaderMap) -> Presented<'r> {
        let lines = headers.get_all(COOKIE).into_iter();
        let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
        let values = pairs.filter_map(|pair| {
            let pair = pair.trim_ascii();
            let equals = pair.iter().position(|byte| *byte == b'=')?;
            let value = &pair[equals + 1..];
            named(&self.cookies, pair[..equals].trim_ascii()).then_some(value)
        });
        values.map(Presented::one).fold(Presented::None, Presented::and)
    }

    fn in_web_socket_protocols<'r>(&self, headers: &'r HeaderMap) -> Presented<'r> {
        let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter();
        let entries = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        let values = entries.filter_map(|entry| {
            let entry = entry.trim_ascii();
            let dot = |name: &String| entry.strip_prefix(name.as_bytes())?.strip_prefix(b".");
            self.web_socket_protocols.iter().find_map(dot)
        });
        values.map(Presented::one).fold(Presented::None, Presented::and)
    }

    fn in_query<'r>(&self, uri: &'r Uri) -> Presented<'r> {
        let pairs = uri.query().unwrap_or_default().split('&');
        let values = pairs.filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = percent_decode(name.as_bytes());
            named(&self.query_parameters, &name).then(|| Presented::One(percent_decode(value.as_bytes())))
        });
        values.fold(Presented::None, Presented::and)
    }
}

fn named(names: &[String], name: &[u8]) -> bool {
    names.iter().any(|known| known.as_bytes() == name)
}

fn percent_decode(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'%') {
        return Cow::Borrowed(text);
    }
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match (text[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high << 4 | low) as u8);
                at += 3;
            }
            (byte, ..) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    Cow::Owned(decoded)
}

/// `tchar` of RFC 9110, section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn has_other_use(name: &HeaderName) -> bool {
    [
        AUTHORIZATION,
        COOKIE,
        SEC_WEBSOCKET_PROTOCOL,
        http::header::HOST,
        http::header::CONTENT_LENGTH,
    ]
    .contains(name)
}

#[cfg(test)]
mod tests;
