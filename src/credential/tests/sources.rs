//! What follows from the places an application names.

use super::{every_source, headers, reader};
use crate::credential::{Reader, Sources};

fn errors(sources: &Sources) -> Vec<String> {
    let errors = Reader::new(sources).expect_err("bad sources");
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn everything_that_may_hold_a_key_is_concealed_and_nothing_else() {
    let once = [
        ("authorization", "Bearer K"),
        ("x-key", "K"),
        ("cookie", "key=K"),
        ("sec-websocket-protocol", "key.K"),
        ("accept", "text/html"),
    ];
    let repeated = [&once[..], &once[..]].concat();
    for lines in [&once[..], &repeated] {
        let mut concealed = headers(lines);
        every_source().conceal(&mut concealed);
        for (name, value) in &concealed {
            assert_eq!(
                value.is_sensitive(),
                name != "accept",
                "{name} of {} lines",
                lines.len()
            );
        }
        assert!(!format!("{concealed:?}").contains('K'));

        let mut concealed = headers(lines);
        reader(&Sources::none().header("x-key")).conceal(&mut concealed);
        for (name, value) in &concealed {
            assert_eq!(
                value.is_sensitive(),
                name == "x-key",
                "{name} of {} lines",
                lines.len()
            );
        }
    }
}

#[test]
fn vary_names_every_header_that_is_read_as_the_application_wrote_it() {
    let vary = |sources: &Sources| {
        let value = reader(sources).vary();
        value.map(|value| value.to_str().expect("text").to_owned())
    };
    let every = every_source().vary().expect("a value");
    assert_eq!(every, "Authorization, X-Key, Cookie, Sec-WebSocket-Protocol");
    let expected = [
        (Sources::default(), Some("Authorization, X-Key")),
        (Sources::none().bearer(), Some("Authorization")),
        (Sources::none().api_key_scheme(), Some("Authorization")),
        (Sources::none().header("X-A").header("x-b"), Some("X-A, x-b")),
        (Sources::none().cookie("a").cookie("b"), Some("Cookie")),
        (
            Sources::none().web_socket_protocol("a"),
            Some("Sec-WebSocket-Protocol"),
        ),
        // Caches tell addresses apart as it is.
        (Sources::none().danger_query_parameter("a"), None),
    ];
    for (sources, expected) in expected {
        assert_eq!(vary(&sources).as_deref(), expected, "{sources:?}");
    }
}

#[test]
fn the_realm_knows_which_challenges_to_make() {
    let realm = reader(&Sources::default().header("X-API-Key")).realm("vault");
    assert_eq!((&*realm.name, realm.bearer), ("vault", true));
    assert_eq!(*realm.header_labels, ["X-Key".to_owned(), "X-API-Key".to_owned()]);
    assert!(!reader(&Sources::none().cookie("key")).realm("api").bearer);
}

#[test]
fn places_that_cannot_be_are_all_reported() {
    let none = "no place is named in which a key may be presented";
    assert_eq!(errors(&Sources::none()), [none]);
    for name in ["", "X Key", "X-Key:", "X-K\u{e9}y", "X\nKey"] {
        let complaints = errors(&Sources::none().header(name));
        assert_eq!(complaints, [format!("{name:?} cannot name a place for a key")]);
        for sources in [
            Sources::none().cookie(name),
            Sources::none().web_socket_protocol(name),
            Sources::none().danger_query_parameter(name),
        ] {
            assert_eq!(errors(&sources), complaints, "{sources:?}");
        }
    }
    for name in [
        "Authorization",
        "cookie",
        "Sec-WebSocket-Protocol",
        "HOST",
        "Content-Length",
    ] {
        let complaints = errors(&Sources::default().header(name));
        assert_eq!(complaints, [format!("the header {name:?} has another use")]);
    }
    assert_eq!(
        errors(&Sources::default().header("x-key")),
        ["\"x-key\" is named twice"]
    );
    for sources in [
        Sources::none().cookie("key").cookie("key"),
        Sources::none()
            .web_socket_protocol("key")
            .web_socket_protocol("key"),
        Sources::none()
            .danger_query_parameter("key")
            .danger_query_parameter("key"),
    ] {
        assert_eq!(errors(&sources), ["\"key\" is named twice"], "{sources:?}");
    }
    // Cookies have a case, and kinds of places do not get in each other's way.
    assert!(Reader::new(&Sources::none().cookie("key").cookie("Key").header("key")).is_ok());
    let several = Sources::default().header("x-key").header("Host").cookie(";");
    assert_eq!(errors(&several).len(), 3);
}
