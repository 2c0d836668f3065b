/// What a caller was recognised by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PrincipalKind {
    /// A static key, from the configuration.
    External,
    /// A key that the resolver or the store knows.
    Key,
    /// No key: a session, or whatever else the application's fallback recognises.
    Session,
}

impl PrincipalKind {
    /// Each of them at the place of its own number.
    pub(crate) const ALL: [Self; 3] = [Self::External, Self::Key, Self::Session];

    /// The kind as one word: `external`, `key` or `session`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::External => "external",
            Self::Key => "key",
            Self::Session => "session",
        }
    }
}
