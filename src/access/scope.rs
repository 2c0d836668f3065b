use std::{borrow::Cow, error::Error, fmt, str::FromStr};

/// The longest scope, in bytes.
const MAX_LEN: usize = 128;

/// One permission by name, for example `issues:read`.
///
/// A `scope-token` of [RFC 6750, section 3]: visible ASCII without `"` and `\`; here also without `*`, which is kept
/// for patterns, and at most 128 bytes. Case matters.
///
/// [RFC 6750, section 3]: https://www.rfc-editor.org/rfc/rfc6750#section-3
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(Cow<'static, str>);

impl Scope {
    /// A scope known when the program is compiled.
    ///
    /// # Panics
    ///
    /// When `name` is not a valid scope. In a `const` this is a compile error.
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        assert!(is_scope(name.as_bytes()), "not a valid scope");
        Self(Cow::Borrowed(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Scope {
    type Err = ParseScopeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_scope(text.as_bytes()) {
            Ok(Self(Cow::Owned(text.to_owned())))
        } else {
            Err(ParseScopeError::new(text))
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// What a key is granted: one scope (`issues:read`), or every scope below a word (`issues:*`).
///
/// `P:*` covers a scope that begins with `P:` and goes on for at least one character: `issues:*` covers
/// `issues:read` and `issues:read:own`, but neither `issues` nor `issues:` nor `issuesx:read`. A `*` anywhere else,
/// and a lone `*`, is not a pattern: "everything" is said by [`Scopes::all`] only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopePattern(String);

impl ScopePattern {
    /// Whether the pattern covers the scope.
    #[must_use]
    pub fn covers(&self, scope: &Scope) -> bool {
        self.covers_str(scope.as_str())
    }

    /// Whether everything that the other covers is covered by this one, too.
    #[must_use]
    pub fn covers_all_of(&self, other: &Self) -> bool {
        match (self.0.strip_suffix('*'), other.0.strip_suffix('*')) {
            (Some(stem), Some(other)) => other.starts_with(stem),
            (None, Some(_)) => false,
            (_, None) => self.covers_str(&other.0),
        }
    }

    /// The text, as it was parsed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn covers_str(&self, scope: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(stem) => scope.len() > stem.len() && scope.starts_with(stem),
            None => self.0 == scope,
        }
    }
}

impl FromStr for ScopePattern {
    type Err = ParseScopeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = match text.strip_suffix(":*") {
            Some(stem) => stem,
            None => text,
        };
        if is_scope(plain.as_bytes()) && text.len() <= MAX_LEN {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseScopeError::new(text))
        }
    }
}

impl From<Scope> for ScopePattern {
    fn from(scope: Scope) -> Self {
        Self(scope.0.into_owned())
    }
}

impl fmt::Display for ScopePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ScopePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The scopes of a key. Empty, which is the default, grants nothing.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Scopes(Granted);

#[derive(Clone, PartialEq, Eq)]
enum Granted {
    All,
    // Sorted, each once.
    Listed(Box<[ScopePattern]>),
}

impl Default for Granted {
    fn default() -> Self {
        Self::Listed(Box::default())
    }
}

impl Scopes {
    /// Grants nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Grants every scope there is or will be. Only this call makes it: no text a caller sends can.
    #[must_use]
    pub fn all() -> Self {
        Self(Granted::All)
    }

    /// The scopes and patterns listed.
    ///
    /// # Errors
    ///
    /// When one of them is neither a [`Scope`] nor a [`ScopePattern`].
    pub fn new<I>(patterns: I) -> Result<Self, ParseScopeError>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let parsed: Result<Vec<ScopePattern>, _> = patterns.into_iter().map(|p| p.as_ref().parse()).collect();
        Ok(parsed?.into_iter().collect())
    }

    /// Reads the form that [`Scopes::to_stored`] wrote. For stores; never for text from a request.
    ///
    /// # Errors
    ///
    /// When a word is not a valid pattern. The empty text grants nothing.
    pub fn from_stored(text: &str) -> Result<Self, ParseScopeError> {
        if text == "*" {
            return Ok(Self::all());
        }
        Self::new(text.split_ascii_whitespace())
    }

    /// The form a store keeps: the patterns, a space between them, or `*` for [`Scopes::all`].
    #[must_use]
    pub fn to_stored(&self) -> String {
        match &self.0 {
            Granted::All => "*".to_owned(),
            Granted::Listed(listed) => {
                let words: Vec<&str> = listed.iter().map(ScopePattern::as_str).collect();
                words.join(" ")
            }
        }
    }

    /// Whether the scope is granted.
    #[must_use]
    pub fn contains(&self, scope: &Scope) -> bool {
        self.contains_str(scope.as_str())
    }

    /// Whether everything that the others grant is granted here, too.
    ///
    /// Each pattern must be covered by one of these: no set of longer patterns adds up to a shorter one, since a stem ends in `:`.
    #[must_use]
    pub fn covers(&self, others: &Self) -> bool {
        match (&self.0, &others.0) {
            (Granted::All, _) => true,
            (Granted::Listed(_), Granted::All) => false,
            (Granted::Listed(listed), Granted::Listed(others)) => others
                .iter()
                .all(|other| listed.iter().any(|pattern| pattern.covers_all_of(other))),
        }
    }

    /// What both grant. Of two patterns either one covers the other, or they have no scope in common.
    #[must_use]
    pub fn intersection(&self, others: &Self) -> Self {
        match (&self.0, &others.0) {
            (Granted::All, _) => others.clone(),
            (_, Granted::All) => self.clone(),
            (Granted::Listed(these), Granted::Listed(those)) => {
                let within = |pattern: &&ScopePattern, scopes: &[ScopePattern]| {
                    scopes.iter().any(|wider| wider.covers_all_of(pattern))
                };
                let these_kept = these.iter().filter(|pattern| within(pattern, those));
                let those_kept = those.iter().filter(|pattern| within(pattern, these));
                these_kept.chain(those_kept).cloned().collect()
            }
        }
    }

    /// Whether every scope is granted, because [`Scopes::all`] said so.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.0 == Granted::All
    }

    /// Whether nothing is granted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(&self.0, Granted::Listed(listed) if listed.is_empty())
    }

    /// What is granted by name or pattern, sorted; nothing for [`Scopes::all`].
    pub fn iter(&self) -> impl Iterator<Item = &ScopePattern> {
        match &self.0 {
            Granted::All => [].iter(),
            Granted::Listed(listed) => listed.iter(),
        }
    }

    pub(super) fn contains_str(&self, scope: &str) -> bool {
        match &self.0 {
            Granted::All => true,
            Granted::Listed(listed) => listed.iter().any(|pattern| pattern.covers_str(scope)),
        }
    }
}

impl FromIterator<ScopePattern> for Scopes {
    fn from_iter<I: IntoIterator<Item = ScopePattern>>(patterns: I) -> Self {
        let mut listed: Vec<ScopePattern> = patterns.into_iter().collect();
        listed.sort_unstable();
        listed.dedup();
        Self(Granted::Listed(listed.into()))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Granted::All => f.write_str("Scopes(all)"),
            Granted::Listed(listed) => f.debug_list().entries(listed.iter()).finish(),
        }
    }
}

/// A text is not a scope, or not a pattern of scopes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseScopeError {
    text: String,
}

impl ParseScopeError {
    fn new(text: &str) -> Self {
        // The text may come from a request and be of any size.
        Self {
            text: text.chars().take(MAX_LEN).collect(),
        }
    }
}

impl fmt::Display for ParseScopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a scope: 1 to {MAX_LEN} visible ASCII characters, no quote or backslash, `*` only as a final `:*`",
            self.text
        )
    }
}

impl Error for ParseScopeError {}

pub(super) const fn is_scope(bytes: &[u8]) -> bool {
    is_token(bytes, MAX_LEN)
}

/// `scope-token` of RFC 6750 without `*`.
pub(super) const fn is_token(bytes: &[u8], max: usize) -> bool {
    if bytes.is_empty() || bytes.len() > max {
        return false;
    }
    let mut i = 0;
    while i < bytes.len() {
        if !matches!(bytes[i], 0x21 | 0x23..=0x29 | 0x2B..=0x5B | 0x5D..=0x7E) {
            return false;
        }
        i += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> Scope {
        text.parse().expect("a scope")
    }

    #[test]
    fn what_is_and_is_not_a_scope() {
        for good in ["issues:read", "a", "!", "~", "a/b.c-d_e", &"x".repeat(128)] {
            assert!(good.parse::<Scope>().is_ok(), "{good}");
        }
        for bad in [
            "",
            " ",
            "a b",
            "a\tb",
            "a\"b",
            "a\\b",
            "issues:*",
            "*",
            "\u{0456}ssues",
            "a\0",
            &"x".repeat(129),
        ] {
            assert!(bad.parse::<Scope>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_and_is_not_a_pattern() {
        for good in ["issues:*", "issues:read", "a:b:*"] {
            assert!(good.parse::<ScopePattern>().is_ok(), "{good}");
        }
        for bad in [
            "*",
            ":*",
            "*:read",
            "issues*",
            "issues:**",
            "i*:read",
            "issues:r*",
            "a:* b",
        ] {
            assert!(bad.parse::<ScopePattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_wildcard_covers_what_begins_with_its_stem_and_goes_on() {
        let pattern: ScopePattern = "issues:*".parse().expect("a pattern");
        for yes in ["issues:read", "issues:read:own", "issues:x"] {
            assert!(pattern.covers(&scope(yes)), "{yes}");
        }
        for no in ["issues", "issues:", "issuesx:read", "Issues:read", "xissues:read"] {
            assert!(!pattern.covers(&scope(no)), "{no}");
        }
    }

    #[test]
    fn empty_grants_nothing_and_only_all_grants_all() {
        assert!(!Scopes::none().contains(&scope("a")));
        assert!(!Scopes::new([""; 0]).expect("empty").contains(&scope("a")));
        assert!(Scopes::all().contains(&scope("a")));
        assert!(Scopes::new(["*"]).is_err());
    }

    #[test]
    fn the_stored_form_comes_back() {
        for scopes in [
            Scopes::none(),
            Scopes::all(),
            Scopes::new(["b:*", "a", "a"]).expect("valid"),
        ] {
            assert_eq!(Scopes::from_stored(&scopes.to_stored()), Ok(scopes));
        }
        assert!(Scopes::from_stored("* a").is_err());
    }
}
