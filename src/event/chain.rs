use std::fmt;

use sha2::{Digest, Sha256};

use super::{KeyEvent, KeyEventKind};
use crate::{clock::to_unix_ms, key::KeyId};

/// The end of the log: the number and hash of the last event. Before the first event both are zero.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ChainHead {
    /// The number of the last event; events are numbered from 1 without a gap.
    pub seq: i64,
    /// Its hash.
    pub hash: [u8; 32],
}

impl ChainHead {
    /// The end of a log.
    #[must_use]
    pub fn new(seq: i64, hash: [u8; 32]) -> Self {
        Self { seq, hash }
    }

    /// The event that follows, ready to be kept: what a store does with each event, under the lock that its transaction holds.
    #[must_use]
    pub fn append(&mut self, event: KeyEvent) -> LoggedEvent {
        let seq = self.seq + 1;
        let hash = hash(&self.hash, seq, &event);
        *self = Self { seq, hash };
        LoggedEvent { seq, hash, event }
    }

    /// The hash as hexadecimal digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        self.hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for ChainHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.to_hex())
    }
}

/// An event as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoggedEvent {
    /// Its number.
    pub seq: i64,
    /// The hash of it and of the event before.
    pub hash: [u8; 32],
    /// What it says.
    pub event: KeyEvent,
}

impl LoggedEvent {
    /// An event that was read from a store.
    #[must_use]
    pub fn new(seq: i64, hash: [u8; 32], event: KeyEvent) -> Self {
        Self { seq, hash, event }
    }
}

/// Reads a log from its beginning, and finds the first place where it is broken.
#[derive(Debug, Default)]
pub struct ChainCheck {
    head: ChainHead,
}

impl ChainCheck {
    /// Before the first event.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next event in the order of their numbers.
    ///
    /// # Errors
    ///
    /// [`Break`], at the first event that was deleted, edited, swapped or added.
    pub fn next(&mut self, logged: &LoggedEvent) -> Result<(), Break> {
        let expected = self.head.seq + 1;
        if logged.seq < expected {
            // Numbers are unique: it stands before the first.
            return Err(Break::altered(logged.seq));
        }
        if logged.seq > expected {
            return Err(Break {
                seq: expected,
                missing: true,
            });
        }
        let head = self.head.append(logged.event.clone());
        match head.hash == logged.hash {
            true => Ok(()),
            false => Err(Break::altered(logged.seq)),
        }
    }

    /// Where the check has come to.
    #[must_use]
    pub fn head(&self) -> ChainHead {
        self.head
    }

    /// The end, which must be where the store says it is.
    ///
    /// # Errors
    ///
    /// [`Break`], when events are missing at the end.
    pub fn finish(self, stored: ChainHead) -> Result<ChainHead, Break> {
        match self.head == stored {
            true => Ok(self.head),
            false => Err(Break {
                seq: self.head.seq.min(stored.seq) + 1,
                missing: self.head.seq != stored.seq,
            }),
        }
    }
}

/// The log is broken at an event: everything before it is as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Break {
    seq: i64,
    missing: bool,
}

impl Break {
    pub(crate) fn altered(seq: i64) -> Self {
        Self { seq, missing: false }
    }

    /// The number of the first event that is not as it was written.
    #[must_use]
    pub fn seq(&self) -> i64 {
        self.seq
    }

    /// Whether it is gone, rather than altered.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.missing
    }
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.missing { "is missing" } else { "was altered" };
        write!(f, "event {} {what}", self.seq)
    }
}

impl std::error::Error for Break {}

/// SHA-256 over the hash before, the number and every field, each with its length before it, so that no two events read alike.
fn hash(before: &[u8; 32], seq: i64, event: &KeyEvent) -> [u8; 32] {
    let mut sha = Sha256::new();
    sha.update(before);
    sha.update(seq.to_be_bytes());
    let mut field = |value: Option<&str>| match value {
        None => sha.update([0]),
        Some(value) => {
            sha.update([1]);
            sha.update((value.len() as u64).to_be_bytes());
            sha.update(value);
        }
    };
    let KeyEvent {
        kind,
        key_id,
        owner,
        at,
        actor,
        before,
        after,
        reason,
    } = event;
    field(Some(KeyEventKind::as_str(*kind)));
    field(key_id.as_ref().map(KeyId::to_string).as_deref());
    field(Some(owner));
    field(Some(&to_unix_ms(*at).to_string()));
    field(Some(&actor.kind));
    field(Some(&actor.owner));
    field(actor.key_id.as_deref());
    field(actor.address.map(|address| address.to_string()).as_deref());
    field(actor.request_id.as_deref());
    field(before.as_deref());
    field(after.as_deref());
    field(reason.as_deref());
    sha.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::event::Actor;

    fn log(length: i64) -> (Vec<LoggedEvent>, ChainHead) {
        let mut head = ChainHead::default();
        let events = (1..=length)
            .map(|i| {
                let at = UNIX_EPOCH + Duration::from_millis(i.unsigned_abs());
                let actor = Actor::new("key", format!("owner {i}"));
                head.append(KeyEvent::refused(None, "alice", at, &actor, "insufficient-scope"))
            })
            .collect();
        (events, head)
    }

    fn check(events: &[LoggedEvent], head: ChainHead) -> Result<ChainHead, Break> {
        let mut check = ChainCheck::new();
        events.iter().try_for_each(|event| check.next(event))?;
        check.finish(head)
    }

    #[test]
    fn an_untouched_log_is_whole() {
        let (events, head) = log(5);
        assert_eq!(check(&events, head), Ok(head));
        assert_eq!(check(&[], ChainHead::default()), Ok(ChainHead::default()));
    }

    #[test]
    fn the_first_row_that_was_deleted_edited_or_swapped_is_found() {
        let (events, head) = log(5);
        for i in 0..5 {
            let seq = events[i].seq;
            let mut deleted = events.clone();
            deleted.remove(i);
            let found = check(&deleted, head).expect_err("a break");
            assert_eq!((found.seq(), found.is_missing()), (seq, true), "deleted {seq}");

            let mut edited = events.clone();
            edited[i].event.reason = None;
            let found = check(&edited, head).expect_err("a break");
            assert_eq!((found.seq(), found.is_missing()), (seq, false), "edited {seq}");
        }
        let mut swapped = events.clone();
        let (one, other) = (swapped[1].event.clone(), swapped[3].event.clone());
        (swapped[1].event, swapped[3].event) = (other, one);
        assert_eq!(check(&swapped, head).expect_err("a break").seq(), 2);
        // Put in at the end by somebody who knows how, but not told to the head.
        let mut added = events;
        let mut forged = head;
        added.push(forged.append(added[0].event.clone()));
        assert_eq!(check(&added, head).expect_err("a break").seq(), 6);
    }

    #[test]
    fn a_row_that_was_put_before_the_first_is_found() {
        let (mut events, head) = log(2);
        let mut forged = events[0].clone();
        forged.seq = 0;
        events.insert(0, forged);
        let found = check(&events, head).expect_err("a break");
        assert_eq!((found.seq(), found.is_missing()), (0, false));
    }

    #[test]
    fn fields_cannot_flow_into_one_another() {
        let at = UNIX_EPOCH;
        let mut one = KeyEvent::refused(None, "ab", at, &Actor::new("c", "d"), "e");
        let two = KeyEvent::refused(None, "a", at, &Actor::new("bc", "d"), "e");
        assert_ne!(hash(&[0; 32], 1, &one), hash(&[0; 32], 1, &two));
        let empty = hash(&[0; 32], 1, &{
            one.reason = Some(String::new());
            one.clone()
        });
        one.reason = None;
        assert_ne!(hash(&[0; 32], 1, &one), empty);
    }
}
