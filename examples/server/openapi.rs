//! The OpenAPI document, put together from the handlers and from the library's router.

use std::sync::LazyLock;

use axum::{http::header::CONTENT_TYPE, response::IntoResponse};
use tower_api_key::router::{self, SecuritySchemes};
use utoipa::{
    Modify, OpenApi,
    openapi::{OpenApi as Document, Ref, RefOr, path::Operation, security::SecurityRequirement},
};

use crate::{app, issues, sessions, topics};

/// The demo's own routes.
#[derive(OpenApi)]
#[openapi(
    info(title = "Demo of tower-api-key", description = "A small issue tracker whose API is guarded by API keys."),
    paths(
        app::healthz,
        serve,
        app::whoami,
        app::greeting,
        app::run_agent,
        issues::list,
        issues::create,
        issues::change,
        sessions::login,
        sessions::logout,
        topics::send,
        topics::events,
        topics::socket
    ),
    modifiers(&Refusals)
)]
struct Api;

/// Describes this server.
#[utoipa::path(get, path = "/openapi.json", tag = "server", security(()),
    responses((status = 200, description = "This document.")))]
pub(crate) async fn serve(exchanges: bool, takes_alerts: bool) -> impl IntoResponse {
    static TEXTS: LazyLock<[[String; 2]; 2]> = LazyLock::new(|| {
        let text = |exchanges, alerts| document(exchanges, alerts).to_json().unwrap_or_default();
        [false, true].map(|exchanges| [false, true].map(|alerts| text(exchanges, alerts)))
    });
    let text = TEXTS[usize::from(exchanges)][usize::from(takes_alerts)].as_str();
    ([(CONTENT_TYPE, "application/json")], text)
}

fn schemes() -> SecuritySchemes {
    SecuritySchemes::bearer()
        .header("X-Key")
        .session_cookie("session")
}

fn document(exchanges: bool, takes_alerts: bool) -> Document {
    let schemes = schemes();
    let mut document = Api::openapi()
        .merge_from(router::openapi("/api/v1/keys", &schemes))
        .merge_from(router::introspection_openapi("/api/v1/introspect", &schemes))
        .merge_from(router::revocation_openapi("/api/v1/revoke", &schemes))
        .merge_from(router::forward_auth_openapi("/api/v1/verify", &schemes));
    if exchanges {
        document = document.merge_from(router::token_openapi("/api/v1/token"));
    }
    if takes_alerts {
        document = document.merge_from(router::github_alerts_openapi("/api/v1/leaks/github"));
    }
    document
}

/// What is true of every route that asks who is calling: it takes any of the schemes, and refuses in the same words.
struct Refusals;

impl Modify for Refusals {
    fn modify(&self, document: &mut Document) {
        for item in document.paths.paths.values_mut() {
            let operations = [&mut item.get, &mut item.post, &mut item.patch, &mut item.delete];
            operations.into_iter().flatten().for_each(guarded);
        }
    }
}

fn guarded(operation: &mut Operation) {
    let mut requirements = operation.security.take().unwrap_or_default();
    let scopes = requirements.iter().find_map(|requirement| {
        let scopes = serde_json::to_value(requirement).ok()?["bearer"].take();
        serde_json::from_value::<Vec<String>>(scopes).ok()
    });
    if let Some(scopes) = scopes {
        // What is left asks for nobody.
        requirements.retain(|requirement| *requirement == SecurityRequirement::default());
        let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
        requirements.extend(schemes().requiring(&scopes));
        for status in ["401", "403", "429", "503"] {
            let problem = RefOr::Ref(Ref::from_response_name(format!("Problem{status}")));
            operation.responses.responses.insert(status.to_owned(), problem);
        }
    }
    operation.security = Some(requirements);
}
