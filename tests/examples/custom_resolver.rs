use sqlx::SqlitePool;
use tower_api_key::key::KeyDigest;

use crate::process::{Example, Server, refused};

struct Tokens {
    server: Server,
    database: SqlitePool,
    _example: Example,
}

impl Tokens {
    async fn start() -> Self {
        let example = Example::new("custom_resolver");
        let server = example.start(&["127.0.0.1:0", "own.db"]);
        let database = example.database("own.db").await;
        Self {
            server,
            database,
            _example: example,
        }
    }

    /// Puts a token into the table, as the application always has, and answers with its id.
    async fn add(&self, digest: &str, user: &str, scopes: &str, expires_at: Option<i64>) -> i64 {
        sqlx::query_scalar(
            "INSERT INTO tokens (token_sha256, user, scopes, expires_at) VALUES (?1, ?2, ?3, ?4) RETURNING id",
        )
        .bind(digest)
        .bind(user)
        .bind(scopes)
        .bind(expires_at)
        .fetch_one(&self.database)
        .await
        .expect("an id")
    }

    async fn run(&self, statement: &'static str) {
        sqlx::query(statement)
            .execute(&self.database)
            .await
            .expect("done");
    }

    fn delete(&self, id: i64, token: &str) -> u16 {
        let bearer = format!("Bearer {token}");
        let path = format!("/tokens/{id}");
        self.server
            .send("DELETE", &path, &[("Authorization", &bearer)])
            .status
    }

    fn me(&self, token: &str) -> (u16, String) {
        let answer = self.server.get("/me", token);
        match answer.status {
            200 => (200, answer.body),
            _ => answer.problem(),
        }
    }
}

fn hex(token: &str) -> String {
    KeyDigest::of(token.as_bytes()).to_hex()
}

fn is(user: &str) -> (u16, String) {
    (200, user.to_owned())
}

#[tokio::test]
async fn tokens_of_any_format_and_digits_of_either_case_are_found() {
    let tokens = Tokens::start().await;
    for (user, token) in [
        ("short", "t"),
        ("uuid", "5b8f8a34-6d5f-4f0b-9a6e-1d7c1f6f2a10"),
        ("symbols", "~!@#$%^&()_+="),
        ("long", &"x".repeat(512)),
    ] {
        tokens.add(&hex(token), user, "", None).await;
        assert_eq!(tokens.me(token), is(user));
    }
    tokens
        .add(&hex("upper").to_uppercase(), "shouting", "", None)
        .await;
    assert_eq!(tokens.me("upper"), is("shouting"));

    assert_eq!(tokens.me("nobody's"), refused(401, "invalid-key"));
    // The digest is not the token.
    assert_eq!(tokens.me(&hex("upper")), refused(401, "invalid-key"));
    let absent = tokens.server.send("GET", "/me", &[]);
    assert_eq!(absent.problem(), refused(401, "missing-credentials"));
}

#[tokio::test]
async fn a_token_that_was_just_good_is_not_after_it_was_revoked() {
    let tokens = Tokens::start().await;
    for digest in [hex("alice's"), hex("alice's-other").to_uppercase()] {
        tokens.add(&digest, "alice", "issues:read", None).await;
    }
    tokens.add(&hex("root's"), "root", "tokens:revoke", None).await;
    assert_eq!(tokens.me("alice's"), is("alice"));
    assert_eq!(tokens.me("alice's-other"), is("alice"));

    assert_eq!(tokens.delete(1, "alice's"), 403);
    assert_eq!(tokens.me("alice's"), is("alice"));

    assert_eq!(tokens.delete(1, "root's"), 204);
    assert_eq!(tokens.me("alice's"), refused(401, "key-revoked"));
    assert_eq!(tokens.me("alice's-other"), is("alice"));
    assert_eq!(tokens.delete(2, "root's"), 204);
    assert_eq!(tokens.me("alice's-other"), refused(401, "key-revoked"));
    assert_eq!(tokens.delete(99, "root's"), 404);
}

#[tokio::test]
async fn an_expired_token_says_so() {
    let tokens = Tokens::start().await;
    tokens.add(&hex("old"), "alice", "", Some(1)).await;
    tokens
        .add(&hex("young"), "alice", "", Some(i64::from(u32::MAX) * 1000))
        .await;
    assert_eq!(tokens.me("old"), refused(401, "key-expired"));
    assert_eq!(tokens.me("young"), is("alice"));
}

#[tokio::test]
async fn what_cannot_be_read_is_neither_a_good_token_nor_a_bad_one() {
    let tokens = Tokens::start().await;
    tokens.add(&hex("good"), "alice", "", None).await;
    tokens.add(&hex("dateless"), "alice", "", Some(-1)).await;
    tokens
        .add(&hex("scopeless"), "alice", "read \"write\"", None)
        .await;
    let unavailable = refused(503, "auth-unavailable");
    for unreadable in ["dateless", "scopeless"] {
        assert_eq!(tokens.me(unreadable), unavailable, "{unreadable}");
    }

    tokens.run("ALTER TABLE tokens RENAME TO gone").await;
    assert_eq!(tokens.me("good"), unavailable);
    assert_eq!(tokens.me("bad"), unavailable);
    tokens.run("ALTER TABLE gone RENAME TO tokens").await;
    assert_eq!(tokens.me("good"), is("alice"));
    assert_eq!(tokens.me("bad"), refused(401, "invalid-key"));
}
