//! An application whose clock a test has, an issuer, and what it is asked.

use std::{
    collections::BTreeMap,
    time::{Duration, UNIX_EPOCH},
};

use axum::{Router, body::Body, routing::get};
use http::{Request, header::CONTENT_TYPE};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_api_key::{
    ApiKeyAuth,
    clock::ManualClock,
    event::{KeyEventKind, LoggedEvent},
    exchange::TrustPolicies,
    manage::{Keys, Policy},
    principal::Principal,
    store::{EventQuery, KeyQuery, MemoryStore},
};

pub(crate) use crate::workflow::{AUDIENCE, GRANT, ID_TOKEN, claims, deploy, form};
use crate::{issuer::Issuer, signer::RSA};

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn key(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        let body = self.json();
        body["access_token"].as_str().expect("a key").to_owned()
    }

    pub(crate) fn assert_error(&self, status: u16, error: &str) {
        assert_eq!(
            (self.status, &self.json()["error"]),
            (status, &json!(error)),
            "{self:?}"
        );
        assert_eq!(self.headers["cache-control"], "no-store");
        assert_eq!(self.headers["content-type"], "application/json");
        assert_eq!(
            self.headers.contains_key("retry-after"),
            status == 503,
            "{self:?}"
        );
    }
}

/// Which key it is, whose, and what it may do.
async fn who(caller: Principal) -> String {
    let scopes: Vec<&str> = caller
        .grants()
        .granted_scopes()
        .iter()
        .map(|scope| scope.as_str())
        .collect();
    format!(
        "{} {} {}",
        caller.key_id().unwrap_or_default(),
        caller.owner(),
        scopes.join(" ")
    )
}

pub(crate) struct World {
    pub(crate) issuer: Issuer,
    pub(crate) clock: ManualClock,
    pub(crate) keys: Keys,
    app: Router,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(deploy, Policy::new())
    }

    /// With policies for the issuer.
    pub(crate) fn with(policies: impl FnOnce(&str) -> String, policy: Policy) -> Self {
        let issuer = Issuer::start();
        let policies = policies(issuer.url());
        Self::of(issuer, &policies, policy)
    }

    pub(crate) fn of(issuer: Issuer, policies: &str, policy: Policy) -> Self {
        let policies = TrustPolicies::from_toml(policies).expect("policies");
        let clock = ManualClock::new(UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let store = MemoryStore::with_clock(clock.clone()).expect("a store");
        let auth = ApiKeyAuth::builder(store).clock(clock.clone()).policy(policy);
        let auth = auth.build().expect("a configuration");
        let tokens = auth.token_router(policies).expect("a store that keeps tokens");
        Self {
            issuer,
            clock,
            keys: auth.keys().expect("there is a store").clone(),
            app: Router::new().nest("/token", tokens.into_router()).merge(
                Router::new()
                    .nest("/keys", auth.router())
                    .route("/who", get(who))
                    .layer(auth),
            ),
        }
    }

    pub(crate) fn claims(&self) -> Value {
        use tower_api_key::clock::Clock;
        claims(self.issuer.url(), self.clock.now())
    }

    /// Those of a token that the policy takes, but for these; `null` leaves one out.
    pub(crate) fn claims_but(&self, others: Value) -> Value {
        let mut claims = self.claims();
        let (Some(members), Value::Object(others)) = (claims.as_object_mut(), others) else {
            panic!("claims are an object");
        };
        for (name, value) in others {
            match value {
                Value::Null => drop(members.remove(&name)),
                value => drop(members.insert(name, value)),
            }
        }
        claims
    }

    pub(crate) fn token(&self) -> String {
        RSA.token(&self.claims())
    }

    pub(crate) async fn exchange(&self, token: &str) -> Answer {
        self.exchange_for(token, &[]).await
    }

    pub(crate) async fn exchange_for(&self, token: &str, more: &[(&str, &str)]) -> Answer {
        let fields = [&[GRANT, ID_TOKEN, ("subject_token", token)], more].concat();
        self.post(&form(&fields)).await
    }

    pub(crate) async fn post(&self, body: &str) -> Answer {
        let request = Request::post("/token").header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(body.to_owned())).expect("a request"))
            .await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.app.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        Answer {
            status: parts.status.as_u16(),
            headers: parts
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned()))
                .collect(),
            text: String::from_utf8(body.to_vec()).expect("text"),
        }
    }

    /// The same call as any holder of the key can make.
    pub(crate) async fn by_key(&self, key: &str, method: &str, path: &str, body: Value) -> Answer {
        let request = Request::builder().method(method).uri(path);
        let request = request
            .header("Authorization", format!("Bearer {key}"))
            .header(CONTENT_TYPE, "application/json");
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.send(request.body(Body::from(body)).expect("a request"))
            .await
    }

    pub(crate) async fn key_count(&self) -> usize {
        let keys = self.keys.list(&KeyQuery::newest(1000)).await.expect("a list");
        keys.keys.len()
    }

    pub(crate) async fn events(&self) -> Vec<LoggedEvent> {
        let events = self.keys.events(&EventQuery::newest(1000)).await;
        events.expect("the log")
    }

    /// What the log says of refused tokens, the newest first.
    pub(crate) async fn refusals(&self) -> Vec<String> {
        let events = self.events().await.into_iter();
        let refused = events.filter(|logged| logged.event.kind == KeyEventKind::Refused);
        refused.filter_map(|logged| logged.event.reason).collect()
    }

    /// The token is refused with the one answer there is, no key is made, and the log says why; or nothing, of one that is not its issuer's.
    pub(crate) async fn assert_refused(&self, token: &str, logged: Option<&str>) {
        let before = (self.key_count().await, self.refusals().await.len());
        let answer = self.exchange(token).await;
        answer.assert_error(400, "invalid_grant");
        assert_eq!(answer, self.exchange("no token at all").await, "another answer");
        assert_eq!(self.key_count().await, before.0, "a key was made: {token}");
        let refusals = self.refusals().await;
        assert_eq!(
            refusals.len() - before.1,
            usize::from(logged.is_some()),
            "{refusals:?} {token}"
        );
        if let Some(logged) = logged {
            let start = format!("exchange: {logged}; policy ");
            assert!(refusals[0].starts_with(&start), "{logged}: {}", refusals[0]);
            assert!(refusals[0].contains(self.issuer.url()), "{}", refusals[0]);
        }
    }
}
