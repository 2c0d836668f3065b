//! Random sequences of exchanges, and of all that somebody with such a key may try, over HTTP: after every step the router, the keys and the log
//! are as the model says.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tower_api_key::{
    access::Grants,
    clock::Clock,
    event::KeyEventKind,
    manage::{Conflict, ManageErrorKind, NewKey, Policy},
    store::{KeyQuery, TokenId},
};

use crate::{
    model::{Asked, Expected, Line, MAX_KEYS, MAX_LIFETIME, Model, Token, Trust},
    signer::EC,
    steps::{Step, steps},
    world::{Answer, World, deploy},
};

const SEQUENCES: u32 = 300;

/// All that may come of what is asked here.
const OUTCOMES: &[&str] = &[
    "given",
    // Known by its text, and not written down again.
    "invalid_grant",
    "exchange: no-policy",
    "exchange: scope",
    "exchange: target",
    "exchange: token-spent",
    "exchange: token-expired",
    "exchange: token-not-yet-good",
    "exchange: too-many-keys",
    "mint: insufficient-scope",
    "rotate: insufficient-scope",
    "rotate: conflict",
    "rotate: not-found",
    "change: conflict",
    "change: exceeds-maker",
    "change: not-found",
    // Longer than any key may last.
    "invalid-request",
    "revoke: not-found",
];

fn chosen(which: usize, of: usize) -> Option<usize> {
    (of > 0).then(|| if which == usize::MAX { of - 1 } else { which % of })
}

/// Two policies, for two environments of a repository.
fn policies(issuer: &str) -> String {
    let brief = deploy(issuer)
        .replace("danger_allow_http_loopback = true", "")
        .replace("\"deploy\"", "\"brief\"\nowner = \"alice\"\nttl_seconds = 60")
        .replace("production", "staging")
        .replace("issues:write", "keys:read");
    format!("{}{brief}", deploy(issuer))
}

type Counts = BTreeMap<String, u32>;

struct Sequence<'c> {
    world: World,
    model: Model,
    alice: String,
    /// How many lines of the log have been compared.
    seen: usize,
    counts: &'c RefCell<Counts>,
}

impl<'c> Sequence<'c> {
    async fn new(counts: &'c RefCell<Counts>) -> Self {
        let policy = Policy::new()
            .max_lifetime(Duration::from_secs(MAX_LIFETIME))
            .max_keys_per_owner(MAX_KEYS as u64);
        let world = World::with(policies, policy);
        let grants = Grants::scopes(["keys:read", "keys:write", "issues:*"]).expect("scopes");
        let alice = world
            .keys
            .issue(NewKey::new("alice").name("own").grants(grants))
            .await;
        let model = Model {
            now: seconds(world.clock.now()),
            ..Model::default()
        };
        Self {
            model,
            alice: alice.expect("a key").key.expose().to_owned(),
            seen: world.events().await.len(),
            world,
            counts,
        }
    }

    async fn step(&mut self, step: &Step) {
        let key = |which: usize| chosen(which, self.model.keys.len());
        let expected = match *step {
            Step::Make { trust, from, life } => return self.make(trust, from, life),
            Step::Bring { which, text, asked } => match chosen(which, self.model.tokens.len()) {
                Some(which) => self.bring(which, text, asked).await,
                None => return,
            },
            Step::Advance(seconds) => {
                self.world.clock.advance(Duration::from_secs(seconds));
                self.model.now += seconds;
                Vec::new()
            }
            Step::Prune => {
                let lines = self.model.prune();
                let removed = self.world.keys.prune(Duration::ZERO).await.expect("pruned");
                assert_eq!(removed, lines.len() as u64);
                lines
            }
            Step::Mint(which)
            | Step::RotateByItself(which)
            | Step::Rotate(which)
            | Step::Lengthen(which, _)
            | Step::Widen(which)
            | Step::GiveUp(which)
            | Step::Revoke(which) => match key(which) {
                Some(which) => self.try_with_key(step, which).await,
                None => return,
            },
        };
        self.check(expected).await;
    }

    fn make(&mut self, trust: Option<&'static Trust>, from: i64, life: u64) {
        let made = self.model.now.checked_add_signed(from).expect("after 1970");
        let environment = match trust.map(|trust| trust.name) {
            Some("deploy") => "production",
            Some(_) => "staging",
            None => "elsewhere",
        };
        let claims = json!({"environment": environment, "iat": made, "nbf": made, "exp": made + life});
        let claims = self.world.claims_but(claims);
        let jti = claims["jti"].as_str().expect("an id").to_owned();
        let texts = [EC.token(&claims), EC.token(&claims)];
        self.model
            .tokens
            .push(Token::new(trust, texts, jti, made, made + life));
    }

    async fn bring(&mut self, which: usize, text: usize, asked: Asked) -> Vec<Line> {
        let token = self.model.tokens[which].texts[text].clone();
        let more: &[(&str, &str)] = match asked {
            Asked::All => &[],
            Asked::Less => &[("scope", "issues:read")],
            Asked::More => &[("scope", "issues:read keys:write")],
            Asked::Elsewhere => &[("audience", "https://other.example")],
        };
        let answer = self.world.exchange_for(&token, more).await;
        let (expected, key) = self.model.bring(which, text, asked);
        self.count(&expected);
        match key {
            None => answer.assert_error(expected.status, expected.word),
            Some(mut key) => {
                key.text = answer.key();
                key.id = self
                    .who(&key.text)
                    .await
                    .text
                    .split(' ')
                    .next()
                    .expect("an id")
                    .to_owned();
                let body = answer.json();
                assert_eq!(
                    (&body["scope"], &body["expires_in"]),
                    (&json!(key.scopes), &json!(key.end - key.made)),
                    "{answer:?}"
                );
                self.model.keys.push(key);
            }
        }
        expected.line.into_iter().collect()
    }

    /// All that somebody may try with an exchanged key, or with their own on one.
    async fn try_with_key(&mut self, step: &Step, which: usize) -> Vec<Line> {
        let key = &self.model.keys[which];
        let (own, path) = (key.text.clone(), format!("/keys/{}", key.id));
        let rotate = format!("{path}/rotate");
        let (by, method, path, body, expected) = match step {
            Step::Mint(_) => {
                let body = json!({"name": "more", "scopes": ["issues:read"]});
                let expected = self.model.write_by_itself(which, "mint");
                (&own, "POST", "/keys", body, expected)
            }
            Step::RotateByItself(_) => {
                let expected = self.model.write_by_itself(which, "rotate");
                (&own, "POST", &*rotate, json!({}), expected)
            }
            Step::Rotate(_) => {
                self.assert_application_cannot_rotate(which).await;
                let expected = self.model.rotate(which);
                (&self.alice, "POST", &*rotate, json!({}), expected)
            }
            &Step::Lengthen(_, by) => {
                let (end, expected) = self.model.lengthen(which, by);
                let end = jiff::Timestamp::from_second(end.cast_signed()).expect("a moment");
                let body = json!({"expires_at": end.to_string()});
                (&self.alice, "PATCH", &*path, body, expected)
            }
            Step::Widen(_) => {
                let body = json!({"scopes": ["issues:*"]});
                let expected = self.model.widen(which);
                (&self.alice, "PATCH", &*path, body, expected)
            }
            Step::GiveUp(_) => {
                let expected = self.model.give_up(which);
                (&own, "DELETE", "/keys/current", Value::Null, expected)
            }
            Step::Revoke(_) => {
                let expected = self.model.revoke(which);
                (&self.alice, "DELETE", &*path, Value::Null, expected)
            }
            other => panic!("no key is used for {other:?}"),
        };
        let answer = self.world.by_key(by, method, path, body).await;
        assert_eq!(answer.status, expected.status, "{answer:?}");
        if !expected.word.is_empty() {
            assert_eq!(answer.json()["code"], expected.word, "{answer:?}");
        }
        self.count(&expected);
        expected.line.into_iter().collect()
    }

    /// Nobody gets one that takes over, and the application is told why.
    async fn assert_application_cannot_rotate(&self, which: usize) {
        let key = &self.model.keys[which];
        let id = key.id.parse().expect("an id");
        let refused = self
            .world
            .keys
            .rotate(id, Duration::ZERO)
            .await
            .expect_err("no successor");
        let kind = refused.kind();
        let told = match (key.gone, self.model.is_good(key)) {
            (true, _) => kind == ManageErrorKind::NotFound,
            (false, true) => kind == ManageErrorKind::Conflict(Conflict::Exchanged),
            (false, false) => matches!(kind, ManageErrorKind::Conflict(Conflict::NotActive(_))),
        };
        assert!(told, "{kind:?} for {key:?}");
    }

    async fn who(&self, key: &str) -> Answer {
        self.world.by_key(key, "GET", "/who", Value::Null).await
    }

    fn count(&self, expected: &Expected) {
        let reason = expected.line.iter().flat_map(|line| line.reasons.first()).next();
        let what = match (expected.status, reason) {
            (200, _) => "given",
            (_, Some(reason)) => reason.split("; ").next().expect("a part"),
            (400, None) => expected.word,
            _ => return,
        };
        *self.counts.borrow_mut().entry(what.to_owned()).or_default() += 1;
    }

    /// The keys and the log are as they must be, and each key lets in who holds it for as long as it should.
    async fn check(&mut self, expected: Vec<Line>) {
        let mut kept = self
            .world
            .keys
            .list(&KeyQuery::newest(1000))
            .await
            .expect("a list")
            .keys;
        kept.retain(|record| record.exchanged);
        let keys = self.model.keys.iter().rev().filter(|key| !key.gone);
        let keys: Vec<_> = keys.collect();
        assert_eq!(kept.len(), keys.len(), "{kept:?}");
        for (record, key) in kept.iter().zip(keys) {
            let scopes: Vec<&str> = record
                .grants
                .granted_scopes()
                .iter()
                .map(|scope| scope.as_str())
                .collect();
            assert_eq!(
                (
                    record.id.to_string(),
                    &*record.owner,
                    &*record.name,
                    scopes.join(" ")
                ),
                (
                    key.id.clone(),
                    key.trust.owner,
                    key.trust.name,
                    key.scopes.to_owned()
                )
            );
            assert_eq!(record.expires_at.map(seconds), Some(key.end), "{key:?}");
            assert!(key.end <= key.made + key.trust.lifetime, "{key:?}");
            assert_eq!(record.revoked_at.is_some(), key.revoked, "{key:?}");
        }
        for key in &self.model.keys {
            let who = self.who(&key.text).await;
            match self.model.is_good(key) {
                true => {
                    let told = format!("{} {} {}", key.id, key.trust.owner, key.scopes);
                    assert_eq!((who.status, who.text), (200, told), "{key:?}");
                }
                false => assert_eq!(who.status, 401, "{key:?}: {who:?}"),
            }
        }
        self.check_log(expected).await;
    }

    async fn check_log(&mut self, expected: Vec<Line>) {
        let mut events = self.world.events().await;
        events.reverse();
        let minted = events
            .iter()
            .filter(|logged| logged.event.kind == KeyEventKind::Minted);
        let minted: Vec<&str> = minted
            .filter_map(|logged| logged.event.reason.as_deref())
            .collect();
        for token in &self.model.tokens {
            let id = TokenId::of(self.world.issuer.url(), &token.jti).to_string();
            let given = minted.iter().filter(|reason| reason.ends_with(&id)).count();
            assert_eq!(given, usize::from(token.is_spent()), "keys for {}", token.jti);
        }
        let new = &events[self.seen..];
        assert_eq!(new.len(), expected.len(), "{new:?} {expected:?}");
        self.seen = events.len();
        // What is removed at once comes in any order.
        let mut found: Vec<_> = new.iter().map(|logged| &logged.event).collect();
        for line in &expected {
            let fits = found.iter().position(|event| {
                let reason = event.reason.as_deref().unwrap_or_default();
                let said = line.reasons.iter().any(|begin| reason.starts_with(begin));
                event.kind == line.kind
                    && event.owner == line.owner
                    && (said || line.reasons.is_empty() && reason.is_empty())
            });
            let fits = fits.unwrap_or_else(|| panic!("assertion of the log: no {line:?} in {found:?}"));
            found.remove(fits);
        }
    }
}

fn seconds(moment: SystemTime) -> u64 {
    moment.duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

#[test]
fn whatever_is_tried_in_whatever_order_there_is_one_key_for_a_token_and_it_ends_in_time() {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let config = Config {
        cases: SEQUENCES,
        failure_persistence: None,
        max_shrink_iters: 300,
        ..Config::default()
    };
    let counts = RefCell::default();
    let checked = TestRunner::new(config).run(&steps(), |steps| {
        runtime.block_on(async {
            let mut sequence = Sequence::new(&counts).await;
            for step in &steps {
                sequence.step(step).await;
            }
            let verified = sequence.world.keys.verify_log().await.expect("a log");
            assert!(verified.is_ok(), "{verified:?}");
        });
        Ok(())
    });
    if let Err(failure) = checked {
        panic!("{failure}");
    }
    // Each often enough, or nothing was tested.
    let counts = counts.into_inner();
    for what in OUTCOMES {
        assert!(
            counts.get(*what).is_some_and(|count| *count >= 10),
            "{what}: {counts:?}"
        );
    }
    assert_eq!(counts.len(), OUTCOMES.len(), "{counts:?}");
}
