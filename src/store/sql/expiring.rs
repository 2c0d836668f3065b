use super::{Sql, filter::Filter, list::page};
use crate::{
    clock::to_unix_ms,
    store::{ExpiryQuery, KeyPage, StoreError},
};

/// Reads a stretch of the index `api_keys_by_expiry`.
pub(in super::super) async fn expiring(
    sql: &mut impl Sql,
    query: &ExpiryQuery,
) -> Result<KeyPage, StoreError> {
    let now = sql.now().await?;
    let last;
    let mut filter = Filter::default();
    match query.after {
        (after, None) => filter.and("expires_at > ", to_unix_ms(after)),
        (after, Some(id)) => {
            last = id.to_string();
            filter.and("expires_at >= ", to_unix_ms(after));
            filter.and("(expires_at > $1 OR id > ", last.as_str());
            filter.close();
        }
    }
    filter.and("expires_at <= ", to_unix_ms(query.until));
    let made_for = i64::try_from(query.made_for.as_millis()).unwrap_or(i64::MAX);
    filter.and("expires_at - created_at > ", made_for);
    filter.only("revoked_at IS NULL AND disabled_at IS NULL AND rotated_to IS NULL");
    let rows = filter
        .rows(
            sql,
            concat!("SELECT ", key_columns!(), " FROM api_keys"),
            "expires_at, id",
            query.limit,
        )
        .await?;
    page(&rows, now)
}
