//! Whether a caller may come in, for proxies that ask before they pass a request on.

use std::{fmt::Write, sync::Arc};

use axum::{
    extract::{FromRequestParts, Request, State},
    response::Response,
};
use form_urlencoded::parse;
use http::{HeaderName, HeaderValue, Method, request::Parts};

use super::{
    problem::{Problem, empty},
    services::Services,
    view,
};
use crate::{
    access::{Requirement, Resource, Resources, Scope},
    authn::{Refusal, RefusalKind},
    middleware::{TOLD_METHODS, may_ask},
    principal::{Principal, PrincipalKind},
};

const OWNER: HeaderName = HeaderName::from_static("x-auth-owner");
const KEY_ID: HeaderName = HeaderName::from_static("x-auth-key-id");
const SCOPES: HeaderName = HeaderName::from_static("x-auth-scopes");

/// What is needed to come in.
#[derive(Debug, Default)]
struct Asked {
    scopes: Vec<Scope>,
    resource: Option<String>,
}

pub(super) async fn at_the_path(
    State(services): State<Arc<Services>>,
    request: Request,
) -> Result<Response, Problem> {
    verify(&services, request, true).await
}

/// The query is that of the request that the proxy asks about, but for what was put before it.
pub(super) async fn below(
    State(services): State<Arc<Services>>,
    request: Request,
) -> Result<Response, Problem> {
    verify(&services, request, false).await
}

async fn verify(services: &Services, request: Request, strict: bool) -> Result<Response, Problem> {
    let (mut head, _) = request.into_parts();
    if head.headers.keys().any(is_alias) {
        return Err(Problem::invalid(
            "headers",
            "must have no field that some read as X-Auth-*",
        ));
    }
    let caller = <Principal as FromRequestParts<()>>::from_request_parts(&mut head, &()).await?;
    if caller.kind() == PrincipalKind::Session && !services.gate.reader.is_bearer(&head.headers) {
        check_origin(&head, &caller)?;
    }
    let Asked { scopes, resource } = Asked::read(head.uri.query().unwrap_or_default(), strict)?;
    if !scopes.is_empty() {
        caller.require(&Requirement::all(scopes))?;
    }
    if let Some(resource) = resource
        && !reaches(caller.grants().resources(), &resource)
    {
        let refusal = Refusal::because(RefusalKind::ResourceNotAllowed, "bound to other resources");
        return Err(Problem::refused(refusal, &caller));
    }
    let mut response = empty();
    let scopes = view::scope_tokens(caller.grants().granted_scopes(), services.scopes.as_deref());
    let headers = response.headers_mut();
    // Each of them always, so that a proxy replaces whatever a client has written itself.
    headers.insert(OWNER, visible(caller.owner()));
    headers.insert(KEY_ID, visible(caller.key_id().unwrap_or_default()));
    headers.insert(SCOPES, said(scopes.unwrap_or_default()));
    Ok(response)
}

/// What CGI, WSGI and their like cannot tell from the fields by which the service is told who is calling, and a proxy that replaces those leaves alone. Most make `_` of `-`;
/// some make it of whatever is no letter and no digit.
fn is_alias(name: &HeaderName) -> bool {
    const PREFIX: &str = "x-auth-";
    let name = name.as_str().as_bytes();
    let odd = |byte: u8| byte != b'-' && !byte.is_ascii_alphanumeric();
    let same = |(byte, expected): (&u8, u8)| *byte == expected || (expected == b'-' && odd(*byte));
    name.len() >= PREFIX.len()
        && name.iter().zip(PREFIX.bytes()).all(same)
        && name.iter().any(|byte| odd(*byte))
}

/// A browser sends what a session is recognised by along with whatever another site has it ask for, and proxies ask by `GET` about any of it.
fn check_origin(head: &Parts, caller: &Principal) -> Result<(), Problem> {
    let mut told = TOLD_METHODS
        .iter()
        .flat_map(|name| head.headers.get_all(name))
        .peekable();
    let method = |value: &HeaderValue| Method::from_bytes(value.as_bytes()).ok();
    let allowed = match told.peek() {
        None => may_ask(&Method::POST, &head.headers, &head.uri),
        Some(_) => {
            told.all(|value| method(value).is_some_and(|method| may_ask(&method, &head.headers, &head.uri)))
        }
    };
    match allowed {
        true => Ok(()),
        false => Err(Problem::refused(Refusal::new(RefusalKind::CrossOrigin), caller)),
    }
}

impl Asked {
    fn read(query: &str, strict: bool) -> Result<Self, Problem> {
        let mut asked = Self::default();
        for (name, value) in parse(query.as_bytes()) {
            match &*name {
                "uri" => break,
                "scope" => asked.add_scopes(&value)?,
                "resource" if asked.resource.is_some() => {
                    return Err(Problem::invalid("resource", "must be given once"));
                }
                "resource" => asked.resource = Some(value.into_owned()),
                _ if strict => {
                    return Err(Problem::invalid(
                        "query",
                        "must have no fields but scope, resource and, at its end, uri",
                    ));
                }
                _ => {}
            }
        }
        Ok(asked)
    }

    /// A text without a scope in it is most likely a variable that nobody has set, and asks for nothing only by mistake.
    fn add_scopes(&mut self, text: &str) -> Result<(), Problem> {
        for scope in text.split(' ') {
            let scope = scope.parse();
            let scope =
                scope.map_err(|_| Problem::invalid("scope", "must be scopes, with a space between"))?;
            self.scopes.push(scope);
        }
        Ok(())
    }
}

/// As of a requirement on a route: only a bound key is measured, and `public/../private` is in nothing.
fn reaches(granted: &Resources, text: &str) -> bool {
    let is_plain = |text: &str| text.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
    !granted.is_bound()
        || is_plain(text)
            && text
                .parse::<Resource>()
                .is_ok_and(|resource| granted.allow(&resource))
}

/// Percent-encoded, but for visible ASCII characters other than `%`: it can be read back, and no proxy finds a second field in it.
fn visible(text: &str) -> HeaderValue {
    let mut shown = String::with_capacity(text.len());
    for byte in text.bytes() {
        // Writing to a string cannot fail.
        let _ = match byte {
            b'!'..=b'~' if byte != b'%' => write!(shown, "{}", char::from(byte)),
            _ => write!(shown, "%{byte:02X}"),
        };
    }
    said(shown)
}

/// Scopes, and what is visible, always can be said.
fn said(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_told_in_visible_characters_and_can_be_read_back() {
        for (owner, told) in [
            ("alice", "alice"),
            ("", ""),
            ("oidc:deploy/main", "oidc:deploy/main"),
            ("a b", "a%20b"),
            ("100%", "100%25"),
            ("a\r\nX-Auth-Owner: root", "a%0D%0AX-Auth-Owner:%20root"),
            ("J\u{fc}rgen", "J%C3%BCrgen"),
            ("\0\u{7f}", "%00%7F"),
        ] {
            assert_eq!(visible(owner), told, "{owner}");
        }
    }

    #[test]
    fn what_is_asked_ends_where_the_address_of_the_request_begins() {
        let read = |query: &str, strict| {
            Asked::read(query, strict).map(|asked| {
                let scopes: Vec<String> = asked.scopes.iter().map(ToString::to_string).collect();
                (scopes.join(" "), asked.resource)
            })
        };
        let none = || (String::new(), None);
        assert_eq!(read("", true).expect("nothing"), none());
        assert_eq!(read("scope=a:b", true).expect("one"), ("a:b".to_owned(), None));
        let more = read("scope=a:b+c:d&scope=e:f%20g:h&resource=r:1", true).expect("more");
        assert_eq!(more, ("a:b c:d e:f g:h".to_owned(), Some("r:1".to_owned())));
        let rest = "scope=a&uri=/x?scope=%20&resource=1&resource=2";
        assert_eq!(read(rest, true).expect("an address"), ("a".to_owned(), None));
        assert_eq!(read("limit=1&status=open", false).expect("another's"), none());
        for wrong in [
            "scope=",
            "scope",
            "scope=a++b",
            "scope=+a",
            "scope=a*",
            "scope=a%0Ab",
            "scope=a&scope=",
            "resource=a&resource=a",
        ] {
            assert!(
                read(wrong, true).is_err() && read(wrong, false).is_err(),
                "{wrong}"
            );
        }
        assert!(read("scopes=a", true).is_err());
    }
}
