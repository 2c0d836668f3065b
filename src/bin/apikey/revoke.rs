use clap::Args;

use crate::{
    database::{Database, Missing},
    exit::Failure,
    global::Global,
    output::Output,
    which::{self, object},
};

/// Revoke a key, for good.
#[derive(Args)]
pub(crate) struct Revoke {
    /// Its id, or as much of the beginning as no other has.
    #[arg(value_name = "ID")]
    id: String,
}

impl Revoke {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let database = Database::open(global, Missing::Fail).await?;
        let keys = database.keys()?;
        let found = which::find(&keys, &self.id).await?;
        let revoked = keys.revoke(found.record.id).await?.record;
        if output.json {
            let balances = keys.credits([&revoked]).await.unwrap_or_default();
            output.object(&object(&revoked, found.now, &balances))?;
        }
        output.note(&format!("revoked {}", revoked.id));
        database.close().await;
        Ok(())
    }
}
