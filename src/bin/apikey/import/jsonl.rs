//! Lines of JSON: an object each; a field that is null is absent. Lines that are blank count, and are skipped.

use std::{
    fmt,
    io::{BufRead, BufReader, Read},
};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

use super::line::{BadLine, Field, Line, NAMES, TWICE};

/// Longer than any key has words for; a file without ends of lines is not read into memory.
const MAX_LEN: u64 = 64 * 1024;

pub(super) fn lines(reader: impl Read) -> impl Iterator<Item = Result<Line, BadLine>> {
    let mut reader = BufReader::new(reader);
    let mut number = 0;
    std::iter::from_fn(move || {
        loop {
            number += 1;
            let mut text = Vec::new();
            let read = reader.by_ref().take(MAX_LEN).read_until(b'\n', &mut text);
            match read {
                Ok(0) => return None,
                Ok(_) if text.len() as u64 == MAX_LEN => {
                    return Some(Err(BadLine::new(number, "it", "is longer than 64 KiB")));
                }
                Ok(_) => {}
                Err(_) => return Some(Err(BadLine::new(number, "it", "cannot be read"))),
            }
            // Some programs begin a file with the mark of UTF-8.
            let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
            if !text.trim_ascii().is_empty() {
                return Some(line(text, number));
            }
        }
    })
}

fn line(text: &[u8], number: u64) -> Result<Line, BadLine> {
    // What the parser says of it could repeat it.
    let members: Members =
        serde_json::from_slice(text).map_err(|_| BadLine::new(number, "it", "is not a JSON object"))?;
    let mut values = Vec::with_capacity(members.0.len());
    for (name, value) in members.0 {
        let field = Field::from_name(&name).ok_or(BadLine::new(number, "a field", NAMES))?;
        if values.iter().any(|(other, _)| *other == field) {
            return Err(BadLine::new(number, field.name(), TWICE));
        }
        values.push((field, value));
    }
    values.retain(|(_, value)| !value.is_null());
    Ok(Line { number, values })
}

/// An object with all its members: a map would keep only the last of one name.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EachMember)
    }
}

struct EachMember;

impl<'de> Visitor<'de> for EachMember {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Failure;

    fn refusal(text: &str) -> String {
        let read = lines(text.as_bytes()).try_for_each(|line| line?.into_key().map(drop));
        Failure::from(read.expect_err("a bad line")).message
    }

    const DIGEST: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_nothing_of_it_is_repeated() {
        let with = |rest: &str| format!("{{\"digest\":\"{DIGEST}\",\"owner\":\"a\"{rest}}}\n");
        let good = with("");
        for (text, told) in [
            (format!("\n\n{DIGEST}\n"), "line 3: it is not a JSON object"),
            ("[1]".to_owned(), "line 1: it is not a JSON object"),
            (
                format!("{good}{{\"digest\":\"{DIGEST}\""),
                "line 2: it is not a JSON object",
            ),
            (with(",\"revoked_at\":null"), "line 1: a field has a name"),
            (with(&format!(",\"{DIGEST}\":1")), "line 1: a field has a name"),
            (with(",\"owner\":\"b\""), "line 1: owner is there twice"),
            (with(",\"name\":5"), "line 1: name must be text"),
            (with(",\"scopes\":[5]"), "line 1: scopes must be a list"),
            (with(",\"scopes\":[\"*\",\"a\"]"), "line 1: scopes must be scopes"),
            (with(",\"resources\":[]"), "line 1: resources must not be empty"),
            (
                with(",\"created_at\":1700000000"),
                "line 1: created_at must be text",
            ),
            ("x".repeat(70_000), "line 1: it is longer"),
        ] {
            let message = refusal(&text);
            assert!(message.starts_with(told), "{text}: {message}");
            assert!(!message.contains(DIGEST), "{message}");
        }
        let whole = format!(
            "\u{feff}{good}\r\n{}",
            with(",\"name\":null,\"scopes\":\"a b:*\"")
        );
        assert_eq!(
            lines(whole.as_bytes())
                .filter_map(|line| line.ok()?.into_key().ok())
                .count(),
            2
        );
    }
}
