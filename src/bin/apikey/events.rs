use clap::Args;
use serde_json::{Value, json};
use tower_api_key::{
    event::{ChainHead, LoggedEvent},
    key::KeyId,
    store::EventQuery,
};

use crate::{
    database::{Database, Missing},
    exit::Failure,
    global::Global,
    output::Output,
    table,
    time::shown,
    which,
};

/// Show what happened to keys, the newest event first.
#[derive(Args)]
pub(crate) struct Events {
    /// Only to this key: its id, or as much of the beginning as no other has. The whole id of a key that was pruned will do.
    #[arg(value_name = "ID")]
    id: Option<String>,

    /// Only to keys of this owner.
    #[arg(long)]
    owner: Option<String>,

    /// So many at most.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,

    /// Only before the event of this number.
    #[arg(long, value_name = "NUMBER")]
    before: Option<i64>,
}

impl Events {
    pub(crate) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let database = Database::open(global, Missing::Fail).await?;
        let keys = database.keys()?;
        // One more than asked, to know whether there are more.
        let mut query = EventQuery::newest(self.limit + 1);
        if let Some(id) = &self.id {
            query.key_id = Some(match id.parse::<KeyId>() {
                Ok(id) => id,
                Err(_) => which::find(&keys, id).await?.record.id,
            });
        }
        query.owner = self.owner;
        query.before = self.before;
        let mut events = keys.events(&query).await?;
        if events.is_empty() && self.id.is_some() && query.before.is_none() && query.owner.is_none() {
            return Err(Failure::no_such_key());
        }
        let more = events.len() > self.limit as usize;
        events.truncate(self.limit as usize);
        let last = events.last().map(|logged| logged.seq).filter(|_| more);
        if output.json {
            let data: Vec<Value> = events.iter().map(object).collect();
            output.object(&json!({ "data": data, "next_before": last }))?;
        } else if events.is_empty() {
            output.note("there are none");
        } else {
            let rows: Vec<[String; 6]> = events.iter().map(row).collect();
            table::write(output, ["NUMBER", "AT", "WHAT", "KEY", "OWNER", "BY"], &rows)?;
            if let Some(last) = last {
                output.note(&format!("there are more: --before {last}"));
            }
        }
        database.close().await;
        Ok(())
    }
}

fn row(logged: &LoggedEvent) -> [String; 6] {
    let event = &logged.event;
    let mut what = event.kind.as_str().to_owned();
    if let Some(reason) = &event.reason {
        what.push_str(&format!(" ({reason})"));
    }
    let mut by = format!("{} {}", event.actor.kind, event.actor.owner);
    if let Some(address) = event.actor.address {
        by.push_str(&format!(" from {address}"));
    }
    [
        logged.seq.to_string(),
        shown(event.at),
        what,
        event.key_id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
        event.owner.clone(),
        by.trim_end().to_owned(),
    ]
}

fn object(logged: &LoggedEvent) -> Value {
    let event = &logged.event;
    // What was written as JSON is shown as JSON, and as it is where somebody else wrote it.
    let state = |state: &Option<String>| {
        state
            .as_ref()
            .map(|json| serde_json::from_str(json).unwrap_or_else(|_| Value::from(json.as_str())))
    };
    json!({
        "seq": logged.seq,
        "hash": ChainHead::new(logged.seq, logged.hash).to_hex(),
        "kind": event.kind.as_str(),
        "key_id": event.key_id.map(|id| id.to_string()),
        "owner": event.owner,
        "at": shown(event.at),
        "actor": {
            "kind": event.actor.kind,
            "owner": event.actor.owner,
            "key_id": event.actor.key_id,
            "address": event.actor.address.map(|address| address.to_string()),
            "request_id": event.actor.request_id,
        },
        "before": state(&event.before),
        "after": state(&event.after),
        "reason": event.reason,
    })
}
