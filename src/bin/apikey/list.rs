use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tower_api_key::{
    key::{KeyId, KeyStatus},
    store::KeyQuery,
};

use crate::{
    database::{Database, Missing},
    exit::Failure,
    global::Global,
    output::Output,
    table,
    time::shown,
    which::object,
};

/// List keys, the newest first.
#[derive(Args)]
pub(crate) struct List {
    /// Only those of this owner.
    #[arg(long)]
    owner: Option<String>,

    /// Only those of this status.
    #[arg(long, value_enum, default_value_t = Status::Active)]
    status: Status,

    /// So many at most.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,

    /// Only those older than the key with this id.
    #[arg(long, value_name = "ID", value_parser = id)]
    before: Option<KeyId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Status {
    Active,
    Expired,
    Disabled,
    Revoked,
    All,
}

impl Status {
    fn as_key_status(self) -> Option<KeyStatus> {
        match self {
            Self::Active => Some(KeyStatus::Active),
            Self::Expired => Some(KeyStatus::Expired),
            Self::Disabled => Some(KeyStatus::Disabled),
            Self::Revoked => Some(KeyStatus::Revoked),
            Self::All => None,
        }
    }
}

impl List {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let database = Database::open(global, Missing::Fail).await?;
        // One more than asked, to know whether there are more.
        let mut query = KeyQuery::newest(self.limit + 1);
        query.owner = self.owner;
        query.status = self.status.as_key_status();
        query.before = self.before;
        let keys = database.keys()?;
        let mut page = keys.list(&query).await?;
        let more = page.keys.len() > self.limit as usize;
        page.keys.truncate(self.limit as usize);
        let last = page.keys.last().map(|key| key.id.to_string()).filter(|_| more);
        if output.json {
            let balances = keys.credits(&page.keys).await?;
            let data = page.keys.iter().map(|key| object(key, page.now, &balances));
            let data: Vec<Value> = data.collect();
            output.object(&json!({ "data": data, "next_before": last }))?;
        } else if page.keys.is_empty() {
            output.note("there are none");
        } else {
            let rows: Vec<[String; 6]> = page
                .keys
                .iter()
                .map(|key| {
                    [
                        key.id.to_string(),
                        key.prefix.clone(),
                        key.status(page.now).as_str().to_owned(),
                        key.owner.clone(),
                        key.name.clone(),
                        key.expires_at.map_or_else(|| "never".to_owned(), shown),
                    ]
                })
                .collect();
            table::write(
                output,
                ["ID", "PREFIX", "STATUS", "OWNER", "NAME", "EXPIRES"],
                &rows,
            )?;
            if let Some(last) = last {
                output.note(&format!("there are more: --before {last}"));
            }
        }
        database.close().await;
        Ok(())
    }
}

fn id(text: &str) -> Result<KeyId, &'static str> {
    text.parse().map_err(|_| "not the id of a key")
}
