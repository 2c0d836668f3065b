use std::{
    error::Error,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The SHA-256 of a whole key: what a store keeps in its place.
///
/// A slow password hash would add nothing: the key is 256 random bits. The digest is still not for eyes, since it
/// identifies a key, so `Debug` hides it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// The digest of a key.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// A digest that was computed elsewhere.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest as 64 lower-case hexadecimal digits, as many tables keep it. [`FromStr`] reads it back, in either case.
    #[must_use]
    pub fn to_hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
        self.0
            .iter()
            .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
            .collect()
    }

    /// Compares in a time that does not depend on where the digests differ.
    pub(crate) fn ct_eq(&self, other: &Self) -> subtle::Choice {
        let differing = (0..4).fold(0, |differing, i| differing | (self.word(i) ^ other.word(i)));
        differing.ct_eq(&0)
    }

    fn word(&self, i: usize) -> u64 {
        let mut word = [0; 8];
        word.copy_from_slice(&self.0[i * 8..i * 8 + 8]);
        u64::from_ne_bytes(word)
    }
}

impl Hash for KeyDigest {
    /// One word of the digest: it is uniform already, and two digests that share 64 bits are beyond finding in number.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.word(0));
    }
}

impl FromStr for KeyDigest {
    type Err = ParseDigestError;

    fn from_str(hex: &str) -> Result<Self, Self::Err> {
        let nibble = |byte: u8| char::from(byte).to_digit(16).map(|n| n as u8);
        let hex = hex.as_bytes();
        let mut bytes = [0; 32];
        if hex.len() != 64 {
            return Err(ParseDigestError(()));
        }
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            match (nibble(pair[0]), nibble(pair[1])) {
                (Some(high), Some(low)) => *byte = high << 4 | low,
                _ => return Err(ParseDigestError(())),
            }
        }
        Ok(Self(bytes))
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest([redacted])")
    }
}

/// A text is not a digest: 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseDigestError(());

impl fmt::Display for ParseDigestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a SHA-256 digest in hexadecimal")
    }
}

impl Error for ParseDigestError {}

/// A secret of the application that is mixed into every digest before the store sees it.
///
/// With a pepper, whoever can write into the table but does not hold the pepper cannot insert a key of their own. The stored
/// digest is `HMAC-SHA256(pepper, SHA-256(key))`, so a table of plain digests can be converted without the keys.
#[derive(Clone)]
pub struct Pepper(Hmac<Sha256>);

impl Pepper {
    /// A pepper of at least 32 random bytes; `None` when there are fewer.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < 32 {
            return None;
        }
        Hmac::new_from_slice(bytes).ok().map(Self)
    }

    /// The digest that stores and resolvers are given, made of the plain SHA-256 of a key.
    #[must_use]
    pub fn apply(&self, digest: &KeyDigest) -> KeyDigest {
        KeyDigest(
            self.0
                .clone()
                .chain_update(digest.0)
                .finalize()
                .into_bytes()
                .into(),
        )
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_comes_back_in_either_case() {
        let digest = KeyDigest::of(b"a key");
        let hex = digest.to_hex();
        assert_eq!(hex.parse(), Ok(digest));
        assert_eq!(hex.to_uppercase().parse(), Ok(digest));
        for bad in [
            "",
            &hex[1..],
            &format!("{hex}0"),
            &format!("g{}", &hex[1..]),
            &"\u{e9}".repeat(32),
        ] {
            assert!(bad.parse::<KeyDigest>().is_err(), "{bad}");
        }
        // The well-known digest of the empty message.
        assert!(
            KeyDigest::of(b"")
                .to_hex()
                .starts_with("e3b0c44298fc1c149afbf4c8996fb924")
        );
    }

    #[test]
    fn comparison_sees_every_byte() {
        let digest = KeyDigest::of(b"a key");
        assert!(bool::from(digest.ct_eq(&digest.clone())));
        for i in 0..32 {
            let mut bytes = *digest.as_bytes();
            bytes[i] ^= 0x80;
            assert!(
                !bool::from(digest.ct_eq(&KeyDigest::from_bytes(bytes))),
                "byte {i}"
            );
        }
    }

    #[test]
    fn a_pepper_changes_the_digest_and_must_be_long() {
        assert!(Pepper::new(&[7; 31]).is_none());
        let (one, two) = (
            Pepper::new(&[1; 32]).expect("long"),
            Pepper::new(&[2; 32]).expect("long"),
        );
        let digest = KeyDigest::of(b"a key");
        assert_ne!(one.apply(&digest), digest);
        assert_ne!(one.apply(&digest), two.apply(&digest));
        assert_eq!(one.apply(&digest), one.apply(&digest));
    }
}
