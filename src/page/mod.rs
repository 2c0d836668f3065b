//! A page on which people manage their keys, rendered here: no build step, nothing from elsewhere, and no script needed.
//!
//! [`ApiKeyAuth::router`](crate::ApiKeyAuth::router) answers browsers with it, and programs in JSON; [`ApiKeyAuth::page`](crate::ApiKeyAuth::page) is
//! the page alone, to be configured. Either is nested wherever the application likes, inside of a layer that knows its users:
//!
//! ```
//! use axum::{Router, body::Body};
//! use http::{Request, StatusCode, request::Parts};
//! use tower::ServiceExt;
//! use tower_api_key::{
//!     ApiKeyAuth,
//!     access::{Grants, Scope},
//!     page::{Colour, OfferedScope},
//!     principal::Identity,
//!     store::MemoryStore,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let auth = ApiKeyAuth::builder(MemoryStore::new()?)
//!     // A session of the application's, in place of this.
//!     .fallback(|_: &Parts| async {
//!         let grants = Grants::scopes(["keys:read", "keys:write", "issues:read"])?;
//!         Ok(Some(Identity::new("alice").grants(grants)))
//!     })
//!     .build()?;
//! let page = auth
//!     .page()
//!     .title("Acme")
//!     .accent(Colour::rgb(0x0f, 0x76, 0x6e))
//!     .back_link("/", "Back to Acme")
//!     .scopes([OfferedScope::new(Scope::from_static("issues:read")).group("Issues").description("Read all issues")]);
//! let app: Router = Router::new().nest("/keys", page.into_router()).layer(auth);
//! let answer = app.oneshot(Request::get("/keys").body(Body::empty())?).await?;
//! assert_eq!(answer.status(), StatusCode::OK);
//! # Ok(())
//! # }
//! ```
//!
//! # What it does, and what it takes
//!
//! | page | needs |
//! | --- | --- |
//! | the list, a key, what happened to it | `keys:read`; with `keys:admin` the keys of all owners are shown |
//! | creating, renaming, switching off and on, rotating, revoking | `keys:write` |
//!
//! It goes the way of everybody else: what the caller may do is decided by [`CallerKeys`](crate::manage::CallerKeys).
//!
//! - A key in the clear is in the answer to the form that asked for it, and nowhere else. That answer is not kept by anybody (`no-store`), and the form
//!   carries an id that can be used once: sent again, by a reload, by going back, to another process, it makes no second key.
//! - All of it works without JavaScript. With it, there are buttons to copy, revoking asks in a dialog, and a key is wiped from its page
//!   when that is left.
//! - Every page forbids scripts and styles but its own two files, frames, and forms to elsewhere (`Content-Security-Policy`). A change takes a request of the
//!   same origin, as the browser says: behind a proxy `Host`, `Origin` and `Sec-Fetch-Site` must arrive as they were sent.
//! - A proxy that cuts a part off the path leaves the page unable to know where it is: see [`Page::mounted_at`].
//! - The chart shows what this process has counted since the page was made, of the last 14 days, and of at most 4,096 keys at a time: there is no history of requests
//!   in the store, and no request writes any. Several processes count apart. A request is refused there if its key is good and may not do what it asks, or not so
//!   often; who comes with a key that is not good is not counted.
//! - When a key was last used is known some time after it was, as [`last_used_every`](crate::Builder::last_used_every) says, and on which day as soon as this process
//!   has counted it. Where that is switched off, nothing is counted, and nothing is said of uses.
//!
//! # Looks
//!
//! [`Page`] has the title, the colour, a way back and out, a column, the scopes and all [`Texts`]. What goes further takes other templates: those of this crate are in its folder
//! `templates`, one for each page, in plain HTML with the style sheet and the script in `templates/assets`; an application with a copy of its own builds the same pages
//! on [`Keys::by`](crate::manage::Keys::by). The style sheet follows the colour scheme of the system.

use std::{fmt, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, RawPathParams, State},
    response::Response,
    routing::{get, post},
};
use http::HeaderMap;

use crate::{
    key::{KeyRecord, Tallies},
    manage::Keys,
    router::KeysRouter,
};

mod texts;

mod colour;

mod look;

mod assets;

mod when;

mod fields;

mod uses;

mod row;

mod chart;

mod activity;

mod offer;

mod trouble;

mod answer;

mod frame;

mod ask;

mod secret;

mod rotation;

mod list;

mod create;

mod one;

mod change;

mod both;

pub use colour::Colour;
pub use look::OfferedScope;
pub use texts::Texts;

use ask::Lost;
use assets::Assets;
use both::both;
use look::{Column, Link, Look};
use uses::Uses;

/// The largest form.
const MAX_BODY: usize = 64 * 1024;
/// The chart shows so many days.
const DAYS: usize = 14;

/// A page on which people manage their keys, to be configured; see the [module](self).
#[derive(Debug, Clone)]
#[must_use]
pub struct Page {
    keys: Option<Keys>,
    uses: Option<Uses>,
    look: Look,
}

/// What every page needs to know.
struct Site {
    keys: Option<Keys>,
    /// `None` where nobody writes down when keys are used: then nothing is said of that.
    uses: Option<Uses>,
    look: Look,
    assets: Assets,
}

/// How often a key was used on a day, as far as this process counted.
#[derive(Debug, Clone, Copy, Default)]
struct Day {
    allowed: u64,
    refused: u64,
}

impl Page {
    /// With how often keys are used, and how long after a use that is written down, where it is.
    pub(crate) fn new(keys: Option<Keys>, uses: Option<(Tallies, Duration)>) -> Self {
        Self {
            keys,
            uses: uses.map(|(tallies, delay)| Uses::new(tallies, delay)),
            look: Look::default(),
        }
    }

    /// The name of the whole, at the top of every page and in the title of its window; `API keys` if not set.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.look.title = Some(title.into());
        self
    }

    /// The colour of buttons, links and the icon. Where text is in it, it is made as dark or as light as it takes to be read.
    pub fn accent(mut self, accent: Colour) -> Self {
        self.look.accent = accent;
        self
    }

    /// A way back into the application, at the top of every page.
    pub fn back_link(mut self, href: impl Into<String>, label: impl Into<String>) -> Self {
        self.look.back = Some(Link {
            href: href.into(),
            label: label.into(),
        });
        self
    }

    /// Where somebody logs in whom nobody knows. They are shown the way only if the layer lets them through to this page: it must be
    /// [optional](crate::ApiKeyAuth::optional) around it. Without a caller there is nothing else to see.
    pub fn sign_in(mut self, href: impl Into<String>) -> Self {
        self.look.sign_in = Some(href.into());
        self
    }

    /// Where a caller logs out: a path on the same origin, to which a form without fields is posted from the top of every page but the one that shows a key.
    ///
    /// The form has no token in it, so whoever answers has to see for themselves that it [comes from here](crate::middleware::same_origin); and should redirect, since
    /// after a 204 browsers stay where they are.
    pub fn sign_out(mut self, action: impl Into<String>) -> Self {
        self.look.sign_out = Some(action.into());
        self
    }

    /// The scopes that can be picked for a new key, in this order, as far as the caller has them. What a key may be given is decided elsewhere, whatever is
    /// picked here.
    ///
    /// If they are not told, the caller's own are offered by name; a caller who was granted [all](crate::access::Scopes::all) there are writes them down.
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = OfferedScope>) -> Self {
        self.look.scopes = scopes.into_iter().collect();
        self
    }

    /// A column of the application's own: its heading, and what it says of a key. Text, no markup; called for each key that is shown, so it must not wait.
    pub fn column(
        mut self,
        heading: impl Into<String>,
        text: impl Fn(&KeyRecord) -> String + Send + Sync + 'static,
    ) -> Self {
        self.look.column = Some(Column {
            heading: heading.into(),
            text: Arc::new(text),
        });
        self
    }

    /// Every text of the page, for another language or other words.
    pub fn texts(mut self, texts: Texts) -> Self {
        self.look.texts = texts;
        self
    }

    /// What the lines call that are shown with a new key: a path on the same host, or a URL; `/` if not set.
    pub fn example(mut self, target: impl Into<String>) -> Self {
        self.look.example = target.into();
        self
    }

    /// The name of the variable that holds the key in those lines; `API_KEY` if not set.
    pub fn variable(mut self, name: impl Into<String>) -> Self {
        self.look.variable = name.into();
        self
    }

    /// The path at which browsers see this page, such as `/app/keys`: for those behind a proxy that cuts a part of it off. Otherwise it is found out.
    pub fn mounted_at(mut self, path: impl Into<String>) -> Self {
        self.look.mounted_at = Some(path.into());
        self
    }

    /// The router of the page alone, for an application with whatever state.
    pub fn into_router<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        let site = Site {
            assets: Assets::new(self.look.accent),
            keys: self.keys,
            uses: self.uses,
            look: self.look,
        };
        Router::new()
            .route("/", get(list::list))
            .route("/new", get(create::form).post(create::create))
            .route("/assets/{name}", get(asset))
            .route("/{id}", get(one::show))
            .route("/{id}/revoke", get(change::ask_revoke).post(change::revoke))
            .route("/{id}/rotate", get(change::ask_rotate).post(change::rotate))
            .route("/{id}/disable", post(change::disable))
            .route("/{id}/enable", post(change::enable))
            .route("/{id}/rename", post(change::rename))
            .method_not_allowed_fallback(answer::other_method)
            .fallback(async |lost: Lost| lost.nothing_here())
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(Arc::new(site))
    }

    /// The router of the page, and of the same keys in JSON under the same paths.
    ///
    /// Who prefers `text/html` to `application/json` in `Accept`, as browsers do, gets the page; JSON gets who likes both as much, takes anything (`*/*`), or says
    /// nothing. What is sent goes to the page only if it is a form of it, as its `Content-Type` says, too.
    pub fn beside<S: Clone + Send + Sync + 'static>(self, keys: KeysRouter) -> Router<S> {
        both(&self.into_router(), &keys.into_router())
    }
}

impl<S: Clone + Send + Sync + 'static> From<Page> for Router<S> {
    fn from(page: Page) -> Self {
        page.into_router()
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site")
            .field("look", &self.look)
            .finish_non_exhaustive()
    }
}

/// `GET /assets/{name}`
async fn asset(
    State(site): State<Arc<Site>>,
    lost: Lost,
    parameters: RawPathParams,
    headers: HeaderMap,
) -> Response {
    let name = parameters.iter().filter(|(name, _)| *name == "name").last();
    match name.and_then(|(_, name)| site.assets.find(name)) {
        Some((asset, for_ever)) => answer::asset(asset, for_ever, &headers),
        None => lost.nothing_here(),
    }
}
