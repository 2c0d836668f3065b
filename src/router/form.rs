use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE};
use zeroize::Zeroizing;

use super::{form_problem::FormProblem, problem::is_too_large};

/// The one field that counts of a form about a token (RFC 7009, section 2.1; RFC 7662, section 2.1). `token_type_hint` and whatever else there is
/// are ignored.
pub(super) struct TokenForm(pub(super) Zeroizing<String>);

impl<S: Send + Sync> FromRequest<S> for TokenForm {
    type Rejection = FormProblem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, FormProblem> {
        let body = body(request).await?;
        let mut fields = form_urlencoded::parse(&body);
        let mut tokens = fields
            .by_ref()
            // Without a value is as good as not there (RFC 6749, section 3.2).
            .filter(|(name, value)| name == "token" && !value.is_empty());
        match (tokens.next(), tokens.next()) {
            (Some((_, token)), None) => Ok(Self(token.into_owned().into())),
            (None, _) => Err(FormProblem::Invalid("The field token must be given.")),
            (Some(_), Some(_)) => Err(FormProblem::Invalid("The field token must be given once.")),
        }
    }
}

/// What was sent, if it says that it is a form.
pub(super) async fn body(request: Request) -> Result<Bytes, FormProblem> {
    if !is_form(request.headers()) {
        return Err(FormProblem::NotAForm);
    }
    let read = Bytes::from_request(request, &()).await;
    read.map_err(|rejection| match is_too_large(rejection.status()) {
        true => FormProblem::TooLarge,
        false => FormProblem::Invalid("The body must arrive as a whole."),
    })
}

/// Whether a request says of its body that it is a form.
pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (types.next(), types.next()) else {
        return false;
    };
    let value = value.to_str().unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default();
    essence
        .trim()
        .eq_ignore_ascii_case("application/x-www-form-urlencoded")
}
