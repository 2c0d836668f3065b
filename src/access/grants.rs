use super::{
    resource::{ParseResourceError, Resources},
    scope::{ParseScopeError, Scopes},
};

/// What a key may do: its scopes, and the resources it is bound to.
///
/// The default grants nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    scopes: Scopes,
    resources: Resources,
}

impl Grants {
    /// These scopes, on these resources.
    #[must_use]
    pub fn new(scopes: Scopes, resources: Resources) -> Self {
        Self { scopes, resources }
    }

    /// Nothing at all.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Every scope there is or will be, on every resource.
    #[must_use]
    pub fn all() -> Self {
        Self::new(Scopes::all(), Resources::unbound())
    }

    /// The scopes and patterns listed, bound to no resource.
    ///
    /// # Errors
    ///
    /// When one of them is not a valid scope or pattern.
    pub fn scopes<I>(patterns: I) -> Result<Self, ParseScopeError>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        Ok(Self::new(Scopes::new(patterns)?, Resources::unbound()))
    }

    /// The same scopes, bound to the resources listed.
    ///
    /// # Errors
    ///
    /// When one of them is not a valid resource or pattern.
    pub fn on<I>(self, patterns: I) -> Result<Self, ParseResourceError>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        Ok(Self::new(self.scopes, Resources::only(patterns)?))
    }

    /// Whether everything that the others allow is allowed here, too.
    #[must_use]
    pub fn covers(&self, others: &Self) -> bool {
        self.scopes.covers(&others.scopes) && self.resources.covers(&others.resources)
    }

    /// What both allow.
    #[must_use]
    pub fn intersection(&self, others: &Self) -> Self {
        Self {
            scopes: self.scopes.intersection(&others.scopes),
            resources: self.resources.intersection(&others.resources),
        }
    }

    /// The scopes.
    #[must_use]
    pub fn granted_scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// The resources.
    #[must_use]
    pub fn resources(&self) -> &Resources {
        &self.resources
    }
}
