use std::fmt;

use zeroize::Zeroizing;

/// A text that must not be seen: a key in the clear.
///
/// Overwritten when dropped. There is no `Display`, no comparison and no serialization; the one way to the text is
/// [`Secret::expose`], which is easy to search for.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text; the caller's copies of it are the caller's to erase.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Secret {
    // By hand: a derived one would print the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}
