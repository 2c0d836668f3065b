//! Lines of CSV (RFC 4180): names first, then a key a line; a field that is empty is absent, but for `resources`, since an empty list
//! cannot be told from none, and a key that is bound to nothing can be used for everything.

use std::io::Read;

use csv::{ErrorKind, ReaderBuilder, StringRecord};
use serde_json::Value;

use super::line::{BadLine, Field, Line, NAMES, TWICE};

/// # Errors
///
/// When the names in the first line are not names of fields, each once, with those among them that must not be missing.
pub(super) fn lines(reader: impl Read) -> Result<impl Iterator<Item = Result<Line, BadLine>>, BadLine> {
    let mut reader = ReaderBuilder::new().from_reader(reader);
    let mut fields = Vec::new();
    let names = reader.headers().map_err(|error| bad(&error, 1))?;
    for (i, name) in names.iter().enumerate() {
        // By its place: where the names are missing, it is a digest that stands there.
        let unknown = || BadLine::new(1, format!("column {}", i + 1), NAMES);
        let field = Field::from_name(name).ok_or_else(unknown)?;
        if fields.contains(&field) {
            return Err(BadLine::new(1, field.name(), TWICE));
        }
        fields.push(field);
    }
    for field in [Field::Digest, Field::Owner] {
        if !fields.contains(&field) {
            return Err(BadLine::new(1, field.name(), "is missing among the columns"));
        }
    }
    Ok(reader.into_records().map(move |record| match record {
        Ok(record) => Ok(line(&fields, &record)),
        Err(error) => Err(bad(&error, 0)),
    }))
}

fn line(fields: &[Field], record: &StringRecord) -> Line {
    let all = fields.iter().zip(record);
    let present = all.filter(|(field, value)| **field == Field::Resources || !value.is_empty());
    Line {
        number: record.position().map_or(0, csv::Position::line),
        values: present
            .map(|(field, value)| (*field, Value::from(value)))
            .collect(),
    }
}

fn bad(error: &csv::Error, number: u64) -> BadLine {
    let number = error.position().map_or(number, csv::Position::line);
    let message = match error.kind() {
        ErrorKind::UnequalLengths { .. } => "does not have as many fields as there are columns",
        ErrorKind::Utf8 { .. } => "is not UTF-8",
        _ => "cannot be read",
    };
    BadLine::new(number, "it", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Failure;

    fn refusal(text: &str) -> String {
        let read = lines(text.as_bytes())
            .and_then(|mut lines| lines.try_for_each(|line| line?.into_key().map(drop)));
        Failure::from(read.expect_err("a bad line")).message
    }

    const DIGEST: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_nothing_of_it_is_repeated() {
        for (text, told) in [
            (format!("{DIGEST},alice\n"), "line 1: column 1 has a name"),
            (
                "digest,owner,revoked_at\n".to_owned(),
                "line 1: column 3 has a name",
            ),
            (
                "digest,owner,digest\n".to_owned(),
                "line 1: digest is there twice",
            ),
            ("digest,name\n".to_owned(), "line 1: owner is missing among"),
            (String::new(), "line 1: digest is missing among"),
            (
                format!("digest,owner\n{DIGEST}\n"),
                "line 2: it does not have as many",
            ),
            (
                format!("digest,owner\n{DIGEST},\n"),
                "line 2: owner must not be missing",
            ),
            (
                format!("digest,owner\n{DIGEST},a\n{DIGEST}0,b\n"),
                "line 3: digest must be",
            ),
            (
                format!("digest,owner,expires_at\n{DIGEST},a,soon\n"),
                "line 2: expires_at must be",
            ),
            (
                format!("digest,owner,resources\n{DIGEST},a,\n"),
                "line 2: resources must not be empty",
            ),
            (
                format!("digest,owner,scopes\n\n{DIGEST},a,\"b\nsoon\"\n{DIGEST},a,a:*:b\n"),
                "line 5: scopes must be",
            ),
        ] {
            let message = refusal(&text);
            assert!(message.starts_with(told), "{text}: {message}");
            assert!(
                !message.contains(DIGEST) && !message.contains("soon"),
                "{message}"
            );
        }
    }
}
