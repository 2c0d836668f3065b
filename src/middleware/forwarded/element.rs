use std::{iter, net::IpAddr};

use super::node::{self, trimmed};

/// Longer than any address with its port.
const MAX_NODE: usize = 64;

/// The elements of a line, the last one first; `None`, and nothing after it, where a quote does not open that was closed.
///
/// What is on the right was written by those who are trusted. Reading from there, nothing that a client has written can take away from it, such
/// as a quote that it never closes.
pub(super) fn from_the_right(line: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut left = Some(line);
    iter::from_fn(move || {
        let line = left.take()?;
        Some(last(line).map(|(before, element)| {
            left = before;
            element
        }))
    })
}

/// What is behind the last comma that is not quoted, and what is before it.
fn last(line: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let mut at = line.len();
    while let Some(before) = at.checked_sub(1) {
        at = match line[before] {
            b',' => return Some((Some(&line[..before]), &line[at..])),
            b'"' => opening(&line[..before])?,
            _ => before,
        };
    }
    Some((None, line))
}

/// Where the quote is that opens what ends here.
fn opening(text: &[u8]) -> Option<usize> {
    let mut end = text.len();
    loop {
        let at = text[..end].iter().rposition(|&byte| byte == b'"')?;
        let escapes = text[..at].iter().rev().take_while(|&&byte| byte == b'\\').count();
        if escapes % 2 == 0 {
            return Some(at);
        }
        end = at - escapes;
    }
}

/// The address that an element says the request came from: `for=192.0.2.1;proto=https`. `None` where it does not say so, or not once, or is not of
/// the form it should be.
pub(super) fn node(element: &[u8]) -> Option<IpAddr> {
    let mut rest = trimmed(element);
    let mut found = None;
    loop {
        // A parameter may be missing between two semicolons.
        if rest.is_empty() {
            return found;
        }
        if let Some(next) = rest.strip_prefix(b";") {
            rest = trimmed(next);
            continue;
        }
        let equals = rest.iter().position(|&byte| !is_token(byte))?;
        let name = &rest[..equals];
        if name.is_empty() {
            return None;
        }
        rest = rest[equals..].strip_prefix(b"=")?;
        let (value, after) = match rest.strip_prefix(b"\"") {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = rest.iter().position(|&byte| !is_bare(byte)).unwrap_or(rest.len());
                (Value::of(&rest[..end]), &rest[end..])
            }
        };
        if name.eq_ignore_ascii_case(b"for") && found.replace(value.node()?).is_some() {
            return None;
        }
        rest = trimmed(after);
        if !matches!(rest, [] | [b';', ..]) {
            return None;
        }
    }
}

/// As much of a value as may be an address.
struct Value {
    bytes: [u8; MAX_NODE],
    length: usize,
}

impl Value {
    fn of(text: &[u8]) -> Self {
        let mut value = Self {
            bytes: [0; MAX_NODE],
            length: 0,
        };
        text.iter().for_each(|&byte| value.push(byte));
        value
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
        }
        self.length = self.length.saturating_add(1);
    }

    fn node(&self) -> Option<IpAddr> {
        let text = self.bytes.get(..self.length)?;
        // Blanks are allowed around a value, and not in it.
        (trimmed(text).len() == text.len()).then(|| node::parse(text))?
    }
}

/// What stands between quotes, and what is behind it.
fn unquoted(text: &[u8]) -> Option<(Value, &[u8])> {
    let mut value = Value::of(&[]);
    let mut bytes = text.iter().enumerate();
    loop {
        match bytes.next()? {
            (at, b'"') => return Some((value, &text[at + 1..])),
            (_, b'\\') => match bytes.next()? {
                (_, &escaped) if is_text(escaped) => value.push(escaped),
                _ => return None,
            },
            (_, &byte) if is_text(byte) => value.push(byte),
            _ => return None,
        }
    }
}

fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~')
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A token has no colons and brackets, and an address in it should be quoted; but not every proxy does.
fn is_bare(byte: u8) -> bool {
    is_token(byte) || b"[]:".contains(&byte)
}
