use std::time::Duration;

use clap::Args;
use tower_api_key::key::KeyRecord;

use crate::{
    database::{Database, Missing},
    exit::Failure,
    global::Global,
    output::Output,
    time::period,
    which::{self, object},
};

/// Mint a key that takes over from another. It is written to standard output, this once.
#[derive(Args)]
pub(crate) struct Rotate {
    /// The id of the old key, or as much of the beginning as no other has.
    #[arg(value_name = "ID")]
    id: String,

    /// How long the old key stays good, if it does not end before; 30d at most.
    #[arg(long, value_name = "PERIOD", default_value = "24h", value_parser = period)]
    overlap: Duration,

    /// What the new key begins with; as the old one, if not given.
    #[arg(long, env = "APIKEY_PREFIX", hide_env_values = true)]
    prefix: Option<String>,
}

impl Rotate {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let database = Database::open(global, Missing::Fail).await?;
        let old = which::find(&database.keys()?, &self.id).await?.record;
        let prefix = self.prefix.as_deref().or_else(|| prefix_of(&old));
        let keys = database.keys_with_prefix(prefix)?;
        let issued = keys.rotate(old.id, self.overlap).await?;
        let record = &issued.record;
        // The key is written whatever becomes of this: it cannot be had again.
        let balances = keys.credits([record]).await.unwrap_or_default();
        output.secret(&issued.key, object(record, record.created_at, &balances))?;
        output.note(&format!(
            "{} takes over from {}. The key is not shown again.",
            record.id, old.id
        ));
        database.close().await;
        Ok(())
    }
}

/// A key that was minted here shows its prefix and some characters of its body.
fn prefix_of(key: &KeyRecord) -> Option<&str> {
    let shown = key.prefix.as_str();
    (!key.imported).then(|| shown.rsplit_once('_').map(|(prefix, _)| prefix))?
}
