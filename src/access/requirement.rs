use std::{error::Error, fmt, sync::Arc};

use super::{
    grants::Grants,
    resource::Resource,
    scope::{Scope, Scopes, is_scope},
};

/// What a route asks of its caller: scopes, all of them or any one, and perhaps a resource.
///
/// A requirement is a value: it is written once, as a `const` or at start-up, and checked against [`Grants`] by one pure function.
/// A requirement with no scopes at all is met by nobody.
#[derive(Debug, Clone)]
pub struct Requirement {
    scopes: Names,
    any: bool,
    resource: Option<Template>,
}

impl Requirement {
    /// Every one of the scopes.
    ///
    /// # Panics
    ///
    /// When one of them is not a valid [`Scope`]. In a `const` this is a compile error.
    #[must_use]
    pub const fn all_of(scopes: &'static [&'static str]) -> Self {
        Self::from_static(scopes, false)
    }

    /// At least one of the scopes.
    ///
    /// # Panics
    ///
    /// When one of them is not a valid [`Scope`]. In a `const` this is a compile error.
    #[must_use]
    pub const fn any_of(scopes: &'static [&'static str]) -> Self {
        Self::from_static(scopes, true)
    }

    /// Every one of the scopes, known only when the program runs.
    pub fn all<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self::from_scopes(scopes, false)
    }

    /// At least one of the scopes, known only when the program runs.
    pub fn any<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self::from_scopes(scopes, true)
    }

    /// Also a resource, as text in which `{name}` stands for a path parameter: `agent:{agent}`.
    ///
    /// # Panics
    ///
    /// When a brace is not closed or not opened, or two parameters have nothing between them. In a `const` this is a compile error.
    #[must_use]
    pub const fn on(mut self, template: &'static str) -> Self {
        assert!(is_template(template.as_bytes()), "a brace is missing");
        self.resource = Some(Template(template));
        self
    }

    /// Checks the grants of a caller.
    ///
    /// `parameter` gives the decoded value of a path parameter; it is asked only when the requirement names a resource and the
    /// grants are bound to some.
    ///
    /// # Errors
    ///
    /// [`Denied`], saying what is missing. A resource that cannot be named is denied: a parameter is unknown, or comes twice, or holds
    /// characters that no [`Resource`] has, or is a path with an empty segment, `.` or `..` in it.
    pub fn check<'p>(
        &self,
        grants: &Grants,
        parameter: impl Fn(&str) -> Option<&'p str>,
    ) -> Result<(), Denied> {
        self.measure(grants, parameter).map(|_| ())
    }

    /// As [`Requirement::check`], and gives the resource, where it had to be named.
    pub(crate) fn measure<'p>(
        &self,
        grants: &Grants,
        parameter: impl Fn(&str) -> Option<&'p str>,
    ) -> Result<Option<Resource>, Denied> {
        if !self.is_met_by(grants.granted_scopes()) {
            return Err(self.denied(DeniedKind::Scope));
        }
        match self.resource {
            Some(template) if grants.resources().is_bound() => match template.fill(parameter) {
                Filled::Resource(resource) if grants.resources().allow(&resource) => Ok(Some(resource)),
                Filled::Resource(_) | Filled::NoResource => Err(self.denied(DeniedKind::Resource)),
                Filled::NoParameter => Err(self.denied(DeniedKind::UnknownParameter)),
            },
            _ => Ok(None),
        }
    }

    fn is_met_by(&self, granted: &Scopes) -> bool {
        match &self.scopes {
            Names::Static([]) => false,
            Names::Static(names) if self.any => names.iter().any(|name| granted.contains_str(name)),
            Names::Static(names) => names.iter().all(|name| granted.contains_str(name)),
            Names::Shared(names) if names.is_empty() => false,
            Names::Shared(names) if self.any => names.iter().any(|name| granted.contains(name)),
            Names::Shared(names) => names.iter().all(|name| granted.contains(name)),
        }
    }

    fn denied(&self, kind: DeniedKind) -> Denied {
        Denied {
            kind,
            required: self.scopes.clone(),
        }
    }

    /// The scopes asked for.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.scopes.iter()
    }

    /// The resource asked for, with its parameters still open.
    #[must_use]
    pub fn resource(&self) -> Option<&str> {
        self.resource.map(|template| template.0)
    }

    const fn from_static(scopes: &'static [&'static str], any: bool) -> Self {
        let mut i = 0;
        while i < scopes.len() {
            assert!(is_scope(scopes[i].as_bytes()), "not a valid scope");
            i += 1;
        }
        Self {
            scopes: Names::Static(scopes),
            any,
            resource: None,
        }
    }

    fn from_scopes(scopes: impl IntoIterator<Item = Scope>, any: bool) -> Self {
        Self {
            scopes: Names::Shared(scopes.into_iter().collect()),
            any,
            resource: None,
        }
    }
}

/// A [`Requirement`] that was met, to be asked again when the grants have changed: the path parameters are gone by then.
#[derive(Debug, Clone)]
pub(crate) struct Need {
    requirement: Requirement,
    /// `None` where it was never named, because the grants were bound to none.
    resource: Option<Resource>,
}

impl Need {
    /// Free, but for a count.
    pub(crate) fn new(requirement: &Requirement, resource: Option<Resource>) -> Self {
        Self {
            requirement: requirement.clone(),
            resource,
        }
    }

    /// Whether these grants would do, too. Grants that are bound now, and were not, cannot be measured: they would not.
    pub(crate) fn check(&self, grants: &Grants) -> Result<(), Denied> {
        let requirement = &self.requirement;
        if !requirement.is_met_by(grants.granted_scopes()) {
            return Err(requirement.denied(DeniedKind::Scope));
        }
        if requirement.resource.is_none() || !grants.resources().is_bound() {
            return Ok(());
        }
        match &self.resource {
            Some(resource) if grants.resources().allow(resource) => Ok(()),
            Some(_) | None => Err(requirement.denied(DeniedKind::Resource)),
        }
    }

    /// Whether it asks for the very same.
    pub(crate) fn is_same(&self, requirement: &Requirement, resource: Option<&Resource>) -> bool {
        let own = &self.requirement;
        own.any == requirement.any
            && own.resource() == requirement.resource()
            && self.resource.as_ref() == resource
            && own.scopes().eq(requirement.scopes())
    }
}

/// A caller lacks what a [`Requirement`] asks for.
#[derive(Debug, Clone)]
pub struct Denied {
    kind: DeniedKind,
    required: Names,
}

/// Which part of a requirement was not met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeniedKind {
    /// A scope is missing.
    Scope,
    /// The key is bound to other resources.
    Resource,
    /// The route has no path parameter of the name the requirement uses: a mistake in the program.
    UnknownParameter,
}

impl Denied {
    /// Which part was not met.
    #[must_use]
    pub fn kind(&self) -> DeniedKind {
        self.kind
    }

    /// The scopes that the route asks for.
    pub fn required(&self) -> impl Iterator<Item = &str> {
        self.required.iter()
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            DeniedKind::Scope => "a required scope is not granted",
            DeniedKind::Resource => "the key is bound to other resources",
            DeniedKind::UnknownParameter => "the route has no such path parameter",
        })
    }
}

impl Error for Denied {}

/// Scope names, free to clone.
#[derive(Debug, Clone)]
enum Names {
    Static(&'static [&'static str]),
    Shared(Arc<[Scope]>),
}

impl Names {
    fn iter(&self) -> impl Iterator<Item = &str> {
        let (fixed, shared): (&[&str], &[Scope]) = match self {
            Self::Static(names) => (names, &[]),
            Self::Shared(names) => (&[], names),
        };
        fixed.iter().copied().chain(shared.iter().map(Scope::as_str))
    }
}

#[derive(Debug, Clone, Copy)]
struct Template(&'static str);

enum Filled {
    Resource(Resource),
    NoResource,
    NoParameter,
}

impl Template {
    fn fill<'p>(self, parameter: impl Fn(&str) -> Option<&'p str>) -> Filled {
        let mut text = String::with_capacity(64);
        let mut rest = self.0;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, after)) = after.split_once('}') else {
                return Filled::NoParameter;
            };
            let Some(value) = parameter(name) else {
                return Filled::NoParameter;
            };
            // `public/../private` begins with `public/`, and is not in it.
            if value.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
                return Filled::NoResource;
            }
            // `pair:{a}:{b}`: an `a` of `1:2` must not pass for the `a` of `1`.
            if after
                .chars()
                .next()
                .is_some_and(|separator| value.contains(separator))
            {
                return Filled::NoResource;
            }
            text.push_str(before);
            text.push_str(value);
            rest = after;
        }
        text.push_str(rest);
        text.parse().map_or(Filled::NoResource, Filled::Resource)
    }
}

const fn is_template(bytes: &[u8]) -> bool {
    let mut open = false;
    let mut i = 0;
    while i < bytes.len() {
        match (bytes[i], open) {
            // Nothing between two parameters: `1` and `23` would read as `12` and `3` do.
            (b'{', false) if i > 0 && bytes[i - 1] == b'}' => return false,
            (b'{', false) => open = true,
            (b'}', true) => open = false,
            (b'{', true) | (b'}', false) => return false,
            _ => {}
        }
        i += 1;
    }
    !open
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Requirement = Requirement::all_of(&["agents:run"]).on("agent:{agent}");

    fn grants(scopes: &[&str], resources: Option<&[&str]>) -> Grants {
        let grants = Grants::scopes(scopes).expect("scopes");
        match resources {
            Some(resources) => grants.on(resources).expect("resources"),
            None => grants,
        }
    }

    fn kind(requirement: &Requirement, grants: &Grants, agent: &str) -> Option<DeniedKind> {
        let parameter = |name: &str| (name == "agent").then_some(agent);
        requirement
            .check(grants, parameter)
            .err()
            .map(|denied| denied.kind())
    }

    #[test]
    fn all_any_and_none() {
        const BOTH: Requirement = Requirement::all_of(&["a", "b"]);
        const EITHER: Requirement = Requirement::any_of(&["a", "b"]);
        const NOTHING: Requirement = Requirement::all_of(&[]);
        let scope = Some(DeniedKind::Scope);
        for (requirement, granted, expected) in [
            (&BOTH, &["a", "b"][..], None),
            (&BOTH, &["a"], scope),
            (&EITHER, &["b"], None),
            (&EITHER, &["c"], scope),
            (&EITHER, &[], scope),
            (&NOTHING, &["a"], scope),
        ] {
            assert_eq!(
                kind(requirement, &grants(granted, None), ""),
                expected,
                "{requirement:?} {granted:?}"
            );
        }
        assert_eq!(kind(&NOTHING, &Grants::all(), ""), scope);
        let runtime = Requirement::any(["a".parse().expect("a scope")]);
        assert_eq!(kind(&runtime, &grants(&["a"], None), ""), None);
        assert_eq!(kind(&Requirement::all([]), &Grants::all(), ""), scope);
    }

    #[test]
    fn a_bound_key_acts_on_its_resource_only() {
        let resource = Some(DeniedKind::Resource);
        for (bound, agent, expected) in [
            (None, "alpha", None),
            (None, "any thing", None),
            (Some(&["agent:alpha"][..]), "alpha", None),
            (Some(&["agent:alpha"]), "beta", resource),
            (Some(&["agent:alpha"]), "ALPHA", resource),
            (Some(&["agent:*"]), "beta", None),
            (Some(&["agent:*"]), "", resource),
            (Some(&["agent:*"]), "*", resource),
            (Some(&["agent:*"]), "a b", resource),
            (Some(&["agent:*"]), "\u{430}", resource),
            (Some(&["topic:*"]), "alpha", resource),
            (Some(&[]), "alpha", resource),
        ] {
            assert_eq!(
                kind(&RUN, &grants(&["agents:run"], bound), agent),
                expected,
                "{bound:?} {agent:?}"
            );
        }
        let scopeless = grants(&[], Some(&["agent:alpha"]));
        assert_eq!(kind(&RUN, &scopeless, "alpha"), Some(DeniedKind::Scope));
    }

    #[test]
    fn one_parameter_cannot_reach_into_the_next() {
        const PAIR: Requirement = Requirement::all_of(&["x"]).on("pair:{a}:{b}");
        let bound = grants(&["x"], Some(&["pair:1:*"]));
        let check = |a: &'static str| PAIR.check(&bound, |name| Some(if name == "a" { a } else { "3" }));
        assert!(check("1").is_ok());
        assert!(check("1:2").is_err());
    }

    #[test]
    fn a_path_cannot_leave_the_folder_that_a_key_is_bound_to() {
        const FILE: Requirement = Requirement::all_of(&["f"]).on("file:{path}");
        let bound = grants(&["f"], Some(&["file:public/*"]));
        let check = |path: &'static str| FILE.check(&bound, |_| Some(path)).is_ok();
        assert!(check("public/a") && check("public/a/..b"));
        for outside in [
            "public/../private/x",
            "public/./x",
            "public//x",
            "public/..",
            "public/",
        ] {
            assert!(!check(outside), "{outside}");
        }
    }

    #[test]
    fn two_parameters_need_something_between_them() {
        assert!(is_template(b"pair:{a}:{b}") && !is_template(b"pair:{a}{b}"));
    }

    #[test]
    fn a_parameter_the_route_lacks_is_a_mistake_and_not_an_open_door() {
        const WRONG: Requirement = Requirement::all_of(&["agents:run"]).on("agent:{agnet}");
        let bound = grants(&["agents:run"], Some(&["agent:*"]));
        assert_eq!(kind(&WRONG, &bound, "alpha"), Some(DeniedKind::UnknownParameter));
    }
}
