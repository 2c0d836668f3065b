use crate::process::{Example, Server, refused};

const ARGUMENTS: &[&str] = &["127.0.0.1:0", "first.db"];

/// The key in the line that a newcomer copies into the shell.
fn key_in_curl_line(server: &Server) -> String {
    let line = server.printed.iter().find(|line| line.starts_with("curl "));
    let line = line.expect("a line to try");
    assert!(
        line.ends_with(&format!("http://{}/me", server.address())),
        "{line}"
    );
    let (_, rest) = line.split_once("'Authorization: Bearer ").expect("a header");
    rest.split_once('\'').expect("a quote").0.to_owned()
}

#[test]
fn the_first_key_opens_what_it_may_and_nothing_else_does() {
    let example = Example::new("first_key");
    let server = example.start(ARGUMENTS);
    let key = key_in_curl_line(&server);

    let me = server.get("/me", &key);
    assert_eq!((me.status, me.body.as_str()), (200, "alice"));
    assert_eq!(server.send("GET", "/me", &[("X-Key", &key)]), me);
    assert_eq!(server.get("/issues", &key).status, 200);

    // Of the right shape, but not the key: the last character is another.
    let wrong = match key.strip_suffix('a') {
        Some(rest) => format!("{rest}b"),
        None => format!("{}a", &key[..key.len() - 1]),
    };
    for bad in [wrong.as_str(), "nonsense", ""] {
        assert_eq!(
            server.get("/me", bad).problem(),
            refused(401, "invalid-key"),
            "{bad:?}"
        );
    }
    assert_eq!(
        server.send("GET", "/me", &[]).problem(),
        refused(401, "missing-credentials")
    );
}

#[test]
fn writing_needs_a_scope_that_the_first_key_lacks() {
    let example = Example::new("first_key");
    let server = example.start(ARGUMENTS);
    let bearer = format!("Bearer {}", key_in_curl_line(&server));

    let denied = server.send("POST", "/issues", &[("Authorization", &bearer)]);
    assert_eq!(denied.problem(), refused(403, "insufficient-scope"));
    assert_eq!(denied.json()["required"][0], "issues:write");
    assert_eq!(
        server.send("POST", "/issues", &[]).problem(),
        refused(401, "missing-credentials")
    );
}

#[tokio::test]
async fn the_key_is_shown_once_kept_as_a_digest_and_outlives_a_restart() {
    let example = Example::new("first_key");
    let key = key_in_curl_line(&example.start(ARGUMENTS));

    let server = example.start(ARGUMENTS);
    assert!(server.printed.is_empty(), "{:?}", server.printed);
    assert_eq!(server.get("/me", &key).body, "alice");

    let database = example.database("first.db").await;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM api_keys")
        .fetch_one(&database)
        .await
        .expect("a number");
    assert_eq!(rows, 1);
    drop(server);
    for file in ["first.db", "first.db-wal"] {
        let bytes = std::fs::read(example.path(file)).unwrap_or_default();
        let found = bytes.windows(key.len()).any(|window| window == key.as_bytes());
        assert!(!found, "the key is in {file}");
    }
}
