//! The routes of [`Services`](crate::router::Services), each at the path where the application has put it.

use utoipa::{
    ToSchema,
    openapi::{
        Content, Header, HttpMethod, ObjectBuilder, OpenApi, Paths, RefOr, Required, Response,
        ResponseBuilder,
        path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
        request_body::{RequestBody, RequestBodyBuilder},
        schema::{ArrayBuilder, Type},
        security::SecurityRequirement,
    },
};

use super::{
    SecuritySchemes,
    calls::operation,
    document,
    schemas::{schema, typed},
};
use crate::router::{form_problem, introspect};

/// The OpenAPI 3.1 document of a [`Services::introspection`](crate::router::Services::introspection) at `path`, to be merged into that of the application.
#[must_use]
pub fn introspection_openapi(path: &str, schemes: &SecuritySchemes) -> OpenApi {
    let operation = operation(
        "introspectToken",
        "Say what is known of a key",
        &[401, 403, 429, 503],
    )
    .request_body(Some(form()))
    .response(
        "200",
        json("What is known of it.", &introspect::TokenView::name()),
    );
    let security = schemes.requiring(&["keys:introspect"]);
    one(
        path,
        HttpMethod::Post,
        with_form_errors(operation),
        security,
        schemes,
    )
}

/// The OpenAPI 3.1 document of a [`Services::revocation`](crate::router::Services::revocation) at `path`, to be merged into that of the application.
#[must_use]
pub fn revocation_openapi(path: &str, schemes: &SecuritySchemes) -> OpenApi {
    let operation = operation("revokeToken", "End a key by holding it", &[429, 503])
        .request_body(Some(form()))
        .response(
            "200",
            Response::new("No request is let in by it any more, if any ever was."),
        );
    let anonymous = vec![SecurityRequirement::default()];
    one(
        path,
        HttpMethod::Post,
        with_form_errors(operation),
        anonymous,
        schemes,
    )
}

/// The OpenAPI 3.1 document of a [`Services::forward_auth`](crate::router::Services::forward_auth) at `path`, to be merged into that of the application.
#[must_use]
pub fn forward_auth_openapi(path: &str, schemes: &SecuritySchemes) -> OpenApi {
    use HttpMethod::{Delete, Get, Patch, Post, Put};
    let mut paths = Paths::new();
    for (method, id) in [
        (Get, "verify"),
        (Put, "verifyPut"),
        (Post, "verifyPost"),
        (Patch, "verifyPatch"),
        (Delete, "verifyDelete"),
    ] {
        let mut operation = operation(
            id,
            "Say whether the caller may come in",
            &[400, 401, 403, 429, 503],
        )
        .description(Some(
            "For proxies, which ask with whatever method they were asked with, also below this address.",
        ))
        .parameter(query(
            "scope",
            "What is needed, with a space between; may be repeated.",
            ArrayBuilder::new().items(typed(Type::String)),
        ))
        .parameter(query("resource", "What it is needed for.", typed(Type::String)))
        .parameter(query(
            "uri",
            "The address that the proxy was asked for, as it came; not looked at, nor is what follows it.",
            typed(Type::String),
        ))
        .response("200", let_in())
        .build();
        operation.security = Some(schemes.by_key(&[]));
        operation.tags = Some(vec!["services".to_owned()]);
        paths.add_path_operation(path, vec![method], operation);
    }
    document(paths, schemes)
}

/// The OpenAPI 3.1 document of a [`Services::github_alerts`](crate::router::Services::github_alerts) at `path`, to be merged into that of the application.
#[cfg(feature = "leaks")]
#[must_use]
pub fn github_alerts_openapi(path: &str) -> OpenApi {
    use crate::router::leaks::LabelView;

    let found = ObjectBuilder::new()
        .property("token", typed(Type::String))
        .required("token")
        .property("type", typed(Type::String))
        .required("type")
        .property("url", typed(Type::String))
        .property("source", typed(Type::String));
    let body = RequestBodyBuilder::new()
        .content(
            "application/json",
            Content::new(Some(RefOr::T(ArrayBuilder::new().items(found).into()))),
        )
        .required(Some(Required::True))
        .build();
    let header = |name: &str, description: &str| {
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::True)
            .description(Some(description))
            .schema(Some(typed(Type::String)))
            .build()
    };
    let labels = ArrayBuilder::new().items(schema(&LabelView::name()));
    let labels = ResponseBuilder::new()
        .description("What the texts are; those that are keys are revoked.")
        .content("application/json", Content::new(Some(RefOr::T(labels.into()))));
    let operation = operation(
        "takeGithubAlert",
        "Revoke keys that GitHub has found",
        &[400, 403, 413, 503],
    )
    .parameter(header(
        "Github-Public-Key-Identifier",
        "Which key has signed the body.",
    ))
    .parameter(header(
        "Github-Public-Key-Signature",
        "ECDSA with P-256 and SHA-256, in DER and base64.",
    ))
    .request_body(Some(body))
    .response("200", labels);
    let anonymous = vec![SecurityRequirement::default()];
    let schemes = SecuritySchemes::bearer();
    one(path, HttpMethod::Post, operation, anonymous, &schemes)
}

fn one(
    path: &str,
    method: HttpMethod,
    operation: OperationBuilder,
    security: Vec<SecurityRequirement>,
    schemes: &SecuritySchemes,
) -> OpenApi {
    let mut operation = operation.build();
    operation.security = Some(security);
    operation.tags = Some(vec!["services".to_owned()]);
    let mut paths = Paths::new();
    paths.add_path_operation(path, vec![method], operation);
    document(paths, schemes)
}

fn form() -> RequestBody {
    let fields = ObjectBuilder::new()
        .property("token", typed(Type::String))
        .required("token")
        .property("token_type_hint", typed(Type::String));
    RequestBodyBuilder::new()
        .content(
            "application/x-www-form-urlencoded",
            Content::new(Some(RefOr::T(fields.into()))),
        )
        .required(Some(Required::True))
        .build()
}

fn with_form_errors(operation: OperationBuilder) -> OperationBuilder {
    let error = form_problem::FormErrorDocument::name();
    [
        (
            "400",
            "The form cannot be meant, or the token not be revoked here.",
        ),
        ("413", "The form is too large."),
        ("415", "The body is not a form."),
    ]
    .into_iter()
    .fold(operation, |operation, (status, description)| {
        operation.response(status, json(description, &error))
    })
}

fn json(description: &str, name: &str) -> Response {
    ResponseBuilder::new()
        .description(description)
        .content("application/json", Content::new(Some(schema(name))))
        .build()
}

fn let_in() -> Response {
    let mut response = Response::new("The caller may come in.");
    for (name, description) in [
        ("X-Auth-Owner", "Whom the key acts for, percent-encoded."),
        ("X-Auth-Key-Id", "Empty for a static key."),
        ("X-Auth-Scopes", "With a space between."),
    ] {
        let mut header = Header::new(typed(Type::String));
        header.description = Some(description.to_owned());
        response.headers.insert(name.to_owned(), header.into());
    }
    response
}

fn query(name: &str, description: &str, schema: impl Into<RefOr<utoipa::openapi::Schema>>) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}
