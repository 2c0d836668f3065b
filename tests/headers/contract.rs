//! The contract's section on reading a credential once more, written from the page and not from the code: slow, plain, and without
//! anything of the crate.

use std::collections::HashMap;

use http::{HeaderMap, HeaderName, Method, Request};

/// What must become of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It passes, as a caller or as nobody.
    Passes(Option<String>),
    Refused(u16),
}

/// Which of the contract's sources are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sources {
    Default,
    /// The opt-in ones too, all under the name `key`.
    Every,
}

/// Every good key, and whose it is.
pub(crate) type Good = HashMap<Vec<u8>, String>;

pub(crate) fn fate<B>(request: &Request<B>, sources: Sources, good: &Good) -> Fate {
    let headers = request.headers();
    let has = |name: &str| headers.contains_key(name);
    if request.method() == Method::OPTIONS && has("origin") && has("access-control-request-method") {
        return Fate::Passes(None);
    }
    let mut found = Vec::new();
    found.extend(in_authorization(headers));
    found.extend(in_own_header(headers));
    if sources == Sources::Every {
        found.extend(in_cookies(headers));
        found.extend(in_protocols(headers));
        found.extend(in_query(request.uri().query().unwrap_or_default()));
    }
    match found.as_slice() {
        [] => Fate::Refused(401),
        [Some(key)] => match good.get(key) {
            Some(owner) => Fate::Passes(Some(owner.clone())),
            None => Fate::Refused(401),
        },
        [None] => Fate::Refused(401),
        _ => Fate::Refused(400),
    }
}

/// A credential: the key, or nothing where it is in no form that the contract knows.
type Credential = Option<Vec<u8>>;

/// Two of them, for whatever is more than one.
fn ambiguous() -> Vec<Credential> {
    vec![None, None]
}

/// Two lines are ambiguous whatever their schemes; one is ours if it, or a later part of it, begins with a scheme of ours.
fn in_authorization(headers: &HeaderMap) -> Vec<Credential> {
    let value = match lines(headers, "authorization").as_slice() {
        [] => return Vec::new(),
        // The blanks around a field are not part of it.
        [value] => value.trim_ascii().to_vec(),
        _ => return ambiguous(),
    };
    let parts: Vec<&[u8]> = value.split(|byte| *byte == b',').collect();
    let begins = after_scheme(parts[0]).is_some();
    let later = parts[1..].iter().any(|part| {
        let after = after_scheme(part.trim_ascii());
        // `name=value` is a parameter of another scheme.
        after.is_some_and(|after| after.trim_ascii().first() != Some(&b'='))
    });
    if !begins && !later {
        return Vec::new();
    }
    if filled(&parts) > 1 {
        return ambiguous();
    }
    let key = after_scheme(&value).and_then(|after| match after.first() {
        Some(b' ') => Some(after.to_vec()),
        _ => None,
    });
    vec![key.map(|key| {
        let spaces = key.iter().take_while(|byte| **byte == b' ').count();
        key[spaces..].to_vec()
    })]
}

fn in_own_header(headers: &HeaderMap) -> Vec<Credential> {
    match lines(headers, "x-key").as_slice() {
        [] => Vec::new(),
        [value] => {
            let parts: Vec<&[u8]> = value.split(|byte| *byte == b',').collect();
            if filled(&parts) > 1 {
                ambiguous()
            } else {
                vec![Some(value.clone())]
            }
        }
        _ => ambiguous(),
    }
}

fn in_cookies(headers: &HeaderMap) -> Vec<Credential> {
    let lines = lines(headers, "cookie");
    let pairs = lines.iter().flat_map(|line| line.split(|byte| *byte == b';'));
    let keys = pairs.filter_map(|pair| {
        let named = pair.trim_ascii().strip_prefix(b"key")?;
        named.trim_ascii_start().strip_prefix(b"=")
    });
    keys.map(|key| Some(key.to_vec())).collect()
}

fn in_protocols(headers: &HeaderMap) -> Vec<Credential> {
    let lines = lines(headers, "sec-websocket-protocol");
    let entries = lines.iter().flat_map(|line| line.split(|byte| *byte == b','));
    let keys = entries.filter_map(|entry| entry.trim_ascii().strip_prefix(b"key."));
    keys.map(|key| Some(key.to_vec())).collect()
}

fn in_query(query: &str) -> Vec<Credential> {
    let pairs = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let keys = pairs.filter(|(name, _)| decoded(name) == b"key");
    keys.map(|(_, key)| Some(decoded(key))).collect()
}

fn decoded(text: &str) -> Vec<u8> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let digits = part
            .get(..2)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend(&part.as_bytes()[2..]);
            }
            None => {
                bytes.push(b'%');
                bytes.extend(part.as_bytes());
            }
        }
    }
    bytes
}

/// What follows `Bearer` or `ApiKey` in any case, unless it goes on as a longer word.
fn after_scheme(part: &[u8]) -> Option<&[u8]> {
    let (scheme, after) = part.split_at_checked(6)?;
    let ours = scheme.eq_ignore_ascii_case(b"bearer") || scheme.eq_ignore_ascii_case(b"apikey");
    let goes_on = after
        .first()
        .is_some_and(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte));
    (ours && !goes_on).then_some(after)
}

fn filled(parts: &[&[u8]]) -> usize {
    parts.iter().filter(|part| !part.trim_ascii().is_empty()).count()
}

fn lines(headers: &HeaderMap, name: &'static str) -> Vec<Vec<u8>> {
    let values = headers.get_all(HeaderName::from_static(name));
    values.iter().map(|value| value.as_bytes().to_vec()).collect()
}
