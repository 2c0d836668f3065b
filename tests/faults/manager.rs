//! Who makes and ends keys, over HTTP: the holder of the external key.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{
    support::{
        http::{json_request, request},
        server::X_EXTERNAL,
    },
    wire::{Answer, Wire},
};

/// A key, in the clear.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) key: String,
}

/// A revoke, and when it was asked for and answered.
#[derive(Debug)]
pub(crate) struct Revoked {
    pub(crate) start: Instant,
    pub(crate) end: Instant,
    pub(crate) answer: Answer,
}

impl Revoked {
    pub(crate) fn took(&self) -> Duration {
        self.end - self.start
    }
}

#[derive(Debug)]
pub(crate) struct Manager {
    wire: Wire,
}

impl Manager {
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self {
            wire: Wire::to(address),
        }
    }

    pub(crate) async fn ask(&mut self, bytes: &[u8]) -> Answer {
        match self.wire.ask(bytes).await {
            Ok(answer) => answer,
            // An idle connection may have been closed; the question is one that can be asked twice, or the caller expects an answer.
            Err(_) => self.wire.ask(bytes).await.expect("an answer"),
        }
    }

    /// A key that may read issues.
    pub(crate) async fn mint(&mut self) -> Key {
        self.mint_with(r#"{"name":"fault","scopes":["issues:read"]}"#)
            .await
    }

    pub(crate) async fn mint_with(&mut self, body: &str) -> Key {
        let minted = self
            .ask(&json_request("POST", "/api/v1/keys", &[X_EXTERNAL], body))
            .await;
        assert_eq!(minted.status, 201, "{minted:?}");
        Key {
            id: minted.text("id"),
            key: minted.text("key"),
        }
    }

    /// Another key in place of this one, which stays good for so many seconds.
    pub(crate) async fn rotate(&mut self, key: &Key, overlap: u32) -> Key {
        let target = format!("/api/v1/keys/{}/rotate", key.id);
        let body = format!(r#"{{"overlap_seconds":{overlap}}}"#);
        let rotated = self
            .ask(&json_request("POST", &target, &[X_EXTERNAL], &body))
            .await;
        assert_eq!(rotated.status, 201, "{rotated:?}");
        Key {
            id: rotated.text("id"),
            key: rotated.text("key"),
        }
    }

    pub(crate) async fn show(&mut self, id: &str) -> Answer {
        let target = format!("/api/v1/keys/{id}");
        self.ask(&request("GET", &target, &[X_EXTERNAL])).await
    }

    pub(crate) async fn revoke(&mut self, key: &Key) -> Revoked {
        let bytes = delete(key);
        let start = Instant::now();
        let answer = self.ask(&bytes).await;
        let end = Instant::now();
        assert!([200, 204].contains(&answer.status), "{answer:?}");
        Revoked { start, end, answer }
    }
}

/// The request that revokes a key.
pub(crate) fn delete(key: &Key) -> Vec<u8> {
    request("DELETE", &format!("/api/v1/keys/{}", key.id), &[X_EXTERNAL])
}
