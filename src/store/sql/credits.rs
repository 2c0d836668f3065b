use super::{Columns, Sql, Value, corrupt};
use crate::{
    access::Credits,
    clock::to_unix_ms,
    key::{CreditAccount, KeyId},
    store::{
        Balance, Filling, Spent, StoreError,
        credits::{missing, refill_in},
    },
};

/// What is left, filled up if a period has ended. `CLOCK` is the time in milliseconds.
const LEFT: &str = "CASE WHEN (CLOCK - filled_at) / (period * 1000) > 0 THEN amount ELSE remaining END";
/// When the period began that is under way. Whole periods are added, so that they count from the making.
const BEGAN: &str = "CASE WHEN (CLOCK - filled_at) / (period * 1000) > 0 \
    THEN filled_at + (CLOCK - filled_at) / (period * 1000) * (period * 1000) ELSE filled_at END";

/// How many accounts are read at once.
const AT_ONCE: usize = 500;

/// One statement, which takes all of it or nothing: two that come at the same time each see what the other has left. Where there is not
/// enough nothing is written, and what there is is read after it, for whoever wants to know.
pub(in super::super) async fn spend<S: Sql>(
    sql: &mut S,
    account: KeyId,
    cost: u32,
) -> Result<Spent, StoreError> {
    let id = account.to_string();
    let statement = with_clock::<S>(
        2,
        &format!(
            "UPDATE api_key_credits SET remaining = {LEFT} - $2, filled_at = {BEGAN} \
             WHERE id = $1 AND {LEFT} >= $2 RETURNING id, remaining, amount, period, filled_at, CLOCK AS now"
        ),
    );
    let mut values: Vec<Value<'_>> = vec![id.as_str().into(), i64::from(cost).into()];
    values.extend(sql.clock().map(Value::from));
    if let Some(row) = sql.rows(statement.into(), &values).await?.first() {
        return Ok(Spent::new(true, decode(row)?));
    }
    let left = listed(sql, &[account]).await?;
    let left = left.first().copied().ok_or_else(|| missing(account))?;
    Ok(Spent::new(false, left))
}

/// Never beyond what the account holds when it is full. One whose period has ended is filled when it is next spent from.
pub(in super::super) async fn give_back(
    sql: &mut impl Sql,
    account: KeyId,
    cost: u32,
) -> Result<(), StoreError> {
    const GIVE_BACK: &str = "UPDATE api_key_credits SET remaining = \
        CASE WHEN remaining + $2 > amount THEN amount ELSE remaining + $2 END WHERE id = $1 AND remaining < amount";
    let id = account.to_string();
    let values = [id.as_str().into(), i64::from(cost).into()];
    sql.execute(GIVE_BACK.into(), &values).await.map(drop)
}

pub(in super::super) async fn balances(
    sql: &mut impl Sql,
    accounts: &[KeyId],
) -> Result<Vec<Balance>, StoreError> {
    let mut balances = Vec::with_capacity(accounts.len());
    for some in accounts.chunks(AT_ONCE) {
        balances.extend(listed(sql, some).await?);
    }
    Ok(balances)
}

async fn listed<S: Sql>(sql: &mut S, accounts: &[KeyId]) -> Result<Vec<Balance>, StoreError> {
    let ids: Vec<String> = accounts.iter().map(ToString::to_string).collect();
    let places: Vec<String> = (1..=ids.len()).map(|place| format!("${place}")).collect();
    let places = places.join(", ");
    let statement = with_clock::<S>(
        ids.len(),
        &format!(
            "SELECT id, {LEFT} AS remaining, amount, period, {BEGAN} AS filled_at, CLOCK AS now \
             FROM api_key_credits WHERE id IN ({places})"
        ),
    );
    let mut values: Vec<Value<'_>> = ids.iter().map(|id| id.as_str().into()).collect();
    values.extend(sql.clock().map(Value::from));
    let rows = sql.rows(statement.into(), &values).await?;
    rows.iter().map(decode).collect()
}

/// The database's own time, or that which is bound after so many values.
fn with_clock<S: Sql>(values: usize, statement: &str) -> String {
    match S::CLOCK {
        Some(clock) => statement.replace("CLOCK", clock),
        None => statement.replace("CLOCK", &format!("${}", values + 1)),
    }
}

pub(super) async fn fill(sql: &mut impl Sql, filling: &Filling) -> Result<(), StoreError> {
    const FILL: &str = "INSERT INTO api_key_credits (id, remaining, amount, period, filled_at) \
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO UPDATE SET remaining = excluded.remaining, \
        amount = excluded.amount, period = excluded.period, filled_at = excluded.filled_at";
    let CreditAccount { id, limit } = filling.account;
    let id = id.to_string();
    let period = limit.period().map(|period| period.as_secs());
    let values = [
        id.as_str().into(),
        i64::from(filling.left.min(limit.uses())).into(),
        i64::from(limit.uses()).into(),
        Value::Int(period.and_then(|seconds| i64::try_from(seconds).ok())),
        to_unix_ms(filling.at).into(),
    ];
    sql.execute(FILL.into(), &values).await.map(drop)
}

/// Removes a key, and its account if no other key has it.
pub(super) async fn remove_key(sql: &mut impl Sql, id: KeyId) -> Result<(), StoreError> {
    const REMOVE: &str = "DELETE FROM api_keys WHERE id = $1 RETURNING credits";
    const FORGET: &str = "DELETE FROM api_key_credits WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM api_keys WHERE credits = $1)";
    let removed = sql.rows(REMOVE.into(), &[id.to_string().as_str().into()]).await?;
    for row in removed {
        if let Some(account) = row.text("credits")? {
            sql.execute(FORGET.into(), &[account.as_str().into()]).await?;
        }
    }
    Ok(())
}

fn decode(row: &impl Columns) -> Result<Balance, StoreError> {
    let number = |column| {
        row.int(column)?
            .ok_or_else(|| corrupt(format!("{column} is missing")))
    };
    let limit = limit(number("amount")?, row.int("period")?)?;
    let left = u32::try_from(number("remaining")?).map_err(corrupt)?;
    let account = CreditAccount::new(super::row::id(row)?, limit);
    let refill_in = refill_in(limit, number("filled_at")?, number("now")?);
    Ok(Balance::new(account, left, refill_in))
}

fn limit(amount: i64, period: Option<i64>) -> Result<Credits, StoreError> {
    let text = match period {
        None => amount.to_string(),
        Some(seconds) => format!("{amount}/{seconds}s"),
    };
    text.parse().map_err(corrupt)
}
