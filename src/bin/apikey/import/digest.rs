//! The ways in which other systems write a SHA-256.

use serde_json::Value;
use tower_api_key::key::KeyDigest;

/// Hexadecimal, as it is or as PostgreSQL (`\x`) and our own configuration (`sha256:`) write it; base64url, with or without padding;
/// in JSON also the 32 bytes, as an array of numbers. `None` for everything else.
pub(super) fn parse(value: &Value) -> Option<KeyDigest> {
    match value {
        Value::String(text) => {
            let hex = text.strip_prefix("\\x").or_else(|| text.strip_prefix("sha256:"));
            match hex {
                Some(hex) => hex.parse().ok(),
                None => text.parse().ok().or_else(|| from_base64url(text)),
            }
        }
        Value::Array(bytes) => {
            let bytes = bytes.iter().map(|byte| u8::try_from(byte.as_u64()?).ok());
            let bytes: Option<Vec<u8>> = bytes.collect();
            bytes?.try_into().ok().map(KeyDigest::from_bytes)
        }
        _ => None,
    }
}

/// 32 bytes are 43 letters and one `=`.
fn from_base64url(text: &str) -> Option<KeyDigest> {
    let letters = text.strip_suffix('=').unwrap_or(text).as_bytes();
    if letters.len() != 43 {
        return None;
    }
    let mut bytes = Vec::with_capacity(33);
    for group in letters.chunks(4) {
        let mut word = 0_u32;
        for letter in group {
            word = word << 6 | value_of(*letter)?;
        }
        word <<= 6 * (4 - group.len());
        bytes.extend_from_slice(&word.to_be_bytes()[1..]);
    }
    // The last two bits stand for nothing: only one spelling is right.
    let (digest, rest) = bytes.split_first_chunk::<32>()?;
    (rest == [0]).then(|| KeyDigest::from_bytes(*digest))
}

fn value_of(letter: u8) -> Option<u32> {
    let value = match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    };
    Some(value.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The digest of `abc`.
    const HEX: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const BASE64URL: &str = "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";

    #[test]
    fn each_spelling_is_the_same_digest() {
        let digest = KeyDigest::of(b"abc");
        let array = json!(digest.as_bytes().to_vec());
        for value in [
            json!(HEX),
            json!(HEX.to_uppercase()),
            json!(format!("\\x{HEX}")),
            json!(format!("sha256:{HEX}")),
            json!(BASE64URL),
            json!(format!("{BASE64URL}=")),
            array,
        ] {
            assert_eq!(parse(&value), Some(digest), "{value}");
        }
    }

    #[test]
    fn nothing_else_is_a_digest() {
        for value in [
            json!(""),
            json!(HEX[1..]),
            json!(format!("{HEX}0")),
            json!(format!("{BASE64URL}==")),
            json!(BASE64URL[1..]),
            // Another alphabet, and bits that stand for nothing.
            json!(BASE64URL.replace('-', "+")),
            json!(format!("{}1", &BASE64URL[..42])),
            json!(format!("\\x{BASE64URL}")),
            json!("ak_5fJ0c0y3Rk1uVt8mWq2ZsXe7GhB9nLpTdQaYi6oKxCvN4w"),
            json!([1, 2, 3]),
            json!(vec![256; 32]),
            json!(vec![-1; 32]),
            json!(vec!["a"; 32]),
            json!(5),
            json!({}),
        ] {
            assert_eq!(parse(&value), None, "{value}");
        }
    }
}
