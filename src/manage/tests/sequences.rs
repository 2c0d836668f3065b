use std::{
    collections::HashMap,
    sync::Arc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

#[cfg(feature = "oidc")]
mod tokens;

use super::model::{Allowed, Dice};
use crate::{
    key::{CreditAccount, KeyDigest, KeyId, KeyRecord, KeyStatus},
    manage::{
        alter::{decide_change, decide_end},
        batch::decide_import,
        error::{ManageError, ManageErrorKind},
        mint::{decide_mint, decide_rotation},
        policy::Policy,
        request::{Caller, ImportedKey, KeyChange, NewKey},
        verb::Maker,
    },
    principal::{Identity, Principal, PrincipalKind, Realm},
    store::{View, Writes},
};

const SEQUENCES: u64 = 1_000_000;
const VERBS: usize = 6;
/// A day of the model is a second, so that expiries come and go within a sequence.
const MAX_LIFETIME: Duration = Duration::from_secs(120);

/// A store without anything but its rows, and who made what.
struct World {
    now: SystemTime,
    keys: Vec<KeyRecord>,
    /// The most that any ancestor of a key was allowed when it made the next one.
    ceilings: HashMap<KeyId, Vec<Allowed>>,
    policy: Policy,
    realm: Arc<Realm>,
    #[cfg(feature = "oidc")]
    tokens: tokens::Tokens,
    digests: u64,
    made: u64,
    refused: u64,
}

impl World {
    fn new(dice: &mut Dice) -> Self {
        let mut world = Self {
            now: UNIX_EPOCH + Duration::from_secs(10),
            keys: Vec::new(),
            ceilings: HashMap::new(),
            policy: Policy::new(),
            realm: Arc::default(),
            #[cfg(feature = "oidc")]
            tokens: tokens::Tokens::new(dice),
            digests: 0,
            made: 0,
            refused: 0,
        };
        if dice.one_in(2) {
            world.policy = Policy::new().max_lifetime(MAX_LIFETIME).max_keys_per_owner(4);
        }
        for owner in ["alice", "alice", "bob"] {
            let mut root = world.blank(owner);
            root.grants = dice.root_grants();
            root.expires_at = dice.expiry();
            root.allowed_ips = dice.addresses();
            root.rate_limit = dice.rate();
            root.credits = dice.credits().map(|limit| CreditAccount::new(root.id, limit));
            world.ceilings.insert(root.id, Vec::new());
            world.keys.push(root);
        }
        world
    }

    fn blank(&mut self, owner: &str) -> KeyRecord {
        self.digests += 1;
        let digest = KeyDigest::of(&self.digests.to_be_bytes());
        // Not `generate`: a million sequences would spend their time on random numbers.
        let mut id = [0; 16];
        id[8..].copy_from_slice(&self.digests.to_be_bytes());
        KeyRecord::new(KeyId::from_bytes(id), digest, owner, self.now)
    }

    fn view(&self) -> View {
        let live = |key: &&KeyRecord| {
            key.owner == "alice" && !matches!(key.status(self.now), KeyStatus::Revoked | KeyStatus::Expired)
        };
        let live = self.keys.iter().filter(live).count() as u64;
        View::new(self.now, self.keys.clone(), Vec::new(), live)
    }

    /// One verb by the holder of one key, on another.
    fn step(&mut self, dice: &mut Dice) {
        self.now += Duration::from_secs(dice.below(15) as u64);
        #[cfg(feature = "oidc")]
        if dice.one_in(5) {
            return self.exchange(dice);
        }
        let caller = self.keys[dice.below(self.keys.len())].clone();
        let target = self.keys[dice.below(self.keys.len())].clone();
        // As it was let in, perhaps before the last change of it.
        let identity = Identity::from_record(&caller, self.now);
        let principal = Principal::new(PrincipalKind::Key, identity, self.realm.clone());
        let maker = Maker::Caller(Caller::new(principal));
        let view = self.view();
        let policy = self.policy.clone();
        let draft = self.blank(&caller.owner);
        let outcome = match dice.below(7) {
            0..=2 => {
                let new = new_key(dice, &caller.owner);
                let result = decide_mint(&maker, &view, &policy, new.clone(), draft);
                self.check_mint_is_refused_only_with_reason(&caller, &new, result.as_ref().err());
                result.map(|(writes, _)| writes)
            }
            3 => {
                let change = change(dice);
                decide_change(&maker, &view, &policy, target.id, &change).map(|(writes, _)| writes)
            }
            4 => {
                let mut draft = draft;
                draft.owner.clone_from(&target.owner);
                let overlap = Duration::from_secs(dice.below(30) as u64);
                decide_rotation(&maker, &view, &policy, target.id, overlap, draft).map(|(writes, _)| writes)
            }
            5 => decide_end(&maker, &view, target.id).map(|(writes, _)| writes),
            _ => {
                let imported = ImportedKey::new(draft.digest, new_key(dice, "mallory"));
                decide_import(&maker, &view, &policy, vec![imported]).map(|(writes, _)| writes)
            }
        };
        match outcome {
            Ok(writes) => self.write(&caller, writes),
            Err(_) => self.refused += 1,
        }
    }

    /// The rule itself, checked on what is written.
    fn write(&mut self, caller: &KeyRecord, writes: Writes) {
        let now = self.now;
        if !writes.is_nothing() {
            assert_eq!(
                caller.status(now),
                KeyStatus::Active,
                "a key that is not good did something"
            );
        }
        assert!(
            writes.is_nothing() || !caller.exchanged,
            "a key that was given for a token changed keys: {caller:?}"
        );
        let maker = Allowed::of(caller);
        assert!(
            writes.is_nothing() || maker.may("keys:write"),
            "changed keys without the scope: {caller:?}"
        );
        for filling in &writes.fill {
            let made = writes.insert.iter().any(|key| key.id == filling.account.id);
            assert!(
                caller.credits.is_none(),
                "filled by whoever draws on one: {caller:?}"
            );
            assert!(made || is_admin(caller), "filled by {caller:?}: {filling:?}");
        }
        for key in &writes.insert {
            let allowed = Allowed::of(key);
            assert!(
                maker.includes(&allowed),
                "more than its maker: {caller:?} made {key:?}"
            );
            let old = key
                .rotated_from
                .and_then(|old| self.keys.iter().find(|key| key.id == old));
            assert!(
                old.is_none_or(|old| !old.exchanged) && !key.exchanged,
                "took over from a key that was given for a token: {key:?}"
            );
            let owner = old.map_or(&caller.owner, |old| &old.owner);
            assert_eq!(key.owner, *owner, "a key for somebody else");
            // A term may be new, as far as the caller could give it; nothing else is.
            let old = old.map(|old| Allowed::of(old).for_ever());
            assert!(
                old.is_none_or(|old| old.includes(&allowed)),
                "more than it took over: {key:?}"
            );
            assert!(
                key.expires_at.is_none_or(|expiry| expiry > now),
                "born expired: {key:?}"
            );
            let mut ceilings = self.ceilings[&caller.id].clone();
            ceilings.push(maker.clone());
            self.ceilings.insert(key.id, ceilings);
        }
        for changed in &writes.update {
            let kept = self.keys.iter_mut().find(|key| key.id == changed.id);
            let kept = kept.expect("the key is there");
            assert!(
                Allowed::of(kept).includes(&Allowed::of(changed)),
                "widened: {kept:?} to {changed:?}"
            );
            assert_eq!(changed.version, kept.version + 1);
            assert_eq!((changed.digest, &changed.owner), (kept.digest, &kept.owner));
            assert_eq!(changed.exchanged, kept.exchanged, "forgot where it is from");
            assert!(kept.revoked_at.is_none(), "a revoked key was changed: {kept:?}");
            assert!(
                kept.owner == caller.owner || is_admin(caller),
                "somebody else's key was changed: {kept:?} by {caller:?}"
            );
            *kept = changed.clone();
        }
        self.made += writes.insert.len() as u64;
        assert_events(&writes);
        for key in writes.insert.iter().chain(&writes.update) {
            let allowed = Allowed::of(key);
            let ceilings = &self.ceilings[&key.id];
            assert!(
                ceilings.iter().all(|ceiling| ceiling.includes(&allowed)),
                "more than an ancestor: {key:?}"
            );
        }
        self.keys.extend(writes.insert);
    }

    /// The other half of the rule: what is within the maker's rights is not refused for exceeding them.
    fn check_mint_is_refused_only_with_reason(
        &self,
        caller: &KeyRecord,
        new: &NewKey,
        error: Option<&ManageError>,
    ) {
        let kind = error.map(ManageError::kind);
        if let Some(ManageErrorKind::Exceeds(_)) = kind {
            let mut wanted = KeyRecord::new(caller.id, caller.digest, "alice", self.now);
            wanted.grants = new.grants.clone();
            wanted.expires_at = new.expires_at.or(caller.expires_at);
            wanted.allowed_ips = new.allowed_ips.clone().or_else(|| caller.allowed_ips.clone());
            wanted.rate_limit = new.rate_limit.clone().or_else(|| caller.rate_limit.clone());
            wanted.credits = caller.credits;
            // There is one account for all that comes of it.
            if new.credits.is_some() && caller.credits.is_some() {
                return;
            }
            let within = Allowed::of(caller).includes(&Allowed::of(&wanted));
            // "All" has no name in the model for what it grants beyond it.
            let all = wanted.grants.granted_scopes().is_all();
            assert!(
                !within || all,
                "refused without reason: {caller:?} asked for {wanted:?}"
            );
        }
    }
}

/// Every row its event, every event its row.
fn assert_events(writes: &Writes) {
    let about = |key: &KeyRecord| {
        writes
            .events
            .iter()
            .filter(|event| event.key_id == Some(key.id))
            .count()
    };
    for key in writes.insert.iter().chain(&writes.update) {
        assert_eq!(about(key), 1, "{writes:?}");
    }
    assert_eq!(writes.events.len(), writes.insert.len() + writes.update.len());
}

fn is_admin(caller: &KeyRecord) -> bool {
    let granted = caller.grants.granted_scopes();
    granted.is_all() || granted.iter().any(|pattern| pattern.as_str() == "keys:*")
}

fn new_key(dice: &mut Dice, owner: &str) -> NewKey {
    let mut new = NewKey::new(owner).name("k").grants(dice.grants());
    if let Some(expiry) = dice.expiry() {
        new = new.expires_at(expiry);
    }
    if let Some(addresses) = dice.addresses() {
        new = new.allowed_ips(addresses);
    }
    if let Some(rate) = dice.rate() {
        new = new.rate_limit(rate);
    }
    if let Some(credits) = dice.credits() {
        new = new.credits(credits);
    }
    new
}

fn change(dice: &mut Dice) -> KeyChange {
    let mut change = KeyChange::new();
    if dice.one_in(4) {
        change = change.name("another");
    }
    if dice.one_in(3) {
        change = change.disabled(dice.one_in(2));
    }
    if dice.one_in(3) {
        change = change.scopes(dice.scopes());
    }
    if dice.one_in(4) {
        change = change.resources(dice.resources());
    }
    if dice.one_in(4) {
        change = change.expires_at(dice.expiry());
    }
    if dice.one_in(6) {
        change = change.allowed_ips(dice.addresses());
    }
    if dice.one_in(6) {
        change = change.rate_limit(dice.rate());
    }
    if dice.one_in(4)
        && let Some(credits) = dice.credits()
    {
        change = change.credits(credits);
    }
    change
}

#[test]
fn no_sequence_of_verbs_makes_a_key_that_is_more_than_an_ancestor() {
    let threads = 4;
    let workers = (0..threads).map(|worker| {
        thread::spawn(move || {
            let (mut made, mut refused) = (0, 0);
            for seed in (worker..SEQUENCES).step_by(threads as usize) {
                let mut dice = Dice::new(seed);
                let mut world = World::new(&mut dice);
                (0..VERBS).for_each(|_| world.step(&mut dice));
                made += world.made;
                refused += world.refused;
            }
            (made, refused)
        })
    });
    let workers: Vec<_> = workers.collect();
    let (mut made, mut refused) = (0, 0);
    for worker in workers {
        let (more_made, more_refused) = worker.join().expect("no assertion failed");
        made += more_made;
        refused += more_refused;
    }
    // Both must happen often, or nothing was tested.
    assert!(
        made > SEQUENCES / 4 && refused > SEQUENCES / 4,
        "{made} made, {refused} refused"
    );
}

#[test]
fn the_model_tells_more_from_less() {
    let key = |scopes: &[&str]| {
        let mut key = KeyRecord::new(KeyId::generate(), KeyDigest::of(b""), "alice", UNIX_EPOCH);
        key.grants = crate::access::Grants::scopes(scopes).expect("scopes");
        Allowed::of(&key)
    };
    assert!(key(&["issues:*"]).includes(&key(&["issues:read", "issues:own:*"])));
    assert!(!key(&["issues:read", "issues:write", "issues:own:*"]).includes(&key(&["issues:*"])));
    assert!(key(&["keys:*"]).may("keys:write") && !key(&["keys:read"]).may("keys:write"));
}
