use std::{error::Error, fmt, str::FromStr};

use super::scope::is_token;

/// The longest resource or pattern, in bytes.
const MAX_LEN: usize = 256;

/// One thing a route acts on, as `kind:name`, for example `agent:alpha`.
///
/// The characters of a [`Scope`](super::Scope), at most 256 bytes, with something on each side of the first `:`.
/// Case matters; there is no normalisation, so a look-alike letter or an encoded one is another resource, or none.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource(String);

impl Resource {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Resource {
    type Err = ParseResourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_token(text.as_bytes(), MAX_LEN) && split_kind(text).is_some_and(|name| !name.is_empty()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseResourceError::new(text))
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// A resource a key is bound to, or all whose text begins alike.
///
/// A final `*` stands for one or more characters of any kind: `agent:*` covers every agent, `agent:team-*` covers
/// `agent:team-a` and `agent:team-a:b` but not `agent:team-`. The kind cannot be a wildcard, so `*` alone is
/// no pattern, and a `*` elsewhere is none either.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourcePattern(String);

impl ResourcePattern {
    /// Whether the pattern covers the resource.
    #[must_use]
    pub fn covers(&self, resource: &Resource) -> bool {
        match self.0.strip_suffix('*') {
            Some(stem) => resource.0.len() > stem.len() && resource.0.starts_with(stem),
            None => self.0 == resource.0,
        }
    }

    /// Whether everything that the other covers is covered by this one, too.
    #[must_use]
    pub fn covers_all_of(&self, other: &Self) -> bool {
        match (self.0.strip_suffix('*'), other.0.strip_suffix('*')) {
            (Some(stem), Some(other)) => other.starts_with(stem),
            (Some(stem), None) => other.0.len() > stem.len() && other.0.starts_with(stem),
            (None, Some(_)) => false,
            (None, None) => self == other,
        }
    }

    /// The text, as it was parsed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ResourcePattern {
    type Err = ParseResourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let stem = text.strip_suffix('*');
        let plain = stem.unwrap_or(text);
        let named = split_kind(plain).is_some_and(|name| stem.is_some() || !name.is_empty());
        if named && is_token(plain.as_bytes(), MAX_LEN - 1) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseResourceError::new(text))
        }
    }
}

impl From<Resource> for ResourcePattern {
    fn from(resource: Resource) -> Self {
        Self(resource.0)
    }
}

impl fmt::Display for ResourcePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ResourcePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The resources a key is bound to.
///
/// [`Resources::unbound`], the default, is a key that was never bound: a resource is not what limits it, its scopes are.
/// [`Resources::only`] with nothing listed covers nothing.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Resources(Option<Box<[ResourcePattern]>>);

impl Resources {
    /// Not bound to any resource.
    #[must_use]
    pub fn unbound() -> Self {
        Self(None)
    }

    /// Bound to what is listed.
    ///
    /// # Errors
    ///
    /// When one of them is not a [`ResourcePattern`].
    pub fn only<I>(patterns: I) -> Result<Self, ParseResourceError>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let parsed: Result<Vec<ResourcePattern>, _> =
            patterns.into_iter().map(|p| p.as_ref().parse()).collect();
        let mut listed = parsed?;
        listed.sort_unstable();
        listed.dedup();
        Ok(Self(Some(listed.into())))
    }

    /// Reads the form that [`Resources::to_stored`] wrote.
    ///
    /// # Errors
    ///
    /// When a word is not a valid pattern. `None` is unbound; the empty text is bound to nothing.
    pub fn from_stored(text: Option<&str>) -> Result<Self, ParseResourceError> {
        match text {
            None => Ok(Self::unbound()),
            Some(text) => Self::only(text.split_ascii_whitespace()),
        }
    }

    /// The form a store keeps: `None` for unbound, else the patterns with a space between them.
    #[must_use]
    pub fn to_stored(&self) -> Option<String> {
        let listed = self.0.as_deref()?;
        let words: Vec<&str> = listed.iter().map(ResourcePattern::as_str).collect();
        Some(words.join(" "))
    }

    /// Whether a key bound like this may act on the resource.
    #[must_use]
    pub fn allow(&self, resource: &Resource) -> bool {
        match &self.0 {
            None => true,
            Some(listed) => listed.iter().any(|pattern| pattern.covers(resource)),
        }
    }

    /// Whether every resource that the others allow is allowed here, too.
    ///
    /// Each pattern must be covered by one of these. A set of patterns that only together cover another is not seen as covering it:
    /// the answer errs towards no.
    #[must_use]
    pub fn covers(&self, others: &Self) -> bool {
        match (&self.0, &others.0) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(listed), Some(others)) => others
                .iter()
                .all(|other| listed.iter().any(|pattern| pattern.covers_all_of(other))),
        }
    }

    /// What both allow. Of two patterns either one covers the other, or they have no resource in common.
    #[must_use]
    pub fn intersection(&self, others: &Self) -> Self {
        let (Some(these), Some(those)) = (&self.0, &others.0) else {
            return if self.0.is_some() {
                self.clone()
            } else {
                others.clone()
            };
        };
        let within = |pattern: &&ResourcePattern, wider: &[ResourcePattern]| {
            wider.iter().any(|wider| wider.covers_all_of(pattern))
        };
        let these_kept = these.iter().filter(|pattern| within(pattern, those));
        let those_kept = those.iter().filter(|pattern| within(pattern, these));
        let mut kept: Vec<ResourcePattern> = these_kept.chain(those_kept).cloned().collect();
        kept.sort_unstable();
        kept.dedup();
        Self(Some(kept.into()))
    }

    /// Whether the key is bound at all.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.0.is_some()
    }

    /// What the key is bound to, sorted; `None` when it is not bound.
    #[must_use]
    pub fn listed(&self) -> Option<&[ResourcePattern]> {
        self.0.as_deref()
    }
}

impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("unbound"),
            Some(listed) => f.debug_list().entries(listed.iter()).finish(),
        }
    }
}

/// A text is not a resource, or not a pattern of resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseResourceError {
    text: String,
}

impl ParseResourceError {
    fn new(text: &str) -> Self {
        // The text may come from a request and be of any size.
        Self {
            text: text.chars().take(MAX_LEN).collect(),
        }
    }
}

impl fmt::Display for ParseResourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a resource: `kind:name` of at most {MAX_LEN} visible ASCII characters, no quote or backslash, `*` only at the end",
            self.text
        )
    }
}

impl Error for ParseResourceError {}

/// What follows the first `:`, when something precedes it.
fn split_kind(text: &str) -> Option<&str> {
    match text.split_once(':') {
        Some((kind, name)) if !kind.is_empty() => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(text: &str) -> Resource {
        text.parse().expect("a resource")
    }

    #[test]
    fn what_is_and_is_not_a_resource() {
        for good in ["agent:alpha", "a:b:c", "topic:#deploys", "a::"] {
            assert!(good.parse::<Resource>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "agent",
            "agent:",
            ":alpha",
            "agent:*",
            "agent:a b",
            "agent:\u{430}lpha",
            "agent:a\n",
        ] {
            assert!(bad.parse::<Resource>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_and_is_not_a_pattern() {
        for good in ["agent:alpha", "agent:*", "agent:team-*"] {
            assert!(good.parse::<ResourcePattern>().is_ok(), "{good}");
        }
        for bad in [
            "*", ":*", "ag*:x", "agent*", "agent:**", "agent:*a", "*:alpha", "agent:",
        ] {
            assert!(bad.parse::<ResourcePattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_wildcard_covers_what_begins_with_its_stem_and_goes_on() {
        let pattern: ResourcePattern = "agent:team-*".parse().expect("a pattern");
        assert!(pattern.covers(&resource("agent:team-a")));
        assert!(pattern.covers(&resource("agent:team-a:b")));
        assert!(!pattern.covers(&resource("agent:team-")));
        assert!(!pattern.covers(&resource("agent:Team-a")));
        let exact: ResourcePattern = "agent:alpha".parse().expect("a pattern");
        assert!(!exact.covers(&resource("agent:alphabet")));
    }

    #[test]
    fn unbound_allows_and_bound_to_nothing_does_not() {
        let alpha = resource("agent:alpha");
        assert!(Resources::unbound().allow(&alpha));
        assert!(!Resources::only([""; 0]).expect("empty").allow(&alpha));
        assert!(!Resources::from_stored(Some("")).expect("empty").allow(&alpha));
    }

    #[test]
    fn the_stored_form_comes_back() {
        for resources in [
            Resources::unbound(),
            Resources::only([""; 0]).expect("valid"),
            Resources::only(["b:*", "a:x", "a:x"]).expect("valid"),
        ] {
            assert_eq!(
                Resources::from_stored(resources.to_stored().as_deref()),
                Ok(resources)
            );
        }
    }
}
