use std::{error::Error, fmt};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::secret::Secret;

/// 62⁴³ is the first power of 62 above 2²⁵⁶.
const BODY_LEN: usize = 43;
const CHECK_LEN: usize = 6;
const MAX_PREFIX_LEN: usize = 16;
/// How much of the body is kept, beside the prefix, for people to tell keys apart.
const SHOWN_LEN: usize = 4;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The longest text that is looked at as a key at all, in bytes.
pub(crate) const MAX_PRESENTED_LEN: usize = 512;

/// How an application's keys are written: the prefix, and the key of the check.
#[derive(Clone)]
pub struct KeyFormat {
    /// With its underscore.
    prefix: Box<str>,
    check: Hmac<Sha256>,
}

impl KeyFormat {
    /// A format with a prefix such as `ak`, `gak` or `oc_org`.
    ///
    /// # Errors
    ///
    /// When the prefix is not 1 to 16 lower-case letters, digits and inner underscores that begin with a letter. The part after
    /// the last underscore is the body, so prefixes of which one begins with the other (`oc`, `oc_org`) do not get mixed up.
    pub fn new(prefix: &str, check_key: &CheckKey) -> Result<Self, ParsePrefixError> {
        if !is_prefix(prefix.as_bytes()) {
            return Err(ParsePrefixError(()));
        }
        Ok(Self {
            prefix: format!("{prefix}_").into(),
            check: check_key.0.clone(),
        })
    }

    /// A new key: 256 bits from the operating system's generator, and their check.
    ///
    /// # Errors
    ///
    /// When the operating system has no random numbers to give.
    pub fn generate(&self) -> Result<Secret, getrandom::Error> {
        let mut key = Zeroizing::new(String::with_capacity(self.prefix.len() + BODY_LEN + CHECK_LEN));
        key.push_str(&self.prefix);
        let mut random = Zeroizing::new([0_u8; 64]);
        while key.len() < self.prefix.len() + BODY_LEN {
            getrandom::fill(&mut *random)?;
            // 248 is the largest multiple of 62 in a byte: what lies above it would favour the first letters.
            let letters = random.iter().filter(|&&byte| byte < 248);
            let missing = self.prefix.len() + BODY_LEN - key.len();
            key.extend(
                letters
                    .take(missing)
                    .map(|byte| char::from(BASE62[usize::from(byte % 62)])),
            );
        }
        let check = self.check_of(key.as_bytes());
        key.extend(check.map(char::from));
        Ok(Secret::new(std::mem::take(&mut *key)))
    }

    /// Whether the text could have been minted with this format and check key: no I/O, no memory.
    ///
    /// # Errors
    ///
    /// [`Malformed`], naming the first thing wrong, for logs. On the wire they are all alike.
    pub fn check(&self, key: &[u8]) -> Result<(), Malformed> {
        let Some(rest) = key.strip_prefix(self.prefix.as_bytes()) else {
            return Err(Malformed::Prefix);
        };
        if rest.len() != BODY_LEN + CHECK_LEN {
            return Err(Malformed::Length);
        }
        if !rest.iter().all(u8::is_ascii_alphanumeric) {
            return Err(Malformed::Alphabet);
        }
        let (signed, check) = key.split_at(key.len() - CHECK_LEN);
        if self.check_of(signed).ct_eq(check).into() {
            Ok(())
        } else {
            Err(Malformed::Check)
        }
    }

    /// The prefix, with its underscore, and the first four characters of the body: what a list shows in place of the key.
    #[must_use]
    pub fn shown_prefix(&self, key: &Secret) -> String {
        key.expose().chars().take(self.prefix.len() + SHOWN_LEN).collect()
    }

    /// Whether this can have been shown of a key of this format; or nothing was, of a key that was not minted here.
    pub(crate) fn has_shown(&self, shown: &str) -> bool {
        let body = shown.strip_prefix(&*self.prefix);
        shown.is_empty() || body.is_some_and(|body| !body.contains('_'))
    }

    /// The prefix, without its underscore.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.prefix.trim_end_matches('_')
    }

    /// That words come from this installation, as 32 hexadecimal digits. They are told apart from each other, and from every key: no key begins
    /// with a zero.
    #[cfg(feature = "page")]
    pub(crate) fn seal(&self, words: &[&[u8]]) -> String {
        let mut mac = self.check.clone();
        for word in words {
            mac.update(&[0]);
            mac.update(&(word.len() as u64).to_be_bytes());
            mac.update(word);
        }
        let bytes = mac.finalize().into_bytes();
        bytes[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn check_of(&self, signed: &[u8]) -> [u8; CHECK_LEN] {
        let mac = self.check.clone().chain_update(signed).finalize().into_bytes();
        let mut word = [0; 8];
        word.copy_from_slice(&mac[..8]);
        let mut number = u64::from_be_bytes(word);
        let mut check = [0; CHECK_LEN];
        for letter in &mut check {
            *letter = BASE62[(number % 62) as usize];
            number /= 62;
        }
        check
    }
}

impl fmt::Debug for KeyFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFormat")
            .field("prefix", &self.prefix())
            .finish_non_exhaustive()
    }
}

/// A regular expression that finds keys with this prefix in other texts, such as what programs of secret scanning are to look for: the prefix, and 49 letters
/// and digits, with no other word character before or after. It has nothing in it that an engine without looking around lacks.
///
/// The check at the end of a key is keyed, so that nobody else can tell a key from 49 letters that were made up: some of what is found is none.
///
/// ```
/// assert_eq!(tower_api_key::key::scanning_pattern("ak").as_deref(), Ok(r"\bak_[0-9A-Za-z]{49}\b"));
/// ```
///
/// # Errors
///
/// When it is not a prefix, as [`KeyFormat::new`] has it.
pub fn scanning_pattern(prefix: &str) -> Result<String, ParsePrefixError> {
    match is_prefix(prefix.as_bytes()) {
        true => Ok(format!(r"\b{prefix}_[0-9A-Za-z]{{{}}}\b", BODY_LEN + CHECK_LEN)),
        false => Err(ParsePrefixError(())),
    }
}

/// The secret behind the check in every key: made once by the store, and shared by all who use it.
///
/// Whoever knows it can make keys that cost a look-up to refuse; nothing worse.
#[derive(Clone)]
pub struct CheckKey(Hmac<Sha256>);

impl CheckKey {
    /// A check key from its 32 bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(<Hmac<Sha256> as KeyInit>::new(&hmac_block(bytes).into()))
    }

    /// 32 random bytes for a new store to keep.
    ///
    /// # Errors
    ///
    /// When the operating system has no random numbers to give.
    pub fn generate_bytes() -> Result<Zeroizing<[u8; 32]>, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes)?;
        Ok(bytes)
    }
}

impl fmt::Debug for CheckKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckKey([redacted])")
    }
}

/// Why a text is no key of a [`KeyFormat`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// It begins with another prefix, or none.
    Prefix,
    /// It is too short or too long.
    Length,
    /// It has characters that are not base62.
    Alphabet,
    /// Its check is wrong: it was mistyped, guessed, or minted by another installation.
    Check,
}

impl Malformed {
    /// Whether it is no attempt at a key of the format at all, but may be one of another system.
    pub(crate) fn is_foreign(self) -> bool {
        matches!(self, Self::Prefix | Self::Length)
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prefix => "wrong prefix",
            Self::Length => "wrong length",
            Self::Alphabet => "wrong alphabet",
            Self::Check => "wrong check",
        })
    }
}

impl Error for Malformed {}

/// A text is not a prefix: 1 to 16 lower-case letters, digits and inner underscores, a letter first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsePrefixError(());

impl fmt::Display for ParsePrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not a key prefix: 1 to 16 lower-case letters, digits and inner underscores, a letter first",
        )
    }
}

impl Error for ParsePrefixError {}

fn is_prefix(prefix: &[u8]) -> bool {
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_';
    match prefix {
        [first, rest @ ..] if prefix.len() <= MAX_PREFIX_LEN => {
            first.is_ascii_lowercase() && rest.iter().all(inner) && prefix.last() != Some(&b'_')
        }
        _ => false,
    }
}

/// HMAC pads a short key with zeros; doing it here leaves no key length for HMAC to refuse.
fn hmac_block(bytes: &[u8; 32]) -> [u8; 64] {
    let mut block = [0; 64];
    block[..32].copy_from_slice(bytes);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(prefix: &str, check: u8) -> KeyFormat {
        KeyFormat::new(prefix, &CheckKey::from_bytes(&[check; 32])).expect("a prefix")
    }

    #[test]
    fn a_minted_key_passes_and_every_changed_character_is_noticed() {
        let format = format("ak", 1);
        let key = format.generate().expect("random numbers");
        let text = key.expose();
        assert_eq!(text.len(), 52);
        assert_eq!(format.check(text.as_bytes()), Ok(()));
        for i in 0..text.len() {
            let mut changed = text.as_bytes().to_vec();
            changed[i] = if changed[i] == b'x' { b'y' } else { b'x' };
            assert!(format.check(&changed).is_err(), "character {i}");
        }
    }

    #[test]
    fn keys_of_others_are_told_apart() {
        let key = format("ak", 1).generate().expect("random numbers");
        let key = key.expose().as_bytes();
        assert_eq!(format("ak", 2).check(key), Err(Malformed::Check));
        assert_eq!(format("gak", 1).check(key), Err(Malformed::Prefix));
        assert_eq!(format("ak", 1).check(&key[..51]), Err(Malformed::Length));
        assert_eq!(format("ak", 1).check(b""), Err(Malformed::Prefix));
        let organisation = format("oc_org", 1).generate().expect("random numbers");
        assert!(format("oc", 1).check(organisation.expose().as_bytes()).is_err());
    }

    #[test]
    fn what_is_minted_is_found_and_what_has_another_form_is_not() {
        for prefix in ["ak", "oc_org", "k8s"] {
            let pattern = scanning_pattern(prefix).expect("a prefix");
            let pattern = regex::Regex::new(&pattern).expect("an expression");
            let format = format(prefix, 1);
            for _ in 0..200 {
                let key = format.generate().expect("random numbers");
                let key = key.expose();
                let text = format!("KEY=\"{key}\" # {key}\n({key})");
                assert_eq!(
                    pattern
                        .find_iter(&text)
                        .map(|found| found.as_str())
                        .collect::<Vec<_>>(),
                    [key; 3]
                );
                let (head, tail) = (&key[..10], &key[11..]);
                for other in [
                    format!("{head}-{tail}"),
                    format!("{head}_{tail}"),
                    format!("{head}{tail}"),
                    format!("{key}0"),
                    format!("{key}_"),
                    format!("x{key}"),
                    format!("_{key}"),
                    key.to_uppercase(),
                    key.replacen('_', "-", 1),
                    key[1..].to_owned(),
                ] {
                    assert!(!pattern.is_match(&other), "{other}");
                }
                // That the check is wrong nobody else can tell.
                let end = if key.ends_with('x') { "y" } else { "x" };
                assert!(pattern.is_match(&format!("{}{end}", &key[..key.len() - 1])));
            }
        }
        assert!(scanning_pattern("ak_").is_err() && scanning_pattern("a.k").is_err());
    }

    #[test]
    fn what_is_and_is_not_a_prefix() {
        for good in ["a", "ak", "oc_org", "k8s", "abcdefghijklmnop"] {
            assert!(is_prefix(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "_a",
            "a_",
            "8k",
            "Ak",
            "a-k",
            "a k",
            "\u{e4}k",
            "abcdefghijklmnopq",
        ] {
            assert!(!is_prefix(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn keys_differ_and_use_the_whole_alphabet() {
        let format = format("ak", 1);
        let mut letters = std::collections::HashSet::new();
        let mut keys = std::collections::HashSet::new();
        for _ in 0..200 {
            let key = format.generate().expect("random numbers");
            letters.extend(key.expose()[3..46].bytes());
            assert!(keys.insert(key.expose().to_owned()));
        }
        assert_eq!(letters.len(), 62);
        let key = format.generate().expect("random numbers");
        assert!(format.shown_prefix(&key).len() == 7 && key.expose().starts_with(&format.shown_prefix(&key)));
    }
}
