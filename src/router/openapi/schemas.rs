//! What goes in and out: answers from the types that are serialised, bodies from what is read of them.

use utoipa::{
    ToSchema,
    openapi::{
        Components, ComponentsBuilder, Content, KnownFormat, ObjectBuilder, Ref, RefOr, ResponseBuilder,
        Schema, SchemaFormat,
        schema::{AdditionalProperties, ArrayBuilder, SchemaType, Type},
    },
};

use super::super::{form_problem, introspect, problem, view};

pub(super) fn schema(name: &str) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(name))
}

pub(super) fn typed(kind: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(kind)
}

pub(super) fn components() -> Components {
    let answers = ComponentsBuilder::new()
        .schema_from::<view::KeyView>()
        .schema_from::<view::CreditsView>()
        .schema_from::<view::IssuedView<'_>>()
        .schema_from::<view::KeyList>()
        .schema_from::<view::EventView>()
        .schema_from::<view::ActorView>()
        .schema_from::<view::EventList>()
        .schema_from::<view::ReceiptView>()
        .schema_from::<problem::Document>()
        .schema_from::<problem::FieldError>()
        .schema_from::<form_problem::FormErrorDocument>()
        .schema_from::<introspect::TokenView>()
        .schema("NewKeyRequest", new_key())
        .schema("KeyChangeRequest", key_change())
        .schema("RotationRequest", rotation());
    #[cfg(feature = "leaks")]
    let answers = answers.schema_from::<super::super::leaks::LabelView>();
    PROBLEMS
        .iter()
        .fold(answers, |components, (status, description)| {
            let content = Content::new(Some(schema(&problem::Document::name())));
            let response = ResponseBuilder::new()
                .description(*description)
                .content("application/problem+json", content);
            components.response(format!("Problem{status}"), response.build())
        })
        .build()
}

const PROBLEMS: [(u16, &str); 9] = [
    (400, "Fields that cannot be meant, or more than one credential."),
    (401, "No credential, or one that is not good."),
    (
        403,
        "The caller may not do this, or the key would be more than its maker.",
    ),
    (404, "There is no such key, or it is another owner's."),
    (409, "The key is not in a state for this, or there are too many."),
    (413, "The body is too large."),
    (415, "The body is not JSON."),
    (
        429,
        "The key has been used too often, or too many that are not good have come from this address; see `Retry-After`.",
    ),
    (503, "The keys cannot be reached; try again."),
];

/// What `wish::new_key` reads.
fn new_key() -> ObjectBuilder {
    let credits = credits(or_null(Type::String)).description(Some(
        "How many uses there are of the key and of all that come of it, such as `1000`, or `1000/30d` for as many again every 30 \
         days; `null` for as many as there are. A caller whose own uses are counted makes keys that are counted with them, and \
         cannot ask for this.",
    ));
    limits()
        .property("name", name())
        .property("credits", credits)
        .required("name")
}

/// What `wish::change` reads.
fn key_change() -> ObjectBuilder {
    limits()
        .property("name", name())
        .property("disabled", typed(Type::Boolean))
        .property(
            "credits",
            credits(Type::String.into()).description(Some(
                "As many uses as this again, whatever is left, for all keys that are counted together with this one. For callers with \
                 `keys:admin` whose own uses are not counted.",
            )),
        )
}

/// What `wish::overlap` reads.
fn rotation() -> ObjectBuilder {
    let seconds = typed(Type::Integer)
        .minimum(Some(0))
        .maximum(Some(30 * 24 * 60 * 60))
        .default(Some((24 * 60 * 60).into()))
        .description(Some(
            "How long the old key stays good, at most until its own expiry.",
        ));
    closed().property("overlap_seconds", seconds)
}

fn limits() -> ObjectBuilder {
    let moment = nullable(Type::String).format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
    closed()
        .property(
            "scopes",
            listed(Type::Array.into()).description(Some("Without any the key may do nothing.")),
        )
        .property(
            "resources",
            listed(or_null(Type::Array)).min_items(Some(1)).description(Some(
                "What the key is bound to, such as `agent:alpha` or `agent:*`; `null` for not bound to any.",
            )),
        )
        .property(
            "expires_at",
            moment.description(Some(
                "The first moment at which the key is no longer good; `null` for none.",
            )),
        )
        .property(
            "allowed_ips",
            listed(or_null(Type::Array))
                .min_items(Some(1))
                .max_items(Some(100))
                .description(Some("Addresses and CIDR blocks; `null` for anywhere.")),
        )
        .property(
            "rate_limit",
            nullable(Type::String)
                .pattern(Some(RATES))
                .description(Some(
                    "How often it may be used: one to four limits, such as `100/1m` or `per-minute=100/1m;burst=20,per-day=5000/1d`; `null` for no \
                     limit of its own. Names differ, and a limit without one is called `default`.",
                )),
        )
}

/// What the router takes, but for the sizes of the numbers and for names that come twice.
const RATES: &str = "^([a-z0-9-]{1,32}=)?[0-9]+/[0-9]+[smhd](;burst=[0-9]+)?(,([a-z0-9-]{1,32}=)?[0-9]+/[0-9]+[smhd](;burst=[0-9]+)?){0,3}$";

fn credits(kind: SchemaType) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(kind)
        .pattern(Some("^[0-9]+(/[0-9]+[smhd])?$"))
}

fn name() -> ObjectBuilder {
    typed(Type::String).min_length(Some(1)).max_length(Some(100))
}

/// An object without other members than those that follow.
fn closed() -> ObjectBuilder {
    typed(Type::Object).additional_properties(Some(AdditionalProperties::FreeForm(false)))
}

fn listed(kind: SchemaType) -> ArrayBuilder {
    ArrayBuilder::new().schema_type(kind).items(typed(Type::String))
}

fn nullable(kind: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(or_null(kind))
}

fn or_null(kind: Type) -> SchemaType {
    SchemaType::from_iter([kind, Type::Null])
}
