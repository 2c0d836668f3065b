use std::time::SystemTime;

use super::{Columns, Sql, Value, filter::Filter, row::decode_record};
use crate::{
    clock::to_unix_ms,
    key::{KeyRecord, KeyStatus},
    store::{KeyPage, KeyQuery, StoreError},
};

/// So many keys at most are found by their expiry and sorted for a page. Where there are more, the page is not far in the order of ids.
const FEW: i64 = 10_000;

pub(in super::super) async fn list(sql: &mut impl Sql, query: &KeyQuery) -> Result<KeyPage, StoreError> {
    paged(sql, query, FEW).await
}

pub(in super::super) async fn paged(
    sql: &mut impl Sql,
    query: &KeyQuery,
    few: i64,
) -> Result<KeyPage, StoreError> {
    let now = sql.now().await?;
    let now_ms = to_unix_ms(now);
    let owner = query.owner.as_deref();
    if let (Some(KeyStatus::Active), Some(owner)) = (query.status, owner) {
        let few = are_few(sql, Some(owner), ">", now_ms, few).await?;
        let rows = active(sql, query, owner, now_ms, few).await?;
        return page(&rows, now);
    }
    let sorted = query.status == Some(KeyStatus::Expired) && are_few(sql, owner, "<=", now_ms, few).await?;
    let (before, end);
    let mut filter = Filter::default();
    if let Some(owner) = &query.owner {
        filter.and("owner = ", owner.as_str());
    }
    if let Some(id) = query.before {
        before = id.to_string();
        filter.and(if sorted { "id || '' < " } else { "id < " }, before.as_str());
    }
    if let Some(prefix) = &query.id_prefix {
        filter.and(if sorted { "id || '' >= " } else { "id >= " }, prefix.as_str());
        end = after(prefix);
        filter.and(if sorted { "id || '' < " } else { "id < " }, end.as_str());
    }
    match query.status {
        None => {}
        Some(KeyStatus::Revoked) => filter.only("revoked_at IS NOT NULL"),
        Some(KeyStatus::Disabled) => filter.only("revoked_at IS NULL AND disabled_at IS NOT NULL"),
        Some(KeyStatus::Expired) => {
            filter.only(NOT_SWITCHED_OFF);
            // In the order of expiry, or in that of ids.
            let by_expiry = if sorted {
                "expires_at <= "
            } else {
                "coalesce(expires_at, 9223372036854775807) <= "
            };
            filter.and(by_expiry, now_ms);
        }
        Some(KeyStatus::Active) => {
            filter.only(NOT_SWITCHED_OFF);
            filter.and("coalesce(expires_at, 9223372036854775807) > ", now_ms);
        }
    }
    let rows = filter
        .rows(
            sql,
            concat!("SELECT ", key_columns!(), " FROM api_keys"),
            if sorted { "id || '' DESC" } else { "id DESC" },
            query.limit,
        )
        .await?;
    page(&rows, now)
}

pub(super) fn page(rows: &[impl Columns], now: SystemTime) -> Result<KeyPage, StoreError> {
    let keys: Result<Vec<KeyRecord>, StoreError> = rows.iter().map(decode_record).collect();
    Ok(KeyPage::new(keys?, now))
}

/// Whether no more than `few` keys that are not revoked expire on this side of now. Looks at so many entries of an index at most.
async fn are_few(
    sql: &mut impl Sql,
    owner: Option<&str>,
    side: &str,
    now_ms: i64,
    few: i64,
) -> Result<bool, StoreError> {
    let mut values = vec![now_ms.into(), (few + 1).into()];
    // Of all owners also the revoked ones, because that index has them.
    let whose = owner.map_or("", |_| "owner = $3 AND revoked_at IS NULL AND ");
    values.extend(owner.map(Value::from));
    let statement = format!(
        "SELECT count(*) AS few FROM (SELECT expires_at FROM api_keys WHERE {whose}expires_at {side} $1 \
         ORDER BY expires_at LIMIT $2) AS counted"
    );
    let rows = sql.rows(statement.into(), &values).await?;
    let count = rows.first().map_or(Ok(None), |row| row.int("few"))?;
    Ok(count.is_some_and(|count| count <= few))
}

/// The active keys of an owner, however many others there are. `few` is whether few of those that expire are active.
///
/// Each half has an index of its own, in whose order it is asked for: not by an owner that equals, or in plain order of ids, because then a
/// planner takes the index on all ids where an owner has many keys, and walks all keys where few of those are active.
async fn active<S: Sql>(
    sql: &mut S,
    query: &KeyQuery,
    owner: &str,
    now_ms: i64,
    few: bool,
) -> Result<Vec<S::Row>, StoreError> {
    const COLUMNS: &str = key_columns!();
    let mut endless = "owner >= $1 AND owner <= $1 AND expires_at IS NULL".to_owned();
    let (ending, ending_order) = match few {
        true => ("owner = $1 AND expires_at > $2", "id || '' DESC"),
        // Not by the index on expiry, which would find all of them.
        false => (
            "owner >= $1 AND owner <= $1 AND expires_at + 0 > $2",
            "owner DESC, id DESC",
        ),
    };
    let mut ending = ending.to_owned();
    let mut values = vec![owner.into(), now_ms.into(), i64::from(query.limit).into()];
    let before = query.before.map(|id| id.to_string());
    if let Some(before) = &before {
        values.push(before.as_str().into());
        endless.push_str(" AND (owner, id) < ($1, $4)");
        ending.push_str(if few {
            " AND id || '' < $4"
        } else {
            " AND (owner, id) < ($1, $4)"
        });
    }
    let end;
    if let Some(prefix) = &query.id_prefix {
        end = after(prefix);
        let first = values.len() + 1;
        values.extend::<[Value<'_>; 2]>([prefix.as_str().into(), end.as_str().into()]);
        let between = format!(" AND id || '' >= ${first} AND id || '' < ${}", first + 1);
        endless.push_str(&between);
        ending.push_str(&between);
    }
    // All of the columns that are named inside, and no others.
    let newest = |half: &str, order: &str| {
        format!(
            "SELECT * FROM (SELECT {COLUMNS} FROM api_keys WHERE {half} AND {NOT_SWITCHED_OFF} \
             ORDER BY {order} LIMIT $3) AS half"
        )
    };
    let (endless, ending) = (
        newest(&endless, "owner DESC, id DESC"),
        newest(&ending, ending_order),
    );
    let statement = format!("{endless} UNION ALL {ending} ORDER BY id DESC LIMIT $3");
    sql.rows(statement.into(), &values).await
}

const NOT_SWITCHED_OFF: &str = "revoked_at IS NULL AND disabled_at IS NULL";

/// What sorts after every id with this prefix: `~` is after every character of one.
fn after(prefix: &str) -> String {
    format!("{prefix}~")
}
