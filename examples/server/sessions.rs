//! Users who log in: what a browser has in place of a key.
//!
//! Sessions live in memory and end at logout, or with the server. They come after keys: see `Fallback` of the library for when it asks here.

use std::{collections::HashMap, future::Future, sync::Arc};

use axum::{
    Form, Router,
    extract::{Request, State, rejection::FormRejection},
    http::{HeaderMap, Method, StatusCode, header::CACHE_CONTROL, request::Parts},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::post,
};
use serde::Deserialize;
use subtle::ConstantTimeEq;
use tower_api_key::{
    access::{Grants, Resources, Scope},
    authn::Unavailable,
    key::{KeyDigest, Secret},
    middleware::same_origin,
    principal::Identity,
};
use tower_sessions::{MemoryStore, Session, SessionManagerLayer, cookie::SameSite};
use utoipa::ToSchema;

use crate::{Cause, page, problem::Problem};

/// What a user who is logged in may do: everything but what administrators do.
static SCOPES: [Scope; 7] = [
    Scope::from_static("keys:read"),
    Scope::from_static("keys:write"),
    Scope::from_static("issues:read"),
    Scope::from_static("issues:write"),
    Scope::from_static("agents:run"),
    Scope::from_static("topics:read"),
    Scope::from_static("topics:send"),
];

/// Under which a session keeps the name of its user.
const USER: &str = "user";

const MAX_NAME: usize = 64;

/// The users of the command line.
///
/// Their passwords are kept as a SHA-256, which will do for a demo whose memory nobody reads. It would not do for a table: people choose
/// passwords that can be guessed, and for those a slow hash such as Argon2 is needed.
#[derive(Clone, Default)]
pub(crate) struct Users(Arc<HashMap<String, KeyDigest>>);

impl Users {
    /// From `NAME:PASSWORD`. Complaints do not repeat them.
    pub(crate) fn new(given: &[Secret]) -> Result<Self, Cause> {
        let mut users = HashMap::new();
        for user in given {
            let (name, password) = user
                .expose()
                .split_once(':')
                .ok_or("--user: must be NAME:PASSWORD")?;
            if !is_name(name) {
                return Err("--user: a name is 1 to 64 visible characters".into());
            }
            if password.is_empty() {
                return Err("--user: a password is empty".into());
            }
            let digest = KeyDigest::of(password.as_bytes());
            if users.insert(name.to_owned(), digest).is_some() {
                return Err("--user: a name is given twice".into());
            }
        }
        Ok(Self(Arc::new(users)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares also where there is no such user, so that time does not tell who exists.
    fn admit(&self, name: &str, password: &str) -> bool {
        let known = self.0.get(name);
        let nobodys = KeyDigest::from_bytes([0; 32]);
        let expected = known.unwrap_or(&nobodys).as_bytes();
        let same = KeyDigest::of(password.as_bytes()).as_bytes().ct_eq(expected);
        known.is_some() && bool::from(same)
    }
}

fn is_name(name: &str) -> bool {
    let invisible = |c: char| c.is_control() || c.is_whitespace();
    (1..=MAX_NAME).contains(&name.chars().count()) && !name.contains(invisible)
}

/// `/login` and `/logout`.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(users: Users) -> Router<S> {
    Router::new()
        .route("/login", post(login).fallback(page::login))
        .route("/logout", post(logout))
        .route_layer(from_fn(from_here))
        .with_state(users)
}

/// Another site may not have its visitors log in here, as whomever, nor log them out. What does not say where it comes from is a program.
async fn from_here(request: Request, next: Next) -> Response {
    match same_origin(request.headers(), request.uri()) {
        // The form may be come to from anywhere.
        Some(false) if request.method() == Method::POST => Problem::CROSS_ORIGIN.into_response(),
        _ => next.run(request).await,
    }
}

/// Finds the session of a request by its cookie; around everything, and so outside of `ApiKeyAuth`.
pub(crate) fn layer() -> SessionManagerLayer<MemoryStore> {
    SessionManagerLayer::new(MemoryStore::default())
        .with_name("session")
        .with_same_site(SameSite::Lax)
        // The demo speaks plain HTTP; behind TLS this must be on.
        .with_secure(false)
}

/// Whose session it is, for the library to ask where there is no key.
pub(crate) fn recognise(
    request: &Parts,
) -> impl Future<Output = Result<Option<Identity>, Unavailable>> + Send + use<> {
    let session = request.extensions.get::<Session>().cloned();
    async move {
        let Some(session) = session else {
            return Ok(None);
        };
        let user: Option<String> = session.get(USER).await?;
        Ok(user.map(|user| {
            let scopes = SCOPES.iter().cloned().map(Into::into).collect();
            Identity::new(user.as_str())
                .name(user)
                .grants(Grants::new(scopes, Resources::unbound()))
        }))
    }
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct Credentials {
    user: String,
    password: String,
}

/// Logs a user in.
#[utoipa::path(post, path = "/login", tag = "sessions", security(()),
    request_body(content = Credentials, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 204, description = "The cookie of a new session.", headers(("Set-Cookie" = String))),
        (status = 303, description = "The same, for a browser, and on to the keys.", headers(("Set-Cookie" = String))),
        (status = 400, description = "The form is not what it should be."), (status = 401, description = "There is no such user, or the password is another."),
        (status = 403, description = "A page of another origin asked for it."), (status = 413, description = "The form is too large."),
        (status = 415, description = "The body is not a form.")))]
pub(crate) async fn login(
    State(users): State<Users>,
    session: Session,
    headers: HeaderMap,
    form: Result<Form<Credentials>, FormRejection>,
) -> Result<Response, Problem> {
    let Form(Credentials { user, password }) = form.map_err(|rejection| match rejection.status() {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Problem::NOT_A_FORM,
        StatusCode::PAYLOAD_TOO_LARGE => Problem::TOO_LARGE,
        _ => Problem::invalid("The body is not a form with `user` and `password`."),
    })?;
    if !users.admit(&user, &password) {
        return Ok(page::wrong_login(&headers, Problem::WRONG_LOGIN));
    }
    // Another id: the one before may have been planted by somebody who knows it.
    session.cycle_id().await.map_err(|_| Problem::NO_SESSIONS)?;
    session
        .insert(USER, user)
        .await
        .map_err(|_| Problem::NO_SESSIONS)?;
    Ok(page::and_on_to("/keys", &headers, done()))
}

/// Ends the session, if there is one.
#[utoipa::path(post, path = "/logout", tag = "sessions", security(()), responses(
    (status = 204, description = "There is no session any more."),
    (status = 303, description = "The same, for a browser, and on to the form."),
    (status = 403, description = "A page of another origin asked for it.")))]
pub(crate) async fn logout(session: Session, headers: HeaderMap) -> Result<Response, Problem> {
    session.flush().await.map_err(|_| Problem::NO_SESSIONS)?;
    Ok(page::and_on_to("/login", &headers, done()))
}

fn done() -> impl IntoResponse {
    (StatusCode::NO_CONTENT, [(CACHE_CONTROL, "no-store")])
}
