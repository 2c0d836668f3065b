use std::{fmt::Write as _, time::SystemTime};

use super::Sql;
use crate::{clock::to_unix_ms, key::KeyId, store::StoreError};

/// Writes down when keys were last used, with one statement, which is each database's own: only rows whose time it moves on.
pub(in super::super) async fn touch<S: Sql>(
    sql: &mut S,
    uses: &[(KeyId, SystemTime)],
) -> Result<(), StoreError> {
    if uses.is_empty() {
        return Ok(());
    }
    let uses = listed(uses);
    sql.execute(S::TOUCH.into(), &[uses.as_str().into()])
        .await
        .map(drop)
}

/// `[["ID",MS],...]`: one value, however many there are. Nothing in an id or a number needs escaping.
fn listed(uses: &[(KeyId, SystemTime)]) -> String {
    let mut listed = String::with_capacity(2 + uses.len() * 56);
    for (i, (id, at)) in uses.iter().enumerate() {
        listed.push(if i == 0 { '[' } else { ',' });
        // Writing to a text cannot fail.
        let _ = write!(listed, "[\"{id}\",{}]", to_unix_ms(*at));
    }
    listed.push(']');
    listed
}
