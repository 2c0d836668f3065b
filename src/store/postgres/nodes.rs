//! The nodes that use cached verdicts, and how a change waits for all of them.

use std::{collections::BTreeMap, time::Duration};

use sqlx::{PgConnection, PgExecutor, PgPool, postgres::PgListener};
use tokio::time::{Instant, sleep};

use super::lent;
use crate::{
    event::Receipt,
    store::{
        StoreError,
        sql::{Columns, corrupt, unavailable},
    },
};

pub(super) const CHANNEL: &str = "api_key_changes";
/// How often to look whether all have answered.
const POLL: Duration = Duration::from_millis(5);

/// What a node finds when it comes.
pub(super) struct Place {
    /// The table that it is written down in.
    pub(super) table: i64,
    /// The last number that was asked for.
    pub(super) asked: i64,
}

/// Looks up what a node needs to know, and removes nodes of long ago. Also where nobody ever waits for them they must not heap up.
pub(super) async fn place(ear: &mut PgListener) -> Result<Place, StoreError> {
    const OLD: &str = "DELETE FROM api_key_nodes WHERE seen_at < clock_timestamp() - interval '1 day'";
    sqlx::query(OLD).execute(&mut *ear).await.map_err(unavailable)?;
    Ok(Place {
        table: table(ear).await?,
        asked: asked(ear).await?,
    })
}

/// The table that the nodes are written down in, as this connection sees it.
pub(super) async fn table(ear: &mut PgListener) -> Result<i64, StoreError> {
    const TABLE: &str = "SELECT 'api_key_nodes'::regclass::oid::bigint AS node_table";
    let row = sqlx::query(TABLE).fetch_one(ear).await.map_err(unavailable)?;
    row.int("node_table")?.ok_or_else(missing)
}

/// The last number that was asked for.
///
/// Whoever asks has had an answer to the commit of the change by then, so the server has called on all who listen to fetch it. Before it is ready for
/// the next statement it hands on what there is to fetch: when this returns, all that was committed before that number was taken can be had
/// without waiting.
pub(super) async fn asked(ear: &mut PgListener) -> Result<i64, StoreError> {
    // A sequence that has given no number yet says that its last one was the first.
    const ASKED: &str = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS asked FROM api_key_asks";
    // All rows, though there is one: what asks for one does not wait for what comes after it.
    let rows = sqlx::query(ASKED).fetch_all(ear).await.map_err(unavailable)?;
    let asked = rows.first().map(|row| row.int("asked")).transpose()?;
    asked.flatten().ok_or_else(missing)
}

fn missing() -> StoreError {
    corrupt("the nodes are not written down")
}

/// Notifies, and nothing else. Answers with the table that nodes are looked for in.
pub(super) async fn tell(connection: &mut PgConnection, beat: &str) -> Result<i64, StoreError> {
    const TELL: &str = "SELECT 'api_key_nodes'::regclass::oid::bigint AS node_table, pg_notify('api_key_changes', 'beat:' || $1)";
    let told = sqlx::query(TELL).bind(beat).fetch_one(connection).await;
    told.map_err(unavailable)?.int("node_table")?.ok_or_else(missing)
}

/// Notifies, and in the same transaction writes down that the node is there: before it hears of it, whoever waits for nodes sees it.
pub(super) async fn beat(ear: &mut PgListener, id: &str, beat: &str) -> Result<(), StoreError> {
    const BEAT: &str = "WITH seen AS (INSERT INTO api_key_nodes (node_id, seen_at) VALUES ($1, clock_timestamp()) \
                        ON CONFLICT (node_id) DO UPDATE SET seen_at = excluded.seen_at) \
                        SELECT pg_notify('api_key_changes', 'beat:' || $2)";
    let beating = sqlx::query(BEAT).bind(id).bind(beat);
    beating.execute(ear).await.map(drop).map_err(unavailable)
}

/// Writes down that a node has applied what was committed before a number was asked for.
pub(super) async fn acknowledge(ear: &mut PgListener, id: &str, asked: i64) -> Result<(), StoreError> {
    const ACKNOWLEDGE: &str = "UPDATE api_key_nodes SET applied = $2 WHERE node_id = $1 AND applied < $2";
    let writing = sqlx::query(ACKNOWLEDGE).bind(id).bind(asked);
    writing.execute(ear).await.map(drop).map_err(unavailable)
}

/// Nobody has to wait for this node.
pub(super) async fn leave(pool: &PgPool, id: &str) -> Result<(), StoreError> {
    let leaving = sqlx::query("DELETE FROM api_key_nodes WHERE node_id = $1").bind(id);
    leaving.execute(pool).await.map_err(unavailable)?;
    pool.close().await;
    Ok(())
}

/// Waits until every node has applied what was committed before the call, or can have no lease any more.
///
/// A number is enough. The change was committed before the number was taken, and the number before it was told. So whoever has heard of the
/// number has heard of the change; and whoever has heard of a higher one, which was taken later, too.
///
/// A lease is enough, by this process's clock alone, and it does not matter what the database's clock does meanwhile. A node that may use
/// what is cached either has a lease from a beat that was sent before the first look, which ends within one lease of it; or it was in no
/// row then, or has renewed its lease since, and then that beat was committed after the change, and was not back before the change had
/// been heard of.
pub(super) async fn everywhere(teller: &PgPool, lease: Duration) -> Result<Receipt, StoreError> {
    let begun = Instant::now();
    let number = lent::on(teller, async |sql| ask(sql).await).await?;
    let first = lent::on(teller, async |sql| look(sql, number).await).await?;
    let end = Instant::now() + lease;
    // After a start of the server rows may be missing that were there before.
    let age = lent::on(teller, async |sql| age(sql).await).await?;
    let whole = Instant::now() + lease.saturating_sub(age);
    let of = first.len();
    let mut acked = 0;
    let mut waiting = first;
    loop {
        waiting.retain(|_, node| {
            acked += u32::from(node.applied);
            !node.applied
        });
        let until = if waiting.is_empty() { whole } else { end };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        sleep(POLL.min(left)).await;
        let now = lent::on(teller, async |sql| look(sql, number).await).await?;
        // One that is gone has left, and used nothing that is cached before it did.
        waiting.retain(|id, node| {
            now.get(id).is_some_and(|now| {
                node.applied = now.applied;
                true
            })
        });
    }
    if !waiting.is_empty() {
        // Where this fails the next change waits once more.
        drop(lent::on(teller, async |sql| give_up(sql, &waiting).await).await);
    }
    Ok(Receipt::new(
        acked,
        u32::try_from(of).unwrap_or(u32::MAX),
        begun.elapsed(),
    ))
}

/// A node, as it is written down.
struct Node {
    /// When it was seen, in microseconds: only whether that changes is of interest.
    seen: i64,
    applied: bool,
}

async fn ask(sql: &mut PgConnection) -> Result<i64, StoreError> {
    // The table is named, for channels are not of a schema, and numbers are.
    const ASK: &str = "SELECT n AS number, \
                       pg_notify('api_key_changes', 'ask:' || 'api_key_nodes'::regclass::oid || ':' || n) \
                       FROM nextval('api_key_asks') AS n";
    let row = sqlx::query(ASK).fetch_one(sql).await.map_err(unavailable)?;
    row.int("number")?
        .ok_or_else(|| corrupt("the sequence of asks gives no number"))
}

async fn look(sql: impl PgExecutor<'_>, number: i64) -> Result<BTreeMap<String, Node>, StoreError> {
    const LOOK: &str = "SELECT node_id, (extract(epoch FROM seen_at) * 1000000)::bigint AS seen, \
                        (applied >= $1)::int::bigint AS applied FROM api_key_nodes";
    let rows = sqlx::query(LOOK).bind(number).fetch_all(sql).await;
    let node = |row: &sqlx::postgres::PgRow| {
        let node = Node {
            seen: row.int("seen")?.unwrap_or_default(),
            applied: row.int("applied")? == Some(1),
        };
        Ok((row.text("node_id")?.unwrap_or_default(), node))
    };
    rows.map_err(unavailable)?.iter().map(node).collect()
}

/// How long the server has been up, or no time at all where it does not know.
async fn age(sql: &mut PgConnection) -> Result<Duration, StoreError> {
    const AGE: &str =
        "SELECT (extract(epoch FROM clock_timestamp() - pg_postmaster_start_time()) * 1000)::bigint AS age";
    let row = sqlx::query(AGE).fetch_one(sql).await.map_err(unavailable)?;
    let age = row.int("age")?.and_then(|age| u64::try_from(age).ok());
    Ok(Duration::from_millis(age.unwrap_or_default()))
}

/// Removes nodes that have not been seen for a lease, so that the next change need not wait for them. They come back when they are.
async fn give_up(sql: &mut PgConnection, nodes: &BTreeMap<String, Node>) -> Result<(), StoreError> {
    const GIVE_UP: &str = "DELETE FROM api_key_nodes USING unnest($1::text[], $2::bigint[]) AS gone (node_id, seen) \
                           WHERE api_key_nodes.node_id = gone.node_id \
                           AND (extract(epoch FROM seen_at) * 1000000)::bigint = gone.seen";
    let (ids, seen): (Vec<&str>, Vec<i64>) = nodes.iter().map(|(id, node)| (id.as_str(), node.seen)).unzip();
    let giving_up = sqlx::query(GIVE_UP).bind(ids).bind(seen);
    giving_up.execute(sql).await.map(drop).map_err(unavailable)
}
