//! What stands where a key should, and is none.

use std::{collections::HashSet, sync::LazyLock};

use super::KeyDigest;

/// What people leave in a configuration when they mean to come back to it.
const PLACEHOLDERS: &[&str] = &[
    "",
    " ",
    "changeme",
    "change-me",
    "change_me",
    "changeit",
    "secret",
    "password",
    "passw0rd",
    "test",
    "testing",
    "admin",
    "default",
    "example",
    "placeholder",
    "none",
    "null",
    "undefined",
    "todo",
    "xxx",
    "token",
    "key",
    "apikey",
    "api-key",
    "api_key",
    "your-api-key",
    "your_api_key",
    "your-api-key-here",
    "your-key",
    "my-api-key",
    "my-secret",
    "supersecret",
    "12345678",
    "123456",
    "1234",
];

/// Of each in lower case, in capitals, and with a capital first letter.
static DIGESTS: LazyLock<HashSet<KeyDigest>> = LazyLock::new(|| {
    let spelled = |text: &str| {
        let mut capitalised = text.to_owned();
        if let Some(first) = capitalised.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        [text.to_owned(), text.to_ascii_uppercase(), capitalised]
    };
    let texts = PLACEHOLDERS.iter().flat_map(|text| spelled(text));
    texts.map(|text| KeyDigest::of(text.as_bytes())).collect()
});

pub(crate) fn is_placeholder(text: &str) -> bool {
    PLACEHOLDERS.contains(&text.trim().to_ascii_lowercase().as_str())
}

impl KeyDigest {
    /// Whether everybody knows what it is the digest of.
    pub(crate) fn is_of_a_placeholder(&self) -> bool {
        DIGESTS.contains(self)
    }
}
