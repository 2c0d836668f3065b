//! How PostgreSQL runs what it is asked.

use std::env;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{FIND, PostgresStore};
use crate::{
    clock::{Clock, SystemClock, to_unix_ms},
    store::sql::tests::{Dialect, Explaining, Plan, complaints, every_statement, filling, show},
};

/// Large enough that the planner takes no table for small.
const KEYS: u32 = 20_000;

fn server() -> String {
    env::var("TEST_POSTGRES_URL").unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/test".to_owned())
}

async fn run(connection: &mut PgConnection, statements: String) {
    let done = sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await;
    done.expect("executed");
}

/// The plans of all statements, with a setting of how they are made.
async fn plans(url: &str, mode: &str) -> Vec<Plan> {
    let mut connection = PgConnection::connect(url).await.expect("connected");
    run(&mut connection, format!("SET plan_cache_mode = {mode}")).await;
    let mut transaction = connection.begin().await.expect("begun");
    let mut plans = Vec::new();
    run(&mut transaction, format!("PREPARE find (bytea) AS {FIND}")).await;
    let lines = sqlx::query_scalar("EXPLAIN EXECUTE find ('\\x00')")
        .fetch_all(&mut *transaction)
        .await;
    plans.push(Plan {
        what: "find",
        statement: FIND.to_owned(),
        lines: lines.expect("a plan"),
        took: std::time::Duration::ZERO,
    });
    let mut sql: Explaining<'_, PgConnection> = Explaining::new(&mut *transaction, Dialect::Postgres);
    every_statement(&mut sql).await.expect("every statement runs");
    plans.extend(sql.plans);
    transaction.rollback().await.expect("rolled back");
    plans
}

/// A database of its own, which the work is given the URL of; it is dropped also when the work panics. `None` without a server.
async fn with_database<F: Future<Output = ()> + Send + 'static>(work: impl FnOnce(String) -> F) {
    let server = server();
    let mut admin = match PgConnection::connect(&server).await {
        Ok(admin) => admin,
        Err(error) => return skip(&format!("no PostgreSQL server ({error}); set TEST_POSTGRES_URL")),
    };
    let name = format!("api_key_test_plans_{}", std::process::id());
    run(&mut admin, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
    run(&mut admin, format!("CREATE DATABASE {name} TEMPLATE template0")).await;
    let (host, _) = server.rsplit_once('/').expect("a URL with a database");
    let done = tokio::spawn(work(format!("{host}/{name}"))).await;
    run(&mut admin, format!("DROP DATABASE {name} WITH (FORCE)")).await;
    done.expect("no panic");
}

#[expect(
    clippy::print_stderr,
    reason = "a test that did not run must not look as if it had"
)]
fn skip(why: &str) {
    assert!(env::var("CI").as_deref() != Ok("true"), "{why}");
    eprintln!("SKIPPED: {why}");
}

#[tokio::test]
async fn every_statement_is_served_by_an_index() {
    with_database(|url| async move {
        PostgresStore::connect(&url).await.expect("a store").close().await;
        let mut connection = PgConnection::connect(&url).await.expect("connected");
        let now = to_unix_ms(SystemClock.now());
        run(&mut connection, filling(Dialect::Postgres, KEYS, now)).await;
        run(&mut connection, "ANALYZE".to_owned()).await;
        // With the values, and for whatever values there may be. So few keys are sorted and filtered faster than found in order.
        let name = url.rsplit('/').next().unwrap_or_default();
        for setting in [
            "enable_seqscan",
            "enable_bitmapscan",
            "enable_sort",
            "enable_incremental_sort",
        ] {
            run(
                &mut connection,
                format!("ALTER DATABASE {name} SET {setting} = off"),
            )
            .await;
        }
        for mode in ["force_custom_plan", "force_generic_plan"] {
            let plans = plans(&url, mode).await;
            let complaints = complaints(&plans, Dialect::Postgres);
            assert!(complaints.is_empty(), "{mode}:\n{}", complaints.join("\n"));
            assert!(
                plans[0]
                    .lines
                    .iter()
                    .any(|line| line.contains("api_keys_digest_key")),
                "{:?}",
                plans[0]
            );
        }
        // It would be seen if one were gone.
        run(
            &mut connection,
            "DROP INDEX api_keys_by_owner, api_keys_endless, api_keys_ending".to_owned(),
        )
        .await;
        let without = complaints(&plans(&url, "auto").await, Dialect::Postgres);
        assert!(
            without.iter().any(|complaint| complaint.contains("Seq Scan")),
            "{without:?}"
        );
    })
    .await;
}

/// `PLANS_POSTGRES_URL=postgres://... cargo test --all-features --lib plans_of_a_database -- --ignored --nocapture`
#[tokio::test]
#[ignore = "it shows the plans and times of a database that somebody has filled"]
async fn plans_of_a_database_that_is_there() {
    let url = env::var("PLANS_POSTGRES_URL").expect("PLANS_POSTGRES_URL");
    for _ in 0..2 {
        // The second time shows what is cached.
        show(&plans(&url, "auto").await);
    }
}
