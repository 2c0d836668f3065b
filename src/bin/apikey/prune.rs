use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::{
    database::{Database, Missing},
    exit::Failure,
    global::Global,
    output::Output,
    time::period,
};

/// Remove keys that expired long ago. Their lines in the log stay, and a key without expiry is never removed.
#[derive(Args)]
pub(crate) struct Prune {
    /// How long ago at least, such as 90d.
    #[arg(long, value_name = "PERIOD", value_parser = period)]
    older_than: Duration,
}

impl Prune {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let database = Database::open(global, Missing::Fail).await?;
        let removed = database.keys()?.prune(self.older_than).await?;
        if output.json {
            output.object(&json!({ "removed": removed }))?;
        }
        output.note(&format!("removed {removed}"));
        database.close().await;
        Ok(())
    }
}
