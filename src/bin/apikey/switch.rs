use clap::Args;
use tower_api_key::manage::KeyChange;

use crate::{
    database::{Database, Missing},
    exit::Failure,
    global::Global,
    output::Output,
    which::{self, object},
};

/// Switch a key off, until it is switched on again.
#[derive(Args)]
pub(crate) struct Disable {
    #[command(flatten)]
    key: Key,
}

/// Switch a key on again. One that is revoked stays revoked.
#[derive(Args)]
pub(crate) struct Enable {
    #[command(flatten)]
    key: Key,
}

#[derive(Args)]
struct Key {
    /// Its id, or as much of the beginning as no other has.
    #[arg(value_name = "ID")]
    id: String,
}

impl Disable {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        self.key.switch(true, "disabled", global, output).await
    }
}

impl Enable {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        self.key.switch(false, "enabled", global, output).await
    }
}

impl Key {
    async fn switch(
        self,
        disabled: bool,
        done: &str,
        global: &Global,
        output: &Output,
    ) -> Result<(), Failure> {
        let database = Database::open(global, Missing::Fail).await?;
        let keys = database.keys()?;
        let found = which::find(&keys, &self.id).await?;
        let change = KeyChange::new().disabled(disabled);
        let changed = keys.change(found.record.id, change).await?;
        if output.json {
            let balances = keys.credits([&changed.record]).await.unwrap_or_default();
            output.object(&object(&changed.record, changed.now, &balances))?;
        }
        output.note(&format!("{done} {}", changed.record.id));
        database.close().await;
        Ok(())
    }
}
