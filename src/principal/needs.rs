//! What a request was allowed by: every requirement that was met while its handler ran, kept for streams that outlive the check.

use std::{cell::RefCell, mem, sync::Arc};

use super::{Inner, Principal, ended::Ended};
use crate::access::{Need, Requirement, Resource};

/// A route asks for a handful. A handler that asks for each row of an upload is not to fill the memory.
const MOST: usize = 64;

thread_local! {
    /// The request that is being polled on this thread. A check says so here, rather than in the request: it only has the principal, which
    /// all requests with the key share.
    static PRESENT: RefCell<Asked> =
        const { RefCell::new(Asked { caller: 0, needs: Needs::Unknown, done_reading: false }) };
}

/// What one request has asked of its caller up to now.
#[derive(Debug)]
pub(crate) struct Asked {
    /// The address of what the principal holds, only ever compared. Whoever has this value holds the principal, too.
    caller: usize,
    needs: Needs,
    /// Whether its handler has said that it reads no more of the body.
    done_reading: bool,
}

/// What grants must meet for a request to have been allowed.
#[derive(Debug, Clone)]
pub(crate) enum Needs {
    /// No requirement was seen. Either there is none, or it was checked where nobody was looking: everything that was granted counts.
    Unknown,
    /// The usual case, without memory of its own.
    One(Need),
    More(Vec<Need>),
    /// So many that they are not kept.
    Everything,
}

impl Asked {
    pub(crate) fn by(caller: &Principal) -> Self {
        Self {
            caller: address(caller),
            needs: Needs::Unknown,
            done_reading: false,
        }
    }

    pub(crate) fn is_done_reading(&self) -> bool {
        self.done_reading
    }

    pub(crate) fn needs(&self) -> &Needs {
        &self.needs
    }

    /// Does a part of the work of the request: what is asked of its caller meanwhile is seen.
    pub(crate) fn within<T>(&mut self, work: impl FnOnce() -> T) -> T {
        /// Swaps back also when the work panics.
        struct Swapped<'a>(&'a mut Asked);
        impl Drop for Swapped<'_> {
            fn drop(&mut self) {
                PRESENT.with_borrow_mut(|present| mem::swap(present, self.0));
            }
        }
        PRESENT.with_borrow_mut(|present| mem::swap(present, self));
        let _back = Swapped(self);
        work()
    }
}

impl Needs {
    /// What was asked of this caller by the request that is being polled here, if it is theirs.
    pub(super) fn of_present(caller: &Principal) -> Self {
        PRESENT.with_borrow(|present| match present.caller == address(caller) {
            true => present.needs.clone(),
            false => Self::Unknown,
        })
    }

    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Unknown => 0,
            Self::One(_) => 1,
            Self::More(needs) => needs.len(),
            Self::Everything => MOST + 1,
        }
    }

    /// Whether what the key may do now would have been enough.
    pub(super) fn check(&self, before: &Principal, now: &Principal) -> Result<(), Ended> {
        let needs = match self {
            Self::One(need) => std::slice::from_ref(need),
            Self::More(needs) => needs,
            Self::Unknown | Self::Everything => {
                let (before, now) = (before.grants(), now.grants());
                return match () {
                    () if !now.granted_scopes().covers(before.granted_scopes()) => {
                        Err(Ended::InsufficientScope)
                    }
                    () if !now.resources().covers(before.resources()) => Err(Ended::ResourceNotAllowed),
                    () => Ok(()),
                };
            }
        };
        for need in needs {
            need.check(now.grants())
                .map_err(|denied| Ended::of_denied(denied.kind()))?;
        }
        Ok(())
    }

    fn add(&mut self, requirement: &Requirement, resource: Option<Resource>) {
        let known = |need: &Need| need.is_same(requirement, resource.as_ref());
        match self {
            Self::Unknown => *self = Self::One(Need::new(requirement, resource)),
            Self::One(need) if known(need) => {}
            Self::One(need) => *self = Self::More(vec![need.clone(), Need::new(requirement, resource)]),
            Self::More(needs) if needs.iter().any(known) => {}
            Self::More(needs) if needs.len() < MOST => needs.push(Need::new(requirement, resource)),
            Self::More(_) => *self = Self::Everything,
            Self::Everything => {}
        }
    }
}

/// Remembers that the caller met this, if it is their request that is being polled here.
pub(super) fn record(caller: &Principal, requirement: &Requirement, resource: Option<Resource>) {
    PRESENT.with_borrow_mut(|present| {
        if present.caller == address(caller) {
            present.needs.add(requirement, resource);
        }
    });
}

/// Remembers that nothing more of the body is read, if it is their request that is being polled here.
pub(super) fn end_reading(caller: &Principal) {
    PRESENT.with_borrow_mut(|present| present.done_reading |= present.caller == address(caller));
}

fn address(caller: &Principal) -> usize {
    Arc::as_ptr(&caller.0).cast::<Inner>().addr()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        access::Grants,
        principal::{Identity, PrincipalKind, Realm},
    };

    const SEND: Requirement = Requirement::all_of(&["send"]);
    const READ: Requirement = Requirement::all_of(&["read"]).on("topic:{topic}");

    fn caller(scopes: &[&str], topics: Option<&[&str]>) -> Principal {
        let grants = Grants::scopes(scopes).expect("scopes");
        let grants = match topics {
            Some(topics) => grants.on(topics).expect("topics"),
            None => grants,
        };
        let identity = Identity::new("alice").grants(grants);
        Principal::new(PrincipalKind::Key, identity, Arc::new(Realm::for_tests()))
    }

    fn asked_of(caller: &Principal, work: impl FnOnce()) -> Needs {
        let mut asked = Asked::by(caller);
        asked.within(work);
        asked.needs
    }

    #[test]
    fn a_scope_that_nobody_asked_for_may_go() {
        let before = caller(&["read", "send"], Some(&["topic:a", "topic:b"]));
        let needs = asked_of(&before, || {
            record(&before, &READ, "topic:a".parse().ok());
        });
        let check = |scopes, topics| needs.check(&before, &caller(scopes, topics));
        assert_eq!(check(&["read"], Some(&["topic:a"])), Ok(()));
        assert_eq!(check(&["read"], None), Ok(()));
        assert_eq!(
            check(&["send"], Some(&["topic:a"])),
            Err(Ended::InsufficientScope)
        );
        assert_eq!(
            check(&["read"], Some(&["topic:b"])),
            Err(Ended::ResourceNotAllowed)
        );
    }

    #[test]
    fn a_resource_that_was_never_named_cannot_be_measured_later() {
        let before = caller(&["read"], None);
        let needs = asked_of(&before, || record(&before, &READ, None));
        let bound = caller(&["read"], Some(&["topic:*"]));
        assert_eq!(needs.check(&before, &bound), Err(Ended::ResourceNotAllowed));
        assert_eq!(needs.check(&before, &before), Ok(()));
    }

    #[test]
    fn all_that_was_asked_for_counts_each_once() {
        let before = caller(&["read", "send"], None);
        let needs = asked_of(&before, || {
            for _ in 0..1000 {
                record(&before, &SEND, None);
                record(&before, &READ, None);
            }
        });
        assert_eq!(needs.count(), 2);
        assert_eq!(
            needs.check(&before, &caller(&["read"], None)),
            Err(Ended::InsufficientScope)
        );
        assert_eq!(
            needs.check(&before, &caller(&["send"], None)),
            Err(Ended::InsufficientScope)
        );
    }

    #[test]
    fn where_nothing_was_seen_everything_granted_counts() {
        let before = caller(&["read", "send"], None);
        let somebody_else = caller(&["read", "send"], None);
        let needs = asked_of(&before, || record(&somebody_else, &READ, None));
        assert_eq!(needs.check(&before, &before), Ok(()));
        assert_eq!(
            needs.check(&before, &caller(&["read"], None)),
            Err(Ended::InsufficientScope)
        );
    }

    #[test]
    fn a_thousand_different_needs_are_everything() {
        let before = caller(&["read", "send"], Some(&["topic:*"]));
        let needs = asked_of(&before, || {
            for i in 0..1000 {
                record(&before, &READ, format!("topic:{i}").parse().ok());
            }
        });
        let narrower = caller(&["read", "send"], Some(&["topic:1*"]));
        assert_eq!(needs.check(&before, &narrower), Err(Ended::ResourceNotAllowed));
    }

    #[test]
    fn requests_within_requests_keep_apart() {
        let (outer, inner) = (caller(&["read"], None), caller(&["send"], None));
        let needs = asked_of(&outer, || {
            let needs = asked_of(&inner, || record(&inner, &SEND, None));
            assert_eq!(needs.count(), 1);
            record(&outer, &READ, None);
        });
        assert_eq!(needs.check(&outer, &outer), Ok(()));
        assert_eq!(needs.count(), 1);
    }
}
