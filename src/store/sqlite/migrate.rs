use sqlx::SqlitePool;

use super::{corrupt, unavailable};
use crate::{
    key::CheckKey,
    store::{StoreError, StoreErrorKind},
};

/// One entry a version, never changed once released.
const MIGRATIONS: &[&str] = &[include_str!("0001_keys.sql")];

/// Brings the tables up to date, all or nothing. Safe when several processes start at once.
pub(super) async fn run(pool: &SqlitePool) -> Result<(), StoreError> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(unavailable)?;
    sqlx::raw_sql("CREATE TABLE IF NOT EXISTS api_key_schema (version INTEGER NOT NULL)")
        .execute(&mut *transaction)
        .await
        .map_err(unavailable)?;
    let version: i64 = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM api_key_schema")
        .fetch_one(&mut *transaction)
        .await
        .map_err(unavailable)?;
    let done = usize::try_from(version).map_err(corrupt)?;
    let Some(missing) = MIGRATIONS.get(done..) else {
        return Err(StoreError::new(
            StoreErrorKind::Corrupt,
            format!(
                "its tables are of version {version}, newer than this program, which knows {}",
                MIGRATIONS.len()
            ),
        ));
    };
    for migration in missing {
        sqlx::raw_sql(*migration)
            .execute(&mut *transaction)
            .await
            .map_err(unavailable)?;
    }
    if !missing.is_empty() {
        sqlx::query("INSERT INTO api_key_schema (version) VALUES (?1)")
            .bind(MIGRATIONS.len() as i64)
            .execute(&mut *transaction)
            .await
            .map_err(unavailable)?;
    }
    let fresh =
        CheckKey::generate_bytes().map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error))?;
    sqlx::query("INSERT OR IGNORE INTO api_key_settings (name, value) VALUES ('check_key', ?1)")
        .bind(fresh.as_slice())
        .execute(&mut *transaction)
        .await
        .map_err(unavailable)?;
    transaction.commit().await.map_err(unavailable)
}

pub(super) async fn check_key(pool: &SqlitePool) -> Result<CheckKey, StoreError> {
    let bytes: Vec<u8> = sqlx::query_scalar("SELECT value FROM api_key_settings WHERE name = 'check_key'")
        .fetch_one(pool)
        .await
        .map_err(unavailable)?;
    let bytes = bytes
        .try_into()
        .map_err(|_| corrupt("the check key is not 32 bytes"))?;
    Ok(CheckKey::from_bytes(&bytes))
}
