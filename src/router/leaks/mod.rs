//! Keys that were found where others can read them: alerts of GitHub's secret scanning.

use std::{
    error::Error,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{Request, State},
    response::Response,
    routing::{MethodRouter, post},
};
use serde::{Deserialize, Serialize};
use tokio::{sync::Semaphore, time::timeout};

use self::{
    room::Room,
    signature::{PublicKeys, Signature},
};
use super::{
    handlers::other_method,
    problem::{Problem, shown},
    services::Services,
};
use crate::{
    authn::{Refusal, RefusalKind},
    clock::SystemClock,
    event::{Notice, Notices},
    fetch::{FetchError, Guarded, Kept, Target},
    key::KeyDigest,
    manage::{Keys, ManageError, Presenter},
    middleware::{ClientAddress, Rejection, household},
    trace,
};

mod room;

mod signature;

const PUBLIC_KEYS: &str = "https://api.github.com/meta/public_keys/secret_scanning";

/// The largest alert, in bytes.
const MAX_BODY: usize = 1024 * 1024;
/// How long one may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many texts of one alert are looked up. GitHub waits for 30 s.
const MAX_LOOK_UPS: usize = 1000;
/// How many alerts are worked on at a time, and how many that are GitHub's may wait for it.
const AT_ONCE: usize = 2;
const WAITING: usize = 16;
/// How long one is worked on, and how often in a row the store may fail: GitHub sends it again.
const WORK: Duration = Duration::from_secs(60);
const FAILURES: u32 = 3;
/// What of an address is kept.
const MAX_URL: usize = 500;

/// How alerts of GitHub's [secret scanning] are believed: by the public keys that GitHub publishes.
///
/// They are got over TLS, without a redirect, from a public address, 256 KiB at most in 3 s; kept for ten minutes, or for six hours where they cannot
/// be got again; and got once a minute at most for an identifier that is not among them.
///
/// [secret scanning]: https://docs.github.com/en/code-security/secret-scanning/secret-scanning-partnership-program/secret-scanning-partner-program
#[derive(Debug, Clone)]
#[must_use]
pub struct GithubAlerts {
    /// `None` for GitHub's own.
    public_keys: Option<Target>,
    http_loopback: bool,
}

impl GithubAlerts {
    /// With the keys of github.com.
    pub fn new() -> Self {
        Self {
            public_keys: None,
            http_loopback: false,
        }
    }

    /// With keys that are published elsewhere, in the same form.
    ///
    /// # Errors
    ///
    /// When it is no address of the web.
    pub fn public_keys(mut self, url: &str) -> Result<Self, AlertsUrlError> {
        self.public_keys = Some(Target::parse(url).map_err(AlertsUrlError)?);
        Ok(self)
    }

    /// Also from this machine without TLS: for tests. Whoever can listen there can have every key revoked whose text they know.
    pub fn danger_allow_http_loopback(mut self) -> Self {
        self.http_loopback = true;
        self
    }
}

impl Default for GithubAlerts {
    fn default() -> Self {
        Self::new()
    }
}

/// A text is no address from which keys can be got.
#[derive(Debug)]
pub struct AlertsUrlError(FetchError);

impl fmt::Display for AlertsUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not where public keys can be got: ")?;
        fmt::Display::fmt(&self.0, f)
    }
}

impl Error for AlertsUrlError {}

impl Services {
    /// A route for `POST` that takes alerts of GitHub's secret scanning partner program, to be put outside of the layer: each key that was found where
    /// others can read it is revoked, and the application [told](crate::Builder::on_notice). The expression to register is
    /// [`scanning_pattern`](crate::key::scanning_pattern).
    ///
    /// The signature is of the body as it came (ECDSA with P-256 and SHA-256, in `Github-Public-Key-Signature`, by the key that
    /// `Github-Public-Key-Identifier` names), and is checked before anything is read of it: a request without a good one is 403. An alert that comes
    /// again finds the keys revoked, and tells nobody anew, but of static keys. The log says that `github` did it, and where the key was found, in `reason`.
    ///
    /// 200 is what GitHub takes as feedback: a list with the SHA-256 of each text in hexadecimal, and `true_positive` for a key that was minted or
    /// imported here, good or not, and for a static key, which cannot be revoked here: the application is told. Where GitHub's keys cannot be had, or
    /// the store does not answer for one of the keys, it is 503, and the others are revoked, unless it fails three times in a row or all takes longer than 60 s. It is done also
    /// where GitHub hangs up.
    ///
    /// An alert has 1 MiB at most, and 10 s to arrive. 503 tells to come again where four from the same address are arriving, 16 MiB have come of all together, or 16 alerts wait
    /// for their turn. Of one alert 1000 texts are looked up, those first that come first; then it is 413.
    /// Without a store it is 500.
    pub fn github_alerts<S: Clone + Send + Sync + 'static>(&self, alerts: GithubAlerts) -> MethodRouter<S> {
        let receiver = Receiver {
            services: self.clone(),
            source: Guarded::new().danger_allow_http_loopback(alerts.http_loopback),
            target: alerts.public_keys.or_else(|| Target::parse(PUBLIC_KEYS).ok()),
            keys: Kept::new(Arc::new(SystemClock)),
            room: Room::new(),
            waiting: Arc::new(Semaphore::new(WAITING)),
            working: Semaphore::new(AT_ONCE),
        };
        post(receive)
            .fallback(other_method)
            .with_state(Arc::new(receiver))
    }
}

struct Receiver {
    services: Services,
    source: Guarded,
    target: Option<Target>,
    keys: Kept<PublicKeys>,
    room: Room,
    waiting: Arc<Semaphore>,
    working: Semaphore,
}

#[derive(Deserialize)]
struct Found {
    // Others have read it already.
    token: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    url: Option<String>,
}

/// What GitHub is told of a text.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = AlertLabel))]
pub(super) struct LabelView {
    /// The SHA-256 of the text, in hexadecimal.
    token_hash: String,
    /// As it was in the alert.
    token_type: String,
    /// One of `true_positive`, `false_positive`.
    label: &'static str,
}

async fn receive(State(receiver): State<Arc<Receiver>>, mut request: Request) -> Result<Response, Problem> {
    let Services { gate, keys, .. } = &receiver.services;
    gate.locate(&mut request);
    let Some(keys) = keys else {
        let missing = Refusal::because(RefusalKind::Misconfigured, "there is no store of keys to revoke");
        return Err(Rejection::new(missing, &gate.realm).into());
    };
    let by = Presenter {
        finder: Some("github"),
        address: ClientAddress::of(request.extensions()),
        ..Presenter::default()
    };
    // Known before anything is read for it.
    let signature = Signature::of(request.headers()).ok_or(Problem::NotSigned)?;
    let public = receiver.public_keys(&signature.identifier).await?;
    let place = receiver.room.place(household(request.extensions()));
    let place = place.ok_or(Problem::Unavailable)?;
    let reading = timeout(PATIENCE, receiver.room.read(request.into_body()));
    let read = reading
        .await
        .unwrap_or_else(|_| Err(Problem::invalid("body", "must arrive in time")));
    let (body, room) = read?;
    if !public.verify(&signature, &body) {
        return Err(Problem::NotSigned);
    }
    let Ok(all) = serde_json::from_slice::<Vec<Found>>(&body) else {
        return Err(Problem::invalid("body", "must be a list of what was found"));
    };
    drop((body, room, place));
    let waiting = receiver.waiting.clone().try_acquire_owned();
    let waiting = waiting.map_err(|_| Problem::Unavailable)?;
    let (keys, receiver) = (keys.clone(), receiver.clone());
    // To its end also where GitHub does not wait for it: the alert that comes again would find the keys revoked, and nobody told.
    let work = tokio::spawn(async move {
        let Ok(_turn) = receiver.working.acquire().await else {
            return Err(Problem::Unavailable);
        };
        drop(waiting);
        receiver.end_all(&keys, all, &by).await
    });
    match work.await {
        Ok(done) => Ok(shown(&done?)),
        Err(_panicked) => Err(Problem::Unavailable),
    }
}

impl Receiver {
    /// Those among which the one of this name is.
    async fn public_keys(&self, identifier: &str) -> Result<Arc<PublicKeys>, Problem> {
        let (source, target) = (self.source.clone(), self.target.clone());
        let get = || async move {
            match source.get(&target?).await {
                Ok(json) => PublicKeys::parse(&json),
                Err(error) => {
                    trace::alerts_not_believed(&error);
                    None
                }
            }
        };
        match self.keys.ask(|keys| keys.has(identifier), get).await {
            Ok(keys) if keys.has(identifier) => Ok(keys),
            Ok(_) => Err(Problem::NotSigned),
            Err(_) => Err(Problem::Unavailable),
        }
    }

    /// Ends all keys that were found, and tells of them when no more is to be ended: whoever is told may take their time. One that cannot be
    /// ended keeps no other from it, unless none can be.
    async fn end_all(&self, keys: &Keys, all: Vec<Found>, by: &Presenter) -> Result<Vec<LabelView>, Problem> {
        let mut labels = Vec::with_capacity(all.len());
        let mut leaked = Leaked {
            notices: self.services.notices.as_ref(),
            all: Vec::new(),
        };
        let mut failure = None;
        let (mut look_ups, mut failures) = (0, 0);
        let begun = Instant::now();
        for found in all {
            if begun.elapsed() >= WORK {
                failure.get_or_insert(Problem::Unavailable);
                break;
            }
            let ended = self.end(keys, &found, by, &mut look_ups, &mut leaked.all).await;
            let is_ours = match ended {
                Ok(is_ours) => is_ours,
                Err(problem) => {
                    failures += 1;
                    let is_over = matches!(problem, Problem::TooLarge);
                    failure.get_or_insert(problem);
                    if is_over || failures == FAILURES {
                        break;
                    }
                    continue;
                }
            };
            failures = 0;
            labels.push(LabelView {
                token_hash: KeyDigest::of(found.token.as_bytes()).to_hex(),
                token_type: found.kind,
                label: if is_ours {
                    "true_positive"
                } else {
                    "false_positive"
                },
            });
        }
        drop(leaked);
        match failure {
            Some(problem) => Err(problem),
            None => Ok(labels),
        }
    }

    /// Ends a key that was found, and says whether it is one of this application.
    async fn end(
        &self,
        keys: &Keys,
        found: &Found,
        by: &Presenter,
        look_ups: &mut usize,
        leaked: &mut Vec<Notice>,
    ) -> Result<bool, Problem> {
        let text = found.token.as_bytes();
        let url = found.url.as_deref().map(visible).filter(|url| !url.is_empty());
        let authenticator = &self.services.gate.authenticator;
        if let Some(holder) = authenticator.static_keys.find(&KeyDigest::of(text)) {
            trace::key_leaked(None);
            leaked.push(Notice::Leaked {
                key_id: None,
                owner: holder.owner().to_owned(),
                name: holder.name().to_owned(),
                url,
            });
            return Ok(true);
        }
        let Some(is_minted) = keys.may_be_kept(text) else {
            return Ok(false);
        };
        *look_ups += 1;
        if *look_ups > MAX_LOOK_UPS {
            return Err(Problem::TooLarge);
        }
        let by = Presenter {
            reason: Some(match &url {
                Some(url) => format!("leaked: {url}"),
                None => "leaked".to_owned(),
            }),
            ..by.clone()
        };
        let ended = keys
            .revoke_presented(text, by)
            .await
            .map_err(|error| failed(&error))?;
        let Some(ended) = ended else {
            // It has our check, and is gone.
            return Ok(is_minted);
        };
        if ended.is_new {
            trace::key_leaked(Some(&ended.record.id.to_string()));
            leaked.push(Notice::Leaked {
                key_id: Some(ended.record.id),
                owner: ended.record.owner,
                name: ended.record.name,
                url,
            });
        }
        Ok(true)
    }
}

/// What there is to tell of. It is told also where the work ends early: nobody would find these keys good again.
struct Leaked<'a> {
    notices: Option<&'a Notices>,
    all: Vec<Notice>,
}

impl Drop for Leaked<'_> {
    fn drop(&mut self) {
        if let Some(notices) = self.notices {
            self.all.iter().for_each(|notice| notices.tell(notice));
        }
    }
}

fn failed(error: &ManageError) -> Problem {
    trace::management_failed(error);
    Problem::Unavailable
}

/// For the log and for people: what somebody else says.
fn visible(url: &str) -> String {
    let visible = url.chars().filter(|c| c.is_ascii_graphic());
    visible.take(MAX_URL).collect()
}
