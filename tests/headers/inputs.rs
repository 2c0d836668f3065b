//! Requests read off a tape of random bytes: the shorter the tape and the smaller its bytes, the plainer the request, so that what
//! proptest shrinks is readable.

use http::{HeaderName, HeaderValue, Method, Request};

/// The material of near misses.
#[derive(Debug, Default)]
pub(crate) struct Material {
    pub(crate) good: Vec<Vec<u8>>,
    /// Well made, and no good: revoked, expired, unknown, of another prefix or installation, a digest.
    pub(crate) bad: Vec<Vec<u8>>,
}

pub(crate) struct Tape<'t>(&'t [u8]);

impl<'t> Tape<'t> {
    pub(crate) fn new(bytes: &'t [u8]) -> Self {
        Self(bytes)
    }

    fn byte(&mut self) -> u8 {
        match self.0 {
            [first, rest @ ..] => {
                self.0 = rest;
                *first
            }
            [] => 0,
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::from(self.byte()) % limit
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Bytes of no kind in particular.
    fn noise(&mut self) -> Vec<u8> {
        let length = self.below(40);
        (0..length).map(|_| self.byte()).collect()
    }

    pub(crate) fn request(&mut self, material: &Material) -> Request<Vec<u8>> {
        let mut request = Request::new(Vec::new());
        *request.method_mut() = self
            .pick(&[Method::GET, Method::GET, Method::HEAD, Method::OPTIONS])
            .clone();
        let count = *self.pick(&[1, 1, 1, 2, 2, 0, 3, 4]);
        for _ in 0..count {
            let name = self.name();
            let value = self.value(&name, material);
            request.headers_mut().append(name, value);
        }
        if self.below(4) == 3
            && let Ok(address) = self.address(material).parse()
        {
            *request.uri_mut() = address;
        }
        request
    }

    /// Bytes as they come, without a thought of what would make sense.
    pub(crate) fn raw_request(&mut self) -> Request<Vec<u8>> {
        let mut request = Request::new(Vec::new());
        for _ in 0..=self.below(4) {
            let name = self.name();
            let bytes = self.noise();
            request.headers_mut().append(name, header_value(bytes));
        }
        request
    }

    fn name(&mut self) -> HeaderName {
        const NAMES: [&str; 16] = [
            "authorization",
            "x-key",
            "authorization",
            "x-key",
            "authorization",
            "cookie",
            "sec-websocket-protocol",
            "origin",
            "access-control-request-method",
            "proxy-authorization",
            "x-api-key",
            "x-keys",
            "accept",
            "key",
            "",
            "",
        ];
        let name = HeaderName::from_bytes(self.pick(&NAMES).as_bytes());
        let noise = name.or_else(|_| HeaderName::from_bytes(&self.noise()));
        noise.unwrap_or(http::header::ACCEPT)
    }

    fn value(&mut self, name: &HeaderName, material: &Material) -> HeaderValue {
        header_value(match name.as_str() {
            "authorization" | "proxy-authorization" => self.listed(b",", |tape| tape.credentials(material)),
            "cookie" => self.listed(b";", |tape| tape.named(b"=", material)),
            "sec-websocket-protocol" => self.listed(b",", |tape| tape.named(b".", material)),
            _ => self.listed(b",", |tape| tape.key(material)),
        })
    }

    /// One of them, mostly; or several joined as a proxy would, or nearly so.
    fn listed(&mut self, separator: &[u8], mut one: impl FnMut(&mut Self) -> Vec<u8>) -> Vec<u8> {
        let mut all = Vec::new();
        for i in 0..*self.pick(&[1, 1, 1, 1, 1, 1, 2, 3]) {
            if i > 0 {
                all.extend(separator);
                all.extend(*self.pick(&[&b" "[..], b"", b"\t", b", "]));
            }
            all.extend(one(self));
        }
        match self.below(24) {
            21 => all.insert(0, b' '),
            22 => all.insert(0, separator[0]),
            23 => all.extend(separator),
            _ => {}
        }
        all
    }

    fn credentials(&mut self, material: &Material) -> Vec<u8> {
        const SCHEMES: [&str; 16] = [
            "Bearer", "Bearer", "ApiKey", "bearer", "BEARER", "apikey", "bEaReR", "APIKEY", "Basic",
            "Digest", "DPoP", "Bearer1", "Bear", "Key", "", "\u{e9}",
        ];
        const SPACES: [&str; 16] = [
            " ", " ", " ", " ", " ", " ", " ", "  ", "     ", "", "\t", " \t", "=", " = ", "/", ":",
        ];
        let scheme = *self.pick(&SCHEMES);
        let space = *self.pick(&SPACES);
        [scheme.as_bytes(), space.as_bytes(), &self.key(material)].concat()
    }

    fn named(&mut self, between: &[u8], material: &Material) -> Vec<u8> {
        let name = *self.pick(&[
            &b"key"[..],
            b"key",
            b"key",
            b"KEY",
            b"keys",
            b"key ",
            b"",
            b" key",
        ]);
        [name, between, &self.key(material)].concat()
    }

    fn address(&mut self, material: &Material) -> String {
        let mut address = "/?".to_owned();
        for _ in 0..*self.pick(&[1, 1, 2]) {
            let name = *self.pick(&["key=", "key=", "k%65y=", "KEY=", "a=", "key", "key=%"]);
            address.push_str(name);
            let encode = self.below(3) == 2;
            for byte in self.key(material) {
                let plain = byte.is_ascii_graphic() && !b"&#%".contains(&byte);
                match plain && !encode {
                    true => address.push(char::from(byte)),
                    false => address.push_str(&format!("%{byte:02x}")),
                }
            }
            address.push('&');
        }
        address
    }

    /// A good key, in half of all cases; else one that only looks like it, or noise.
    fn key(&mut self, material: &Material) -> Vec<u8> {
        let mut key = self.pick(&material.good).clone();
        let at = self.below(key.len());
        match self.below(32) {
            0..16 => {}
            16 => key[at] ^= 1 << self.below(8),
            17 => key[at] = self.byte(),
            18 => key[at] ^= 0x20,
            19 => key.truncate(at),
            20 => drop(key.drain(..at)),
            21 => key.insert(at, *self.pick(b" \t,;=.\x80\xff")),
            22 => key.push(*self.pick(b" \t,;=.\x80a")),
            23 => drop(key.remove(at)),
            24 => key = key.repeat(2),
            25 => key.resize(*self.pick(&[511, 512, 513, 514, 4096]), b'a'),
            26 => key = [b"\"", &key[..], b"\""].concat(),
            27 => key.swap(0, at),
            28 | 29 => key = self.pick(&material.bad).clone(),
            30 => key = self.noise(),
            _ => key.clear(),
        }
        key
    }
}

/// What cannot be in a header value never gets as far as a service: another byte stands in for it.
fn header_value(mut bytes: Vec<u8>) -> HeaderValue {
    let banned = |byte: &&mut u8| (**byte < b' ' && **byte != b'\t') || **byte == 0x7F;
    bytes.iter_mut().filter(banned).for_each(|byte| *byte = b'~');
    HeaderValue::from_bytes(&bytes).expect("bytes that a header value may hold")
}
