use clap::Args;
use serde_json::Value;

use crate::{
    database::{Database, Missing},
    exit::Failure,
    global::Global,
    output::Output,
    text::escaped,
    which::{self, object},
};

/// Show a key.
#[derive(Args)]
pub(crate) struct Show {
    /// Its id, or as much of the beginning as no other has.
    #[arg(value_name = "ID")]
    id: String,
}

impl Show {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let database = Database::open(global, Missing::Fail).await?;
        let keys = database.keys()?;
        let found = which::find(&keys, &self.id).await?;
        let balances = keys.credits([&found.record]).await?;
        let key = object(&found.record, found.now, &balances);
        match (&key, output.json) {
            (Value::Object(fields), false) => {
                let lines: String = fields
                    .iter()
                    .map(|(name, value)| format!("{name:13} {}\n", escaped(&plain(value))))
                    .collect();
                output.raw(lines.as_bytes())?;
            }
            _ => output.object(&key)?,
        }
        database.close().await;
        Ok(())
    }
}

/// A value without the marks of JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(" "),
        // What is left of what.
        Value::Object(credits) => format!("{} of {}", plain(&credits["left"]), plain(&credits["limit"])),
        other => other.to_string(),
    }
}
