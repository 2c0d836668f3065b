//! Which scopes a caller may pick for a new key.

use std::borrow::Cow;

use super::look::Look;
use crate::access::{Grants, ScopePattern};

/// Scopes under one heading.
pub(super) struct Group<'a> {
    /// Empty for those that are in none.
    pub(super) heading: &'a str,
    pub(super) scopes: Vec<Offered<'a>>,
}

pub(super) struct Offered<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) description: &'a str,
    pub(super) is_on: bool,
}

/// What the application has told, as far as the caller has it; where it has told nothing, what the caller was granted, by name. `None` where that is
/// everything there is: then nobody can say what to pick from.
pub(super) fn offered<'a>(look: &'a Look, caller: &Grants, picked: &[&str]) -> Option<Vec<Group<'a>>> {
    let granted = caller.granted_scopes();
    let is_on = |name: &str| picked.contains(&name);
    if look.scopes.is_empty() {
        let own = |pattern: &ScopePattern| Offered {
            is_on: is_on(pattern.as_str()),
            name: Cow::Owned(pattern.to_string()),
            description: "",
        };
        return (!granted.is_all()).then(|| {
            vec![Group {
                heading: "",
                scopes: granted.iter().map(own).collect(),
            }]
        });
    }
    let mut groups: Vec<Group<'a>> = Vec::new();
    for offered in look
        .scopes
        .iter()
        .filter(|offered| granted.contains(&offered.scope))
    {
        let scope = Offered {
            is_on: is_on(offered.scope.as_str()),
            name: Cow::Borrowed(offered.scope.as_str()),
            description: &offered.description,
        };
        match groups.iter_mut().find(|group| group.heading == offered.group) {
            Some(group) => group.scopes.push(scope),
            None => groups.push(Group {
                heading: &offered.group,
                scopes: vec![scope],
            }),
        }
    }
    Some(groups)
}

/// What a key that was granted this may do, in the application's words.
pub(super) fn description<'a>(look: &'a Look, scope: &str) -> &'a str {
    let mut all = look.scopes.iter();
    let found = all.find(|offered| offered.scope.as_str() == scope);
    found.map(|offered| &*offered.description).unwrap_or_default()
}
