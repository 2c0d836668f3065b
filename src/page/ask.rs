//! Who asks for a page, and where in the application it is.

use std::{fmt, sync::Arc};

use axum::{
    extract::{FromRequestParts, OriginalUri, RawPathParams},
    response::Response,
};
use http::{header::ORIGIN, request::Parts};

use super::{
    Site, answer,
    frame::{Frame, Message},
    trouble::Trouble,
};
use crate::{
    access::Scope,
    authn::{Refusal, RefusalKind},
    key::KeyId,
    manage::{Caller, CallerKeys, ManageError, ManageErrorKind},
    middleware::{ClientAddress, Rejection, same_origin},
    principal::{Principal, PrincipalKind},
    trace,
};

const WRITE: Scope = Scope::from_static("keys:write");
const ADMIN: Scope = Scope::from_static("keys:admin");

/// A request of somebody who is known.
pub(super) struct Ask {
    keys: CallerKeys,
    pub(super) caller: Principal,
    pub(super) site: Arc<Site>,
    /// Where the page is nested: nothing for the root, and else with a slash in front and none behind.
    base: String,
    /// Such as `https://app.example`, as the browser says of the page that the request comes from.
    pub(super) origin: Option<String>,
    id: Option<KeyId>,
}

impl FromRequestParts<Arc<Site>> for Ask {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, site: &Arc<Site>) -> Result<Self, Response> {
        let base = base_of(parts, site);
        let caller = <Principal as FromRequestParts<_>>::from_request_parts(parts, site).await;
        let caller = caller.map_err(|rejection| refuse(site, &base, None, rejection.into()))?;
        let Some(keys) = &site.keys else {
            let missing = Refusal::because(RefusalKind::Misconfigured, "there is no store of keys to manage");
            let missing = Rejection::new(missing, caller.realm());
            return Err(refuse(site, &base, Some(&caller), missing.into()));
        };
        let request_id = parts.headers.get("x-request-id");
        let by = Caller::new(caller.clone())
            .address(ClientAddress::of(&parts.extensions))
            .request_id(request_id.and_then(|id| id.to_str().ok()));
        Ok(Self {
            keys: keys.by(by),
            caller,
            site: site.clone(),
            base,
            origin: origin_of(parts),
            id: named(parts, site).await,
        })
    }
}

/// A request that is to change something, by somebody who may, from a page of this origin. To be taken before the form, which is not read for
/// anybody else.
pub(super) struct Change(pub(super) Ask);

impl FromRequestParts<Arc<Site>> for Change {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, site: &Arc<Site>) -> Result<Self, Response> {
        let ask = Ask::from_request_parts(parts, site).await?;
        // The layer has looked already; but another application may have another layer.
        let comes_from_here = match same_origin(&parts.headers, &parts.uri) {
            Some(comes_from_here) => comes_from_here,
            None => ask.caller.kind() != PrincipalKind::Session,
        };
        if !comes_from_here {
            return Err(ask.refuse(Trouble::OtherOrigin));
        }
        let may = ask.keys.may_write().await;
        may.map_err(|error| ask.failed(&error))?;
        Ok(Self(ask))
    }
}

impl Ask {
    /// The keys, for a handler that has read what it is to read: from here on it is answered, also where what it does ends the caller's own key.
    pub(super) fn keys(&self) -> &CallerKeys {
        self.caller.done_reading();
        &self.keys
    }

    /// The key that the path names.
    pub(super) fn id(&self) -> Result<KeyId, ManageError> {
        self.id.ok_or_else(|| ManageErrorKind::NotFound.into())
    }

    pub(super) fn may_write(&self) -> bool {
        self.caller.grants().granted_scopes().contains(&WRITE)
    }

    /// Whether the keys of all owners are shown.
    pub(super) fn sees_all(&self) -> bool {
        self.caller.grants().granted_scopes().contains(&ADMIN)
    }

    pub(super) fn frame(&self, title: impl Into<String>) -> Frame<'_> {
        Frame::new(&self.site, &self.base, Some(&self.caller), title)
    }

    /// 303, to a page below this one.
    pub(super) fn see(&self, path: &str) -> Response {
        answer::see(&format!("{}{path}", self.base))
    }

    pub(super) fn failed(&self, error: &ManageError) -> Response {
        if error.kind() == ManageErrorKind::Unavailable {
            trace::management_failed(error);
        }
        self.refuse(Trouble::Failed(error.kind()))
    }

    pub(super) fn refuse(&self, trouble: Trouble) -> Response {
        refuse(&self.site, &self.base, Some(&self.caller), trouble)
    }
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask")
            .field("caller", &self.caller)
            .finish_non_exhaustive()
    }
}

/// Where a page is asked for, by whomever.
pub(super) struct Lost {
    site: Arc<Site>,
    base: String,
}

impl FromRequestParts<Arc<Site>> for Lost {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, site: &Arc<Site>) -> Result<Self, Self::Rejection> {
        Ok(Self {
            base: base_of(parts, site),
            site: site.clone(),
        })
    }
}

impl Lost {
    pub(super) fn nothing_here(&self) -> Response {
        refuse(&self.site, &self.base, None, Trouble::NothingHere)
    }
}

fn refuse(site: &Site, base: &str, caller: Option<&Principal>, trouble: Trouble) -> Response {
    let (title, text) = trouble.words(&site.look.texts);
    let is_login = matches!(
        trouble,
        Trouble::Refused(_) | Trouble::Failed(ManageErrorKind::CallerNotGood(_))
    );
    let message = Message {
        f: Frame::new(site, base, caller, title),
        text,
        sign_in: site.look.sign_in.as_deref().filter(|_| is_login),
        is_login,
    };
    answer::trouble(&message, trouble)
}

/// The path that the browser sees, without what is asked for below this page.
fn base_of(parts: &Parts, site: &Site) -> String {
    let original = parts.extensions.get::<OriginalUri>();
    let original = original.map_or(parts.uri.path(), |OriginalUri(uri)| uri.path());
    let base = match (&site.look.mounted_at, parts.uri.path()) {
        (Some(path), _) => path,
        (None, "/") => original,
        (None, inner) => original.strip_suffix(inner).unwrap_or_default(),
    };
    // Two slashes at the beginning would name another host.
    match base.trim_matches('/') {
        "" => String::new(),
        path => format!("/{path}"),
    }
}

/// Only what an origin is made of: it is shown in a line for a shell.
fn origin_of(parts: &Parts) -> Option<String> {
    let origin = parts.headers.get(ORIGIN)?.to_str().ok()?;
    let rest = origin
        .strip_prefix("https://")
        .or(origin.strip_prefix("http://"))?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    (!rest.is_empty() && rest.bytes().all(plain)).then(|| origin.to_owned())
}

async fn named(parts: &mut Parts, site: &Arc<Site>) -> Option<KeyId> {
    let parameters = RawPathParams::from_request_parts(parts, site).await.ok()?;
    // The last one: what this router is nested in may have one of this name, too.
    let id = parameters.iter().filter(|(name, _)| *name == "id").last();
    id.and_then(|(_, text)| text.parse().ok())
}
