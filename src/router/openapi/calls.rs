//! The calls of this router, as a test compares them with what answers.

use utoipa::openapi::{
    Content, Header, HttpMethod, ObjectBuilder, Ref, RefOr, Required, Response, ResponseBuilder,
    SchemaFormat,
    path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
    request_body::{RequestBody, RequestBodyBuilder},
    schema::Type,
};

use super::schemas::{schema, typed};

const READ: Option<&str> = Some("keys:read");
const WRITE: Option<&str> = Some("keys:write");
const ADMIN: Option<&str> = Some("keys:admin");

pub(super) struct Call {
    pub(super) method: HttpMethod,
    pub(super) path: &'static str,
    /// `None` where holding the key is enough.
    pub(super) needs: Option<&'static str>,
    pub(super) operation: Operation,
}

fn call(
    method: HttpMethod,
    path: &'static str,
    needs: Option<&'static str>,
    operation: OperationBuilder,
) -> Call {
    let operation = match path.contains("{id}") {
        true => operation.parameter(id()),
        false => operation,
    };
    Call {
        method,
        path,
        needs,
        operation: operation.build(),
    }
}

pub(super) fn calls() -> [Call; 9] {
    use HttpMethod::{Delete, Get, Patch, Post};
    [
        call(
            Post,
            "",
            WRITE,
            operation("mintKey", "Mint a key", &[400, 401, 403, 409, 413, 415, 429, 503])
                .request_body(Some(body("NewKeyRequest", Required::True)))
                .response("201", minted("The key, which is shown this once.")),
        ),
        call(
            Get,
            "",
            READ,
            operation(
                "listKeys",
                "List keys, the newest first",
                &[400, 401, 403, 429, 503],
            )
            .parameter(limit())
            .parameter(cursor())
            .parameter(status())
            .response("200", json("A page of keys.", "KeyList")),
        ),
        call(
            Get,
            "/{id}",
            READ,
            operation("showKey", "Show a key", &[401, 403, 404, 429, 503])
                .response("200", json("The key.", "Key")),
        ),
        call(
            Patch,
            "/{id}",
            WRITE,
            operation(
                "changeKey",
                "Rename, narrow, disable or enable a key",
                &[400, 401, 403, 404, 409, 413, 415, 429, 503],
            )
            .request_body(Some(body("KeyChangeRequest", Required::True)))
            .response("200", json("The key as it is now.", "Key")),
        ),
        call(
            Delete,
            "/{id}",
            WRITE,
            operation("revokeKey", "Revoke a key for good", &[401, 403, 404, 429, 503])
                .response(
                    "200",
                    json(
                        "It is revoked, and who has heard of it; only where that is waited for.",
                        "Receipt",
                    ),
                )
                .response("204", Response::new("It is revoked, now or before.")),
        ),
        call(
            Delete,
            "/current",
            None,
            operation(
                "revokeCurrentKey",
                "Revoke the key of the request",
                &[401, 409, 429, 503],
            )
            .response(
                "200",
                json(
                    "It is revoked, and who has heard of it; only where that is waited for.",
                    "Receipt",
                ),
            )
            .response("204", Response::new("It is revoked.")),
        ),
        call(
            Post,
            "/{id}/rotate",
            WRITE,
            operation(
                "rotateKey",
                "Mint a key that takes over from another",
                &[400, 401, 403, 404, 409, 413, 415, 429, 503],
            )
            .request_body(Some(body("RotationRequest", Required::False)))
            .response("201", minted("The new key, which is shown this once.")),
        ),
        call(
            Get,
            "/{id}/events",
            READ,
            operation(
                "listKeyEvents",
                "List what happened to a key",
                &[400, 401, 403, 404, 429, 503],
            )
            .parameter(limit())
            .parameter(cursor())
            .response("200", json("A page of events, the newest first.", "EventList")),
        ),
        call(
            Get,
            "/events",
            ADMIN,
            operation(
                "listEvents",
                "List what happened to the keys of all owners",
                &[400, 401, 403, 429, 503],
            )
            .parameter(limit())
            .parameter(cursor())
            .response("200", json("A page of events, the newest first.", "EventList")),
        ),
    ]
}

pub(super) fn operation(id: &str, summary: &str, problems: &[u16]) -> OperationBuilder {
    let operation = OperationBuilder::new()
        .operation_id(Some(id))
        .summary(Some(summary));
    problems.iter().fold(operation, |operation, status| {
        let reference = Ref::from_response_name(format!("Problem{status}"));
        operation.response(status.to_string(), RefOr::Ref(reference))
    })
}

fn json(description: &str, name: &str) -> Response {
    let content = Content::new(Some(schema(name)));
    ResponseBuilder::new()
        .description(description)
        .content("application/json", content)
        .build()
}

fn minted(description: &str) -> Response {
    let mut response = json(description, "NewKey");
    let mut location = Header::new(typed(Type::String));
    location.description = Some("Where the key is found.".to_owned());
    response.headers.insert("Location".to_owned(), location.into());
    response
}

fn body(name: &str, required: Required) -> RequestBody {
    RequestBodyBuilder::new()
        .content("application/json", Content::new(Some(schema(name))))
        .required(Some(required))
        .build()
}

fn query(name: &str, description: &str, schema: ObjectBuilder) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

fn id() -> Parameter {
    let uuid = typed(Type::String).format(Some(SchemaFormat::Custom("uuid".to_owned())));
    ParameterBuilder::new()
        .name("id")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .schema(Some(uuid))
        .build()
}

fn limit() -> Parameter {
    let number = typed(Type::Integer).minimum(Some(1)).maximum(Some(100));
    query("limit", "How many at most.", number.default(Some(50.into())))
}

fn cursor() -> Parameter {
    query(
        "cursor",
        "The `next_cursor` of the page before.",
        typed(Type::String),
    )
}

fn status() -> Parameter {
    let words = ["active", "expired", "revoked", "disabled", "all"];
    let word = typed(Type::String).enum_values(Some(words));
    query("status", "Which of them.", word.default(Some("active".into())))
}
