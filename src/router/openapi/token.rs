//! The document of the one call by which tokens become keys.

use utoipa::openapi::{
    Components, ComponentsBuilder, Content, Header, HttpMethod, InfoBuilder, OpenApi, OpenApiBuilder, Paths,
    Required, Response, ResponseBuilder, path::OperationBuilder, request_body::RequestBodyBuilder,
    schema::Type, security::SecurityRequirement,
};
use utoipa::openapi::{RefOr, Schema, schema::ObjectBuilder};

use super::schemas::{schema, typed};
use crate::router::{form_problem::FormErrorDocument, token::TokenView};

/// The OpenAPI 3.1 document of a [`TokenRouter`](crate::router::TokenRouter) that is nested at `path`, to be merged into that of the application.
///
/// ```
/// # use tower_api_key::router::token_openapi;
/// let document = serde_json::to_value(token_openapi("/api/v1/token"))?;
/// let exchange = &document["paths"]["/api/v1/token"]["post"];
/// assert!(exchange["responses"]["200"].is_object());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[must_use]
pub fn token_openapi(path: &str) -> OpenApi {
    let form = RequestBodyBuilder::new()
        .content(
            "application/x-www-form-urlencoded",
            Content::new(Some(schema("TokenExchangeRequest"))),
        )
        .required(Some(Required::True))
        .build();
    let operation = OperationBuilder::new()
        .operation_id(Some("exchangeToken"))
        .summary(Some("Exchange the token of a workflow for a key (RFC 8693)"))
        .tag("keys")
        .security(SecurityRequirement::default())
        .request_body(Some(form))
        .response("200", json("The key, which is shown this once.", "ExchangedKey"))
        .response("400", json("There is no key for it.", "FormError"))
        .response("413", json("The body is too large.", "FormError"))
        .response("415", json("The body is no form.", "FormError"))
        .response("503", later());
    let mut paths = Paths::new();
    paths.add_path_operation(path, vec![HttpMethod::Post], operation.build());
    let info = InfoBuilder::new()
        .title("Token exchange")
        .version(env!("CARGO_PKG_VERSION"));
    OpenApiBuilder::new()
        .info(info)
        .paths(paths)
        .components(Some(components()))
        .build()
}

fn components() -> Components {
    ComponentsBuilder::new()
        .schema_from::<TokenView<'_>>()
        .schema_from::<FormErrorDocument>()
        .schema("TokenExchangeRequest", form())
        .build()
}

/// What `token::Form` reads.
fn form() -> ObjectBuilder {
    let one_of = |values: &[&str]| -> RefOr<Schema> {
        typed(Type::String)
            .enum_values(Some(values.iter().copied()))
            .into()
    };
    let text = |what: &str| typed(Type::String).description(Some(what));
    typed(Type::Object)
        .property(
            "grant_type",
            one_of(&["urn:ietf:params:oauth:grant-type:token-exchange"]),
        )
        .property(
            "subject_token",
            text("An OpenID Connect token, which is good once."),
        )
        .property(
            "subject_token_type",
            one_of(&[
                "urn:ietf:params:oauth:token-type:id_token",
                "urn:ietf:params:oauth:token-type:jwt",
            ]),
        )
        .property(
            "requested_token_type",
            one_of(&["urn:ietf:params:oauth:token-type:access_token"]),
        )
        .property(
            "scope",
            text("Scopes with spaces between, where less is wanted than the policy gives."),
        )
        .property("audience", text("The audience of the policy."))
        .property("resource", text("The audience of the policy."))
        .required("grant_type")
        .required("subject_token")
        .required("subject_token_type")
}

fn json(description: &str, name: &str) -> Response {
    ResponseBuilder::new()
        .description(description)
        .content("application/json", Content::new(Some(schema(name))))
        .build()
}

fn later() -> Response {
    let mut response = json(
        "The issuer of the token or the store cannot be reached; try again.",
        "FormError",
    );
    let seconds = Header::new(typed(Type::Integer).description(Some("Seconds to wait.")));
    response
        .headers
        .insert("Retry-After".to_owned(), RefOr::T(seconds));
    response
}
