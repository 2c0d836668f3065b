use super::error::{Invalid, ManageError, ManageErrorKind};
use crate::access::Grants;

const MAX_LEN: usize = 100;

/// A name for people, with nothing in it that could make a list show something else than what is there.
///
/// # Errors
///
/// When it is too long, blank, or has characters that cannot be seen or that turn the direction of what follows.
pub(super) fn check(name: &str, may_be_empty: bool) -> Result<(), ManageError> {
    if name.is_empty() && may_be_empty {
        return Ok(());
    }
    check_name(name).map_err(|invalid| ManageErrorKind::Invalid(invalid).into())
}

/// The same of a name that must be there, for those who have more to complain about.
///
/// # Errors
///
/// As [`check`].
pub(crate) fn check_name(name: &str) -> Result<(), Invalid> {
    if name.trim().is_empty() || name.chars().count() > MAX_LEN {
        return Err(Invalid::new(
            "name",
            "must be 1 to 100 characters, not all of them blank",
        ));
    }
    match name.chars().any(is_deceptive) {
        true => Err(Invalid::new(
            "name",
            "must not have control characters, line breaks or invisible formatting",
        )),
        false => Ok(()),
    }
}

/// More than anybody lists by hand. Comparing two lists takes as long as both are long together, and happens while the log is held.
const MAX_LISTED: usize = 100;

/// # Errors
///
/// When a list is too long to be compared with others.
pub(super) fn check_lists(grants: &Grants) -> Result<(), ManageError> {
    if grants.granted_scopes().iter().count() > MAX_LISTED {
        return Err(ManageError::invalid("scopes", "must be at most 100"));
    }
    match grants.resources().listed() {
        Some(listed) if listed.len() > MAX_LISTED => {
            Err(ManageError::invalid("resources", "must be at most 100"))
        }
        _ => Ok(()),
    }
}

fn is_deceptive(c: char) -> bool {
    // Line and paragraph separators, zero-width spaces, directional marks, embeddings, overrides and isolates, the byte order mark, tags.
    // The zero-width joiner stays: families of emoji are made with it.
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_for_people_and_show_what_they_are() {
        for good in [
            "deploy",
            "O'Brien <b>",
            "schlüssel",
            "ключ",
            "\u{1f468}\u{200d}\u{1f469}",
            &"x".repeat(100),
        ] {
            assert!(check(good, false).is_ok(), "{good}");
        }
        for bad in [
            "",
            "  ",
            "a\nb",
            "a\0b",
            "\u{202e}txt",
            "a\u{2066}b",
            "\u{feff}a",
            "a\u{200b}",
            "a\u{2028}b",
            &"x".repeat(101),
        ] {
            assert!(check(bad, false).is_err(), "{bad:?}");
        }
        assert!(check("", true).is_ok());
    }

    #[test]
    fn lists_that_would_take_long_to_compare_are_refused() {
        let names = |count: usize| (0..count).map(|i| format!("a:{i}"));
        let scopes = |count| check_lists(&Grants::scopes(names(count)).expect("scopes"));
        assert!(scopes(100).is_ok() && scopes(101).is_err());
        let bound = |count| check_lists(&Grants::none().on(names(count)).expect("resources"));
        assert!(bound(100).is_ok() && bound(101).is_err());
    }
}
