use super::{Sql, Value};
use crate::store::StoreError;

/// A `WHERE`, as it grows.
#[derive(Default)]
pub(super) struct Filter<'a> {
    conditions: String,
    values: Vec<Value<'a>>,
}

impl<'a> Filter<'a> {
    pub(super) fn only(&mut self, condition: &str) {
        let joint = if self.conditions.is_empty() {
            " WHERE "
        } else {
            " AND "
        };
        self.conditions.push_str(joint);
        self.conditions.push_str(condition);
    }

    /// A condition that ends in a placeholder.
    pub(super) fn and(&mut self, condition: &'static str, value: impl Into<Value<'a>>) {
        self.values.push(value.into());
        self.only(&format!("{condition}${}", self.values.len()));
    }

    /// A bracket that the last condition has opened.
    pub(super) fn close(&mut self) {
        self.conditions.push(')');
    }

    pub(super) async fn rows<S: Sql>(
        mut self,
        sql: &mut S,
        select: &'static str,
        order: &'static str,
        limit: u32,
    ) -> Result<Vec<S::Row>, StoreError> {
        self.values.push(i64::from(limit).into());
        let (conditions, last) = (&self.conditions, self.values.len());
        let statement = format!("{select}{conditions} ORDER BY {order} LIMIT ${last}");
        sql.rows(statement.into(), &self.values).await
    }
}
