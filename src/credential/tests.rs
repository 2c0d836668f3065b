use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::{Presented, Reader, Sources};

mod sources;

/// Header lines, and what follows `?` in the address.
type Request<'a> = (&'a [(&'a str, &'a str)], &'a str);

fn reader(sources: &Sources) -> Reader {
    Reader::new(sources).expect("good sources")
}

fn every_source() -> Reader {
    reader(
        &Sources::default()
            .cookie("key")
            .web_socket_protocol("key")
            .danger_query_parameter("key"),
    )
}

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::try_from(*name).expect("a header name");
        // From bytes: a key may come with any that a header value may hold.
        headers.append(
            name,
            HeaderValue::from_bytes(value.as_bytes()).expect("a header value"),
        );
    }
    headers
}

/// `none`, `many`, or the credential between brackets.
fn read(reader: &Reader, (lines, query): Request<'_>) -> String {
    let uri: Uri = format!("/?{query}").parse().expect("an address");
    match reader.read(&headers(lines), &uri) {
        Presented::None => "none".to_owned(),
        Presented::One(key) => format!("[{}]", String::from_utf8_lossy(&key)),
        Presented::Many => "many".to_owned(),
    }
}

fn read_lines(reader: &Reader, lines: &[(&str, &str)]) -> String {
    read(reader, (lines, ""))
}

#[test]
fn authorization_is_read_as_the_contract_says() {
    let reader = reader(&Sources::default());
    for (value, expected) in [
        ("Bearer K", "[K]"),
        ("bearer K", "[K]"),
        ("BEARER    K", "[K]"),
        ("ApiKey K", "[K]"),
        ("aPIkEY K", "[K]"),
        // A credential that is not good, and not an absent one.
        ("Bearer", "[]"),
        ("Bearer ", "[]"),
        ("Bearer   ", "[]"),
        ("ApiKey", "[]"),
        ("Bearer a b", "[a b]"),
        // The blanks around a field are not part of it (RFC 9110, section 5.5).
        (" Bearer K", "[K]"),
        ("Bearer K \t", "[K]"),
        ("Bearer \u{e4}", "[\u{e4}]"),
        // Other schemes are not for us.
        ("Basic dXNlcjpwYXNz", "none"),
        ("Digest username=\"u\", realm=\"api\"", "none"),
        ("DPoP K", "none"),
        ("BearerX K", "none"),
        ("XBearer K", "none"),
        ("Bear K", "none"),
        ("", "none"),
        ("K", "none"),
        // A parameter that is named like a scheme of ours.
        ("Digest username=\"u\", apikey=\"k\"", "none"),
        ("Digest username=\"u\", apikey = \"k\"", "none"),
    ] {
        assert_eq!(
            read_lines(&reader, &[("authorization", value)]),
            expected,
            "{value:?}"
        );
    }
}

#[test]
fn a_scheme_without_a_space_after_it_never_yields_the_key() {
    let reader = reader(&Sources::default());
    for (value, key) in [
        ("Bearer\tK", "K"),
        ("Bearer/K", "/K"),
        ("ApiKey=K", "=K"),
        ("Bearer\u{e4}", "\u{e4}"),
    ] {
        let found = read_lines(&reader, &[("authorization", value)]);
        assert!(
            found.starts_with('['),
            "{value:?} is a credential, though not a good one"
        );
        assert_ne!(found, format!("[{key}]"), "{value:?}");
    }
}

#[test]
fn what_a_proxy_has_joined_is_more_than_one_credential() {
    let reader = reader(&Sources::default());
    for (name, value) in [
        ("authorization", "Bearer K,Bearer L"),
        ("authorization", "Bearer K, Bearer K"),
        ("authorization", "Bearer K, L"),
        ("authorization", "Bearer K, Basic x"),
        ("authorization", "Basic x, Bearer K"),
        ("authorization", "Basic x,apikey K"),
        ("authorization", "Basic x, Bearer"),
        ("authorization", "Basic x, Bearer\tK"),
        ("authorization", "Digest a=\"b\", c=\"d\", Bearer K"),
        ("authorization", "Bearer/K, Bearer L"),
        ("authorization", "Bearer,K"),
        ("authorization", "Bearer ,K"),
        ("x-key", "K,L"),
        ("x-key", "K, K"),
        ("x-key", ",K,,L"),
    ] {
        assert_eq!(read_lines(&reader, &[(name, value)]), "many", "{name}: {value:?}");
    }
    // Empty entries of a list count for nothing (RFC 9110, section 5.6.1), but the list is still no key.
    for (name, value) in [
        ("authorization", "Bearer K,"),
        ("authorization", ",Bearer K"),
        ("authorization", " , Bearer K"),
        ("x-key", "K,"),
        ("x-key", ", K"),
        ("x-key", ","),
    ] {
        let found = read_lines(&reader, &[(name, value)]);
        assert!(
            found.starts_with('[') && found != "[K]",
            "{name}: {value:?} is {found}"
        );
    }
}

#[test]
fn a_second_line_is_ambiguous_whatever_it_says() {
    let reader = reader(&Sources::default());
    for (name, first, second) in [
        ("authorization", "Bearer K", "Bearer K"),
        ("authorization", "Bearer K", "Basic x"),
        ("authorization", "Basic x", "Digest y"),
        ("authorization", "", ""),
        ("x-key", "K", "K"),
        ("x-key", "K", ""),
    ] {
        assert_eq!(
            read_lines(&reader, &[(name, first), (name, second)]),
            "many",
            "{name}: {first:?} {second:?}"
        );
    }
    // Lines of other names may repeat as they like.
    let lines = [("accept", "a"), ("accept", "b"), ("x-key", "K")];
    assert_eq!(read_lines(&reader, &lines), "[K]");
}

#[test]
fn a_header_is_taken_as_it_is() {
    let reader = reader(&Sources::none().header("X-API-Key"));
    for (value, expected) in [
        ("K", "[K]"),
        ("", "[]"),
        (" K", "[ K]"),
        ("Bearer K", "[Bearer K]"),
    ] {
        assert_eq!(
            read_lines(&reader, &[("x-api-key", value)]),
            expected,
            "{value:?}"
        );
    }
}

#[test]
fn a_cookie_is_found_among_others() {
    let reader = reader(&Sources::none().cookie("key").cookie("session"));
    for (lines, expected) in [
        (&["key=K"][..], "[K]"),
        (&["a=b; key=K;c=d"], "[K]"),
        (&["a=b;key=K="], "[K=]"),
        (&["a=b", "key=K"], "[K]"),
        (&["key="], "[]"),
        (&["key =K"], "[K]"),
        (&["key"], "none"),
        (&["KEY=K"], "none"),
        (&["xkey=K; keyx=K"], "none"),
        (&["a=key=K"], "none"),
        (&["key=K; key=K"], "many"),
        (&["key=K", "key=L"], "many"),
        (&["key=K; session=S"], "many"),
        (&[""], "none"),
    ] {
        let lines: Vec<_> = lines.iter().map(|line| ("cookie", *line)).collect();
        assert_eq!(read_lines(&reader, &lines), expected, "{lines:?}");
    }
}

#[test]
fn a_web_socket_protocol_is_found_among_others() {
    let reader = reader(&Sources::none().web_socket_protocol("key"));
    for (lines, expected) in [
        (&["key.K"][..], "[K]"),
        (&["chat, key.K"], "[K]"),
        (&["chat", "key.K"], "[K]"),
        (&["key.a.b"], "[a.b]"),
        (&["key."], "[]"),
        (&["key", "keyK", "chat.key.K"], "none"),
        (&["key.K, key.K"], "many"),
        (&["key.K", "key.L"], "many"),
    ] {
        let lines: Vec<_> = lines
            .iter()
            .map(|line| ("sec-websocket-protocol", *line))
            .collect();
        assert_eq!(read_lines(&reader, &lines), expected, "{lines:?}");
    }
}

#[test]
fn a_query_parameter_is_decoded_once() {
    let reader = reader(&Sources::none().danger_query_parameter("key"));
    for (query, expected) in [
        ("key=K", "[K]"),
        ("a=b&key=K&c", "[K]"),
        ("key=%4B%6b", "[Kk]"),
        ("%6bey=K", "[K]"),
        ("key=%254B", "[%4B]"),
        ("key=%4", "[%4]"),
        ("key=%zz", "[%zz]"),
        ("key=a+b", "[a+b]"),
        ("key=a=b", "[a=b]"),
        ("key", "[]"),
        ("key=", "[]"),
        ("KEY=K", "none"),
        ("a=key=K", "none"),
        ("", "none"),
        ("key=K&key=K", "many"),
        ("key=K&key", "many"),
    ] {
        assert_eq!(read(&reader, (&[], query)), expected, "{query:?}");
    }
}

#[test]
fn one_of_any_source_is_one_and_two_of_any_are_ambiguous() {
    let reader = every_source();
    let sources: [Request<'_>; 6] = [
        (&[("authorization", "Bearer K")], ""),
        (&[("x-key", "K")], ""),
        (&[("cookie", "key=K")], ""),
        (&[("sec-websocket-protocol", "key.K")], ""),
        (&[], "key=K"),
        // Not for us.
        (&[("accept", "text/html"), ("cookie", "a=b")], "a=b"),
    ];
    for (i, first) in sources.iter().enumerate() {
        let alone = if i == 5 { "none" } else { "[K]" };
        assert_eq!(read(&reader, *first), alone, "{first:?}");
        for (j, second) in sources.iter().enumerate().skip(i + 1) {
            let lines = [first.0, second.0].concat();
            let query = format!("{}&{}", first.1, second.1);
            let both = if j == 5 { "[K]" } else { "many" };
            assert_eq!(read(&reader, (&lines, &query)), both, "{lines:?} {query}");
        }
    }
}

#[test]
fn presented_adds_up_and_never_back_down() {
    let make = |n| match n {
        0 => Presented::None,
        1 => Presented::one(b"K"),
        _ => Presented::Many,
    };
    for first in 0..=2 {
        for second in 0..=2 {
            let sum = make(first + second);
            assert_eq!(make(first).and(make(second)), sum, "{first} and {second}");
        }
    }
}

#[test]
fn a_source_that_is_off_is_not_read() {
    let requests: [Request<'_>; 6] = [
        (&[("authorization", "Bearer K")], ""),
        (&[("authorization", "ApiKey K")], ""),
        (&[("x-key", "K")], ""),
        (&[("cookie", "key=K")], ""),
        (&[("sec-websocket-protocol", "key.K")], ""),
        (&[], "key=K"),
    ];
    let readers = [
        Sources::none().bearer(),
        Sources::none().api_key_scheme(),
        Sources::none().header("X-Key"),
        Sources::none().cookie("key"),
        Sources::none().web_socket_protocol("key"),
        Sources::none().danger_query_parameter("key"),
    ];
    for (i, sources) in readers.iter().enumerate() {
        let reader = reader(sources);
        for (j, request) in requests.iter().enumerate() {
            let expected = if i == j { "[K]" } else { "none" };
            assert_eq!(read(&reader, *request), expected, "{sources:?} {request:?}");
        }
    }
    let default = reader(&Sources::default());
    for request in &requests[3..] {
        assert_eq!(
            read(&default, *request),
            "none",
            "{request:?} is read without having been asked for"
        );
    }
}
