//! Every statement has an index that serves it, for the planner that will run it. Each is explained as it is sent.

use std::time::{Duration, Instant, SystemTime};

use super::{Columns, Sql, Statement, Value};
use crate::{
    event::{Actor, ChainHead, KeyEvent, KeyEventKind},
    key::{CreditAccount, KeyDigest, KeyId, KeyRecord, KeyStatus},
    store::{Decide, EventQuery, ExpiryQuery, Filling, KeyQuery, Reads, StoreError, Writes},
};

mod filling;

pub(in super::super) use filling::filling;

/// Whose plans are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Dialect {
    #[cfg_attr(
        not(feature = "sqlite"),
        expect(dead_code, reason = "nobody asks for its plans")
    )]
    Sqlite,
    Postgres,
}

/// A connection that explains every statement before it runs it.
pub(in super::super) struct Explaining<'a, S> {
    sql: &'a mut S,
    dialect: Dialect,
    what: &'static str,
    pub(in super::super) plans: Vec<Plan>,
}

#[derive(Debug)]
pub(in super::super) struct Plan {
    pub(in super::super) what: &'static str,
    pub(in super::super) statement: String,
    pub(in super::super) lines: Vec<String>,
    /// How long the statement took.
    pub(in super::super) took: Duration,
}

impl<'a, S: Sql> Explaining<'a, S> {
    pub(in super::super) fn new(sql: &'a mut S, dialect: Dialect) -> Self {
        Self {
            sql,
            dialect,
            what: "",
            plans: Vec::new(),
        }
    }

    async fn explain(&mut self, statement: &str, values: &[Value<'_>]) -> Result<Vec<String>, StoreError> {
        let (explained, values, column) = match self.dialect {
            Dialect::Sqlite => (format!("EXPLAIN QUERY PLAN {statement}"), values, "detail"),
            Dialect::Postgres => {
                // As it is prepared: the planner must do without the values where it would.
                let types: Vec<&str> = values.iter().map(type_of).collect();
                let types = if types.is_empty() {
                    String::new()
                } else {
                    format!("({})", types.join(", "))
                };
                let literals: Vec<String> = values.iter().map(literal).collect();
                let literals = if literals.is_empty() {
                    String::new()
                } else {
                    format!("({})", literals.join(", "))
                };
                self.sql
                    .execute(format!("PREPARE explained {types} AS {statement}").into(), &[])
                    .await?;
                (
                    format!("EXPLAIN EXECUTE explained {literals}"),
                    &[][..],
                    "QUERY PLAN",
                )
            }
        };
        let rows = self.sql.rows(explained.into(), values).await?;
        let lines: Result<Vec<Option<String>>, StoreError> =
            rows.iter().map(|row| row.text(column)).collect();
        if self.dialect == Dialect::Postgres {
            self.sql.execute("DEALLOCATE explained".into(), &[]).await?;
        }
        Ok(lines?.into_iter().flatten().collect())
    }
}

fn type_of(value: &Value<'_>) -> &'static str {
    match value {
        Value::Text(_) => "text",
        Value::Int(_) => "bigint",
        Value::Bytes(_) => "bytea",
    }
}

fn literal(value: &Value<'_>) -> String {
    match value {
        Value::Text(None) | Value::Int(None) => "NULL".to_owned(),
        Value::Text(Some(text)) => format!("'{}'", text.replace('\'', "''")),
        Value::Int(Some(number)) => number.to_string(),
        Value::Bytes(bytes) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("'\\x{hex}'")
        }
    }
}

impl<S: Sql> Sql for Explaining<'_, S> {
    type Row = S::Row;

    const FOR_UPDATE: &'static str = S::FOR_UPDATE;

    const TOUCH: &'static str = S::TOUCH;

    const CLOCK: Option<&'static str> = S::CLOCK;

    fn clock(&self) -> Option<i64> {
        self.sql.clock()
    }

    async fn rows(&mut self, statement: Statement, values: &[Value<'_>]) -> Result<Vec<S::Row>, StoreError> {
        let lines = self.explain(&statement, values).await?;
        let text = statement.clone().into_owned();
        let begun = Instant::now();
        let rows = self.sql.rows(statement, values).await;
        self.plans.push(Plan {
            what: self.what,
            statement: text,
            lines,
            took: begun.elapsed(),
        });
        rows
    }

    async fn execute(&mut self, statement: Statement, values: &[Value<'_>]) -> Result<u64, StoreError> {
        let lines = self.explain(&statement, values).await?;
        let text = statement.clone().into_owned();
        let begun = Instant::now();
        let done = self.sql.execute(statement, values).await;
        self.plans.push(Plan {
            what: self.what,
            statement: text,
            lines,
            took: begun.elapsed(),
        });
        done
    }

    async fn script(&mut self, script: &'static str) -> Result<(), StoreError> {
        self.sql.script(script).await
    }

    async fn now(&mut self) -> Result<SystemTime, StoreError> {
        self.sql.now().await
    }
}

/// Every statement there is, with every filter there is, for keys as [`filling`] makes them.
pub(in super::super) async fn every_statement<S: Sql>(sql: &mut Explaining<'_, S>) -> Result<(), StoreError> {
    let page = super::list(sql.sql, &KeyQuery::newest(50)).await?;
    let (middle, now) = (page.keys[25].id, page.now);

    sql.what = "get";
    super::get(sql, middle).await?;
    sql.what = "is empty";
    super::is_empty(sql).await?;
    sql.what = "has imported";
    super::has_imported(sql).await?;
    let statuses = [
        KeyStatus::Active,
        KeyStatus::Expired,
        KeyStatus::Disabled,
        KeyStatus::Revoked,
    ];
    for (what, query) in [
        ("list", KeyQuery::newest(50)),
        ("list after cursor", KeyQuery::newest(50).before(middle)),
        (
            "list by prefix",
            KeyQuery::newest(50).id_prefix(&middle.to_string()[..13]),
        ),
        ("list by owner", KeyQuery::newest(50).owner("owner 7")),
        (
            "list by owner after cursor",
            KeyQuery::newest(50).owner("owner 7").before(middle),
        ),
        (
            "list by owner and prefix",
            KeyQuery::newest(50).owner("owner 7").id_prefix("0190"),
        ),
    ] {
        sql.what = what;
        super::list(sql, &query).await?;
    }
    for (status, (what, of_owner)) in statuses.into_iter().zip(STATUSES) {
        sql.what = what;
        super::list(sql, &KeyQuery::newest(50).status(status)).await?;
        super::list(sql, &KeyQuery::newest(50).status(status).before(middle)).await?;
        sql.what = of_owner;
        for query in [KeyQuery::newest(50), KeyQuery::newest(50).before(middle)] {
            super::list(sql, &query.status(status).owner("owner 7")).await?;
        }
        // Of these the planner may know better, but for the list that everybody asks for.
        sql.what = match status {
            KeyStatus::Active => "list of active of a large owner",
            _ => "",
        };
        for owner in ["big", "short"] {
            super::list(sql, &KeyQuery::newest(50).status(status).owner(owner)).await?;
        }
    }
    // As if there were more than can be sorted.
    for (status, what, of_owner) in [
        (KeyStatus::Active, "list of active", "walk of active by owner"),
        (KeyStatus::Expired, "walk of expired", "walk of expired by owner"),
    ] {
        for query in [KeyQuery::newest(50), KeyQuery::newest(50).before(middle)] {
            sql.what = what;
            super::list::paged(sql, &query.clone().status(status), 0).await?;
            sql.what = of_owner;
            super::list::paged(sql, &query.status(status).owner("big"), 0).await?;
        }
    }
    sql.what = "";
    super::list(sql, &KeyQuery::newest(50).owner("big").before(middle)).await?;
    super::events(sql, &EventQuery::newest(50).owner("big").before(1000)).await?;
    sql.what = "expired before";
    super::expired_before(sql, now - Duration::from_secs(24 * 60 * 60), 200).await?;
    sql.what = "expiring";
    let mut soon = ExpiryQuery::between(now, now + Duration::from_secs(60), 200);
    super::expiring(sql, &soon).await?;
    sql.what = "expiring after cursor";
    soon.after.1 = Some(middle);
    super::expiring(sql, &soon).await?;
    for (what, query) in [
        ("events", EventQuery::newest(50)),
        ("events after cursor", EventQuery::newest(50).before(1000)),
        ("events by key", EventQuery::newest(50).key(middle)),
        (
            "events by key after cursor",
            EventQuery::newest(50).key(middle).before(1000),
        ),
        ("events by owner", EventQuery::newest(50).owner("owner 7")),
        (
            "events by owner after cursor",
            EventQuery::newest(50).owner("owner 7").before(1000),
        ),
    ] {
        sql.what = what;
        super::events(sql, &query).await?;
    }
    sql.what = "log";
    super::log_after(sql, 1000, 1000).await?;
    super::log_after(sql, i64::MIN, 1000).await?;
    sql.what = "head";
    let _head: ChainHead = super::head(sql, false).await?;

    // A transaction in which every kind of write happens, to new keys.
    let key = |name: &[u8]| KeyRecord::new(KeyId::generate(), KeyDigest::of(name), "owner 7", now);
    let (mut one, two) = (key(b"one"), key(b"two"));
    let account = CreditAccount::new(one.id, "1000/30d".parse().map_err(super::corrupt)?);
    one.credits = Some(account);
    let mut three = key(b"three");
    three.credits = one.credits;
    let mut reads = Reads::nothing().key(middle).live_of("owner 7");
    reads.digests.push(one.digest);
    let mut writes = Writes::nothing();
    writes.insert = vec![one.clone(), two.clone(), three.clone()];
    writes.update.push(one);
    writes.fill.push(Filling::full(account, now));
    writes.delete = vec![two.id, three.id];
    writes.events.push(KeyEvent::new(
        KeyEventKind::Pruned,
        &two,
        now,
        &Actor::application(),
    ));
    sql.what = "change";
    super::transact(sql, reads, Decide::new(move |_| writes)).await?;
    sql.what = "credits";
    super::spend(sql, account.id, 1).await?;
    super::spend(sql, account.id, 1001).await?;
    super::give_back(sql, account.id, 1).await?;
    super::balances(sql, &[account.id]).await?;
    sql.what = "touch";
    let uses: Vec<_> = page.keys.iter().map(|key| (key.id, now)).collect();
    super::touch(sql, &uses).await?;
    for (owner, what) in [
        ("big", "count of a big owner"),
        ("short", "count of an owner of short lives"),
    ] {
        sql.what = what;
        super::transact(
            sql,
            Reads::nothing().live_of(owner),
            Decide::new(|_| Writes::nothing()),
        )
        .await?;
    }
    Ok(())
}

const STATUSES: [(&str, &str); 4] = [
    ("list of active", "list of active by owner"),
    ("list of expired", "list of expired by owner"),
    ("list of disabled", "list of disabled by owner"),
    ("list of revoked", "list of revoked by owner"),
];

impl Plan {
    /// What is wrong with it, if anything is.
    pub(in super::super) fn complaint(&self, dialect: Dialect) -> Option<String> {
        let bad = |line: &&String| match dialect {
            Dialect::Postgres => {
                line.contains("Seq Scan on api_keys")
                    || line.contains("Seq Scan on api_key_credits")
                    || line.contains("Seq Scan on api_key_events")
                    || line.trim_start_matches([' ', '-', '>']).starts_with("Sort ") && !self.is_bounded()
            }
            Dialect::Sqlite => {
                // In the order of its numbers the log is a table, and needs no other index.
                let walks_the_log = *line == "SCAN api_key_events" && !self.statement.contains("WHERE");
                line.starts_with("SCAN api_key") && !line.contains("INDEX") && !walks_the_log
                    || line.contains("TEMP B-TREE") && !self.is_bounded()
            }
        };
        let line = self.lines.iter().find(bad)?;
        Some(format!(
            "{}: {line}\n  {}\n  {}",
            self.what,
            self.statement,
            self.lines.join("\n  ")
        ))
    }

    /// A sort that keeps a page, of what an index has found: only one order can come out of an index, and what expires is in the order of
    /// expiry.
    fn is_bounded(&self) -> bool {
        // What ends soon is, too, and only what ends at one moment is sorted: an incremental sort, where the planner is allowed one.
        let sorts = ["list of expired", "list of active ", "expiring"]
            .iter()
            .any(|what| self.what.starts_with(what));
        let found = |line: &String| line.contains("api_keys_by_expiry") || line.contains("api_keys_ending");
        // Two halves, each of them a page at most, are sorted once more: together, or each for a merge.
        let sort = |line: &&String| line.contains("Sort  (") || line.contains("TEMP B-TREE");
        let halves = self.what == "walk of active by owner" && self.lines.iter().filter(sort).count() <= 2;
        halves || (sorts || self.what.is_empty()) && self.lines.iter().any(found)
    }
}

/// Which index serves what; the plan must name it. The names are PostgreSQL's.
const SERVED_BY: [(&str, &str); 34] = [
    ("get", "api_keys_pkey"),
    ("is empty", "api_keys_pkey"),
    ("has imported", "api_keys_imported"),
    ("list", "api_keys_pkey"),
    ("list after cursor", "api_keys_pkey"),
    ("list by prefix", "api_keys_pkey"),
    ("list by owner", "api_keys_by_owner"),
    ("list by owner after cursor", "api_keys_by_owner"),
    ("list by owner and prefix", "api_keys_by_owner"),
    ("list of active", "api_keys_pkey"),
    ("list of disabled", "api_keys_disabled"),
    ("list of revoked", "api_keys_revoked"),
    ("list of active by owner", "api_keys_endless"),
    ("list of active of a large owner", "api_keys_endless"),
    ("list of expired by owner", "api_keys_"),
    ("list of disabled by owner", "api_keys_"),
    ("list of revoked by owner", "api_keys_"),
    ("list of expired", "api_keys_by_expiry"),
    ("expiring", "api_keys_by_expiry"),
    ("expiring after cursor", "api_keys_by_expiry"),
    ("walk of expired", "api_keys_pkey"),
    ("walk of expired by owner", "api_keys_"),
    ("walk of active by owner", "api_keys_by_owner"),
    ("expired before", "api_keys_by_expiry"),
    ("events", "api_key_events_pkey"),
    ("events after cursor", "api_key_events_pkey"),
    ("events by key", "api_key_events_by_key"),
    ("events by key after cursor", "api_key_events_by_key"),
    ("events by owner", "api_key_events_by_owner"),
    ("events by owner after cursor", "api_key_events_by_owner"),
    ("log", "api_key_events_pkey"),
    ("credits", "api_key_credits_pkey"),
    ("count of a big owner", "api_keys_endless"),
    ("count of an owner of short lives", "api_keys_endless"),
];

/// What is wrong with any of the plans.
pub(in super::super) fn complaints(plans: &[Plan], dialect: Dialect) -> Vec<String> {
    let unserved = SERVED_BY.iter().filter_map(|(what, index)| {
        let index = match (dialect, *index) {
            (Dialect::Sqlite, "api_keys_pkey") => "sqlite_autoindex_api_keys_1",
            (Dialect::Sqlite, "api_key_events_pkey") => "api_key_events",
            (Dialect::Sqlite, "api_key_credits_pkey") => "sqlite_autoindex_api_key_credits_1",
            (_, index) => index,
        };
        let mut of_it = plans
            .iter()
            .filter(|plan| plan.what == *what && plan.statement.contains("FROM api_key"));
        let names = |plan: &Plan| plan.lines.iter().any(|line| line.contains(index));
        let about_the_log =
            |plan: &&Plan| !plan.statement.contains("FROM api_key_log") && !plan.statement.contains("AS few");
        let plan = of_it.by_ref().filter(about_the_log).find(|plan| !names(plan))?;
        Some(format!(
            "{what} is not served by {index}\n  {}\n  {}",
            plan.statement,
            plan.lines.join("\n  ")
        ))
    });
    let seen: Vec<&str> = plans.iter().map(|plan| plan.what).collect();
    let missing = SERVED_BY.iter().filter(|(what, _)| !seen.contains(what));
    let missing = missing.map(|(what, _)| format!("{what}: not explained"));
    let bad = plans.iter().filter_map(|plan| plan.complaint(dialect));
    bad.chain(unserved).chain(missing).collect()
}

/// Prints plans and times: for looking at them.
#[expect(clippy::print_stdout, reason = "it is what it is for")]
pub(in super::super) fn show(plans: &[Plan]) {
    for plan in plans {
        println!("{} ({:.1?})\n  {}", plan.what, plan.took, plan.statement);
        for line in &plan.lines {
            println!("    {line}");
        }
    }
}
