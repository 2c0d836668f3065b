use std::{error::Error, sync::Arc};

use serde::Deserialize;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use super::signing::SigningKeys;
use crate::{
    clock::Clock,
    fetch::{FetchError, Guarded, Kept, NotHad, TIMEOUT, Target},
    trace,
};

/// How many tokens of one issuer are looked at at a time, and how many wait for its keys: those of one that does not answer must not keep those of others
/// waiting, nor those that name no key of it those that do.
const AT_A_TIME: usize = 64;

/// Where an issuer says what its keys are.
#[derive(Debug, Clone)]
pub(super) struct Endpoints {
    pub(super) url: String,
    pub(super) discovery: Target,
    /// In place of what discovery would say.
    pub(super) jwks: Option<Target>,
    pub(super) guarded: Guarded,
}

/// An issuer, and what is known of it.
#[derive(Debug)]
pub(super) struct Issuer {
    endpoints: Arc<Endpoints>,
    keys: Kept<SigningKeys>,
    places: Semaphore,
    waiting: Semaphore,
}

/// Why there are no keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoKeys {
    /// It cannot be said whether there is one of this name.
    NotHad,
    /// Too many wait for them already.
    Busy,
}

impl Issuer {
    pub(super) fn new(endpoints: Endpoints, clock: Arc<dyn Clock>) -> Self {
        Self {
            endpoints: Arc::new(endpoints),
            keys: Kept::new(clock),
            places: Semaphore::new(AT_A_TIME),
            waiting: Semaphore::new(AT_A_TIME),
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.endpoints.url
    }

    /// A place among those whose tokens are looked at; `None` when there is none.
    pub(super) fn place(&self) -> Option<SemaphorePermit<'_>> {
        self.places.try_acquire().ok()
    }

    /// Its keys, with the one of this name among them if there is one.
    ///
    /// # Errors
    ///
    /// When it cannot be said whether there is, or when too many wait to be told.
    pub(super) async fn keys(&self, kid: &str) -> Result<Arc<SigningKeys>, NoKeys> {
        let will_do = |keys: &SigningKeys| keys.has(kid);
        let answer = match self.keys.kept(will_do) {
            Some(answer) => answer,
            None => {
                let _waiting = self.waiting.try_acquire().map_err(|_| NoKeys::Busy)?;
                let endpoints = self.endpoints.clone();
                self.keys.ask(will_do, || get(endpoints)).await
            }
        };
        answer.map_err(|NotHad| NoKeys::NotHad)
    }
}

async fn get(endpoints: Arc<Endpoints>) -> Option<SigningKeys> {
    // Of both requests together.
    let got = timeout(TIMEOUT, endpoints.keys()).await;
    match got.unwrap_or_else(|_| Err(FetchError::TooSlow.into())) {
        Ok(keys) => Some(keys),
        Err(error) => {
            trace::issuer_failed(&endpoints.url, &*error);
            None
        }
    }
}

/// What discovery (OpenID Connect Discovery 1.0, section 3) says, as far as it matters here.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

impl Endpoints {
    async fn keys(&self) -> Result<SigningKeys, Box<dyn Error + Send + Sync>> {
        let jwks = match &self.jwks {
            Some(jwks) => jwks.clone(),
            None => self.discover().await?,
        };
        let set = self.guarded.get(&jwks).await?;
        Ok(SigningKeys::parse(&set)?)
    }

    async fn discover(&self) -> Result<Target, Box<dyn Error + Send + Sync>> {
        let metadata = self.guarded.get(&self.discovery).await?;
        let metadata: Metadata = serde_json::from_slice(&metadata)?;
        if metadata.issuer != self.url {
            return Err("it says that it is another issuer".into());
        }
        Ok(Target::parse(&metadata.jwks_uri)?)
    }
}
