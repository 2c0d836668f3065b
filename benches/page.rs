//! What a page costs beside many keys: `cargo bench --bench page --features full`, and with `-- --database-url postgres://...` there.
//!
//! Imports so many keys of one user into an empty database, asks for pages, and prints how long it took until one was there, median and the slowest of a hundred.

#![expect(clippy::print_stdout, reason = "it prints figures")]

use std::time::{Duration, Instant};

use axum::{Router, body::Body};
use clap::Parser;
use http::Request;
use http_body_util::BodyExt;
use tower::ServiceExt;
use tower_api_key::{
    ApiKeyAuth, Builder,
    access::Grants,
    key::KeyDigest,
    manage::{ImportedKey, Keys, NewKey},
    principal::Identity,
    store::{KeyQuery, PostgresStore, SqliteStore},
};

/// In one transaction.
const BATCH: usize = 1000;

#[derive(Parser)]
struct Arguments {
    /// Said by `cargo bench`; without it, as under `cargo test --benches`, nothing is done.
    #[arg(long)]
    bench: bool,
    /// Of an empty database: `postgres://...`, or `sqlite://PATH`.
    #[arg(long, default_value = "sqlite::memory:")]
    database_url: String,
    /// How many keys there are.
    #[arg(long, default_value_t = 10_000)]
    keys: usize,
    /// How often each page is asked for.
    #[arg(long, default_value_t = 200)]
    rounds: usize,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    if !arguments.bench {
        return;
    }
    let auth = open(&arguments.database_url)
        .await
        .fallback(|_: &http::request::Parts| async {
            let grants = Grants::scopes(["keys:read", "keys:write", "issues:read"])?;
            Ok(Some(Identity::new("alice").grants(grants)))
        })
        .build()
        .expect("a configuration");
    let keys = auth.keys().expect("there is a store").clone();
    fill(&keys, arguments.keys).await;
    let mut query = KeyQuery::newest(u32::try_from(arguments.keys / 2).expect("not that many"));
    query.owner = Some("alice".to_owned());
    let middle = keys.list(&query).await.expect("a page").keys;
    let middle = middle.last().expect("a key").id;
    let app = Router::new().nest("/keys", auth.page().into_router()).layer(auth);
    println!("{:<44} {:>10} {:>10} {:>10}", "", "median", "p99", "bytes");
    for (what, path) in [
        ("the newest", "/keys".to_owned()),
        ("from the middle", format!("/keys?before={middle}")),
        ("of every status", "/keys?status=all".to_owned()),
        ("a word that all have", "/keys?q=key".to_owned()),
        (
            "a word that one in the middle has",
            format!("/keys?q=key+{}.", arguments.keys / 2),
        ),
        ("a word that none has", "/keys?q=nothing".to_owned()),
        ("one key", format!("/keys/{middle}")),
    ] {
        measure(&app, what, &path, arguments.rounds).await;
    }
}

async fn open(url: &str) -> Builder {
    if url.starts_with("postgres") {
        return ApiKeyAuth::builder(PostgresStore::connect(url).await.expect("a database"));
    }
    ApiKeyAuth::builder(SqliteStore::open(url).await.expect("a file"))
}

async fn fill(keys: &Keys, count: usize) {
    let all: Vec<usize> = (0..count).collect();
    for batch in all.chunks(BATCH) {
        let keys_of = batch.iter().map(|i| {
            let grants = Grants::scopes(["issues:read", "keys:read"]).expect("scopes");
            let new = NewKey::new("alice").name(format!("key {i}.")).grants(grants);
            ImportedKey::new(KeyDigest::of(i.to_string().as_bytes()), new).prefix("ak_abcd")
        });
        keys.import(keys_of.collect()).await.expect("imported");
    }
}

async fn measure(app: &Router, what: &str, path: &str, rounds: usize) {
    let mut took = Vec::new();
    let mut bytes = 0;
    for _ in 0..rounds {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let begun = Instant::now();
        let response = app.clone().oneshot(request).await.expect("an answer");
        assert_eq!(response.status(), 200, "{path}");
        let body = response.into_body().collect().await.expect("a body");
        took.push(begun.elapsed());
        bytes = body.to_bytes().len();
    }
    took.sort_unstable();
    let shown = |duration: Duration| format!("{:.2} ms", duration.as_secs_f64() * 1000.0);
    let (median, slow) = (took[rounds / 2], took[rounds * 99 / 100]);
    println!("{what:<44} {:>10} {:>10} {bytes:>10}", shown(median), shown(slow));
}
