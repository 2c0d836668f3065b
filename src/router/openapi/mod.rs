//! The OpenAPI document of this router.

use utoipa::openapi::{
    Components, InfoBuilder, OpenApi, OpenApiBuilder, Paths,
    security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};

use calls::{Call, calls};
use schemas::components;

mod schemas;

mod calls;

mod services;

#[cfg(feature = "leaks")]
pub use services::github_alerts_openapi;
pub use services::{forward_auth_openapi, introspection_openapi, revocation_openapi};

#[cfg(feature = "oidc")]
mod token;

#[cfg(feature = "oidc")]
pub use token::token_openapi;

/// The ways in which callers of an application can show who they are.
#[derive(Debug, Clone)]
#[must_use]
pub struct SecuritySchemes {
    header: Option<String>,
    session: Option<String>,
}

const BEARER: &str = "bearer";
const HEADER: &str = "header";
const SESSION: &str = "session";

impl SecuritySchemes {
    /// `Authorization: Bearer KEY`: the scheme `bearer`.
    pub fn bearer() -> Self {
        Self {
            header: None,
            session: None,
        }
    }

    /// Also a header, such as `X-Key`: the scheme `header`.
    pub fn header(mut self, name: impl Into<String>) -> Self {
        self.header = Some(name.into());
        self
    }

    /// Also a login that sets a cookie of this name: the scheme `session`.
    pub fn session_cookie(mut self, name: impl Into<String>) -> Self {
        self.session = Some(name.into());
        self
    }

    /// Describes them in a document.
    pub fn add_to(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_with(Components::new);
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An API key. `Authorization: ApiKey KEY` is the same."))
            .build();
        components.add_security_scheme(BEARER, SecurityScheme::Http(bearer));
        if let Some(name) = &self.header {
            let header = ApiKey::Header(ApiKeyValue::with_description(name.as_str(), "An API key."));
            components.add_security_scheme(HEADER, SecurityScheme::ApiKey(header));
        }
        if let Some(name) = &self.session {
            let cookie = ApiKeyValue::with_description(
                name.as_str(),
                "A login. A request that changes something must come from the application's own pages.",
            );
            components.add_security_scheme(SESSION, SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
        }
    }

    /// What an operation asks for, if it asks for these scopes: one of the schemes, with all of the scopes.
    #[must_use]
    pub fn requiring(&self, scopes: &[&str]) -> Vec<SecurityRequirement> {
        let session = self.session.as_ref().map(|_| SESSION);
        self.by_key(scopes)
            .into_iter()
            .chain(session.map(|name| SecurityRequirement::new(name, scopes.iter().copied())))
            .collect()
    }

    fn by_key(&self, scopes: &[&str]) -> Vec<SecurityRequirement> {
        let header = self.header.as_ref().map(|_| HEADER);
        let names = [Some(BEARER), header].into_iter().flatten();
        names
            .map(|name| SecurityRequirement::new(name, scopes.iter().copied()))
            .collect()
    }
}

/// The OpenAPI 3.1 document of an [`ApiKeyAuth::router`](crate::ApiKeyAuth::router) that is nested at `path`, to be merged into that of the
/// application. The scopes of a requirement are those that the call asks for.
///
/// ```
/// # use tower_api_key::router::{SecuritySchemes, openapi};
/// let schemes = SecuritySchemes::bearer().header("X-Key");
/// let document = serde_json::to_value(openapi("/api/v1/keys", &schemes))?;
/// let mint = &document["paths"]["/api/v1/keys"]["post"];
/// assert_eq!(mint["security"][0]["bearer"][0], "keys:write");
/// assert!(mint["responses"]["201"].is_object());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[must_use]
pub fn openapi(path: &str, schemes: &SecuritySchemes) -> OpenApi {
    let base = path.trim_end_matches('/');
    let mut paths = Paths::new();
    for Call {
        method,
        path,
        mut operation,
        needs,
    } in calls()
    {
        let security = match needs {
            Some(scope) => schemes.requiring(&[scope]),
            None => schemes.by_key(&[]),
        };
        let path = match (base, path) {
            ("", "") => "/".to_owned(),
            (base, path) => format!("{base}{path}"),
        };
        operation.security = Some(security);
        operation.tags = Some(vec!["keys".to_owned()]);
        paths.add_path_operation(path, vec![method], operation);
    }
    document(paths, schemes)
}

fn document(paths: Paths, schemes: &SecuritySchemes) -> OpenApi {
    let info = InfoBuilder::new()
        .title("API keys")
        .version(env!("CARGO_PKG_VERSION"));
    let mut document = OpenApiBuilder::new()
        .info(info)
        .paths(paths)
        .components(Some(components()))
        .build();
    schemes.add_to(&mut document);
    document
}
