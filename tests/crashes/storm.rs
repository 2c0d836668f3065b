//! A client that mints, rotates and revokes without a pause, until the server is no more.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::support::{
    http::{Connection, Response, json_request, request},
    server::X_EXTERNAL,
};

/// A key whose 201 was read.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) fate: Fate,
    rotated: bool,
}

/// What must have become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Works,
    /// Its DELETE was answered 204.
    Revoked,
    /// Its rotation without an overlap was answered 201.
    Expired,
    /// Its end was asked for, and never answered.
    Either,
}

#[derive(Debug, Clone, Copy)]
enum Wish {
    Mint,
    Rotate { which: usize, overlap: bool },
    Revoke { which: usize },
}

/// What a client has been told, and what it has not.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) held: Vec<Held>,
    pub(crate) mints: usize,
    pub(crate) rotations: usize,
    pub(crate) revokes: usize,
    pub(crate) unanswered_mints: usize,
    pub(crate) unanswered_rotations: usize,
    pub(crate) unanswered_revokes: usize,
}

/// Clients begin at different places of the round.
pub(crate) fn storm(address: SocketAddr, client: usize, answers: &AtomicUsize) -> Told {
    let mut connection = Connection::open(address);
    let mut told = Told::default();
    for step in client.. {
        let wish = told.wish(step);
        let sent = connection.try_send(&told.request(wish));
        let answer = sent.then(|| connection.try_receive(false).ok()).flatten();
        let Some(answer) = answer else {
            told.leave_open(wish);
            break;
        };
        told.hear(wish, &answer);
        answers.fetch_add(1, Ordering::Relaxed);
    }
    told
}

impl Told {
    /// As many mints as other wishes; what there is no key for is a mint, too.
    fn wish(&self, step: usize) -> Wish {
        let works = |held: &Held| held.fate == Fate::Works;
        let fresh = |held: &Held| works(held) && !held.rotated;
        let mut held = self.held.iter();
        let wish = match step % 8 {
            1 => held
                .position(fresh)
                .map(|which| Wish::Rotate { which, overlap: true }),
            5 => held.position(fresh).map(|which| Wish::Rotate {
                which,
                overlap: false,
            }),
            3 => held.position(works).map(|which| Wish::Revoke { which }),
            7 => held.rposition(works).map(|which| Wish::Revoke { which }),
            _ => None,
        };
        wish.unwrap_or(Wish::Mint)
    }

    fn request(&self, wish: Wish) -> Vec<u8> {
        match wish {
            Wish::Mint => {
                let body = r#"{"name":"storm","scopes":["issues:read"]}"#;
                json_request("POST", "/api/v1/keys", &[X_EXTERNAL], body)
            }
            Wish::Rotate { which, overlap } => {
                let target = format!("/api/v1/keys/{}/rotate", self.held[which].id);
                let body = if overlap { "{}" } else { r#"{"overlap_seconds":0}"# };
                json_request("POST", &target, &[X_EXTERNAL], body)
            }
            Wish::Revoke { which } => {
                let target = format!("/api/v1/keys/{}", self.held[which].id);
                request("DELETE", &target, &[X_EXTERNAL])
            }
        }
    }

    fn hear(&mut self, wish: Wish, answer: &Response) {
        let expected = match wish {
            Wish::Mint | Wish::Rotate { .. } => 201,
            Wish::Revoke { .. } => 204,
        };
        assert_eq!(answer.status, expected, "{wish:?}: {answer:?}");
        match wish {
            Wish::Mint => {
                self.mints += 1;
                self.hold(answer);
            }
            Wish::Rotate { which, overlap } => {
                self.rotations += 1;
                self.held[which].rotated = true;
                if !overlap {
                    self.held[which].fate = Fate::Expired;
                }
                self.hold(answer);
            }
            Wish::Revoke { which } => {
                self.revokes += 1;
                self.held[which].fate = Fate::Revoked;
            }
        }
    }

    fn hold(&mut self, answer: &Response) {
        let body = answer.json();
        let text = |member: &str| body[member].as_str().expect("a text").to_owned();
        self.held.push(Held {
            id: text("id"),
            key: text("key"),
            fate: Fate::Works,
            rotated: false,
        });
    }

    fn leave_open(&mut self, wish: Wish) {
        match wish {
            Wish::Mint => self.unanswered_mints += 1,
            Wish::Rotate { which, overlap } => {
                self.unanswered_rotations += 1;
                if !overlap {
                    self.held[which].fate = Fate::Either;
                }
            }
            Wish::Revoke { which } => {
                self.unanswered_revokes += 1;
                self.held[which].fate = Fate::Either;
            }
        }
    }
}
