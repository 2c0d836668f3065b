//! Looks for secrets in texts.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// Keys that must not be seen anywhere.
pub(crate) struct Secrets(Vec<(String, String)>);

/// A part of a key this long is a leak: what a list shows of a key is shorter.
const PART: usize = 12;

impl Secrets {
    /// Of these keys: every part of one, and its digest however it may be written.
    pub(crate) fn new<'k>(keys: impl IntoIterator<Item = &'k str>) -> Self {
        let mut forbidden = Vec::new();
        for (i, key) in keys.into_iter().enumerate() {
            let mut forbid = |what: &str, text: String| forbidden.push((format!("{what} of key {i}"), text));
            for part in key.as_bytes().windows(PART) {
                forbid("a part", String::from_utf8_lossy(part).into_owned());
            }
            forbid("the bytes", list(key.as_bytes()));
            let digest: [u8; 32] = Sha256::digest(key).into();
            forbid("the digest in hexadecimal", hex(&digest));
            forbid("the digest in capital hexadecimal", hex(&digest).to_uppercase());
            forbid("the digest in base64", base64(&digest, b"+/"));
            forbid("the digest in base64url", base64(&digest, b"-_"));
            forbid("the bytes of the digest", list(&digest));
        }
        Self(forbidden)
    }

    /// What is seen of them in a text.
    pub(crate) fn seen_in(&self, text: &str) -> Vec<&str> {
        let found = self.0.iter().filter(|(_, forbidden)| text.contains(forbidden));
        found.map(|(what, _)| what.as_str()).collect()
    }

    #[track_caller]
    pub(crate) fn assert_unseen(&self, text: &str) {
        let seen = self.seen_in(text);
        let near = seen.first().map(|_| text.chars().take(2000).collect::<String>());
        assert!(seen.is_empty(), "{seen:?} in {near:?}");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// As `{:?}` shows bytes.
fn list(bytes: &[u8]) -> String {
    let shown = format!("{bytes:?}");
    shown.trim_matches(['[', ']']).to_owned()
}

/// Without padding, so that it is found with it, too.
fn base64(bytes: &[u8], last_two: &[u8; 2]) -> String {
    let letters: Vec<u8> = (b'A'..=b'Z')
        .chain(b'a'..=b'z')
        .chain(b'0'..=b'9')
        .chain(*last_two)
        .collect();
    let sextets = bytes.chunks(3).flat_map(|chunk| {
        let word = chunk
            .iter()
            .fold(0_u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        (0..=chunk.len()).map(move |i| (word >> (18 - 6 * i)) as usize % 64)
    });
    sextets.map(|sextet| char::from(letters[sextet])).collect()
}

#[test]
fn a_leak_of_every_kind_is_found() {
    let key = "ak_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN";
    let secrets = Secrets::new([key]);
    let digest = Sha256::digest(key);
    for leak in [
        key.to_owned(),
        format!("...{}...", &key[20..32]),
        format!("{:?}", key.as_bytes()),
        format!("{:?}", digest.as_slice()),
        // Known from `sha256sum` and `openssl dgst -sha256 -binary | base64`.
        "a06ebe1f7fe0d6fb757f82161c2c569ed97433e378ff78193edb271bb85c326d".to_owned(),
        "A06EBE1F7FE0D6FB757F82161C2C569ED97433E378FF78193EDB271BB85C326D".to_owned(),
        "oG6+H3/g1vt1f4IWHCxWntl0M+N4/3gZPtsnG7hcMm0=".to_owned(),
        "oG6-H3_g1vt1f4IWHCxWntl0M-N4_3gZPtsnG7hcMm0".to_owned(),
    ] {
        assert!(!secrets.seen_in(&leak).is_empty(), "{leak}");
    }
    for harmless in [&key[..11], "", "sha256", "ak_0123"] {
        assert!(secrets.seen_in(harmless).is_empty(), "{harmless}");
    }
}
