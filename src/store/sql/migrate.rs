use super::{Sql, corrupt};
use crate::{
    key::CheckKey,
    store::{StoreError, StoreErrorKind},
};

/// Brings the tables up to date, inside of a transaction that keeps other processes out. One entry a version, never changed once
/// released.
pub(in super::super) async fn migrate(
    sql: &mut impl Sql,
    migrations: &'static [&'static str],
) -> Result<(), StoreError> {
    sql.script("CREATE TABLE IF NOT EXISTS api_key_schema (version BIGINT NOT NULL)")
        .await?;
    let rows = sql
        .rows(
            "SELECT coalesce(max(version), 0) AS version FROM api_key_schema".into(),
            &[],
        )
        .await?;
    let version = rows
        .first()
        .map_or(Ok(None), |row| super::Columns::int(row, "version"))?;
    let version = version.unwrap_or_default();
    let known = migrations.len();
    let done = usize::try_from(version).map_err(corrupt)?;
    let missing = migrations.get(done..).ok_or_else(|| {
        let text =
            format!("its tables are of version {version}, newer than this program, which knows {known}");
        StoreError::new(StoreErrorKind::Corrupt, text)
    })?;
    for script in missing {
        sql.script(script).await?;
    }
    if !missing.is_empty() {
        let version = i64::try_from(known).map_err(corrupt)?;
        sql.execute(
            "INSERT INTO api_key_schema (version) VALUES ($1)".into(),
            &[version.into()],
        )
        .await?;
    }
    let fresh =
        CheckKey::generate_bytes().map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error))?;
    const KEEP: &str =
        "INSERT INTO api_key_settings (name, value) VALUES ('check_key', $1) ON CONFLICT (name) DO NOTHING";
    sql.execute(KEEP.into(), &[fresh.as_slice().into()])
        .await
        .map(drop)
}

/// The secret behind the check in every key.
pub(in super::super) async fn check_key(sql: &mut impl Sql) -> Result<CheckKey, StoreError> {
    let rows = sql
        .rows(
            "SELECT value FROM api_key_settings WHERE name = 'check_key'".into(),
            &[],
        )
        .await?;
    let row = rows.first().ok_or_else(|| corrupt("there is no check key"))?;
    Ok(CheckKey::from_bytes(&super::Columns::bytes(row, "value")?))
}
