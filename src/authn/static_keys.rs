use std::{
    env,
    error::Error,
    fmt,
    fs::File,
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use subtle::ConditionallySelectable;
use zeroize::Zeroizing;

use crate::{
    access::Grants,
    key::{KeyDigest, MAX_PRESENTED_LEN, is_placeholder},
    principal::{Identity, Principal, PrincipalKind, Realm},
    trace,
};

/// Below this a key can be guessed, whatever it is made of.
const SHORT: usize = 16;
/// Larger than any file that holds one key.
const MAX_FILE_LEN: usize = 4096;

/// A key that comes from the configuration: kept as a SHA-256, compared in constant time before any store is asked.
///
/// The value is the key itself, or `sha256:` and the 64 hexadecimal digits of its SHA-256, so that the key need not be in the
/// configuration at all. A value that cannot be meant, because it is empty, a placeholder such as `changeme`, or the digest of one, is
/// reported by [`Builder::build`](crate::Builder::build), as is a variable that is not set or a file that cannot be read: none of
/// them leaves a door open. With fewer than 16 characters it is taken, with a warning in the log.
///
/// ```
/// use tower_api_key::{access::Grants, authn::StaticKey};
///
/// let key = StaticKey::from_env("APP_API_KEY").named("deploy").grant(Grants::scopes(["issues:*"])?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct StaticKey {
    digest: Result<KeyDigest, Problem>,
    short: bool,
    name: String,
    identity: Identity,
}

impl StaticKey {
    /// A key from its value.
    pub fn new(value: impl Into<String>) -> Self {
        Self::from_value(&Zeroizing::new(value.into()))
    }

    /// A key from an environment variable.
    pub fn from_env(variable: &str) -> Self {
        match env::var(variable) {
            Ok(value) => Self::new(value),
            Err(env::VarError::NotPresent) => Self::broken(Problem::NoVariable(variable.into())),
            Err(env::VarError::NotUnicode(_)) => Self::broken(Problem::NotVisible),
        }
    }

    /// A key from a file that holds it and nothing else but, perhaps, a final line break.
    pub fn from_file(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        match read_short(path) {
            Ok(text) => {
                let line = text.strip_suffix('\n').unwrap_or(&text);
                Self::from_value(line.strip_suffix('\r').unwrap_or(line))
            }
            Err(error) => Self::broken(Problem::NoFile(path.display().to_string(), Arc::new(error))),
        }
    }

    /// The name of the principal, and of the key in complaints; `external` if not set.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self.identity = self.identity.name(self.name.as_str());
        self
    }

    /// Whom the principal acts for; `external` if not set.
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.identity = self.identity.owned_by(owner);
        self
    }

    /// What the key may do; nothing if not set.
    pub fn grant(mut self, grants: Grants) -> Self {
        self.identity = self.identity.grants(grants);
        self
    }

    /// A value of the application's own type, as its real callers have one.
    pub fn user<T: Send + Sync + 'static>(mut self, user: T) -> Self {
        self.identity = self.identity.user(user);
        self
    }

    fn from_value(value: &str) -> Self {
        let short = value.len() < SHORT;
        Self {
            short,
            ..Self::with_digest(digest_of(value))
        }
    }

    fn broken(problem: Problem) -> Self {
        Self::with_digest(Err(problem))
    }

    fn with_digest(digest: Result<KeyDigest, Problem>) -> Self {
        Self {
            digest,
            short: false,
            name: "external".to_owned(),
            identity: Identity::new("external").name("external"),
        }
    }
}

/// The static keys of one configuration, ready to compare.
#[derive(Debug)]
pub(crate) struct StaticKeys(Box<[(KeyDigest, Principal)]>);

impl StaticKeys {
    /// # Errors
    ///
    /// Everything that is wrong with any of them.
    pub(crate) fn new(keys: Vec<StaticKey>, realm: &Arc<Realm>) -> Result<Self, Vec<StaticKeyError>> {
        let mut ready: Vec<(KeyDigest, Principal)> = Vec::new();
        let mut errors = Vec::new();
        for key in keys {
            let digest =
                key.digest
                    .and_then(|digest| match ready.iter().any(|(taken, _)| *taken == digest) {
                        true => Err(Problem::Twice),
                        false => Ok(digest),
                    });
            match digest {
                Ok(digest) => {
                    if key.short {
                        trace::short_static_key(&key.name);
                    }
                    ready.push((
                        digest,
                        Principal::new(PrincipalKind::External, key.identity, realm.clone()),
                    ));
                }
                Err(problem) => errors.push(StaticKeyError {
                    name: key.name,
                    problem,
                }),
            }
        }
        match errors.is_empty() {
            true => Ok(Self(ready.into())),
            false => Err(errors),
        }
    }

    /// Compares with all of them, however early one matches.
    pub(crate) fn find(&self, digest: &KeyDigest) -> Option<&Principal> {
        let mut place = 0_u32;
        for (i, (key, _)) in (1_u32..).zip(&self.0) {
            place.conditional_assign(&i, key.ct_eq(digest));
        }
        let index = usize::try_from(place.checked_sub(1)?).ok()?;
        self.0.get(index).map(|(_, principal)| principal)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A static key that cannot be used. Says which by its name, and never what its value is.
#[derive(Debug, Clone)]
pub struct StaticKeyError {
    name: String,
    problem: Problem,
}

#[derive(Debug, Clone)]
enum Problem {
    NoVariable(String),
    NoFile(String, Arc<io::Error>),
    Blank,
    Placeholder,
    TooLong,
    NotVisible,
    Comma,
    NotADigest,
    Twice,
}

impl fmt::Display for StaticKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "static key {:?}: ", self.name)?;
        match &self.problem {
            Problem::NoVariable(variable) => write!(f, "the environment variable {variable} is not set"),
            Problem::NoFile(path, error) => write!(f, "{path} cannot be read: {error}"),
            Problem::Blank => f.write_str("the value is empty or blank"),
            Problem::Placeholder => f.write_str("the value is a well-known placeholder"),
            Problem::TooLong => write!(f, "the value is longer than {MAX_PRESENTED_LEN} bytes"),
            Problem::NotVisible => f.write_str("the value has characters other than visible ASCII"),
            Problem::Comma => f.write_str("the value has a comma, which no caller could send"),
            Problem::NotADigest => f.write_str("after `sha256:` there must be 64 hexadecimal digits"),
            Problem::Twice => f.write_str("another static key has the same value"),
        }
    }
}

impl Error for StaticKeyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.problem {
            Problem::NoFile(_, error) => Some(error),
            _ => None,
        }
    }
}

fn digest_of(value: &str) -> Result<KeyDigest, Problem> {
    if looks_like_a_digest(value) {
        let hex = value.strip_prefix("sha256:");
        let digest: KeyDigest = hex.and_then(|hex| hex.parse().ok()).ok_or(Problem::NotADigest)?;
        return match digest.is_of_a_placeholder() {
            true => Err(Problem::Placeholder),
            false => Ok(digest),
        };
    }
    if value.trim().is_empty() {
        Err(Problem::Blank)
    } else if is_placeholder(value) {
        Err(Problem::Placeholder)
    } else if value.len() > MAX_PRESENTED_LEN {
        Err(Problem::TooLong)
    } else if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        Err(Problem::NotVisible)
    } else if value.contains(',') {
        Err(Problem::Comma)
    } else {
        Ok(KeyDigest::of(value.as_bytes()))
    }
}

/// Goes by what it reads, not by what the file says of its size: a device says nothing, and may have no end.
fn read_short(path: &Path) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(MAX_FILE_LEN + 1));
    let file = File::open(path)?;
    file.take(MAX_FILE_LEN as u64 + 1).read_to_string(&mut text)?;
    match text.len() {
        0..=MAX_FILE_LEN => Ok(text),
        _ => Err(io::ErrorKind::FileTooLarge.into()),
    }
}

/// In whatever spelling: taken for the key itself, the digest in the configuration would let in whoever can read it.
fn looks_like_a_digest(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    let rest = value.strip_prefix("sha256").or(value.strip_prefix("sha-256"));
    rest.is_some_and(|rest| rest.starts_with([':', '=', '-']))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::principal::Realm;

    fn build(keys: Vec<StaticKey>) -> Result<StaticKeys, Vec<String>> {
        let realm = Arc::new(Realm::for_tests());
        StaticKeys::new(keys, &realm).map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_cannot_be_meant_is_refused_without_being_repeated() {
        let digest_of_secret = format!("sha256:{}", KeyDigest::of(b"secret").to_hex());
        let digest_of_shouted = format!("sha256:{}", KeyDigest::of(b"CHANGEME").to_hex());
        let hex = KeyDigest::of(b"a real key, and a long one").to_hex();
        let other_spellings =
            ["SHA256:", "sha256=", "sha-256:", "Sha256-"].map(|name| format!("{name}{hex}"));
        let long = "x".repeat(513);
        for bad in [
            "",
            " ",
            "\t",
            "changeme",
            "ChangeMe",
            " secret ",
            "your-api-key",
            "a key",
            "clé-clé-clé-clé",
            "abc,defghijklmnopq",
            "sha256:",
            "sha256:zz",
            &digest_of_secret,
            &digest_of_shouted,
            &other_spellings[0],
            &other_spellings[1],
            &other_spellings[2],
            &other_spellings[3],
            &long,
            "0123456789abcdef\n",
        ] {
            let errors = build(vec![StaticKey::new(bad)]).expect_err(bad);
            assert_eq!(errors.len(), 1);
            if bad.len() > 4 && !["secret", "sha256:"].contains(&bad.trim()) {
                assert!(!errors[0].contains(bad), "{}", errors[0]);
            }
        }
    }

    #[test]
    fn each_of_several_is_found_and_nothing_else_is() {
        let digest = KeyDigest::of(b"third-key-in-the-row");
        let keys = build(vec![
            StaticKey::new("first-key-in-the-row").named("one"),
            StaticKey::new("second-key-in-the-row").named("two"),
            StaticKey::new(format!("sha256:{}", digest.to_hex())).named("three"),
        ])
        .expect("good keys");
        for (value, name) in [
            ("first-key-in-the-row", "one"),
            ("second-key-in-the-row", "two"),
            ("third-key-in-the-row", "three"),
        ] {
            let found = keys.find(&KeyDigest::of(value.as_bytes())).expect("a principal");
            assert_eq!(found.name(), name);
        }
        assert!(keys.find(&KeyDigest::of(b"another")).is_none());
        assert!(build(vec![]).expect("none").find(&KeyDigest::of(b"")).is_none());
    }

    #[test]
    fn every_complaint_is_reported_at_once() {
        let errors = build(vec![
            StaticKey::from_env("TOWER_API_KEY_TEST_NOT_SET").named("env"),
            StaticKey::from_file("/nonexistent/key").named("file"),
            StaticKey::new("the-same-value-twice"),
            StaticKey::new("the-same-value-twice").named("twice"),
        ])
        .expect_err("three complaints");
        assert_eq!(errors.len(), 3);
        assert!(errors[0].contains("TOWER_API_KEY_TEST_NOT_SET") && errors[2].contains("twice"));
    }

    #[test]
    fn a_file_may_end_with_a_line_break() {
        for text in [
            "a-key-from-a-file",
            "a-key-from-a-file\n",
            "a-key-from-a-file\r\n",
        ] {
            let file = tempfile::NamedTempFile::new().expect("a file");
            fs::write(file.path(), text).expect("written");
            let keys = build(vec![StaticKey::from_file(file.path())]).expect("a good key");
            assert!(
                keys.find(&KeyDigest::of(b"a-key-from-a-file")).is_some(),
                "{text:?}"
            );
        }
    }
}
