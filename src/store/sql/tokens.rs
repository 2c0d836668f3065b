use std::time::SystemTime;

use super::{Columns, Reads, Sql};
use crate::{
    clock::to_unix_ms,
    store::{SpentToken, StoreError, TokenId},
};

/// What of tokens a change has to know: whether one is spent, and which can be forgotten.
pub(super) async fn view(
    sql: &mut impl Sql,
    reads: &Reads,
    now: SystemTime,
) -> Result<(bool, Vec<TokenId>), StoreError> {
    let spent = match &reads.token {
        None => false,
        Some(token) => {
            let values = [token.as_bytes().as_slice().into()];
            let rows = sql
                .rows("SELECT id FROM api_key_tokens WHERE id = $1".into(), &values)
                .await?;
            !rows.is_empty()
        }
    };
    if reads.forgettable_tokens == 0 {
        return Ok((spent, Vec::new()));
    }
    let values = [to_unix_ms(now).into(), i64::from(reads.forgettable_tokens).into()];
    const OVER: &str = "SELECT id FROM api_key_tokens WHERE until < $1 ORDER BY until LIMIT $2";
    let rows = sql.rows(OVER.into(), &values).await?;
    let over = rows.iter().map(|row| row.bytes("id").map(TokenId::from_bytes));
    Ok((spent, over.collect::<Result<_, _>>()?))
}

pub(super) async fn write(
    sql: &mut impl Sql,
    spend: Option<&SpentToken>,
    forget: &[TokenId],
) -> Result<(), StoreError> {
    if let Some(token) = spend {
        let values = [
            token.id.as_bytes().as_slice().into(),
            to_unix_ms(token.until).into(),
        ];
        sql.execute(
            "INSERT INTO api_key_tokens (id, until) VALUES ($1, $2)".into(),
            &values,
        )
        .await?;
    }
    for token in forget {
        let values = [token.as_bytes().as_slice().into()];
        sql.execute("DELETE FROM api_key_tokens WHERE id = $1".into(), &values)
            .await?;
    }
    Ok(())
}
