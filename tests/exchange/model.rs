//! What sequences of exchanges must come to: the rules once more, over lists and whole seconds, with no code of the crate.

use tower_api_key::event::KeyEventKind::{self, Minted, Pruned, Refused, Revoked};

/// Of any key, by the application: less than the policy `deploy` gives.
pub(crate) const MAX_LIFETIME: u64 = 600;
/// Of an owner; one of alice's is her own.
pub(crate) const MAX_KEYS: usize = 3;
/// By which clocks may differ.
const LEEWAY: u64 = 30;
/// For how long a token is remembered when it can be good no more.
const REMEMBERED: u64 = 60 * 60;

/// A policy as the model knows it.
#[derive(Debug, PartialEq)]
pub(crate) struct Trust {
    pub(crate) name: &'static str,
    pub(crate) owner: &'static str,
    pub(crate) scopes: &'static str,
    pub(crate) lifetime: u64,
}

pub(crate) static DEPLOY: Trust = Trust {
    name: "deploy",
    owner: "oidc:deploy",
    scopes: "issues:read issues:write",
    lifetime: 900,
};
/// Of somebody who has other keys.
pub(crate) static BRIEF: Trust = Trust {
    name: "brief",
    owner: "alice",
    scopes: "issues:read keys:read",
    lifetime: 60,
};

pub(crate) struct Token {
    /// `None` where no policy is for it.
    pub(crate) trust: Option<&'static Trust>,
    /// The same token, signed twice: two texts.
    pub(crate) texts: [String; 2],
    pub(crate) jti: String,
    pub(crate) made: u64,
    pub(crate) end: u64,
    spent: bool,
    /// Of each text, whether all has been said that there ever will be.
    settled: [bool; 2],
}

impl Token {
    pub(crate) fn new(
        trust: Option<&'static Trust>,
        texts: [String; 2],
        jti: String,
        made: u64,
        end: u64,
    ) -> Self {
        Self {
            trust,
            texts,
            jti,
            made,
            end,
            spent: false,
            settled: [false; 2],
        }
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.spent
    }
}

#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) id: String,
    pub(crate) trust: &'static Trust,
    pub(crate) scopes: &'static str,
    pub(crate) made: u64,
    pub(crate) end: u64,
    pub(crate) revoked: bool,
    /// Removed, some time after its end.
    pub(crate) gone: bool,
}

/// What is asked of the policy.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked {
    All,
    Less,
    More,
    Elsewhere,
}

/// A line of the log: of whom, and how its reason may begin.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) kind: KeyEventKind,
    pub(crate) owner: &'static str,
    pub(crate) reasons: Vec<String>,
}

fn line(kind: KeyEventKind, owner: &'static str, reasons: &[&str]) -> Option<Line> {
    let reasons = reasons.iter().map(ToString::to_string).collect();
    Some(Line { kind, owner, reasons })
}

/// What must come of a step.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) status: u16,
    /// The word for it in the answer, if there is one.
    pub(crate) word: &'static str,
    pub(crate) line: Option<Line>,
}

fn expected(status: u16, word: &'static str, line: Option<Line>) -> Expected {
    Expected { status, word, line }
}

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) now: u64,
    pub(crate) tokens: Vec<Token>,
    pub(crate) keys: Vec<Key>,
}

impl Model {
    /// Whether a key lets anybody in.
    pub(crate) fn is_good(&self, key: &Key) -> bool {
        !key.revoked && !key.gone && self.now < key.end
    }

    /// A token is brought. Of a key that is given, what it is; how it is called the caller knows.
    pub(crate) fn bring(&mut self, which: usize, text: usize, asked: Asked) -> (Expected, Option<Key>) {
        let now = self.now;
        let live = |owner| {
            let of_owner = self.keys.iter().filter(|key| key.trust.owner == owner);
            let exchanged = of_owner.filter(|key| self.is_good(key)).count();
            exchanged + usize::from(owner == "alice")
        };
        let full = |trust: &Trust| live(trust.owner) >= MAX_KEYS;
        let token = &self.tokens[which];
        let refused = |line| (expected(400, "invalid_grant", line), None);
        if token.settled[text] {
            return refused(None);
        }
        let Some(trust) = token.trust else {
            self.tokens[which].settled[text] = true;
            return refused(line(Refused, "", &["exchange: no-policy; policy none, "]));
        };
        let reason = |fault| format!("exchange: {fault}; policy {}, ", trust.name);
        // What is wrong with the request is no fault of the token.
        let (word, fault) = match asked {
            Asked::More => ("invalid_scope", "scope"),
            Asked::Elsewhere => ("invalid_target", "target"),
            Asked::All | Asked::Less => ("", ""),
        };
        if !word.is_empty() {
            return (expected(400, word, line(Refused, "", &[&reason(fault)])), None);
        }
        let faults: &[&str] = if token.spent && now <= token.end + LEEWAY + REMEMBERED {
            &["token-spent"]
        } else if token.spent {
            // Forgotten by now or not, it is too old.
            &["token-spent", "token-expired"]
        } else if now >= token.end + LEEWAY {
            &["token-expired"]
        } else if now + LEEWAY < token.made {
            &["token-not-yet-good"]
        } else {
            &[]
        };
        if !faults.is_empty() {
            let reasons: Vec<String> = faults.iter().map(|fault| reason(fault)).collect();
            let reasons: Vec<&str> = reasons.iter().map(String::as_str).collect();
            self.tokens[which].settled[text] = faults != ["token-not-yet-good"];
            return refused(line(Refused, trust.owner, &reasons));
        }
        if full(trust) {
            let line = line(Refused, trust.owner, &[&reason("too-many-keys")]);
            return (expected(503, "temporarily_unavailable", line), None);
        }
        self.tokens[which].spent = true;
        let key = Key {
            text: String::new(),
            id: String::new(),
            trust,
            scopes: match asked {
                Asked::Less => "issues:read",
                _ => trust.scopes,
            },
            made: now,
            end: now + trust.lifetime.min(MAX_LIFETIME),
            revoked: false,
            gone: false,
        };
        let reason = format!("exchange: policy {}, ", trust.name);
        (
            expected(200, "", line(Minted, trust.owner, &[&reason])),
            Some(key),
        )
    }

    /// Its holder asks for what takes `keys:write`, of which none has any.
    pub(crate) fn write_by_itself(&self, which: usize, verb: &str) -> Expected {
        let key = &self.keys[which];
        if !self.is_good(key) {
            return expected(401, ended(key), None);
        }
        let reason = format!("{verb}: insufficient-scope");
        expected(
            403,
            "insufficient-scope",
            line(Refused, key.trust.owner, &[&reason]),
        )
    }

    /// Its holder gives it up.
    pub(crate) fn give_up(&mut self, which: usize) -> Expected {
        let key = &self.keys[which];
        if !self.is_good(key) {
            return expected(401, ended(key), None);
        }
        self.keys[which].revoked = true;
        expected(204, "", line(Revoked, self.keys[which].trust.owner, &[]))
    }

    /// Alice asks for another key that takes over from it.
    pub(crate) fn rotate(&self, which: usize) -> Expected {
        let key = &self.keys[which];
        match self.is_alices(which) {
            false => not_found("rotate"),
            true if self.is_good(key) => conflict("rotate", "exchanged-key"),
            true => conflict("rotate", "key-not-active"),
        }
    }

    /// Alice asks for so much more of it, or from now on. Gives until when.
    pub(crate) fn lengthen(&self, which: usize, by: u64) -> (u64, Expected) {
        let key = &self.keys[which];
        let end = key.end.max(self.now) + by;
        let expected = match end > key.made + MAX_LIFETIME {
            // What no key may be is a mistake, and no matter for the log.
            true if self.is_alices(which) && !key.revoked => expected(400, "invalid-request", None),
            _ => self.widen(which),
        };
        (end, expected)
    }

    /// Alice asks for more of it.
    pub(crate) fn widen(&self, which: usize) -> Expected {
        match self.is_alices(which) {
            false => not_found("change"),
            true if self.keys[which].revoked => conflict("change", "key-not-active"),
            true => expected(
                403,
                "exceeds-maker",
                line(Refused, "alice", &["change: exceeds-maker"]),
            ),
        }
    }

    /// Alice revokes it, which she may twice.
    pub(crate) fn revoke(&mut self, which: usize) -> Expected {
        match self.is_alices(which) {
            false => not_found("revoke"),
            true if self.keys[which].revoked => expected(204, "", None),
            true => {
                self.keys[which].revoked = true;
                expected(204, "", line(Revoked, "alice", &[]))
            }
        }
    }

    /// What is past its end is removed, and says so.
    pub(crate) fn prune(&mut self) -> Vec<Line> {
        let now = self.now;
        let over = self.keys.iter_mut().filter(|key| !key.gone && key.end < now);
        over.filter_map(|key| {
            key.gone = true;
            line(Pruned, key.trust.owner, &[])
        })
        .collect()
    }

    fn is_alices(&self, which: usize) -> bool {
        let key = &self.keys[which];
        !key.gone && key.trust.owner == "alice"
    }
}

/// What its holder is told of one that is not good any more.
fn ended(key: &Key) -> &'static str {
    match (key.gone, key.revoked) {
        // That it was there is remembered for a while, or not.
        (true, _) => "",
        (false, true) => "key-revoked",
        (false, false) => "key-expired",
    }
}

fn not_found(verb: &str) -> Expected {
    let reason = format!("{verb}: not-found");
    expected(404, "not-found", line(Refused, "alice", &[&reason]))
}

fn conflict(verb: &str, word: &'static str) -> Expected {
    let reason = format!("{verb}: conflict");
    expected(409, word, line(Refused, "alice", &[&reason]))
}
