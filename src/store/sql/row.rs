use std::{fmt::Display, net::IpAddr, str::FromStr, time::SystemTime};

use super::{Sql, Value, corrupt};
use crate::{
    access::{AddressList, Credits, Grants, RateLimits, Resources, Scopes},
    clock::{from_unix_ms, to_unix_ms},
    event::{Actor, KeyEvent, KeyEventKind, LoggedEvent},
    key::{CreditAccount, KeyDigest, KeyId, KeyRecord},
    store::StoreError,
};

/// A row of whatever database. `None` is NULL; anything of another type is an error.
pub(in super::super) trait Columns {
    fn text(&self, column: &'static str) -> Result<Option<String>, StoreError>;

    fn int(&self, column: &'static str) -> Result<Option<i64>, StoreError>;

    fn blob(&self, column: &'static str) -> Result<Vec<u8>, StoreError>;

    fn bytes<const N: usize>(&self, column: &'static str) -> Result<[u8; N], StoreError> {
        let bytes = self.blob(column)?;
        bytes
            .try_into()
            .map_err(|_| corrupt(format!("{column} is not {N} bytes")))
    }
}

pub(super) async fn insert_record(sql: &mut impl Sql, key: &KeyRecord) -> Result<(), StoreError> {
    const INSERT: &str = "INSERT INTO api_keys (id, digest, prefix, name, owner, scopes, resources, allowed_ips, rate_limit, \
        created_at, expires_at, revoked_at, disabled_at, last_used_at, rotated_from, rotated_to, imported, version, credits, exchanged) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)";
    let texts = Texts::of(key);
    let values = [
        texts.id.as_str().into(),
        key.digest.as_bytes().as_slice().into(),
        key.prefix.as_str().into(),
        key.name.as_str().into(),
        key.owner.as_str().into(),
        texts.scopes.as_str().into(),
        Value::Text(texts.resources.as_deref()),
        Value::Text(texts.allowed_ips.as_deref()),
        Value::Text(texts.rate_limit.as_deref()),
        to_unix_ms(key.created_at).into(),
        date(key.expires_at),
        date(key.revoked_at),
        date(key.disabled_at),
        date(key.last_used_at),
        Value::Text(texts.rotated_from.as_deref()),
        Value::Text(texts.rotated_to.as_deref()),
        i64::from(key.imported).into(),
        key.version.into(),
        Value::Text(texts.credits.as_deref()),
        i64::from(key.exchanged).into(),
    ];
    sql.execute(INSERT.into(), &values).await.map(drop)
}

/// What a key is from its making never changes, and `last_used_at` is written elsewhere.
pub(super) async fn update_record(sql: &mut impl Sql, key: &KeyRecord) -> Result<(), StoreError> {
    const UPDATE: &str = "UPDATE api_keys SET name = $2, scopes = $3, resources = $4, allowed_ips = $5, rate_limit = $6, \
        expires_at = $7, revoked_at = coalesce(revoked_at, $8), disabled_at = $9, rotated_from = $10, rotated_to = $11, \
        version = $12, credits = $13 WHERE id = $1";
    let texts = Texts::of(key);
    let values = [
        texts.id.as_str().into(),
        key.name.as_str().into(),
        texts.scopes.as_str().into(),
        Value::Text(texts.resources.as_deref()),
        Value::Text(texts.allowed_ips.as_deref()),
        Value::Text(texts.rate_limit.as_deref()),
        date(key.expires_at),
        date(key.revoked_at),
        date(key.disabled_at),
        Value::Text(texts.rotated_from.as_deref()),
        Value::Text(texts.rotated_to.as_deref()),
        key.version.into(),
        Value::Text(texts.credits.as_deref()),
    ];
    match sql.execute(UPDATE.into(), &values).await? {
        1 => Ok(()),
        _ => Err(corrupt("a key that is to be changed is not there")),
    }
}

/// The columns of a key that are text and are not text in the record.
struct Texts {
    id: String,
    scopes: String,
    resources: Option<String>,
    allowed_ips: Option<String>,
    rate_limit: Option<String>,
    rotated_from: Option<String>,
    rotated_to: Option<String>,
    credits: Option<String>,
}

impl Texts {
    fn of(key: &KeyRecord) -> Self {
        Self {
            id: key.id.to_string(),
            scopes: key.grants.granted_scopes().to_stored(),
            resources: key.grants.resources().to_stored(),
            allowed_ips: key.allowed_ips.as_ref().map(AddressList::to_stored),
            rate_limit: written(key.rate_limit.as_ref()),
            rotated_from: written(key.rotated_from.as_ref()),
            rotated_to: written(key.rotated_to.as_ref()),
            credits: key.credits.map(|account| account.id.to_string()),
        }
    }
}

pub(super) fn decode_record(row: &impl Columns) -> Result<KeyRecord, StoreError> {
    let digest = KeyDigest::from_bytes(row.bytes("digest")?);
    let created_at = required(read_date(row, "created_at")?, "created_at")?;
    let scopes = Scopes::from_stored(&required_text(row, "scopes")?).map_err(corrupt)?;
    let resources = row.text("resources")?;
    let resources = Resources::from_stored(resources.as_deref()).map_err(corrupt)?;
    let mut record = KeyRecord::new(id(row)?, digest, required_text(row, "owner")?, created_at);
    record.prefix = required_text(row, "prefix")?;
    record.name = required_text(row, "name")?;
    record.grants = Grants::new(scopes, resources);
    let allowed_ips = row.text("allowed_ips")?;
    record.allowed_ips = allowed_ips
        .map(|listed| AddressList::from_stored(&listed).map_err(corrupt))
        .transpose()?;
    record.rate_limit = parsed::<RateLimits, _>(row, "rate_limit")?;
    record.expires_at = read_date(row, "expires_at")?;
    record.revoked_at = read_date(row, "revoked_at")?;
    record.disabled_at = read_date(row, "disabled_at")?;
    record.last_used_at = read_date(row, "last_used_at")?;
    record.rotated_from = parsed::<KeyId, _>(row, "rotated_from")?;
    record.rotated_to = parsed::<KeyId, _>(row, "rotated_to")?;
    record.imported = row.int("imported")? == Some(1);
    record.exchanged = row.int("exchanged")? == Some(1);
    record.credits = match parsed::<KeyId, _>(row, "credits")? {
        None => None,
        // Without its account nobody knows how many uses are left of it.
        Some(id) => {
            let limit = parsed::<Credits, _>(row, "credit_limit")?;
            Some(CreditAccount::new(id, required(limit, "the account of a key")?))
        }
    };
    record.version = required(row.int("version")?, "version")?;
    Ok(record)
}

pub(super) fn id(row: &impl Columns) -> Result<KeyId, StoreError> {
    required(parsed(row, "id")?, "id")
}

pub(super) async fn insert_event(sql: &mut impl Sql, logged: &LoggedEvent) -> Result<(), StoreError> {
    const INSERT: &str = "INSERT INTO api_key_events (seq, hash, kind, key_id, owner, at, actor_kind, actor_owner, actor_key_id, \
        address, request_id, before, after, reason) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    let LoggedEvent { seq, hash, event } = logged;
    let (key_id, address) = (
        written(event.key_id.as_ref()),
        written(event.actor.address.as_ref()),
    );
    let values = [
        (*seq).into(),
        hash.as_slice().into(),
        event.kind.as_str().into(),
        Value::Text(key_id.as_deref()),
        event.owner.as_str().into(),
        to_unix_ms(event.at).into(),
        event.actor.kind.as_str().into(),
        event.actor.owner.as_str().into(),
        Value::Text(event.actor.key_id.as_deref()),
        Value::Text(address.as_deref()),
        Value::Text(event.actor.request_id.as_deref()),
        Value::Text(event.before.as_deref()),
        Value::Text(event.after.as_deref()),
        Value::Text(event.reason.as_deref()),
    ];
    sql.execute(INSERT.into(), &values).await.map(drop)
}

pub(super) fn decode_event(row: &impl Columns) -> Result<LoggedEvent, StoreError> {
    let mut actor = Actor::new(
        required_text(row, "actor_kind")?,
        required_text(row, "actor_owner")?,
    );
    actor.key_id = row.text("actor_key_id")?;
    actor.address = parsed::<IpAddr, _>(row, "address")?;
    actor.request_id = row.text("request_id")?;
    let kind = KeyEventKind::from_word(&required_text(row, "kind")?);
    let event = KeyEvent {
        kind: kind.ok_or_else(|| corrupt("unknown kind of event"))?,
        key_id: parsed::<KeyId, _>(row, "key_id")?,
        owner: required_text(row, "owner")?,
        at: required(read_date(row, "at")?, "at")?,
        actor,
        before: row.text("before")?,
        after: row.text("after")?,
        reason: row.text("reason")?,
    };
    let seq = required(row.int("seq")?, "seq")?;
    Ok(LoggedEvent::new(seq, row.bytes("hash")?, event))
}

fn written(value: Option<&impl Display>) -> Option<String> {
    value.map(ToString::to_string)
}

fn date(date: Option<SystemTime>) -> Value<'static> {
    Value::Int(date.map(to_unix_ms))
}

fn read_date(row: &impl Columns, column: &'static str) -> Result<Option<SystemTime>, StoreError> {
    let read = |ms| from_unix_ms(ms).ok_or_else(|| corrupt(format!("{column} is no date")));
    row.int(column)?.map(read).transpose()
}

fn parsed<T, E>(row: &impl Columns, column: &'static str) -> Result<Option<T>, StoreError>
where
    T: FromStr<Err = E>,
    E: std::error::Error + Send + Sync + 'static,
{
    row.text(column)?
        .map(|text| text.parse().map_err(corrupt))
        .transpose()
}

fn required_text(row: &impl Columns, column: &'static str) -> Result<String, StoreError> {
    required(row.text(column)?, column)
}

fn required<T>(value: Option<T>, column: &'static str) -> Result<T, StoreError> {
    value.ok_or_else(|| corrupt(format!("{column} is missing")))
}
