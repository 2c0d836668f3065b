//! Tokens of an issuer in the model: for each there is one key at most, which is no more than its policy, and which makes no other.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{VERBS, World, assert_events};
use crate::{
    access::Grants,
    event::Actor,
    key::{KeyRecord, KeyStatus},
    manage::{
        error::{ManageErrorKind, TokenFault},
        redeem::decide_redemption,
        tests::model::{Allowed, Dice},
        trust::Redemption,
        verb::Maker,
    },
    store::{SpentToken, TokenId, Writes},
};

/// So few that most are brought more than once.
const TOKENS: usize = 2;

/// A token as its issuer made it: whoever brings it cannot change when it is good.
#[derive(Clone, Copy)]
struct Token {
    id: TokenId,
    not_before: SystemTime,
    expires_at: SystemTime,
    remember: SystemTime,
}

pub(super) struct Tokens {
    made: [Token; TOKENS],
    /// As a store keeps them, until they may be forgotten.
    kept: BTreeMap<TokenId, SystemTime>,
    /// As nobody forgets them.
    spent: BTreeSet<TokenId>,
    given: u64,
    refused: u64,
    twice: u64,
}

impl Tokens {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let mut made = |n: u8| {
            let seconds = |seconds| Duration::from_secs(seconds as u64);
            let not_before = UNIX_EPOCH + seconds(dice.below(40));
            let expires_at = not_before + seconds(1 + dice.below(80));
            Token {
                id: TokenId::from_bytes([n; 32]),
                not_before,
                expires_at,
                remember: expires_at + seconds(dice.below(10)),
            }
        };
        Self {
            made: [made(0), made(1)],
            kept: BTreeMap::new(),
            spent: BTreeSet::new(),
            given: 0,
            refused: 0,
            twice: 0,
        }
    }
}

impl World {
    /// One token is brought, and one policy is for it. Policies here may grant what those of a file may not: keys that could make keys.
    pub(super) fn exchange(&mut self, dice: &mut Dice) {
        let token = self.tokens.made[dice.below(TOKENS)];
        let owner = ["alice", "bob"][dice.below(2)];
        let grants = dice.grants();
        let wanted = match dice.one_in(4) {
            true => dice.grants(),
            false => grants.clone(),
        };
        let redemption = Redemption {
            owner: owner.to_owned(),
            name: "policy".to_owned(),
            grants,
            wanted,
            lifetime: Duration::from_secs(1 + dice.below(60) as u64),
            token: token.id,
            not_before: token.not_before,
            expires_at: token.expires_at,
            remember: token.remember,
            actor: Actor::new("token", owner),
            note: "a note".to_owned(),
        };
        let redemption = Arc::new(redemption);
        let mut view = self.view();
        view.live = self.live_of(owner);
        view.spent = self.tokens.kept.contains_key(&token.id);
        let over = self.tokens.kept.iter().filter(|(_, until)| **until < self.now);
        view.forgettable_tokens = over.map(|(id, _)| *id).collect();
        let draft = self.blank(owner);
        let maker = Maker::Trust(redemption.clone());
        let decided = decide_redemption(&maker, &view, &self.policy, &redemption, draft);
        let found = decided.as_ref().err().map(|error| error.kind());
        self.check_refusal(&redemption, found);
        match decided {
            Ok((writes, record)) => {
                assert_eq!(writes.insert, [record]);
                self.give(&redemption, writes);
            }
            Err(_) => self.tokens.refused += 1,
        }
    }

    fn live_of(&self, owner: &str) -> u64 {
        let ended = |key: &KeyRecord| matches!(key.status(self.now), KeyStatus::Revoked | KeyStatus::Expired);
        let live = self.keys.iter().filter(|key| key.owner == owner && !ended(key));
        live.count() as u64
    }

    /// A token is refused for what is wrong with it, and for nothing else.
    fn check_refusal(&mut self, redemption: &Redemption, found: Option<ManageErrorKind>) {
        let spent = self.tokens.spent.contains(&redemption.token);
        let live = self.live_of(&redemption.owner);
        let full = self.policy.max_keys_per_owner.is_some_and(|most| live >= most);
        let in_time = (redemption.not_before..redemption.expires_at).contains(&self.now);
        self.tokens.twice += u64::from(spent && in_time);
        match found {
            // The rest of what a key must be is looked at where it is written.
            None => assert!(
                !spent && in_time && !full,
                "given: {redemption:?} at {:?}",
                self.now
            ),
            Some(ManageErrorKind::TokenNotGood(TokenFault::Spent)) => assert!(spent, "{redemption:?}"),
            // Also one that was spent, and is forgotten because of its age.
            Some(ManageErrorKind::TokenNotGood(TokenFault::Expired)) => {
                assert!(
                    self.now >= redemption.expires_at,
                    "{redemption:?} at {:?}",
                    self.now
                );
            }
            Some(ManageErrorKind::TokenNotGood(TokenFault::NotYet)) => {
                assert!(
                    self.now < redemption.not_before,
                    "{redemption:?} at {:?}",
                    self.now
                );
            }
            Some(ManageErrorKind::Exceeds(_)) => {
                let all = redemption.wanted.granted_scopes().is_all();
                let within = self
                    .allowed(&redemption.grants)
                    .includes(&self.allowed(&redemption.wanted));
                assert!(!within || all, "refused without reason: {redemption:?}");
            }
            Some(ManageErrorKind::Quota) => assert!(full, "{redemption:?}"),
            Some(other) => panic!("{other:?} for {redemption:?}"),
        }
    }

    fn allowed(&self, grants: &Grants) -> Allowed {
        let mut key = self.keys[0].clone();
        key.grants = grants.clone();
        key.expires_at = None;
        key.allowed_ips = None;
        key.rate_limit = None;
        key.credits = None;
        Allowed::of(&key)
    }

    /// One key, one event and one spent token, or nothing at all.
    fn give(&mut self, redemption: &Redemption, writes: Writes) {
        let mut policy = self.keys[0].clone();
        policy.grants = redemption.grants.clone();
        policy.expires_at = Some(self.now + redemption.lifetime);
        policy.allowed_ips = None;
        policy.rate_limit = None;
        policy.credits = None;
        let ceiling = Allowed::of(&policy);
        let [key] = writes.insert.as_slice() else {
            panic!("one key: {writes:?}")
        };
        assert!(key.exchanged && key.rotated_from.is_none(), "{key:?}");
        assert_eq!(key.owner, redemption.owner);
        assert!(
            ceiling.includes(&Allowed::of(key)),
            "more than its policy: {key:?}"
        );
        assert!(key.expires_at > Some(self.now), "born expired: {key:?}");
        assert!(writes.update.is_empty() && writes.fill.is_empty(), "{writes:?}");
        assert_events(&writes);
        let spent = SpentToken::new(redemption.token, redemption.remember);
        assert_eq!(writes.spend_token, Some(spent), "given and not spent");
        let kept = &mut self.tokens.kept;
        kept.retain(|id, _| !writes.forget_tokens.contains(id));
        kept.insert(spent.id, spent.until);
        assert!(
            self.tokens.spent.insert(spent.id),
            "two keys for one token: {writes:?}"
        );
        self.tokens.given += 1;
        self.ceilings.insert(key.id, vec![ceiling]);
        self.keys.extend(writes.insert);
    }
}

#[test]
fn tokens_are_given_keys_for_and_refused_and_brought_again() {
    const SEQUENCES: u64 = 10_000;
    let mut counts = [0; 3];
    for seed in 0..SEQUENCES {
        let mut dice = Dice::new(seed);
        let mut world = World::new(&mut dice);
        (0..VERBS).for_each(|_| world.step(&mut dice));
        let of_this = [world.tokens.given, world.tokens.refused, world.tokens.twice];
        counts
            .iter_mut()
            .zip(of_this)
            .for_each(|(count, more)| *count += more);
    }
    // Or nothing was tested.
    let [given, refused, twice] = counts;
    assert!(
        given > SEQUENCES / 4 && refused > SEQUENCES / 4 && twice > SEQUENCES / 100,
        "{counts:?}"
    );
}
