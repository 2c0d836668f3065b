use crate::process::{Example, Server, refused};

fn exported(server: &Server, name: &str) -> String {
    let mut lines = server.printed.iter();
    let key = lines.find_map(|line| line.strip_prefix(&format!("export {name}=")));
    key.expect("a key").to_owned()
}

#[test]
fn a_request_passes_both_layers_or_is_answered_by_one() {
    let example = Example::new("plain_tower");
    let server = example.start(&["127.0.0.1:0"]);
    let (reader, guest) = (exported(&server, "READER"), exported(&server, "GUEST"));

    // The first is looked up, the second comes from the cache: two ways through the layer.
    for _ in 0..2 {
        let greeting = server.get("/", &reader);
        assert_eq!(
            (greeting.status, greeting.body.as_str()),
            (200, "hello, reader\n")
        );
        assert_eq!(greeting.header("cache-control"), Some("private"));

        let denied = server.get("/", &guest);
        assert_eq!(denied.problem(), refused(403, "insufficient-scope"));
        let challenge = r#"Bearer realm="api", error="insufficient_scope", scope="greeting:read""#;
        assert_eq!(denied.header("www-authenticate"), Some(challenge));
    }

    assert_eq!(
        server.send("GET", "/", &[]).problem(),
        refused(401, "missing-credentials")
    );
    for bad in ["nonsense", &reader[1..]] {
        assert_eq!(
            server.get("/", bad).problem(),
            refused(401, "invalid-key"),
            "{bad}"
        );
    }
    let both = [
        ("X-Key", reader.as_str()),
        ("Authorization", &format!("Bearer {reader}")),
    ];
    assert_eq!(
        server.send("GET", "/", &both).problem(),
        refused(400, "ambiguous-credentials")
    );
}
