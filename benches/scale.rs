//! What keys cost beside many others: `cargo bench --bench scale --features full -- --database-url URL`.
//!
//! Fills an empty database with so many keys, and then so many more; at each size it mints, uses (not cached), lists and revokes some, and
//! prints how long each took and how much memory this process has. Filling takes minutes and some gigabytes at ten million.

#![expect(clippy::print_stdout, reason = "it prints figures")]

use std::{
    fs,
    time::{Duration, Instant},
};

use axum::{Router, body::Body, extract::Request, routing::get};
use clap::Parser;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, postgres::PgConnectOptions, sqlite::SqliteConnectOptions,
};
use tower::ServiceExt;
use tower_api_key::{
    ApiKeyAuth, Builder,
    access::Grants,
    manage::{IssuedKey, Keys, NewKey},
    principal::Principal,
    store::{KeyQuery, PostgresStore, SqliteStore},
};

/// In one statement.
const BATCH: u64 = 500_000;

#[derive(Parser)]
struct Arguments {
    /// Said by `cargo bench`; without it, as under `cargo test --benches`, nothing is done.
    #[arg(long)]
    bench: bool,
    /// Of an empty database: `postgres://...`, or `sqlite://PATH`.
    #[arg(long, default_value = "sqlite://scale.db")]
    database_url: String,
    /// How many keys there are, each time.
    #[arg(long, value_delimiter = ',', default_value = "10000,1000000")]
    keys: Vec<u64>,
    /// How many are minted, used, listed and revoked.
    #[arg(long, default_value_t = 200)]
    rounds: usize,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    if !arguments.bench {
        return;
    }
    let url = arguments.database_url.as_str();
    let builder = open(url).await;
    // Every use asks the database.
    let auth = builder
        .cache_ttl(Duration::ZERO)
        .build()
        .expect("a configuration");
    let keys = auth.keys().expect("there is a store").clone();
    let app = Router::new()
        .route("/", get(async |_: Principal| ()))
        .layer(auth.clone());
    println!(
        "{:>10} {:>16} {:>16} {:>16} {:>16} {:>8}",
        "keys", "mint", "use", "list", "revoke", "RSS"
    );
    let mut there = 0;
    for &count in &arguments.keys {
        fill(url, there, count).await;
        there = count;
        measure(&keys, &app, count, arguments.rounds).await;
    }
    auth.close().await;
}

async fn open(url: &str) -> Builder {
    if url.starts_with("postgres") {
        return ApiKeyAuth::builder(PostgresStore::connect(url).await.expect("a database"));
    }
    ApiKeyAuth::builder(SqliteStore::open(url).await.expect("a file"))
}

/// A twentieth of an owner's keys belongs to one; a third of all ends some day, a twentieth is revoked.
async fn fill(url: &str, there: u64, count: u64) {
    let is_postgres = url.starts_with("postgres");
    let mut from = there;
    while from < count {
        let to = count.min(from + BATCH);
        let (series, hex, digest) = if is_postgres {
            (
                format!("generate_series({}::bigint, {to}) AS s(i)", from + 1),
                "lpad(to_hex(i), 8, '0')",
                "sha256(i::text::bytea)",
            )
        } else {
            (
                format!(
                    "(WITH RECURSIVE s(i) AS (SELECT {} UNION ALL SELECT i + 1 FROM s WHERE i < {to}) SELECT i FROM s) AS s",
                    from + 1
                ),
                "printf('%08x', i)",
                "randomblob(32)",
            )
        };
        let insert = format!(
            "INSERT INTO api_keys (id, digest, prefix, name, owner, scopes, created_at, expires_at, revoked_at) \
             SELECT '0190' || substr({hex}, 1, 4) || '-' || substr({hex}, 5, 4) || '-7000-8000-000000000000', {digest}, \
             'ak_abcd', 'key ' || i, CASE WHEN i % 20 = 0 THEN 'big' ELSE 'owner ' || (i / 10) END, 'issues:read', \
             1700000000000 + i, CASE WHEN i % 3 = 0 THEN 4102444800000 END, \
             CASE WHEN i % 20 = 1 THEN 1750000000000 END FROM {series}"
        );
        run(url, insert).await;
        from = to;
    }
    run(url, "ANALYZE".to_owned()).await;
}

async fn run(url: &str, statement: String) {
    let statement = AssertSqlSafe(statement);
    if url.starts_with("postgres") {
        let options: PgConnectOptions = url.parse().expect("a URL");
        let mut connection = options.connect().await.expect("a connection");
        sqlx::raw_sql(statement)
            .execute(&mut connection)
            .await
            .expect("done");
        connection.close().await.expect("closed");
    } else {
        let options: SqliteConnectOptions = url.parse().expect("a URL");
        let mut connection = options
            .busy_timeout(Duration::from_secs(60))
            .connect()
            .await
            .expect("a connection");
        sqlx::raw_sql(statement)
            .execute(&mut connection)
            .await
            .expect("done");
        connection.close().await.expect("closed");
    }
}

async fn measure(keys: &Keys, app: &Router, count: u64, rounds: usize) {
    let (mut minted, mut mint, mut used, mut listed, mut revoke) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let new = NewKey::new("alice").grants(Grants::scopes(["issues:read"]).expect("a scope"));
        let begun = Instant::now();
        let issued = keys.issue(new).await.expect("a key");
        mint.push(begun.elapsed());
        minted.push(issued);
    }
    for issued in &minted {
        let begun = Instant::now();
        assert_eq!(status(app, issued).await, 200);
        used.push(begun.elapsed());
    }
    for owner in [None, Some("big"), Some("alice"), Some("owner 7")]
        .iter()
        .cycle()
        .take(rounds)
    {
        let mut query = KeyQuery::newest(50);
        query.owner = owner.map(str::to_owned);
        let begun = Instant::now();
        keys.list(&query).await.expect("a page");
        listed.push(begun.elapsed());
    }
    for issued in &minted {
        let begun = Instant::now();
        keys.revoke(issued.record.id).await.expect("revoked");
        revoke.push(begun.elapsed());
        assert_eq!(status(app, issued).await, 401);
    }
    let figures: Vec<String> = [mint, used, listed, revoke].into_iter().map(shown).collect();
    println!(
        "{count:>10} {:>16} {:>16} {:>16} {:>16} {:>8}",
        figures[0],
        figures[1],
        figures[2],
        figures[3],
        memory()
    );
}

async fn status(app: &Router, issued: &IssuedKey) -> u16 {
    let request = Request::get("/").header("X-Key", issued.key.expose());
    let request = request.body(Body::empty()).expect("a request");
    app.clone()
        .oneshot(request)
        .await
        .expect("an answer")
        .status()
        .as_u16()
}

/// The median and the worst.
fn shown(mut took: Vec<Duration>) -> String {
    took.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let (median, worst) = (took[took.len() / 2], took[took.len() - 1]);
    format!("{:.2}/{:.1} ms", ms(median), ms(worst))
}

fn memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kilobytes.map_or_else(|| "?".to_owned(), |kilobytes| format!("{} MiB", kilobytes / 1024))
}
