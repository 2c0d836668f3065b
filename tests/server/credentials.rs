//! Where a key is found in a request, and where it is not.

use tower_api_key::access::Grants;

use crate::{
    support::server::{EXTERNAL, Server, Setup, X_EXTERNAL},
    table::{AMBIGUOUS, INVALID, MISSING, Refusal},
};

/// A server, and both kinds of keys that it takes.
struct Scene {
    server: Server,
    keys: [String; 2],
}

impl Scene {
    fn new() -> Self {
        let setup = Setup::with_external_key();
        let server = setup.start();
        let stored = setup.database().mint(Grants::all());
        let keys = [EXTERNAL.to_owned(), stored.key];
        Self { server, keys }
    }

    /// Sends fields in which `<key>` stands for a key, once with each kind.
    fn each(&self, fields: &[&str], check: impl Fn(&crate::support::http::Response)) {
        for key in &self.keys {
            let fields: Vec<String> = fields.iter().map(|field| field.replace("<key>", key)).collect();
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            check(&self.server.get("/api/v1/whoami", &fields));
        }
    }

    fn refused(&self, cases: &[&[&str]], row: &Refusal) {
        for fields in cases {
            self.each(fields, |response| {
                let told = response.json()["code"] == row.code;
                assert!(told, "{fields:?} must be {}: {response:?}", row.code);
                row.assert(response);
            });
        }
    }
}

#[test]
fn a_key_is_found_whatever_the_case_of_its_scheme_or_field_and_however_many_spaces() {
    let cases: &[&[&str]] = &[
        &["Authorization: Bearer <key>"],
        &["Authorization: bearer <key>"],
        &["Authorization: BEARER <key>"],
        &["Authorization: bEaReR <key>"],
        &["authorization: Bearer <key>"],
        &["AUTHORIZATION:Bearer <key>"],
        &["Authorization: Bearer  <key>"],
        &["Authorization:    Bearer        <key>   "],
        &["Authorization:\tBearer <key>\t"],
        &["Authorization: ApiKey <key>"],
        &["Authorization: apikey <key>"],
        &["Authorization: APIKEY   <key>"],
        &["X-Key: <key>"],
        &["x-key: <key>"],
        &["X-KEY:<key>"],
        &["X-Key:  \t <key> \t "],
    ];
    let scene = Scene::new();
    for fields in cases {
        scene.each(fields, |response| {
            assert_eq!(response.status, 200, "{fields:?} {response:?}");
        });
    }
}

#[test]
fn another_scheme_counts_as_no_key_and_does_not_stand_in_the_way_of_one() {
    let others = [
        "Authorization: Basic dXNlcjpwYXNzd29yZA==",
        "Authorization: Digest username=\"a\", realm=\"b\", nonce=\"c\", uri=\"/\", response=\"d\"",
        "Authorization: DPoP <key>",
        "Authorization: Negotiate <key>",
        "Authorization: Token <key>",
        "Authorization: Bearer-<key>",
        "Authorization: Bearer<key>",
        "Authorization: Api-Key <key>",
        "Authorization: <key>",
        "Authorization:",
    ];
    let scene = Scene::new();
    for other in others {
        scene.refused(&[&[other]], &MISSING);
        scene.each(&[other, "X-Key: <key>"], |response| {
            assert_eq!(response.status, 200, "{other} {response:?}");
        });
    }
}

#[test]
fn a_key_anywhere_else_is_not_read() {
    let scene = Scene::new();
    scene.refused(
        &[
            &["X-API-Key: <key>"],
            &["X_Key: <key>"],
            &["Proxy-Authorization: Bearer <key>"],
            &["Cookie: X-Key=<key>; key=<key>; api_key=<key>; session=<key>"],
            &["Sec-WebSocket-Protocol: key.<key>, bearer.<key>, <key>"],
        ],
        &MISSING,
    );
    for key in &scene.keys {
        for target in [
            format!("/api/v1/whoami?key={key}"),
            format!("/api/v1/whoami?access_token={key}&api_key={key}&X-Key={key}&x-key={key}"),
            format!("/api/v1/whoami?Authorization=Bearer%20{key}"),
            format!("/api/v1/whoami?{key}"),
        ] {
            MISSING.assert(&scene.server.get(&target, &[]));
            // Nor does it make a second credential.
            let with_good = scene.server.get(&target, &[X_EXTERNAL]);
            assert_eq!(with_good.status, 200, "{with_good:?}");
        }
    }
}

#[test]
fn a_credential_that_is_empty_or_more_than_a_key_is_not_good() {
    Scene::new().refused(
        &[
            &["Authorization: Bearer"],
            &["Authorization: Bearer "],
            &["Authorization: ApiKey"],
            &["X-Key:"],
            &["X-Key: "],
            &["Authorization: Bearer\t<key>"],
            &["Authorization: Bearer \t<key>"],
            &["Authorization: Bearer <key> <key>"],
            &["Authorization: Bearer Bearer <key>"],
            &["Authorization: Bearer \"<key>\""],
            &["Authorization: Bearer <key>,"],
            &["Authorization: Bearer =<key>"],
            &["Authorization: Bearer=<key>"],
            &["X-Key: Bearer <key>"],
            &["X-Key: <key> <key>"],
            &["X-Key: \"<key>\""],
            &["X-Key: ,<key>"],
            &["X-Key: ,"],
            // A credential of its own is present, whatever the other is for.
            &["Authorization: Basic dXNlcjpwYXNzd29yZA==", "X-Key:"],
        ],
        &INVALID,
    );
}

#[test]
fn two_credentials_are_ambiguous_even_when_they_agree() {
    Scene::new().refused(
        &[
            &["X-Key: <key>", "X-Key: <key>"],
            &["X-Key: <key>", "x-key: other"],
            &["X-Key:", "X-Key: <key>"],
            &["X-Key: <key>,<key>"],
            &["X-Key: <key>, other"],
            &["X-Key: other , <key>"],
            &["Authorization: Bearer <key>", "Authorization: Bearer <key>"],
            &["Authorization: Bearer <key>", "Authorization: ApiKey <key>"],
            &["Authorization: Bearer <key>", "Authorization: Basic dTpw"],
            &["Authorization: Basic dTpw", "Authorization: Bearer <key>"],
            &["Authorization: Basic dTpw", "Authorization: Digest a=\"b\""],
            &["Authorization: Basic dTpw", "Authorization: Basic dTpw"],
            &["Authorization:", "Authorization: Bearer <key>"],
            &[
                "Authorization: Basic dTpw",
                "Authorization: Basic dTpw",
                "X-Key: <key>",
            ],
            &["Authorization: Bearer <key>, Bearer <key>"],
            &["Authorization: Bearer <key>,<key>"],
            &["Authorization: Basic dTpw, Bearer <key>"],
            &["Authorization: Bearer <key>, Basic dTpw"],
            &["Authorization: Bearer <key>", "X-Key: <key>"],
            &["X-Key: <key>", "Authorization: ApiKey <key>"],
            &["Authorization: Bearer other", "X-Key: <key>"],
            &["Authorization: Bearer <key>", "X-Key: other"],
            &["Authorization: Bearer", "X-Key: <key>"],
            &["Authorization: Bearer <key>", "X-Key:"],
        ],
        &AMBIGUOUS,
    );
}

#[test]
fn a_key_has_at_most_512_bytes() {
    let longest = "k".repeat(512);
    let server = Setup::new().arguments(&["--api-key", &longest]).start();
    for field in ["Authorization: Bearer ", "Authorization: ApiKey ", "X-Key: "] {
        let good = server.get("/api/v1/whoami", &[&format!("{field}{longest}")]);
        assert_eq!(good.status, 200, "{good:?}");
        for more in [1, 512, 8000] {
            let field = format!("{field}{longest}{}", "k".repeat(more));
            INVALID.assert(&server.get("/api/v1/whoami", &[&field]));
        }
    }
}

#[test]
fn bytes_outside_of_visible_ascii_make_no_key() {
    let scene = Scene::new();
    for key in &scene.keys {
        let key = key.as_bytes();
        for strange in [&b"\xff"[..], b"\xc3\xa9", b"\x80", b"\xef\xbb\xbf", b"\t", b" "] {
            for field in [&b"Authorization: Bearer "[..], b"X-Key: "] {
                for value in [
                    [&key[..9], strange, &key[9..]].concat(),
                    [b"k", strange, b"k"].concat(),
                ] {
                    let request = [
                        b"GET /api/v1/whoami HTTP/1.1\r\nHost: demo\r\n",
                        field,
                        &value,
                        b"\r\n\r\n",
                    ];
                    INVALID.assert(&scene.server.exchange(&request.concat()));
                }
            }
        }
        // These cannot be in a field at all, and are refused before anybody looks for keys.
        for strange in [&b"\0"[..], b"\x01", b"\x7f", b"\r"] {
            let value = [
                b"GET /api/v1/whoami HTTP/1.1\r\nHost: demo\r\nX-Key: ",
                key,
                strange,
            ];
            let request = [&value.concat()[..], b"\r\n\r\n"].concat();
            assert_eq!(scene.server.exchange(&request).status, 400, "{strange:?}");
        }
    }
}
